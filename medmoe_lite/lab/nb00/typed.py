"""One wrong answer an exercise, as somebody would type it: the learner's run types these first."""

TYPED = {
    "0.1": (
        "whole-layer",
        '''
def lora_parameters(d_in, d_out, r):
    """How many numbers A and B hold together."""
    return d_in * d_out
''',
    ),
    "0.2": (
        "too-late",
        """
def without_adapter(model, do):
    with model.disable_adapter():
        pass
    return do()
""",
    ),
    "0.3": (
        "no-scales",
        """
def bytes_per_parameter(kind):
    return {"float32": 4, "bfloat16": 2, "nf4": 0.5}[kind]
""",
    ),
}

"""Three hints for each exercise of notebook 00: a nudge, a plan, the worked solution."""

HINTS = {
    "0.1": (
        "Two thin matrices meet in the middle. Which two sizes does each of them have?",
        "A has r rows of d_in numbers\nB has d_out rows of r numbers\nadd the two counts",
        "return r * (d_in + d_out)",
    ),
    "0.2": (
        "PEFT has a context manager for it: what is inside the with block runs on the base alone.",
        "open `with model.disable_adapter():`\n    call do() inside the block and return"
        " its result\nat the end of the block the adapter is open again, also after an error",
        "with model.disable_adapter():\n    return do()",
    ),
    "0.3": (
        "Count bits first, then divide by 8. In nf4 a weight pays for its share of each scale.",
        "float32: 32 bits, bfloat16: 16 bits\nnf4: 4 bits\n"
        "   + 8 bits shared by 64 weights (the scale of a block)\n"
        "   + 32 bits shared by 256 blocks of 64 weights (the scale of the scales)\n"
        "bytes = bits / 8",
        'bits = {"float32": 32, "bfloat16": 16, "nf4": 4 + 8 / 64 + 32 / (64 * 256)}\n'
        "return bits[kind] / 8",
    ),
}

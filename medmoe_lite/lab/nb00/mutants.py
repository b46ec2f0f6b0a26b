"""Typical wrong answers to the exercises of notebook 00, by the mistake each makes.

The tests run every check against every one of them: the check has to name this very mistake.
They also serve as a teacher's list of what to expect.
"""

from typing import Any


def _stays_off(model, do):
    model.base_model.disable_adapter_layers()
    return do()


def _off_after_error(model, do):
    model.base_model.disable_adapter_layers()
    said = do()
    model.base_model.enable_adapter_layers()
    return said


def _no_with(model, do):
    model.disable_adapter()
    return do()


def _too_late(model, do):
    with model.disable_adapter():
        pass
    return do()


def _not_called(model, do):
    with model.disable_adapter():
        return do


def _no_return(model, do):
    with model.disable_adapter():
        do()


def _twice(model, do):
    with model.disable_adapter():
        do()
        return do()


def _unloaded(model, do):
    model.unload()
    return do()


def _stopped(model, do):
    with model.disable_adapters():
        return do()


def _bytes(four: float = 4.0, two: float = 2.0, nf4: float = 4 + 8 / 64 + 32 / (64 * 256)) -> Any:
    """`bytes_per_parameter` with chosen answers; `nf4` in bits."""
    return {"float32": four, "bfloat16": two, "nf4": nf4 / 8}.__getitem__


MUTANTS: dict[str, dict[str, Any]] = {
    "0.1": {
        "whole-layer": lambda: lambda d_in, d_out, r: d_in * d_out,
        "only-a": lambda: lambda d_in, d_out, r: r * d_in,
        "only-b": lambda: lambda d_in, d_out, r: r * d_out,
        "all-multiplied": lambda: lambda d_in, d_out, r: d_in * r * d_out,
        "rank-missing": lambda: lambda d_in, d_out, r: d_in + d_out,
        "extra-square": lambda: lambda d_in, d_out, r: r * (d_in + r + d_out),
        "base-counted": lambda: lambda d_in, d_out, r: d_in * d_out + r * (d_in + d_out),
        "values": lambda: lambda d_in, d_out, r: 2 * r * (d_in + d_out),
        "no-number": lambda: lambda d_in, d_out, r: (r * d_in, r * d_out),
    },
    "0.2": {
        "still-on": lambda: lambda model, do: do(),
        "no-with": lambda: _no_with,
        "too-late": lambda: _too_late,
        "not-called": lambda: _not_called,
        "no-return": lambda: _no_return,
        "called-twice": lambda: _twice,
        "stays-off": lambda: _stays_off,
        "off-after-error": lambda: _off_after_error,
        "unloaded": lambda: _unloaded,
        "stopped": lambda: _stopped,
    },
    "0.3": {
        "bits": lambda: _bytes(32, 16),
        "float32": lambda: _bytes(four=8),
        "bfloat16": lambda: _bytes(two=4),
        "no-scales": lambda: _bytes(nf4=4),
        "one-level": lambda: _bytes(nf4=4 + 32 / 64),
        "no-second-level": lambda: _bytes(nf4=4 + 8 / 64),
        "blocks-as-weights": lambda: _bytes(nf4=4 + 8 / 64 + 32 / 256),
        "not-shared": lambda: _bytes(nf4=4 + 8 + 32),
        "values": lambda: _bytes(nf4=5),
        "no-number": lambda: lambda kind: {"float32": 4, "bfloat16": 2}.get(kind),
        "stopped": lambda: lambda kind: {"float32": 4, "bfloat16": 2}[kind],
    },
}

"""Checks of notebook 00: count an adapter, close it, count bytes.

The adapter is tried on a toy with the switches of a PeftModel, which notes what happens to it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from medmoe_lite.lab.checks import Exercise, Verdict, not_attempted, right, wrong
from medmoe_lite.lab.nb00 import mutants, start
from medmoe_lite.lab.nb00.hints import HINTS

D_IN, D_OUT, R = 128, 384, 8  # the sizes of nano's up_proj


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_count(count: Any) -> Verdict:
    """0.1: `lora_parameters(d_in, d_out, r)`."""
    got = count(D_IN, D_OUT, R)
    if got is None or got is Ellipsis:
        return not_attempted()
    if not _number(got):
        return wrong("no-number", f"it returns {got!r}; return one number.")
    told = {
        D_IN * D_OUT: ("whole-layer", "that is the frozen layer itself, d_in · d_out"),
        R * D_IN: ("only-a", "that is A alone; B has r · d_out more"),
        R * D_OUT: ("only-b", "that is B alone; A has r · d_in more"),
        R * D_IN * D_OUT: ("all-multiplied", "A and B are kept apart: add, do not multiply"),
        D_IN + D_OUT: ("rank-missing", "that is rank 1; every rank adds as much again"),
        R * (D_IN + D_OUT) + R * R: ("extra-square", "there is no r · r matrix between A and B"),
        R * (D_IN + D_OUT) + D_IN * D_OUT: ("base-counted", "the frozen layer is counted too"),
    }
    if got in told:
        mistake, words = told[got]
        return wrong(mistake, f"for 128 to 384 at rank 8 you count {got:,}: {words}.")
    if (got, count(10, 20, 2)) != (R * (D_IN + D_OUT), 60):
        text = f"you count {got:,} for 128 to 384 at rank 8; A has 1,024 numbers and B has 3,072."
        return wrong("values", text)
    return right(
        "4,096 numbers beside a layer of 49,152. The count grows with the edge, not the area."
    )


class Toy:
    """The switches of a PeftModel, and a note of what was done to them."""

    def __init__(self) -> None:
        self.on, self.made, self.entered, self.unloaded = True, 0, 0, False
        self.calls: list[bool] = []  # one entry a call of `do`: was the adapter on?
        self.base_model = self

    def disable_adapter(self) -> Any:
        self.made += 1
        return self._closed()

    @contextmanager
    def _closed(self) -> Iterator[None]:
        self.entered += 1
        self.on = False
        try:
            yield
        finally:
            self.on = True

    def disable_adapter_layers(self) -> None:
        self.on = False

    def enable_adapter_layers(self) -> None:
        self.on = True

    def unload(self) -> "Toy":
        self.on, self.unloaded = False, True
        return self

    def do(self) -> str:
        """Stands for a question to the model."""
        self.calls.append(self.on)
        return "the base's answer" if not self.on else "the adapter's answer"


def _stopped_inside(closed: Callable[..., Any]) -> bool:
    """Is the adapter on again after `do` has raised?"""
    toy = Toy()

    def do() -> None:
        raise InterruptedError

    with suppress(InterruptedError):
        closed(toy, do)
    return toy.on


def check_switch(closed: Any) -> Verdict:
    """0.2: `without_adapter(model, do)`."""
    toy = Toy()
    got = closed(toy, toy.do)
    if got is None and not (toy.calls or toy.made or toy.unloaded) and toy.on:
        return not_attempted()
    if toy.unloaded:
        return wrong("unloaded", "unload() takes the adapter out for good; just close it.")
    if not toy.calls:
        return wrong("not-called", "do was not called; call it, with brackets: do().")
    if len(toy.calls) > 1:
        return wrong("called-twice", f"do was called {len(toy.calls)} times; once is enough.")
    if toy.calls == [True]:
        if toy.entered:
            return wrong("too-late", "do ran after the with block, when the adapter was on again.")
        if toy.made:
            text = "disable_adapter() alone does nothing: it has to be opened by `with`."
            return wrong("no-with", text)
        return wrong("still-on", "do ran with the adapter on: you got the adapter's answer.")
    if not toy.on:
        return wrong("stays-off", "the adapter is still off afterwards; the next question suffers.")
    if got != "the base's answer":
        return wrong("no-return", f"it returns {got!r}; return what do() returned.")
    if not _stopped_inside(closed):
        return wrong("off-after-error", "if do raises an error, the adapter stays off for good.")
    return right("it ran once, on the base alone; the adapter is on again, even after an error.")


NF4_WORDS = {
    0.5: ("no-scales", "the scales are missing; without them the codes mean nothing"),
    (4 + 32 / 64) / 8: ("one-level", "the block scales are taken as 32 bits; they are stored in 8"),
    (4 + 8 / 64) / 8: ("no-second-level", "the 32 bits that 256 blocks share are missing"),
    (4 + 8 / 64 + 32 / 256) / 8: ("blocks-as-weights", "256 blocks are 64 · 256 weights, not 256"),
    (4 + 8 + 32) / 8: ("not-shared", "a scale is shared by its weights: divide by their number"),
}


def check_bytes(count: Any) -> Verdict:
    """0.3: `bytes_per_parameter(kind)`."""
    got = {kind: count(kind) for kind in ("float32", "bfloat16", "nf4")}
    if all(value is None or value is Ellipsis for value in got.values()):
        return not_attempted()
    if missing := [kind for kind, value in got.items() if not _number(value)]:
        return wrong("no-number", f"{missing[0]} gives {got[missing[0]]!r}; return a number.")
    if (got["float32"], got["bfloat16"]) == (32, 16):
        return wrong("bits", "float32 gives 32: these are bits; a byte has 8.")
    if got["float32"] != 4:
        return wrong("float32", f"float32 gives {got['float32']:g}; 32 bits are 4 bytes.")
    if got["bfloat16"] != 2:
        text = f"bfloat16 gives {got['bfloat16']:g}; it has 16 bits, as float16 has."
        return wrong("bfloat16", text)
    want = start.bytes_per_parameter("nf4")
    for value, (mistake, words) in NF4_WORDS.items():
        if abs(got["nf4"] - value) < 1e-9:
            return wrong(mistake, f"nf4 gives {got['nf4']:.5g} bytes: {words}.")
    if abs(got["nf4"] - want) > 1e-9:
        text = f"nf4 gives {got['nf4']:.5g} bytes; count 4 bits and the shares of two scales."
        return wrong("values", text)
    return right(f"4, 2 and {want:.4f} bytes. The scales add 3 % to the 4 bits.")


def _bank(key: str, title: str, test: Any, reference: Any) -> Exercise:
    return Exercise(key, title, test, HINTS[key], lambda: reference, mutants.MUTANTS[key])


BANK = (
    _bank("0.1", "count an adapter", check_count, start.lora_parameters),
    _bank("0.2", "close the adapter", check_switch, start.without_adapter),
    _bank("0.3", "bytes a weight", check_bytes, start.bytes_per_parameter),
)

"""Checks of notebook 09: reading a recipe, counting, bytes at rest and running, refusal, hours.

Every number is worked out here from small sizes that are all different, so that each usual
mistake gives a number of its own.
"""

import copy
import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

from medmoe_lite.lab.checks import Exercise, Verdict, not_attempted, right, wrong
from medmoe_lite.lab.diagnosis import diagnosis
from medmoe_lite.lab.nb09 import answers
from medmoe_lite.lab.nb09.failure import CAUSES, SICK, evidence
from medmoe_lite.lab.nb09.hints import HINTS
from medmoe_lite.lab.nb09.mutants import MUTANTS

GIB = 2**30


class Line(NamedTuple):
    """One value of a recipe."""

    key: str
    paper: Any
    nano: Any


LINES = (
    Line("adapters.default.r", 16, 4),
    Line("adapters.default.lora_dropout", 0.0, 0.0),
    Line("adapters.alignment.plain_modules", [], []),
    Line("stages.one.steps", "unknown", 160),
    Line("stages.one.max_length", 3072, None),
    Line("data.general", "none is named", {"read": 400}),
    Line("stages.two.warmup", "unknown", 15),
)
CONFIG = SimpleNamespace(
    r=3, num_experts=5, shared_experts=2, target_modules=["up", "down"], plain_modules=["q"]
)
SHAPES = {"q": (10, 7), "up": (10, 20), "down": (20, 10), "k": (10, 7)}
SIZES = {"layers": 3, "hidden": 10, "vocab": 100}


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _near(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-6)


def _stub(got: Any) -> bool:
    return got is None or got is Ellipsis


def check_unknown(unknown_values: Any) -> Verdict:
    """9.1: `unknown_values(recipe)` returns the keys."""
    recipe = SimpleNamespace(sources=lambda: list(LINES))
    got = unknown_values(recipe)
    if _stub(got):
        return not_attempted()
    if not isinstance(got, list | tuple | set):
        return wrong("no-list", f"it returns {type(got).__name__}; return a list of keys.")
    if any(isinstance(item, Line) for item in got):
        return wrong("values-not-keys", "the list holds whole values; take the key of each.")
    found, want = set(got), {line.key for line in LINES if line.paper == "unknown"}
    extra, missing = sorted(found - want, key=str), sorted(want - found)
    if found == {line.key for line in LINES if not line.paper}:
        text = f"{extra[0]} is {0.0}: a published zero or an empty list is known. Ask for the word."
        return wrong("zero-is-unknown", text)
    if found == {line.key for line in LINES if line.paper != line.nano}:
        text = f"{extra[0]} differs between the columns, but the paper's value is known."
        return wrong("differs", text)
    if found == {line.key for line in LINES if line.nano in ("unknown", None)}:
        return wrong("nano-column", "that reads the column of nano; look at value.paper.")
    if extra and found > want and "adapters.default.lora_dropout" in extra:
        text = f"{extra[0]} is {0.0}: a published zero is known. Compare with the word."
        return wrong("zero-is-unknown", text)
    if extra or missing:
        lists = [", ".join(map(str, names)) or "none" for names in (missing, extra)]
        text = f"missing: {lists[0]}; too many: {lists[1]}."
        return wrong("values", text)
    return right("two of seven values were never published. Zero and an empty list are values.")


def check_trainable(trainable: Any) -> Verdict:
    """9.2: `trainable(config, shapes, layers)`."""
    config, shapes = copy.deepcopy(CONFIG), dict(SHAPES)
    got = trainable(config, shapes, 3)
    if _stub(got):
        return not_attempted()
    if not _number(got):
        return wrong("no-number", f"it returns {type(got).__name__}; return one number.")
    if vars(config) != vars(CONFIG) or shapes != SHAPES:
        return wrong("changes-its-input", "config or shapes is another one afterwards: only read.")
    edges, plain, routers = 30 + 30, 17, 5 * 11 + 5 * 21
    count = lambda columns, router, attention: 3 * (columns * edges + router + 3 * attention)  # noqa: E731
    told = {
        count(3 * 5, routers, plain): ("no-shared", "the shared expert has 2 · r columns as well"),
        count(3 * 2, routers, plain): ("no-routed", "5 routed experts have r columns each"),
        count(3 * 7, 0, plain): ("no-router", "the routers are trained too: experts · (d_in + 1)"),
        count(3 * 7, 5 * 30, plain): ("no-bias", "a router has a bias for each expert"),
        count(3 * 7, routers, 0): ("no-plain", "the plain modules have a LoRA of rank r"),
        count(3 * 7, routers, plain) // 3: ("one-layer", "that is one block; the base has 3"),
        count(7, routers, plain): ("rank-missing", "each expert has r columns, not one"),
        3 * (21 * 400 + routers + 3 * plain): ("whole-weight", "A and B add d_in + d_out a column"),
        3 * (21 * (edges + plain) + routers + 5 * 11): ("mixture-everywhere", "plain ones get no "
                                                       "experts, only rank r"),
    }  # fmt: skip
    want = count(3 * 7, routers, plain)
    if got == want:
        other = SimpleNamespace(**{**vars(CONFIG), "num_experts": 0, "shared_experts": 2})
        if trainable(other, dict(SHAPES), 1) != 6 * edges + 3 * plain:
            text = "with num_experts=0 (MedCare's alignment) the shared expert remains, no router."
            return wrong("values", text)
        return right(
            f"{want:,} numbers: 7 · 3 columns, routers, and a plain LoRA in the attention."
        )
    if got in told:
        mistake, words = told[got]
        return wrong(mistake, f"you count {got:,} for the toy; it should be {want:,}: {words}.")
    return wrong("values", f"you count {got:,} for the toy; it should be {want:,}.")


def _parts(got: Any, names: tuple[str, ...]) -> Verdict | None:
    """The right names with numbers behind them?"""
    if not isinstance(got, Mapping):
        return wrong("no-dict", f"it returns {type(got).__name__}; return a dict of parts.")
    if set(got) != set(names):
        return wrong("names", f"the parts are {', '.join(map(str, got))}; name {', '.join(names)}.")
    bad = [name for name in names if not _number(got[name])]
    return wrong("names", f"{bad[0]} is no number.") if bad else None


def check_resting(resting_bytes: Any) -> Verdict:
    """9.3: `resting_bytes(linear, other, trained, four_bit)`."""
    linear, other, trained = 16384 * 64, 5000, 700
    four, full = (resting_bytes(linear, other, trained, b) for b in (True, False))
    if _stub(four):
        return not_attempted()
    for got in (four, full):
        if verdict := _parts(got, ("weights", "adapters", "gradients", "optimiser")):
            return verdict
    exact = 4 + 8 / 64 + 32 / 16384
    weights = lambda bits, rest=2.0: linear * bits / 8 + other * rest  # noqa: E731
    usual = {
        weights(4): ("no-scales", "the scales are missing: 8 bits a block of 64 weights"),
        weights(4.5): ("single-quantisation", "that is a 32-bit scale a block; double quantisation "
                       "stores it in 8 bits, and 32 bits for 256 blocks"),
        weights(4 + 8 / 64): ("no-second-scale", "256 blocks share one more scale of 32 bits"),
        linear * exact / 8 + other * exact / 8: ("all-in-four-bits", "embeddings, head and norms "
                                                  "stay in 16 bits"),
        weights(exact, 4.0): ("rest-in-32", "the rest of the base lies in 16 bits, 2 bytes each"),
        linear * exact + other * 16: ("bits-not-bytes", "these are bits; divide by 8"),
    }  # fmt: skip
    for value, (mistake, words) in usual.items():
        if _near(four["weights"], value):
            return wrong(mistake, f"{four['weights']:,.0f} bytes of weights in 4 bits: {words}.")
    if not _near(four["weights"], weights(exact)):
        text = (
            f"weights in 4 bits: {four['weights']:,.0f} bytes; it should be {weights(exact):,.0f}."
        )
        return wrong("values", text)
    if not _near(full["weights"], weights(16)):
        text = f"weights in 16 bits: {full['weights']:,.0f} bytes; it should be {weights(16):,.0f}."
        return wrong("flag-ignored", text)
    if four["gradients"] > 100 * trained:
        text = "the base has gradients in your plan. It is frozen: only the adapters have any."
        return wrong("base-gradients", text)
    if _near(four["optimiser"], 4 * trained):
        return wrong("one-moment", "Adam keeps two moments of 4 bytes each, not one.")
    if _near(four["adapters"], 2 * trained):
        return wrong("adapters-in-16", "the adapters learn in 32 bits, 4 bytes each.")
    want = {"adapters": 4, "gradients": 4, "optimiser": 8}
    for name, width in want.items():
        if not _near(four[name], width * trained):
            text = f"{name}: {four[name]:,.0f} bytes; it should be {width * trained:,}."
            return wrong("values", text)
    return right("4.127 bits a weight in nf4; 16 bytes for each number that learns.")


def check_running(running_bytes: Any) -> Verdict:
    """9.4: `running_bytes(tokens, answers, sizes, block, checkpointing)`."""
    sizes, block = dict(SIZES), 700
    plain, saves = (running_bytes(40, 8, sizes, block, flag) for flag in (False, True))
    if _stub(plain):
        return not_attempted()
    for got in (plain, saves):
        if verdict := _parts(got, ("activations", "logits")):
            return verdict
    if sizes != SIZES:
        return wrong("changes-its-input", "sizes is another one afterwards: only read it.")
    for value, mistake, words in (
        (40 * 100 * 10, "logits-everywhere", "only the 8 tokens of answers need logits"),
        (8 * 100 * 2, "logits-in-16", "the loss keeps them in 32 bits too, and their gradient"),
        (8 * 100 * 4, "logits-once", "2 bytes, 4 for the loss, and 4 for the gradient"),
        (8 * 100 * 6, "no-logit-gradient", "their gradient takes 4 bytes more"),
        (8 * 10 * 10, "width-not-vocabulary", "logits are as wide as the vocabulary"),
    ):
        if _near(plain["logits"], value):
            return wrong(mistake, f"{value:,} bytes of logits: {words}.")
    if not _near(plain["logits"], 8000):
        return wrong("values", f"{plain['logits']:,.0f} bytes of logits; it should be 8,000.")
    if _near(plain["activations"], 40 * 700):
        return wrong("one-layer", "without checkpointing all 3 blocks keep theirs.")
    if not _near(plain["activations"], 3 * 40 * 700):
        text = f"{plain['activations']:,.0f} bytes of activations without checkpointing; "
        return wrong("values", text + "it should be 84,000.")
    told = {
        84000: ("flag-ignored", "the same as without checkpointing"),
        40 * 3 * 20: ("no-block-in-full", "one block is done again, and kept in full meanwhile"),
        40 * 700: ("inputs-missing", "the inputs of all blocks are kept as well"),
        40 * (20 + 700): ("one-input", "each of the 3 blocks keeps its input"),
        40 * (3 * 10 + 700): ("inputs-in-bytes", "an input number has 2 bytes"),
    }
    for value, (mistake, words) in told.items():
        if _near(saves["activations"], value):
            return wrong(mistake, f"{value:,} bytes with checkpointing: {words}.")
    if not _near(saves["activations"], 40 * (60 + 700)):
        text = f"{saves['activations']:,.0f} bytes with checkpointing; it should be 30,400."
        return wrong("values", text)
    return right("84,000 bytes of activations shrink to 30,400. The logits do not shrink.")


def check_plan(plan: Any) -> Verdict:
    """9.5: `plan(parts, card, reserve)` returns GiB or refuses."""
    parts = {"weights": 2 * GIB, "logits": 5 * GIB, "adapters": 1 * GIB}
    before = dict(parts)
    got = plan(parts, 16, 1.5)
    if _stub(got):
        return not_attempted()
    if parts != before:
        return wrong("changes-its-input", "the parts are others afterwards: only read them.")
    if not _number(got):
        return wrong("no-number", f"it returns {got!r} for a plan that fits; return GiB.")
    told = {
        8.0: ("no-reserve", "the reserve of 1.5 GiB is missing"),
        8 * GIB / 1e9 + 1.5: ("decimal", "a card of 16 GiB has 16 · 2^30 bytes, not 16 · 10^9"),
        8.0 * GIB + 1.5: ("bytes-not-gib", "the parts are bytes; divide by 2^30"),
    }
    for value, (mistake, words) in told.items():
        if _near(got, value):
            return wrong(mistake, f"you say {got:,.2f} for 8 GiB of parts: {words}.")
    if not _near(got, 9.5):
        return wrong("values", f"you say {got:.2f} GiB; 8 of parts and 1.5 in reserve are 9.5.")
    try:
        exact = plan(dict(parts), 9.5, 1.5)
    except ValueError:
        return wrong("refuses-exact-fit", "9.5 GiB do fit a card of 9.5 GiB: refuse what is more.")
    if not _near(exact, 9.5):
        return wrong("values", f"on a card of 9.5 GiB you say {exact:.2f}.")
    return _refusal(plan, parts)


def _refusal(plan: Any, parts: dict[str, int]) -> Verdict:
    """What is said where the card is too small."""
    try:
        got = plan(dict(parts), 9, 1.5)
    except ValueError as error:
        said = str(error)
    else:
        text = f"9.5 GiB on a card of 9 GiB: it returns {got!r}. Raise a ValueError."
        return wrong("does-not-refuse", text)
    if "logits" not in said:
        text = f"the message says {said!r}. Name the largest part, here logits: it says what to do."
        return wrong("largest-not-named", text)
    if "weights" in said and said.find("weights") < said.find("logits"):
        return wrong("largest-not-named", "name the largest part alone or first; here logits.")
    return right("9.5 GiB fit; on a smaller card it refuses and names the largest part.")


def check_hours(gpu_hours: Any) -> Verdict:
    """9.6: `gpu_hours(tokens, frozen, trained, tflops, used, checkpointing)`."""
    given = (1e9, 9 * 10**8, 10**8, 100.0, 0.25)
    plain, saves = (gpu_hours(*given, flag) for flag in (False, True))
    if _stub(plain):
        return not_attempted()
    if not _number(plain) or not _number(saves):
        return wrong("no-number", f"it returns {plain!r}; return hours as one number.")
    speed = 100e12 * 0.25
    hours = lambda each: 1e9 * each / speed / 3600  # noqa: E731
    each, twice = 4.2e9, 6.2e9
    told = {
        hours(6e9): ("full-training", "6 operations a number is full training; a frozen number "
                     "has no gradient of its own, so 4"),
        hours(2e9): ("forward-only", "that is the forward pass; the backward pass is missing"),
        hours(4e9): ("no-adapter-gradient", "trained numbers need 2 more for their own gradient"),
        hours(4.2e9 / 2): ("multiply-adds", "a multiplication and an addition are two operations"),
        hours(each) * 3600: ("seconds", "these are seconds; divide by 3600"),
        hours(each) * 0.25: ("peak-speed", "no run reaches the peak; multiply it by `used`"),
        hours(each) * 0.25**2: ("used-twice-wrong", "divide by the share that is used"),
        hours(each) * 1e12: ("tera", "a TFLOP is 10^12 operations"),
    }  # fmt: skip
    for value, (mistake, words) in told.items():
        if _near(plain, value):
            return wrong(
                mistake, f"you say {plain:,.4g} hours; it should be {hours(each):.4g}: {words}."
            )
    if not _near(plain, hours(each)):
        return wrong("values", f"you say {plain:,.4g} hours; it should be {hours(each):.4g}.")
    if _near(saves, plain):
        return wrong("flag-ignored", "with checkpointing the forward pass is done twice.")
    if not _near(saves, hours(twice)):
        text = f"with checkpointing you say {saves:,.4g} hours; it should be {hours(twice):.4g}: "
        return wrong("checkpointing", text + "one forward pass more, nothing else.")
    return right(
        "4 operations a frozen number and token, 6 a trained one, 2 more each to save room."
    )


check_diagnosis = diagnosis(
    SICK,
    CAUSES,
    evidence,
    "all four found. Only one of them raises an error, and that before it starts.",
)


def _bank(key: str, title: str, test: Any, reference: Any) -> Exercise:
    return Exercise(key, title, test, HINTS[key], lambda: reference, MUTANTS[key])


BANK = (
    _bank("9.1", "read a recipe", check_unknown, answers.unknown_values),
    _bank("9.2", "count what learns", check_trainable, answers.trainable),
    _bank("9.3", "bytes at rest", check_resting, answers.resting_bytes),
    _bank("9.4", "bytes while running", check_running, answers.running_bytes),
    _bank("9.5", "refuse what cannot fit", check_plan, answers.plan),
    _bank("9.6", "hours of a card", check_hours, answers.gpu_hours),
    _bank("9.7", "diagnose four set-ups", check_diagnosis, SICK),
)

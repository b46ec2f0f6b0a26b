"""Tables and sentences of notebook 09, made from the recipe and the recorded ladder."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

from medmoe_lite.lab.ladder import claim, numbers
from medmoe_lite.lab.recorded import recorded

# datasheet peaks for dense 16-bit matrix products: name -> (GiB, 10^12 operations a second)
CARDS = {"T4": (16, 65), "A100": (40, 312), "H100": (80, 989)}
ENDS = {
    "formats only": ("forgetting", "same adapter, formats only"),
    "formats and replay": ("forgetting", "same adapter, formats and replay"),
    "both learn, l1 0.001": ("orthogonal", "second adapter and penalty"),
}


def changes(recipe: Any, keys: Sequence[str]) -> None:
    """Print both columns of some values, with the reason of the difference."""
    values = {value.key: value for value in recipe.sources()}
    print(f"{'value':34}{'paper':>10}{'nano':>8}   why nano differs")
    for key in keys:
        value = values[key]
        first = f"{key:34}{value.paper!s:>10}{value.nano!s:>8}   "
        print(fill(value.reason, 104, initial_indent=first, subsequent_indent=" " * len(first),
                   break_on_hyphens=False))  # fmt: skip


def listed(keys: Sequence[str]) -> str:
    """Keys in lines that are not broken within a word; "nothing" where there are none.

    >>> listed(["lr", "steps"]), listed([])
    ('   lr, steps', '   nothing')
    """
    text = ", ".join(keys) or "nothing"
    return fill(text, 100, initial_indent="   ", subsequent_indent="   ", break_on_hyphens=False)


def true_size() -> list[str]:
    """What is recorded at the size of the 1.8B model without its weights, a sentence each."""
    size, plan = recorded("true_size"), recorded("plan_check")
    steps = "; ".join(
        f"{sum(len(stage['losses']) for stage in one['stages'])} steps of {one['recipe']}"
        for one in size["recipes"]
    )
    bits = "four bits" if size["four_bit"] else "full precision"
    return [
        f"All {size['layers']} layers at the true width, random weights, {bits}, "
        f"{size['device']}: {steps}.",
        f"`medmoe plan` against the measured peak of {plan['layers']} layers of that width: "
        f"{len(plan['rows'])} settings, at most {plan['worst_peak']:.1%} off.",
    ]


def levels() -> dict[str, list[list[float]]]:
    """Facts before, after stage 1 and after stage 2 in the recorded ladder, a row a seed."""
    found = {}
    for arm, (name, words) in ENDS.items():
        try:
            ends = numbers(name, arm, "heldout")
        except KeyError:
            continue
        starts = numbers("forgetting", "after stage 1", "before.heldout")
        middles = numbers("forgetting", "after stage 1", "heldout")
        found[words] = [list(row) for row in zip(starts, middles, ends, strict=False)]
    return found


def seeds(name: str = "forgetting") -> int:
    """Seeds of a claim."""
    return len(claim(name)["seeds"])


def recorded_use() -> list[Any]:
    """Router x expert shares of the recorded runs of notebook 03, all families together."""
    runs = [run for run in recorded("03_routing")["runs"] if run["arm"] == "molora"]
    mean = lambda table: [sum(column) / len(table) for column in zip(*table, strict=True)]  # noqa: E731
    return [[mean(router) for router in run["trained"]["shares"]] for run in runs]


def router_levels() -> dict[str, dict[str, list[float]]]:
    """The claim on collapse, busiest and dead experts, entropy: arm -> measure -> seeds."""
    names = ("max_load", "dead", "entropy")
    arms = claim("collapse")["arms"]
    return {arm: {n: numbers("collapse", arm, n) for n in names} for arm in arms}


def mean(values: Sequence[float]) -> float:
    """Their mean."""
    return sum(values) / len(values)


def spent() -> dict[str, list[float]]:
    """Milliseconds a question, head and generated, 16 and 4 bits: name -> seeds."""
    found = {}
    for name, arm in (("eci", "head"), ("eci", "generated"),
                      ("four_bit", "head, 4 bits"), ("four_bit", "generated, 4 bits")):  # fmt: skip
        found[arm] = numbers(name, arm, "ms")
    return found


def seeds_told(values: Mapping[str, Sequence[float]]) -> str:
    """Over how many seeds: "5 seeds", or "3 or more seeds"."""
    counts = {len(row) for row in values.values()}
    return f"{min(counts)}{' or more' if len(counts) > 1 else ''} seeds"


def profile() -> dict[str, float]:
    """Means of the recorded profile: ratios of a step, of decoding and of memory."""
    arms: Mapping[str, Any] = claim("cost")["arms"]["profile"]["numbers"]
    return {key: mean(values) for key, values in arms.items()}


def head_numbers(width: int) -> int:
    """Trained numbers of an ECI head on a base of this width."""
    from medmoe_lite.eci import EciHead

    return sum(p.numel() for p in EciHead(width, ["yes", "no", "maybe"]).parameters())

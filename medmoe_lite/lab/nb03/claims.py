"""What may be said from the recorded runs of notebook 03, in words made from the numbers."""

from collections.abc import Callable, Sequence
from typing import Any

from medmoe_lite.lab.claims import Claim
from medmoe_lite.measure.stats import over_seeds, paired_over_seeds

Run = dict[str, Any]


def complete(runs: Sequence[Run]) -> list[Run]:
    """Runs of those bases and seeds for which every arm is there, so that arms can be paired.

    >>> complete([{"base": 0, "seed": 0, "arm": "a"}, {"base": 0, "seed": 0, "arm": "b"},
    ...           {"base": 0, "seed": 1, "arm": "a"}])[-1]
    {'base': 0, 'seed': 0, 'arm': 'b'}
    """
    arms = {run["arm"] for run in runs}
    there: dict[tuple, set[str]] = {}
    for run in runs:
        there.setdefault((run["base"], run["seed"]), set()).add(run["arm"])
    return [run for run in runs if there[run["base"], run["seed"]] == arms]


def arm(runs: Sequence[Run], name: str) -> list[Run]:
    """The runs of one arm, ordered by base and seed, so that arms can be paired."""
    found = [run for run in runs if run["arm"] == name]
    return sorted(found, key=lambda run: (run["base"], run["seed"]))


def mean_exact(run: Run, key: str = "exact") -> float:
    """Mean over the families."""
    return sum(run[key].values()) / len(run[key])


def bits(runs: Sequence[Run]) -> dict[str, dict[str, list[float]]]:
    """Bits of every run: group of tokens -> {chance, before training, after training}."""
    found = arm(runs, "molora")
    return {
        "all tokens": {
            "chance": [run["trained"]["bits_shuffled"] for run in found],
            "before training": [run["start"]["bits"] for run in found],
            "after training": [run["trained"]["bits"] for run in found],
        },
        "the same token": {
            "chance": [run["trained"]["last_bits_shuffled"] for run in found],
            "before training": [run["start"]["last_bits"] for run in found],
            "after training": [run["trained"]["last_bits"] for run in found],
        },
    }


def told(values: Sequence[float], digits: int = 2) -> str:
    """Mean, standard deviation over runs and range.

    >>> told([0.1, 0.3])
    '0.20 ± 0.14 (0.10 to 0.30)'
    """
    found = over_seeds(values)
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return f"{found.mean:.{digits}f} ± {found.std:.{digits}f} ({low} to {high})"


def gap(ours: Sequence[float], other: Sequence[float], digits: int = 3) -> str:
    """A paired difference with its interval and what may be said of it.

    >>> gap([0.5, 0.7, 0.6], [0.1, 0.3, 0.2]).split(":")[1]
    ' more'
    """
    found = paired_over_seeds(ours, other)
    word = "no difference can be seen"
    if found.low > 0:
        word = "more"
    elif found.high < 0:
        word = "less"
    low, high = f"{found.low:+.{digits}f}", f"{found.high:+.{digits}f}"
    return f"{found.mean:+.{digits}f} (95 % interval {low} to {high}, {found.n} pairs): {word}"


def compare(
    runs: Sequence[Run], first: str, second: str, value: Callable[[Run], float] = mean_exact
) -> str:
    """The paired difference of two arms."""
    return gap([value(r) for r in arm(runs, first)], [value(r) for r in arm(runs, second)])


def settled(runs: Sequence[Run]) -> str:
    """Prediction B in one sentence, from the recorded runs."""
    levels = bits(runs)["all tokens"]
    before, after = (over_seeds(levels[key]).mean for key in ("before training", "after training"))
    return (
        f"families share the experts in different shares: {after:.2f} bits. An untrained router "
        f"gives {before:.2f} already. Experts of their own would give 2.32"
    )


def verdicts(runs: Sequence[Run]) -> list[Claim]:
    """The rows of "where the papers stand"."""
    mixture, by_task = arm(runs, "molora"), arm(runs, "task")
    all_tokens, same = bits(runs)["all tokens"], bits(runs)["the same token"]
    right = over_seeds([mean_exact(run) for run in by_task]).mean
    false = over_seeds([mean_exact(run, "wrong_label") for run in by_task]).mean
    learned = gap(same["after training"], same["before training"])
    return [
        Claim(
            "MING-MOE",
            "Experts are chosen token by token, so no task label is needed at inference.",
            "exact, any scale",
            "True by construction: gate(x) reads nothing but x. Routing by task, trained the same "
            f"way, falls from {right:.2f} to {false:.2f} exact match with a wrong label.",
        ),
        Claim(
            "MING-MOE",
            "Different tasks open different experts.",
            "small model, recorded",
            f"In shares, not in full: {told(all_tokens['after training'])} bits, chance "
            f"{over_seeds(all_tokens['chance']).mean:.3f}. At a token that is the same in all "
            f"families, training changes the bits by {learned}.",
        ),
        Claim(
            "MING-MOE",
            "A mixture learns many tasks better than a single LoRA.",
            "small model, recorded",
            "Exact match, mixture minus LoRA. Equal rank in all: "
            f"{compare(runs, 'molora', 'lora-total')}. Equal rank at work: "
            f"{compare(runs, 'molora', 'lora-active')}. The mixture has the numbers of its "
            f"routers on top ({mixture[0]['learning']:,} that learn, against "
            f"{arm(runs, 'lora-total')[0]['learning']:,}).",
        ),
        Claim(
            "MING-MOE",
            "Only the chosen experts cost something at inference.",
            "exact, any scale",
            "True where only they are computed. The stacked form multiplies all rank columns and "
            "throws most away. The router costs e · d_in for every token, and nothing can be "
            "merged into the base.",
        ),
        Claim(
            "MING-MOE",
            "State of the art on more than 20 medical tasks.",
            "not tested here",
            "It would take the published benchmarks, the 1.8B to 14B models, and several seeds of "
            "each. A model of a million numbers can say nothing about it.",
        ),
    ]

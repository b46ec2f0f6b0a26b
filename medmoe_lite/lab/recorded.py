"""Runs that were recorded once, over several seeds, and what may be said from them.

A notebook trains once, in seconds; one run proves little. What the text claims comes from a file
under `data/recorded`, written by `python -m medmoe_lite.lab.record NN` over at least five seeds.
The words are made from the numbers when the notebook runs.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from medmoe_lite.paths import data_dir

Run = dict[str, Any]


def recorded(name: str) -> dict[str, Any]:
    """The file `data/recorded/{name}.json`: `settings`, `command`, and a list of `runs`.

    Raises:
        FileNotFoundError: it was not recorded yet; the message says which command does it.
    """
    path = data_dir() / "recorded" / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path.name} is not recorded yet. Type: python -m medmoe_lite.lab.record {name[:2]}"
        )
    return json.loads(path.read_text(encoding="utf-8"))


def by_arm(runs: Sequence[Run], value: str | Callable[[Run], Any]) -> dict[str, list]:
    """Values of every arm, one a run, in the order in which the arms were first met.

    >>> by_arm([{"arm": "a", "x": 1}, {"arm": "b", "x": 2}, {"arm": "a", "x": 3}], "x")
    {'a': [1, 3], 'b': [2]}
    """
    found: dict[str, list] = {}
    for run in runs:
        item = value(run) if callable(value) else run[value]
        found.setdefault(run["arm"], []).append(item)
    return found


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean and range in words.

    >>> spread([0.5, 0.7])
    '0.60 (0.50 to 0.70 over 2 runs)'
    """
    mean = sum(values) / len(values)
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return f"{mean:.{digits}f} ({low} to {high} over {len(values)} runs)"


def paired(
    runs: Sequence[Run], value: str, first: str, second: str, same: Sequence[str] = ("base", "seed")
) -> str:
    """How much more the first arm has than the second, pair by pair of the same seed and base.

    >>> runs = [{"arm": a, "seed": s, "base": 0, "x": x} for a, s, x in
    ...         [("a", 0, 0.5), ("b", 0, 0.25), ("a", 1, 0.75), ("b", 1, 0.25)]]
    >>> paired(runs, "x", "a", "b")
    'a has 0.38 more than b on average, more in 2 of 2 pairs'
    """
    sides = [
        {tuple(run[key] for key in same): run[value] for run in runs if run["arm"] == arm}
        for arm in (first, second)
    ]
    gaps = [sides[0][key] - sides[1][key] for key in sides[0] if key in sides[1]]
    mean, more = sum(gaps) / len(gaps), sum(gap > 0 for gap in gaps)
    if mean < 0:
        return paired(runs, value, second, first, same)
    return (
        f"{first} has {mean:.2f} more than {second} on average, more in {more} of {len(gaps)} pairs"
    )

"""The recorded curves of notebook 07, and what may be said from them.

The file is `data/recorded/07_curves.json`; `MEDMOE_CURVES` names another one, such as that of
one's own run. Every sentence is made from the numbers when the notebook runs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medmoe_lite.lab.recorded import Run, recorded
from medmoe_lite.measure.stats import paired_over_seeds

LAMBDAS = {"0": "frozen", "0.0001": "l1 0.0001", "0.001": "l1 0.001", "0.01": "l1 0.01"}
BOTH, FROZEN, OFF = "both learn", "frozen", "off the fact inputs"


def load() -> list[Run]:
    """All recorded runs.

    Raises:
        FileNotFoundError: nothing is recorded yet; the message says which command does it.
    """
    own = os.environ.get("MEDMOE_CURVES")
    if own:
        found: list[Run] = json.loads(Path(own).read_text(encoding="utf-8"))["runs"]
        return found
    return recorded("07_curves")["runs"]


def of(runs: Sequence[Run], arm: str) -> list[Run]:
    """The runs of one arm, by seed.

    Raises:
        KeyError: no run of this arm; the message lists those there are.
    """
    found = sorted((run for run in runs if run["arm"] == arm), key=lambda run: run["seed"])
    if not found:
        raise KeyError(f"no runs of {arm!r}. There are: {', '.join(arms(runs))}.")
    return found


def arms(runs: Sequence[Run]) -> list[str]:
    """Arms in the order in which they were first met."""
    return list(dict.fromkeys(run["arm"] for run in runs))


def seeds(runs: Sequence[Run]) -> int:
    """How many seeds every arm has."""
    return min(len(of(runs, arm)) for arm in arms(runs))


def curve(runs: Sequence[Run], arm: str, measure: str) -> np.ndarray:
    """(seeds, points) of a measure such as "heldout", "formats", "general", "overlap"."""
    return np.array([run[measure] for run in of(runs, arm)], dtype=float)


def ends(runs: Sequence[Run], measure: str) -> dict[str, float]:
    """Arm -> mean of a measure after the last step."""
    return {arm: float(curve(runs, arm, measure)[:, -1].mean()) for arm in arms(runs)}


def gap(runs: Sequence[Run], arm: str, other: str, measure: str) -> tuple[float, float, float]:
    """Mean of the differences at the end, seed by seed, and its 95 % interval."""
    sides = [curve(runs, name, measure)[:, -1].tolist() for name in (arm, other)]
    spread = paired_over_seeds(*sides)
    return spread.mean, spread.low, spread.high


def told_gap(runs: Sequence[Run], arm: str, other: str, measure: str = "heldout") -> str:
    """A difference in words, with its interval, and whether zero lies in it."""
    mean, low, high = gap(runs, arm, other, measure)
    verdict = "more" if low > 0 else "less" if high < 0 else "no difference can be told"
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f}): {verdict}"


def survived(runs: Sequence[Run], arm: str) -> float:
    """Share of the facts known before the alignment that is known after it, mean over seeds."""
    rows = curve(runs, arm, "heldout")
    return float((rows[:, -1] / rows[:, 0]).mean())


def settled_frozen(runs: Sequence[Run]) -> str:
    """The answer to prediction 7.A."""
    left = survived(runs, FROZEN)
    return (
        f"{left:.0%} of what was known before is still answered, mean of {seeds(runs)} seeds. "
        "Not one weight of the first adapter had changed."
    )


def settled_lambda(runs: Sequence[Run]) -> str:
    """The answer to prediction 7.B: the largest recorded lambda beside none."""
    arm = LAMBDAS["0.01"]
    overlap = ends(runs, "overlap")
    return (
        f"the overlap went down from {overlap[FROZEN]:.0f} to {overlap[arm]:.1f}; "
        f"facts kept, beside no penalty: {told_gap(runs, arm, FROZEN)}"
    )


def reading(runs: Sequence[Run]) -> list[str]:
    """One line an arm: what the second A reads of the fact inputs, and what became of the facts."""
    chance = float(np.mean([run["chance"] for run in runs]))
    first = float(np.mean([run["reads_knowledge"] for run in of(runs, FROZEN)]))
    lines = [f"{'random rows':20} {chance:.2f}", f"{'first adapter':20} {first:.2f}"]
    for arm in arms(runs):
        share = float(np.mean([run["reads"] for run in of(runs, arm)]))
        kept = float(curve(runs, arm, "heldout")[:, -1].mean())
        lines.append(f"{arm:20} {share:.2f}   facts at the end {kept:.2f}")
    return lines


def angles(runs: Sequence[Run], arm: str, kind: str) -> np.ndarray:
    """(seeds, 16) principal angles of one kind of layer, in degrees, smallest first."""
    return np.array([run["angles"][kind] for run in of(runs, arm)], dtype=float)


def table(runs: Sequence[Run]) -> list[str]:
    """Lines: what every arm has at the end beside the frozen one, with intervals."""
    lines = []
    for measure, words in (("heldout", "facts"), ("formats", "formats"), ("general", "general")):
        lines.append(f"{words}, frozen without a penalty: {ends(runs, measure)[FROZEN]:.2f}")
        lines += [
            f"   {arm:20} {told_gap(runs, arm, FROZEN, measure)}"
            for arm in arms(runs)
            if arm != FROZEN
        ]
    return lines

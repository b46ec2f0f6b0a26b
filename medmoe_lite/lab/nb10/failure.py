"""Three reports of a gain, and the log behind each: two arms that are equal in truth.

Each report makes one mistake on purpose. Nothing is trained: scores rise to the same plateau in
both arms, with the noise of a seed and of a checkpoint. The log shows everything that was run,
the report only the two numbers that it quotes.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from medmoe_lite.lab.handed_out import Dealt

CAUSES = (
    "the best of many seeds is reported",
    "the checkpoint was chosen on the test set",
    "the arms had a different number of steps",
    "one measure of many is reported",
    "a wide interval around zero is called no effect",
)
SICK = Dealt("10", {"run P": CAUSES[1], "run Q": CAUSES[2], "run R": CAUSES[0]})
EVIDENCE = {
    "run P": "run P quotes ours where its test curve peaks, the other arm at its end. On the "
    "development set that step is nothing special.",
    "run Q": "in run Q both curves still rise, and ours is read further to the right. At the "
    "step where the other one ends, they are level.",
    "run R": "run R has many dots for ours and quotes the highest. Their middle is level with "
    "the other arm.",
}
PLATEAU, SEED_NOISE, STEP_NOISE, MARGIN = 0.70, 0.03, 0.03, 0.05
HONEST_SEEDS = 5
LUCK = {CAUSES[0]: 18, CAUSES[1]: 51, CAUSES[2]: 17}  # seeds whose logs show the mistake plainly


class Report(NamedTuple):
    """A log and what was quoted from it.

    Attributes:
        lines: name -> (x, y): curves over steps, or scores over seeds.
        quoted: ours, other -> (x, y) of the number in the report.
        x_label: what x is.
    """

    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    quoted: dict[str, tuple[float, float]]
    x_label: str

    @property
    def gain(self) -> float:
        """What the report claims."""
        return self.quoted["ours"][1] - self.quoted["other"][1]


def _curve(steps: np.ndarray, rng: np.random.Generator, pace: float = 40.0) -> list[float]:
    rise = PLATEAU * (1 - np.exp(-steps / pace))
    return (rise + STEP_NOISE * rng.standard_normal(len(steps))).clip(0, 1).tolist()


def evidence(run: str) -> str:
    """What the log of a run shows, for somebody who named another cause."""
    return f"Look again: {SICK.told(EVIDENCE, run)}"


def report(cause: str, seed: int | None = None) -> Report:
    """A report that makes this mistake; any other cause gives an honest one."""
    rng = np.random.default_rng(LUCK.get(cause, 0) if seed is None else seed)
    if cause == CAUSES[1]:
        return _peeking(rng)
    if cause == CAUSES[2]:
        return _unequal(rng)
    return _seeds(rng, best=cause == CAUSES[0])


def _peeking(rng: np.random.Generator) -> Report:
    steps = np.arange(60, 301, 20)
    x = steps.tolist()
    test, dev, other = (_curve(steps, rng) for _ in range(3))
    best = int(np.argmax(test))
    lines = {"ours, test": (x, test), "ours, development": (x, dev), "other, test": (x, other)}
    return Report(lines, {"ours": (x[best], test[best]), "other": (x[-1], other[-1])}, "step")


def _unequal(rng: np.random.Generator) -> Report:
    long, short = np.arange(20, 241, 20), np.arange(20, 121, 20)
    ours, other = (_curve(steps, rng, pace=110.0) for steps in (long, short))
    lines = {
        "ours, test": (long.tolist(), ours),
        "other, test": (short.tolist(), other),
    }
    quoted = {"ours": (float(long[-1]), ours[-1]), "other": (float(short[-1]), other[-1])}
    return Report(lines, quoted, "step")


def _seeds(rng: np.random.Generator, best: bool) -> Report:
    count = 12 if best else HONEST_SEEDS
    ours = (PLATEAU + SEED_NOISE * rng.standard_normal(count)).tolist()
    other = (PLATEAU + SEED_NOISE * rng.standard_normal(3 if best else count)).tolist()
    lines = {
        "ours, each seed": (list(map(float, range(count))), ours),
        "other, each seed": (list(map(float, range(len(other)))), other),
    }
    at = int(np.argmax(ours)) if best else count // 2
    value = ours[at] if best else float(np.mean(ours))
    quoted = {"ours": (float(at), value), "other": (1.0, float(np.mean(other)))}
    return Report(lines, quoted, "seed")


def repaired(run: str, seeds: int = HONEST_SEEDS) -> tuple[list[float], list[float]]:
    """The same question asked honestly: last step, equal steps, every seed; (ours, other)."""
    rng = np.random.default_rng(100 + list(SICK).index(run))
    draw = lambda: (PLATEAU + SEED_NOISE * rng.standard_normal(seeds)).tolist()  # noqa: E731
    return draw(), draw()

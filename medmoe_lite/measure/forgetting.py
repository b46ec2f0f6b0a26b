"""What was lost: every suite before, during and after every stage.

    F_suite(stage)  = exact(base) - exact(stage)            positive: forgotten since the base
    BWT             = mean over suites taught before of  exact(now) - exact(when just taught)

F is per suite and against the base; BWT (backward transfer) is over the suites that earlier
stages taught and is negative when later stages destroy them. Both come with intervals: F's from
resampling items, paired, because the same items are asked twice.
Sources: Chaudhry et al. 2018 (forgetting), Lopez-Paz and Ranzato 2017 (backward transfer).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..train.files import read_json, write_json
from .scores import Score
from .stats import bootstrap_interval

if TYPE_CHECKING:
    from ..train.history import History

BASE = "base"


class Change(NamedTuple):
    """One suite against the base: F = base - now, with its 95 % interval."""

    base: float
    now: float
    forgetting: float
    low: float
    high: float


@dataclass
class ForgettingRecord:
    """Rows of (stage, step, suite), each with its score and one mark per item.

    >>> record = ForgettingRecord()
    >>> one = Score(2, 1.0, 0, 1.0, 1.0, ["a", "b"], [True, True])
    >>> record.add("base", 0, {"general": one})
    >>> record.add("facts", 100, {"general": one._replace(exact=0.5, correct=[True, False])})
    >>> record.forgetting()["general"].forgetting
    0.5
    """

    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, stage: str, step: int, scores: Mapping[str, Score]) -> None:
        """Note the scores of all suites at one moment; stage "base" is before any training."""
        for suite, found in scores.items():
            self.rows.append(
                {
                    "stage": stage,
                    "step": step,
                    "suite": suite,
                    **found.row(),
                    "marks": found.marks(),
                }
            )

    def add_history(self, history: History) -> None:
        """Note all scores of a run of `run_stage`; the first run's start is the base."""
        for row in history.scores:
            first = not any(known["stage"] != BASE for known in self.rows)
            stage = BASE if first and row["step"] == 0 else history.stage
            marks = history.marks[f"{row['step']}/{row['suite']}"]
            self.rows.append({"stage": stage, **row, "marks": marks})

    def stages(self) -> list[str]:
        """Stages in the order of their first row, without the base."""
        return [stage for stage in dict.fromkeys(r["stage"] for r in self.rows) if stage != BASE]

    def at_end(self, stage: str) -> dict[str, dict[str, Any]]:
        """Suite -> last row of a stage.

        Raises:
            KeyError: nothing was noted for that stage.
        """
        found = {row["suite"]: row for row in self.rows if row["stage"] == stage}
        if not found:
            known = sorted({row["stage"] for row in self.rows})
            raise KeyError(f"no scores of stage {stage!r}; the record has {known}.")
        return found

    def forgetting(self, stage: str | None = None) -> dict[str, Change]:
        """F of every suite after a stage (the last one by default)."""
        before = self.at_end(BASE)
        after = self.at_end(stage or self.stages()[-1])
        changes = {}
        for suite, row in after.items():
            if suite not in before:
                continue
            base = before[suite]
            if base["n"] != row["n"]:
                raise ValueError(
                    f"suite {suite!r} had {base['n']} items at the base and "
                    f"{row['n']} now. Score the same items each time."
                )
            both = zip(base["marks"], row["marks"], strict=True)
            lost = [int(a) - int(b) for a, b in both]
            mean, low, high = bootstrap_interval(lost)
            changes[suite] = Change(base["exact"], row["exact"], mean, low, high)
        return changes

    def backward_transfer(self, taught: Mapping[str, str]) -> float:
        """BWT after the last stage.

        Args:
            taught: suite -> the stage that taught it; suites of the last stage do not count.

        Raises:
            ValueError: no suite was taught before the last stage.
        """
        last = self.stages()[-1]
        earlier = {suite: stage for suite, stage in taught.items() if stage != last}
        if not earlier:
            raise ValueError(
                f"backward transfer needs a suite that a stage before {last!r} taught; "
                f"got {dict(taught)}."
            )
        now = self.at_end(last)
        changes = [now[s]["exact"] - self.at_end(stage)[s]["exact"] for s, stage in earlier.items()]
        return sum(changes) / len(changes)

    def curve(self, suite: str) -> list[tuple[str, int, float, float, float]]:
        """(stage, step, exact, low, high) of one suite in the order of time."""
        keys = ("stage", "step", "exact", "low", "high")
        return [tuple(r[k] for k in keys) for r in self.rows if r["suite"] == suite]  # type: ignore[misc]

    def to_json(self, path: Path | str) -> Path:
        """Write the record atomically."""
        return write_json(path, asdict(self))

    @classmethod
    def from_json(cls, path: Path | str) -> ForgettingRecord:
        """Read what `to_json` wrote."""
        return cls(**read_json(path))

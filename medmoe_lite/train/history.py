"""What a stage did, as plain rows for plots and files.

`log` has one row per log step, `scores` one row per suite and time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import read_json, write_json

if TYPE_CHECKING:
    from ..measure.scores import Score


@dataclass
class History:
    """Rows of one run of a stage.

    Attributes:
        stage: the stage's name.
        log: dicts with `step`, `loss` (all that was minimised, weights included), `lm` (its
            language-model part), `balance`, `router_z`, `orthogonal` and `preservation` (raw,
            without their weight, over the steps in which they were on), `lr`. Losses are means
            since the previous row.
        scores: dicts with `step`, `suite`, `n`, `exact`, `unparsed`, `low`, `high`.
        seconds: time spent in training steps, without scoring.
        marks: "step/suite" -> one character per item, 1 for right (see `ForgettingRecord`).

    >>> history = History("facts", log=[{"step": 10, "loss": 0.5}])
    >>> history.column("loss")
    [0.5]
    """

    stage: str
    log: list[dict[str, Any]] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    marks: dict[str, str] = field(default_factory=dict)

    def column(self, name: str) -> list[Any]:
        """One column of the log; None where a row has no such entry."""
        return [row.get(name) for row in self.log]

    def curve(self, suite: str) -> tuple[list[int], list[float]]:
        """Steps and exact match of one suite, in the order they were scored.

        Raises:
            KeyError: the suite was never scored.
        """
        rows = [row for row in self.scores if row["suite"] == suite]
        if not rows:
            known = sorted({row["suite"] for row in self.scores})
            raise KeyError(f"no scores of {suite!r} in this history; it has {known}.")
        return [row["step"] for row in rows], [row["exact"] for row in rows]

    def add_scores(self, step: int, scores: Mapping[str, Score]) -> None:
        """Note the scores of some suites after `step` steps."""
        for suite, found in scores.items():
            self.scores.append({"step": step, "suite": suite, **found.row()})
            self.marks[f"{step}/{suite}"] = found.marks()

    def final(self) -> dict[str, float]:
        """Suite -> last exact match."""
        return {row["suite"]: row["exact"] for row in self.scores}

    def to_json(self, path: Path | str) -> Path:
        """Write the history atomically."""
        return write_json(path, asdict(self))

    @classmethod
    def from_json(cls, path: Path | str) -> History:
        """Read what `to_json` wrote."""
        return cls(**read_json(path))

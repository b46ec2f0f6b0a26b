"""Measuring: exact match, likelihood of options, intervals, forgetting, routing.

Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .forgetting import ForgettingRecord
    from .labels import Prediction, predict, score_labels
    from .likelihood import likelihood_choice
    from .routing import record_routing
    from .scores import Score, greedy, score
    from .stats import Interval, bootstrap_interval, over_seeds, paired_over_seeds

_WHERE = {
    "ForgettingRecord": "forgetting",
    "Interval": "stats",
    "Score": "scores",
    "bootstrap_interval": "stats",
    "greedy": "scores",
    "Prediction": "labels",
    "likelihood_choice": "likelihood",
    "over_seeds": "stats",
    "paired_over_seeds": "stats",
    "predict": "labels",
    "record_routing": "routing",
    "score": "scores",
    "score_labels": "labels",
}

__all__ = [
    "score", "Score", "greedy", "likelihood_choice", "bootstrap_interval", "Interval",
    "over_seeds", "paired_over_seeds", "ForgettingRecord", "record_routing",
    "predict", "score_labels", "Prediction",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

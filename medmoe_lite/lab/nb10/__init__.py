"""What notebook 10 uses beside its own cells: claims, cards, seeds and verdicts."""

from medmoe_lite.lab.nb10 import (
    bench,
    browser,
    card,
    change,
    claims,
    diagram,
    failure,
    own,
    plots,
    rule,
    simulate,
    slices,
)

__all__ = [
    "bench",
    "browser",
    "card",
    "change",
    "claims",
    "diagram",
    "failure",
    "own",
    "plots",
    "rule",
    "simulate",
    "slices",
]

"""What notebook 08 uses beside its own cells: a label beside the essay, and three steps."""

from medmoe_lite.lab.nb08 import (
    bench,
    case_plots,
    claims,
    diagram,
    evidence,
    joint,
    nano,
    plots,
    steps,
)

__all__ = [
    "bench",
    "case_plots",
    "claims",
    "diagram",
    "evidence",
    "joint",
    "nano",
    "plots",
    "steps",
]

"""What notebook 05 uses beside its own cells: where experts belong."""

from medmoe_lite.lab.nb05 import (
    budget,
    designer,
    drawings,
    failure,
    groups,
    interference,
    merging,
    plane,
    plots,
    words,
)

__all__ = [
    "budget",
    "designer",
    "drawings",
    "failure",
    "groups",
    "interference",
    "merging",
    "plane",
    "plots",
    "words",
]

"""What notebook 03 uses beside its own cells: router and experts."""

from medmoe_lite.lab.nb03 import claims, diagram, failure, mix, plots

__all__ = ["claims", "diagram", "failure", "mix", "plots"]

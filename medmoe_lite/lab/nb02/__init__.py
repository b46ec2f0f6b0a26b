"""What notebook 02 uses beside its own cells: four bits and QLoRA."""

from medmoe_lite.lab.nb02 import diagrams, exam, failure, grid, plots, profile, qlora

__all__ = ["diagrams", "exam", "failure", "grid", "plots", "profile", "qlora"]

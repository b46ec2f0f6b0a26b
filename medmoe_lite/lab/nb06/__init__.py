"""What notebook 06 uses beside its own cells: knowledge and noise."""

from medmoe_lite.lab.nb06 import claims, diagram, explore, failure, lesson, parts, plots

__all__ = ["claims", "diagram", "explore", "failure", "lesson", "parts", "plots"]

"""What notebook 09 uses beside its own cells: the plan, the true sizes, the run."""

from medmoe_lite.lab.nb09 import answers, failure, machine, plots, run, shapes, widget, words

__all__ = ["answers", "failure", "machine", "plots", "run", "shapes", "widget", "words"]

"""What notebook 04 uses beside its own cells: healthy and sick routers."""

from medmoe_lite.lab.nb04 import diagram, failure, microscope, plots, speed, train, words

__all__ = ["diagram", "failure", "microscope", "plots", "speed", "train", "words"]

"""What notebook 00 uses beside its own cells: a first look at base, adapter and machine."""

from medmoe_lite.lab.nb00 import machine, plots, start

__all__ = ["machine", "plots", "start"]

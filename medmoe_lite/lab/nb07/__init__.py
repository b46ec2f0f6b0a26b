"""What notebook 07 uses beside its own cells: align without forgetting."""

from medmoe_lite.lab.nb07 import curves, explore, failure, plots, second

__all__ = ["curves", "explore", "failure", "plots", "second"]

"""What notebook 01 uses beside its own cells: LoRA by hand."""

from medmoe_lite.lab.nb01 import diagram, failure

__all__ = ["diagram", "failure"]

"""Base models: the shipped nano, folders and hub names; the nano model's build; memory plans."""

from .load import keep_unpacked, load_base
from .plan import Memory, memory

__all__ = ["load_base", "keep_unpacked", "memory", "Memory"]

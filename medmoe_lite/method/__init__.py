"""MoLoRA as a PEFT method. Importing this package registers it."""

from .config import MoLoraConfig
from .layer import MoLoraLayer
from .model import MoLoraModel
from .register import register
from .state import routed_closed

register()

__all__ = ["MoLoraConfig", "MoLoraLayer", "MoLoraModel", "register", "routed_closed"]

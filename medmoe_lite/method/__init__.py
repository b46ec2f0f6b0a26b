"""MoLoRA as a PEFT method. Importing this package registers it."""

from .config import MoLoraConfig
from .layer import MoLoraLayer
from .model import MoLoraModel
from .register import register
from .state import needs_prompt_mask, needs_task_ids, routed_closed, routing_context

register()

__all__ = [
    "MoLoraConfig",
    "MoLoraLayer",
    "MoLoraModel",
    "needs_prompt_mask",
    "needs_task_ids",
    "register",
    "routed_closed",
    "routing_context",
]

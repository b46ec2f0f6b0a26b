"""Make PEFT know MoLoRA: the only file that depends on how PEFT is built inside.

PEFT has a public function that registers a method, and a closed list of method names that the
function consults. This adds a name to the list, then calls the function. Tried with PEFT 0.18 to
0.21; when a new PEFT changes its list, this is the file to mend.
"""

from __future__ import annotations

import functools
from typing import Any

from peft.utils.peft_types import PeftType

NAME = "MOLORA"


def peft_type() -> Any:
    """The member `PeftType.MOLORA`, added to the enumeration when it is not there yet.

    >>> peft_type() is peft_type(), peft_type().value
    (True, 'MOLORA')
    """
    if NAME not in PeftType.__members__:
        member = str.__new__(PeftType, NAME)
        member._name_ = NAME
        member._value_ = NAME
        PeftType._member_map_[NAME] = member
        PeftType._value2member_map_[NAME] = member
        PeftType._member_names_.append(NAME)
        type.__setattr__(PeftType, NAME, member)
    return PeftType[NAME]


def register() -> None:
    """Register MoLoRA with PEFT. Doing it again is harmless.

    Raises:
        RuntimeError: another package has taken the name MOLORA.

    >>> register(); register()
    """
    from peft import MODEL_TYPE_TO_PEFT_MODEL_MAPPING
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
    from peft.utils import register_peft_method

    from .config import MoLoraConfig
    from .model import MoLoraModel

    for wrapper in set(MODEL_TYPE_TO_PEFT_MODEL_MAPPING.values()):
        hand_task_ids_on(wrapper)
    kind = peft_type()
    known = PEFT_TYPE_TO_CONFIG_MAPPING.get(kind)
    if known is None:
        register_peft_method(
            name=NAME.lower(), config_cls=MoLoraConfig, model_cls=MoLoraModel, prefix="molora_"
        )
        return
    if known.__module__ != MoLoraConfig.__module__:
        raise RuntimeError(
            f"PEFT already has a method {NAME} from {known.__module__}: only one of the two "
            "packages can be used in a process, so import medmoe_lite alone"
        )
    # A reloaded module has new classes; the registry must point at those.
    PEFT_TYPE_TO_CONFIG_MAPPING[kind] = MoLoraConfig
    PEFT_TYPE_TO_TUNER_MAPPING[kind] = MoLoraModel


def hand_task_ids_on(wrapper: Any) -> None:
    """Let `model(..., task_ids=...)` reach our gates; other methods see no difference.

    PEFT's wrappers take an argument of this name, for another method, and keep it.

    >>> from peft import PeftModelForCausalLM
    >>> hand_task_ids_on(PeftModelForCausalLM); hand_task_ids_on(PeftModelForCausalLM)
    """
    from .arguments import TASKS

    taken = wrapper.forward
    if "task_ids" not in taken.__code__.co_varnames or hasattr(taken, "hands_task_ids_on"):
        return

    @functools.wraps(taken)
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        config = getattr(self, "active_peft_config", None)
        if kwargs.get("task_ids") is not None and getattr(config, "peft_type", "") == NAME:
            kwargs[TASKS] = kwargs.pop("task_ids")
        return taken(self, *args, **kwargs)

    forward.hands_task_ids_on = True  # type: ignore[attr-defined]
    wrapper.forward = forward

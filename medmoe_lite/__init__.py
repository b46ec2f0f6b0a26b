"""medmoe_lite: mixtures of LoRA experts for medical language models, built by hand.

Names are imported when first used, so `import medmoe_lite` is instant. As soon as `peft` is
imported, before or after, it learns the method MOLORA, so that
`AutoPeftModelForCausalLM.from_pretrained(folder)` works with no further import.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "load_base": "bases",
    "MoLoraConfig": "method",
    "routed_closed": "method",
    "drop_noise": "method.drop",
    "to_lora": "method.export",
    "soft_merge": "method.merge",
    "merge_into_base": "method.fold",
    "merge_attention": "method.attention",
    "routing_context": "method.state",
    "with_eci": "eci_model",
    "load_eci": "eci_model",
    "without_eci": "eci_model",
    "depth_plan": "depth",
    "same_budget": "depth",
    "Recipe": "train.recipe",
    "expert_weights": "method.inspect",
    "record_routing": "measure.routing",
    "balance_loss": "penalties",
    "router_z_loss": "penalties",
    "preservation_loss": "penalties",
    "orthogonal_penalty": "penalties",
    "orthogonal_term": "penalties",
    "input_directions": "projection",
    "project_rows": "projection",
    "adapter_directions": "projection",
    "Layout": "layout",
    "Expert": "layout",
    "TokenGate": "gates",
    "Context": "gates",
    "SequenceGate": "sequence_gate",
    "TaskGate": "task_gate",
    "ThresholdGate": "threshold_gate",
    "needs_prompt_mask": "method.state",
    "needs_task_ids": "method.state",
    "route": "gates",
    "LowRank": "lowrank",
}
__all__ = ["__version__", *_WHERE]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})


# On some processors bitsandbytes looks for an optional kernel and warns that it is not there.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


class _RegisterAfterPeft:
    """Import hook: once `peft` itself has been imported, tell it about MOLORA."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "peft":
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module: Any) -> None:
                load(module)
                importlib.import_module(f"{__name__}.method")

            spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec


if "peft" in sys.modules:
    importlib.import_module(f"{__name__}.method")
elif not any(type(finder).__name__ == "_RegisterAfterPeft" for finder in sys.meta_path):
    sys.meta_path.insert(0, _RegisterAfterPeft())  # type: ignore[arg-type]

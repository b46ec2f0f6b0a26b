"""The PEFT tuner: finds the linear layers, wraps each in a `MoLoraLayer`."""

from __future__ import annotations

import re
from typing import Any, cast

from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer, check_target_module_exists
from torch import Tensor, nn

from .config import MoLoraConfig
from .layer import NO_SINGLE_WEIGHT, MoLoraLayer
from .modules import check_names
from .state import RoutingState, needs_prompt_mask, states
from .written import base_print, check_adapter_name, check_base


class MoLoraModel(BaseTuner):
    """Created by `peft.get_peft_model(model, MoLoraConfig())`; not by hand."""

    prefix = "molora_"
    tuner_layer_cls = MoLoraLayer
    target_module_mapping: dict[str, list[str]] = {}

    def _check_new_adapter_config(self, config: MoLoraConfig) -> None:  # type: ignore[override]
        super()._check_new_adapter_config(config)
        here = base_print(self.model)
        check_base(config.written, here)
        config.written = {**(config.written or {}), "base": here}
        check_names(config, self.model)
        layers = self.get_model_config(self.model).get("num_hidden_layers")
        counts = config.num_experts
        if isinstance(counts, list) and layers is not None and len(counts) != layers:
            raise ValueError(
                f"num_experts has {len(counts)} entries and the model has {layers} layers: "
                f"give one number a layer, for example num_experts={[max(counts)] * layers}"
            )

    @staticmethod
    def _check_target_module_exists(peft_config: MoLoraConfig, key: str) -> Any:  # type: ignore[override]
        found = check_target_module_exists(peft_config, key)
        if found or type(found).__name__ == "_ExcludedModule":
            return found
        return is_plain(peft_config, key)

    def _create_and_replace(
        self,
        peft_config: MoLoraConfig,  # type: ignore[override]
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        **_: Any,
    ) -> None:
        check_adapter_name(adapter_name)
        layout = peft_config.layout(layer_index(current_key), is_plain(peft_config, current_key))
        if isinstance(target, MoLoraLayer):
            if adapter_name in target.molora_experts:
                raise ValueError(
                    f"an adapter named {adapter_name!r} is already attached: type model.unload() "
                    "to start again, or model.add_adapter('another name', config) to add one"
                )
            target.update_layer(adapter_name, peft_config, layout)
            return
        if isinstance(target, BaseTunerLayer):
            raise ValueError(
                f"{current_key} already carries another PEFT method ({type(target).__name__}): "
                "type model.unload() first"
            )
        if not isinstance(target, nn.Linear):
            raise ValueError(
                f"{current_key} is a {type(target).__name__}, and only linear layers (also in 4 "
                f"or 8 bits) can carry experts: take {target_name!r} out of target_modules"
            )
        layer = MoLoraLayer(target, current_key, self._routing_state())
        layer._active_adapter = adapter_name
        layer.update_layer(adapter_name, peft_config, layout)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)

    def _routing_state(self) -> RoutingState:
        """The model's one state: found where layers exist already, else made with its hook."""
        found = states(self.model)
        if found:
            return found[0]
        state = RoutingState()
        # The decoder inside the language model sees every pass, also those without logits.
        inner = getattr(self.model, "base_model", self.model)
        if inner is not self.model:
            self.model.register_forward_pre_hook(state.see_labels, with_kwargs=True)
        inner.register_forward_pre_hook(state.begin, with_kwargs=True)
        inner.register_forward_hook(state.end, with_kwargs=True)
        return state

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """The model's own `generate`; a prompt in chunks is refused where a gate reads all of it.

        Raises:
            ValueError: `prefill_chunk_size` with a sequence gate.
        """
        settings = (kwargs.get("generation_config"), getattr(self.model, "generation_config", None))
        sizes = [kwargs.get("prefill_chunk_size")]
        sizes += [getattr(setting, "prefill_chunk_size", None) for setting in settings]
        if any(sizes) and needs_prompt_mask(self.model):
            raise ValueError(
                "prefill_chunk_size feeds the prompt in parts, and the sequence gate would decide "
                "from the first part alone: leave prefill_chunk_size out (a prompt that you feed "
                "in parts yourself is decided from its first part as well)"
            )
        return self.model.generate(*args, **kwargs)

    def _check_merge_allowed(self) -> None:
        super()._check_merge_allowed()
        for adapter in self.active_adapters:
            if cast(MoLoraConfig, self.peft_config[adapter]).has_routed:
                raise ValueError(NO_SINGLE_WEIGHT.format(adapter=adapter))

    def _check_named(self, names: list[str] | None) -> None:
        """Refuse before anything is merged; PEFT itself looks at the active adapters only."""
        for name in names or ():
            if name not in self.peft_config:
                raise ValueError(
                    f"no adapter named {name!r} to merge: type one of {list(self.peft_config)}"
                )
            if cast(MoLoraConfig, self.peft_config[name]).has_routed:
                raise ValueError(NO_SINGLE_WEIGHT.format(adapter=name))

    def merge_adapter(
        self, adapter_names: list[str] | None = None, safe_merge: bool = False
    ) -> None:
        self._check_named(adapter_names)
        super().merge_adapter(adapter_names=adapter_names, safe_merge=safe_merge)

    def _unload_and_optionally_merge(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        self._check_named(kwargs.get("adapter_names"))
        found = states(self.model)
        model: Any = super()._unload_and_optionally_merge(*args, **kwargs)  # type: ignore[func-returns-value]
        for module in model.modules():
            before = (module._forward_pre_hooks, module._forward_pre_hooks_with_kwargs)
            after = (module._forward_hooks, module._forward_hooks_with_kwargs)
            for hooks, with_kwargs in (before, after):
                for number, hook in list(cast(dict[int, Any], hooks).items()):
                    if getattr(hook, "__self__", None) in found:
                        del hooks[number]
                        with_kwargs.pop(number, None)
        return model

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: nn.Module, config: Any, adapter_name: str, state_dict: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """PEFT only warns when tensors are missing; an adapter loaded by half must not pass."""
        renamed = super()._remap_adapter_state_dict_for_load(
            model, config, adapter_name, state_dict
        )
        marks = (f".molora_experts.{adapter_name}.", f".molora_router.{adapter_name}.")
        wanted = {key for key in model.state_dict() if any(mark in key for mark in marks)}
        missing = sorted(wanted - renamed.keys())
        if missing:
            raise ValueError(
                f"the adapter file lacks {len(missing)} of {len(wanted)} tensors (first: "
                f"{missing[0]}): it belongs to another configuration or another base model, or "
                "was cut off; copy the folder again, or load it on the base it was trained on"
            )
        return renamed


def is_plain(config: MoLoraConfig, key: str) -> bool:
    """Does this module get ordinary LoRA?

    >>> is_plain(MoLoraConfig(), "model.layers.0.self_attn.q_proj")
    True
    """
    return any(key == name or key.endswith(f".{name}") for name in config.plain_modules)


def layer_index(key: str) -> int | None:
    """Number of the decoder layer in a module name; None where there is none.

    >>> layer_index("model.layers.11.mlp.up_proj")
    11
    """
    found = re.search(r"(?:^|\.)(\d+)(?:\.|$)", key)
    return int(found.group(1)) if found else None

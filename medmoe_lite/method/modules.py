"""Names of linear layers: they differ from family to family, and a wrong one is easily overlooked.

    Qwen, Llama, Mistral    q_proj k_proj v_proj o_proj     gate_proj up_proj down_proj
    Phi-3                   qkv_proj         o_proj         gate_up_proj      down_proj
    Phi-1, Phi-2            q_proj k_proj v_proj dense      fc1               fc2

PEFT passes over a name that is not there as long as one of the others is: an adapter for Llama on
Phi-3 would sit in two of seven places without a word. Here that is an error, which says what to
type; `translated` does it for a recipe.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import nn

from .checks import ATTENTION

if TYPE_CHECKING:
    from .config import MoLoraConfig

# A layer of Llama -> the layer in the same place, by model type.
SAME_PLACE: dict[str, dict[str, str]] = {
    "phi3": {
        "q_proj": "qkv_proj", "k_proj": "qkv_proj", "v_proj": "qkv_proj",
        "gate_proj": "gate_up_proj", "up_proj": "gate_up_proj",
    },
    "phi": {"o_proj": "dense", "gate_proj": "fc1", "up_proj": "fc1", "down_proj": "fc2"},
}  # fmt: skip


def linear_names(model: nn.Module) -> list[str]:
    """Last names of the linear layers inside the blocks, in their order.

    >>> linear_names(nn.ModuleDict({"up": nn.Linear(2, 2), "norm": nn.LayerNorm(2)}))
    ['up']
    """
    head = getattr(model, "get_output_embeddings", lambda: None)()
    found: dict[str, None] = {}
    for name, module in model.named_modules():
        adapted = "routing_state" in vars(module)
        if (isinstance(module, nn.Linear) and module is not head) or adapted:
            last = name.rpartition(".")[2]
            if last != "base_layer":
                found[last] = None
    return list(found)


def missing_names(names: list[str], model: nn.Module) -> list[str]:
    """Those of the names that no module of the model has."""
    there = [name for name, _ in model.named_modules()]
    return [
        name for name in names if not any(key == name or key.endswith(f".{name}") for key in there)
    ]


def check_names(config: MoLoraConfig, model: nn.Module) -> None:
    """Refuse a configuration that names layers which the model does not have.

    The plain modules that stand there by default may all be missing, as in a model without
    attention; some of them may not.

    Raises:
        ValueError: naming what is missing, what exists, and what to type.
    """
    targets = [] if isinstance(config.target_modules, str) else list(config.target_modules)
    lost = missing_names(targets, model)
    plain = missing_names(config.plain_modules, model)
    if plain == ATTENTION == config.plain_modules:
        plain = []
    if not lost and not plain:
        return
    kind = getattr(getattr(model, "config", None), "model_type", None)
    advice = f"The linear layers of this model are {', '.join(linear_names(model)) or 'none'}"
    if kind in SAME_PLACE:
        fits = {name: in_place(getattr(config, name), kind)
                for name in ("target_modules", "plain_modules")}  # fmt: skip
        advice += "; type " + ", ".join(f"{name}={value}" for name, value in fits.items())
    what = " and ".join(
        f"{field} name {', '.join(names)}"
        for field, names in (("target_modules", lost), ("plain_modules", plain))
        if names
    )
    raise ValueError(f"{what}, which this model{f' ({kind})' if kind else ''} lacks. {advice}.")


def in_place(names: list[str], kind: str) -> list[str]:
    """Names of Llama's layers in another family, each once.

    >>> in_place(["gate_proj", "up_proj", "down_proj"], "phi3")
    ['gate_up_proj', 'down_proj']
    """
    places = SAME_PLACE.get(kind, {})
    return list(dict.fromkeys(places.get(name, name) for name in names))


def translated(config: MoLoraConfig, model: Any) -> MoLoraConfig:
    """The configuration with the model's own names for the layers of Llama.

    Returns:
        The same configuration where nothing has another name here.

    >>> from types import SimpleNamespace
    >>> from .config import MoLoraConfig
    >>> phi = SimpleNamespace(config=SimpleNamespace(model_type="phi3"))
    >>> translated(MoLoraConfig(), phi).plain_modules
    ['qkv_proj', 'o_proj']
    """
    kind = getattr(getattr(model, "config", None), "model_type", "")
    if kind not in SAME_PLACE or isinstance(config.target_modules, str):
        return config
    return replace(
        config,
        target_modules=in_place(list(config.target_modules), kind),
        plain_modules=in_place(config.plain_modules, kind),
    )

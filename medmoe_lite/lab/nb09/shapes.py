"""The true sizes of Qwen1.5-1.8B-Chat without its weights: what can be counted on a laptop.

    count_parameters   all 24 layers on torch's meta device: shapes without numbers
    block_bytes        one block at its true width in ordinary memory, a few tokens long: what
                       autograd keeps of it for the backward pass

The second runs the forward pass with one block and with two, and takes the difference. The
weights are whatever the memory held: their values change neither shapes nor bytes.

Shapes: `t` tokens.
"""

import warnings
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from medmoe_lite.bases.plan import QWEN_1_8B, linear_shapes, parameters

TOKENS = 32  # enough: what is kept grows in proportion


def qwen(layers: int = 24, device: str = "meta", **sizes: Any) -> Any:
    """A model of the true configuration in 16 bits, with any number of layers."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(**{**vars(QWEN_1_8B), "num_hidden_layers": layers, **sizes})
    with torch.device("meta"):
        made: Any = Qwen2ForCausalLM(config)
        model = made.to(torch.bfloat16)
    return model if device == "meta" else model.to_empty(device=device)


def count_parameters() -> dict[str, int]:
    """Numbers of the whole model on the meta device: linear layers in the blocks, and the rest."""
    model = qwen()
    linear = sum(
        module.weight.numel()
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name != "lm_head"
    )
    return {"linear": linear, "other": sum(p.numel() for p in model.parameters()) - linear}


def count_trained(config: Any, layers: int = 2) -> int:
    """Trained numbers of a recipe on the true widths, counted by PEFT on `layers` layers."""
    from peft import get_peft_model

    model = get_peft_model(qwen(layers, vocab_size=64), config)
    return int(model.get_nb_trainable_parameters()[0])


def sizes() -> dict[str, Any]:
    """What a plan needs to know of the base: counts, layers, width, vocabulary, layer shapes."""
    counts = parameters(QWEN_1_8B)
    return {
        "linear": counts.linear,
        "other": counts.other,
        "layers": QWEN_1_8B.num_hidden_layers,
        "hidden": QWEN_1_8B.hidden_size,
        "vocab": QWEN_1_8B.vocab_size,
        "shapes": linear_shapes(QWEN_1_8B),
    }


@lru_cache(maxsize=8)
def block_bytes(recipe: str = "medcare", adapter: str = "default", tokens: int = TOKENS) -> int:
    """Bytes a token that one block with adapters keeps for the backward pass, measured here.

    Args:
        recipe: whose adapter, in the paper's column.
        adapter: of the recipe.
        tokens: length of the text that is read.
    """
    from medmoe_lite.train.recipe import Recipe

    config = Recipe.read(recipe).config("paper", adapter)
    one, two = (_kept(layers, config, tokens) for layers in (1, 2))
    return (two - one) // tokens


def _kept(layers: int, config: Any, tokens: int) -> int:
    """Bytes that autograd keeps of a forward pass, parameters not counted."""
    from peft import get_peft_model

    model = get_peft_model(qwen(layers, "cpu", vocab_size=64), config).train()
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, Tensor] = {}

    def note(tensor: Tensor) -> Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    ids = torch.zeros(1, tokens, dtype=torch.long)
    with warnings.catch_warnings(), torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        warnings.simplefilter("ignore")
        model(input_ids=ids, use_cache=False)
    return sum(t.untyped_storage().nbytes() for p, t in kept.items() if p not in own)

"""A base of true shapes with random weights, for what depends on shapes alone: memory and time.

The model is made on the meta device, where it weighs nothing, and then filled module by module:
a linear layer is drawn in full width, packed into nf4 where four bits are asked for, and only then
is the next one drawn. So the memory in use never exceeds the finished model by more than a layer.
The language-model head and the embeddings stay in full width, as they do in `load_base`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

ROWS = 64  # rows that are drawn; the rest repeat them, since drawing 311 million takes seconds


def random_base(
    config: Any,
    *,
    layers: int | None = None,
    four_bit: bool = False,
    dtype: torch.dtype = torch.bfloat16,
    device: str = "cpu",
    seed: int = 0,
    words: Sequence[int] | None = None,
    **changes: Any,
) -> Any:
    """A causal language model of a configuration, in eval mode.

    Args:
        config: a transformers configuration, or an object or dict with its size fields (Qwen2).
        layers: how many of its blocks; by default all.
        four_bit: linear layers of the blocks in nf4 with double quantisation.
        dtype: of everything else.
        device: where it is made.
        words: only these words get numbers in the embeddings and in the head; the others stay
            zero, and on Linux zeros that nobody wrote take no memory.
        changes: other fields of the configuration, such as `vocab_size`.

    >>> model = random_base(dict(hidden_size=64, intermediate_size=64, num_attention_heads=1,
    ...     num_key_value_heads=1, vocab_size=32), layers=1, four_bit=True)
    >>> type(model.model.layers[0].mlp.up_proj).__name__, model.lm_head.weight.dtype
    ('Linear4bit', torch.bfloat16)
    """
    from transformers import AutoModelForCausalLM

    made = configuration(config, layers, **changes)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(made, dtype=dtype)
    generator = torch.Generator(device).manual_seed(seed)
    blocks = {id(module) for module in model.get_decoder().layers.modules()}
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and id(module) in blocks and four_bit:
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, packed(module, dtype, device, generator))
        else:
            fill(module, dtype, device, generator, words)
    model.tie_weights()
    model.is_loaded_in_4bit = four_bit
    model.name_or_path = "random weights"
    return model.eval()


def configuration(config: Any, layers: int | None = None, **changes: Any) -> Any:
    """A transformers configuration from one, or from sizes, with other values."""
    from transformers import PretrainedConfig, Qwen2Config

    if isinstance(config, PretrainedConfig):
        given = {**config.to_dict(), **changes}
        kind: Any = type(config)
    else:
        given = {**(config if isinstance(config, dict) else vars(config)), **changes}
        kind = Qwen2Config
        given = {k: v for k, v in given.items() if k not in ("model_type", "torch_dtype")}
    if layers is not None:
        given["num_hidden_layers"] = layers
        given.pop("layer_types", None)
    return kind(**given)


def fill(
    module: nn.Module,
    dtype: torch.dtype,
    device: str,
    generator: torch.Generator,
    words: Sequence[int] | None = None,
) -> None:
    """Give a module's own meta tensors memory and numbers, in place."""
    for name, parameter in list(module.named_parameters(recurse=False)):
        if parameter.is_meta:
            table = isinstance(module, nn.Embedding) or parameter.shape[0] > 2**16
            if table and words is not None:
                value = unwritten(parameter.shape, dtype).to(device)
                own = torch.Size((len(words), parameter.shape[1]))
                value[list(words)] = drawn(own, dtype, device, generator)
            else:
                value = drawn(parameter.shape, dtype, device, generator)
            setattr(module, name, nn.Parameter(value, requires_grad=False))
    meta = [name for name, buffer in module.named_buffers(recurse=False) if buffer.is_meta]
    if meta:  # the angles of the positions: only their own constructor knows them
        fresh: Any = type(module)(module.config).to(device)  # type: ignore[call-arg, arg-type]
        for name in meta:
            module.register_buffer(name, getattr(fresh, name), persistent=False)


def drawn(shape: torch.Size, dtype: torch.dtype, device: str, generator: torch.Generator) -> Tensor:
    """Numbers whose products keep their size: ones for a norm, else normal, 1/√d wide."""
    if len(shape) == 1:
        return torch.ones(shape, dtype=dtype, device=device)
    rows = torch.randn(min(ROWS, shape[0]), shape[1], device=device, generator=generator)
    rows = (rows / math.sqrt(shape[1])).to(dtype)
    value = torch.empty(shape, dtype=dtype, device=device)
    for start in range(0, shape[0], ROWS):
        part = value[start : start + ROWS]
        part.copy_(rows[: len(part)])
    return value


def unwritten(shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """Zeros that the system hands out when they are written; torch.zeros writes them all.

    >>> unwritten(torch.Size((2, 3)), torch.bfloat16).sum().item()
    0.0
    """
    size = math.prod(shape) * dtype.itemsize
    return torch.from_numpy(np.zeros(size, dtype=np.uint8)).view(dtype).view(shape)


def packed(
    module: nn.Linear, dtype: torch.dtype, device: str, generator: torch.Generator
) -> nn.Module:
    """A linear layer in nf4 with double quantisation and random weights."""
    import bitsandbytes as bnb

    from ..bases.load import keep_unpacked

    layer = bnb.nn.Linear4bit(
        module.in_features, module.out_features, bias=module.bias is not None,
        compute_dtype=dtype, compress_statistics=True, quant_type="nf4", device="meta",
    )  # fmt: skip
    weight = drawn(module.weight.shape, dtype, device, generator)
    store: Any = bnb.nn.Params4bit(
        weight, requires_grad=False, quant_type="nf4", compress_statistics=True, module=layer
    )
    layer.weight = store.to(device)
    if module.bias is not None:
        bias = torch.zeros(module.out_features, dtype=dtype, device=device)
        layer.bias = nn.Parameter(bias, requires_grad=False)
    return keep_unpacked(layer)


def save_random(folder: Path | str, config: Any, **arguments: Any) -> Path:
    """Write a random model as a folder of safetensors that `load_base` reads; see `random_base`.

    The tokenizer is not written: copy its files beside.
    """
    model = random_base(config, four_bit=False, **arguments)
    model.save_pretrained(folder)
    return Path(folder)

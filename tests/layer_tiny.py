"""A tiny random Qwen2 and adapters with random weights, for the tests of the layer."""

from __future__ import annotations

from typing import Any

import torch
from peft import get_peft_model
from torch import Tensor, nn
from transformers import Qwen2Config, Qwen2ForCausalLM

from medmoe_lite import MoLoraConfig

IDS = torch.tensor([[5, 9, 17, 33, 2, 64, 7], [1, 8, 90, 3, 3, 21, 12]])


def tiny_base(seed: int = 0, dtype: torch.dtype = torch.float32, layers: int = 2) -> Any:
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=128,
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        initializer_range=0.2,
        attn_implementation="eager",
    )
    return Qwen2ForCausalLM(config).to(dtype).eval()


def small(**fields: Any) -> MoLoraConfig:
    """A configuration with 4 experts of rank 4 where nothing else is said."""
    return MoLoraConfig(**{"r": 4, "lora_alpha": 8, "num_experts": 4, **fields})


def tiny(seed: int = 0, base: nn.Module | None = None, noise: float = 0.1, **fields: Any) -> Any:
    """The base with an adapter whose B is not zero, in eval mode."""
    model = get_peft_model(tiny_base() if base is None else base, small(**fields))
    shake(model, seed, noise)
    return model.eval()


def shake(model: nn.Module, seed: int = 0, noise: float = 0.1, only: str = "molora_") -> None:
    """Random values for all adapter parameters whose names contain `only`."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "molora_" in name and only in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * noise)


@torch.no_grad()
def logits(model: nn.Module, ids: Tensor = IDS, **kwargs: Any) -> Tensor:
    return model(input_ids=ids, **kwargs).logits


def trainable(model: nn.Module) -> dict[str, Tensor]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def loop_over_experts(
    x: Tensor,
    A: list[Tensor],
    B: list[Tensor],
    scale: list[float],
    num_shared: int,
    router: tuple[Tensor, Tensor] | None,
    top_k: int | None,
    renormalize: bool = True,
) -> Tensor:
    """The update by definition: one token and one expert at a time. x (T, d_in), B (d_out, r)."""
    rows = []
    for token in x:
        update = token.new_zeros(B[0].shape[0])
        for i in range(num_shared):
            update = update + scale[i] * (B[i] @ (A[i] @ token))
        if router is not None:
            weight, bias = router
            z = weight @ token + bias
            p = torch.exp(z) / torch.exp(z).sum()
            chosen = sorted(range(len(z)), key=lambda i: -z[i].item())[: top_k or len(z)]
            total = sum(p[i] for i in chosen)
            for i in chosen:
                w = p[i] / total if renormalize and len(chosen) > 1 else p[i]
                j = num_shared + i
                update = update + w * scale[j] * (B[j] @ (A[j] @ token))
        rows.append(update)
    return torch.stack(rows)

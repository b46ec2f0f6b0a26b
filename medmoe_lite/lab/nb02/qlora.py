"""LoRA over a frozen 4-bit weight: the answer key of notebook 02, and how it is attached.

    x ----> places, absmax --(dequantise)--> W~ (frozen) ----------> + ----> y
     `----> A (r, d_in) ----> B (d_out, r) ----> alpha / r ----------'

The codes are whole numbers; no gradient can change them. It passes through W~ on its way to
earlier layers, and ends in A and B, which stay in 32 bits.

Source: QLoRA, Dettmers et al. 2023, https://arxiv.org/abs/2305.14314
"""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from medmoe_lite import nf4
from medmoe_lite.lab.fast import shortened

LEVELS = nf4.normal_code()
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class QLoRALinear(nn.Module):
    """A frozen weight in nf4, with a low-rank update in 32 bits beside it.

    Args:
        base: the layer to store; it is not kept.
        r: rank of the update.
        alpha: strength of the update, used as alpha / r.

    >>> layer = QLoRALinear(nn.Linear(64, 32), r=2, alpha=4)
    >>> [name for name, p in layer.named_parameters() if p.requires_grad]
    ['A', 'B']
    """

    def __init__(self, base: nn.Linear, r: int, alpha: float) -> None:
        super().__init__()
        places, absmax = nf4.quantise(base.weight, LEVELS)
        self.register_buffer("places", places)
        self.register_buffer("absmax", absmax)
        self.shape, self.scale = base.weight.shape, alpha / r
        self.bias = base.requires_grad_(False).bias
        self.A = nn.Parameter(torch.empty(r, base.in_features))
        self.B = nn.Parameter(torch.zeros(base.out_features, r))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """(..., d_in) -> (..., d_out), in the dtype of x."""
        places, absmax = self.get_buffer("places"), self.get_buffer("absmax")
        weight = nf4.dequantise(places, absmax, LEVELS, self.shape, dtype=x.dtype)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        update = self.scale * (x.float() @ self.A.T @ self.B.T)
        return nn.functional.linear(x, weight, bias) + update.to(x.dtype)


def attach(model: nn.Module, layer: Callable[..., nn.Module], r: int, alpha: float) -> Any:
    """Freeze the model and put `layer(linear, r, alpha)` in the place of each target.

    A second call finds no linear layer of that name any more and changes nothing.
    """
    if not any(c for m in model.modules() for n, c in m.named_children() if _is_target(n, c)):
        return model
    model.requires_grad_(False)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if _is_target(name, child):
                setattr(parent, name, layer(child, r, alpha))
    return model


def _is_target(name: str, child: nn.Module) -> bool:
    return name in TARGETS and isinstance(child, nn.Linear)


def fit(
    model: Any,
    batches: Sequence[dict[str, Tensor]],
    on_loss: Callable[[float], None] = lambda loss: None,
    lr: float = 4e-3,
) -> list[float]:
    """One step of AdamW a batch, as in notebook 01; returns the losses.

    Args:
        on_loss: called with the loss of each step.
    """
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=0.0)
    batches, losses = shortened(batches), []
    for step, batch in enumerate(batches):
        optimizer.param_groups[0]["lr"] = lr * min((step + 1) / 10, 1 - 0.9 * step / len(batches))
        loss = model(**batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        on_loss(losses[-1])
    return losses


def gradients(model: Any, batch: dict[str, Tensor]) -> list[tuple[str, str, int, bool]]:
    """What a backward pass reaches in one layer: (name, dtype, bytes, got a gradient).

    The gradients are taken away again. The layer is `up_proj` of the first block.
    """
    model(**batch, use_cache=False).loss.backward()
    layer = model.model.layers[0].mlp.up_proj
    rows = [
        (name, str(tensor.dtype).removeprefix("torch."), tensor.nbytes, tensor.grad is not None)
        for name, tensor in [*layer.named_buffers(), *layer.named_parameters()]
    ]
    model.zero_grad()
    return rows


@torch.no_grad()
def merged(layer: Any, scale: float, again: bool) -> tuple[Tensor, Tensor]:
    """The stored weight W~ of a layer, and what it becomes when its update is added to it.

    Args:
        layer: with places, absmax, A (r, d_in) and B (d_out, r).
        scale: alpha / r.
        again: round the sum to nf4 again.

    Returns:
        Both (d_out, d_in), in 32 bits.
    """
    shape = (layer.B.shape[0], layer.A.shape[1])
    before = nf4.dequantise(layer.places, layer.absmax, LEVELS, shape)
    after = before + scale * layer.B @ layer.A
    if again:
        after = nf4.dequantise(*nf4.quantise(after, LEVELS), LEVELS, shape)
    return before, after


@torch.no_grad()
def merge_into(base: Any, model: Any, scale: float, again: bool) -> Any:
    """A copy of `base` with the merged weights of `model`."""
    whole = copy.deepcopy(base)
    for name, layer in model.named_modules():
        if hasattr(layer, "places") and hasattr(layer, "A"):
            whole.get_submodule(name).weight.copy_(merged(layer, scale, again)[1])
    return whole


def stock(four: Any, r: int, alpha: float) -> Any:
    """LoRA of the package over a model that bitsandbytes holds in four bits."""
    from peft import get_peft_model

    from medmoe_lite import MoLoraConfig

    config = MoLoraConfig(
        r=r, lora_alpha=alpha, num_experts=0, shared_experts=1, target_modules=list(TARGETS),
        plain_modules=[],
    )  # fmt: skip
    return get_peft_model(four, config)

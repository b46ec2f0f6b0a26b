"""A mixture of LoRA experts by hand: what notebook 03 builds, and the answer key of it.

    x ---> W (frozen) ------------------------------------> + ---> y
     |---> router ---> softmax ---> top k ---> weights w     |
     `---> A_1 ... A_e ---> w_i, token by token ---> B_i ----'

    y = W x + (alpha / r) · sum_i w_i B_i A_i x        A random, B zero: at the start no change

Shapes: `b` sequences, `t` tokens, `e` experts, `r` rank of one expert; `...` is (b, t). This file
is for reading; training jobs use the PEFT method of this package, which computes the same.

Source: MING-MOE, arXiv 2404.09027.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from medmoe_lite.lab.lora import LoRALinear

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
FEED_FORWARD = ("gate_proj", "up_proj", "down_proj")


def top_k_weights(logits: Tensor, k: int) -> Tensor:
    """How open each expert is: softmax, keep the k largest, make them sum to one.

    Args:
        logits: (..., e), one number an expert.
        k: experts that are open for a token.

    Returns:
        (..., e), zero for closed experts.

    >>> top_k_weights(torch.tensor([0.0, 1.0, 1.0, -3.0]), k=2)
    tensor([0.0000, 0.5000, 0.5000, 0.0000])
    """
    probabilities = logits.softmax(-1)
    best, chosen = probabilities.topk(k, -1)
    best = best / best.sum(-1, keepdim=True)
    return torch.zeros_like(probabilities).scatter(-1, chosen, best)


def mixture_loop(x: Tensor, weights: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
    """The update of all experts, one expert after the other.

    Args:
        x: (..., d_in)
        weights: (..., e), zero for closed experts.
        A: (e, r, d_in)
        B: (e, d_out, r)
        scale: alpha / r.

    Returns:
        (..., d_out)

    >>> one = torch.ones(1, 1, 1)
    >>> mixture_loop(torch.ones(1), torch.tensor([0.5]), one, one, scale=4.0)
    tensor([2.])
    """
    total = torch.zeros(*x.shape[:-1], B.shape[1], dtype=x.dtype)
    for i in range(A.shape[0]):
        total = total + weights[..., i : i + 1] * (x @ A[i].T @ B[i].T)
    return scale * total


def mixture_stacked(x: Tensor, weights: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
    """The same update as one LoRA of rank e · r whose rank columns open token by token.

    Arguments and result as in `mixture_loop`.

    >>> x, w = torch.randn(5, 7), top_k_weights(torch.randn(5, 4), 2)
    >>> A, B = torch.randn(4, 3, 7), torch.randn(4, 6, 3)
    >>> gap = mixture_loop(x, w, A, B, 2.0) - mixture_stacked(x, w, A, B, 2.0)
    >>> bool(gap.abs().max() < 1e-4)
    True
    """
    e, r, d_in = A.shape
    mask = weights.repeat_interleave(r, -1)  # (..., e·r)
    inner = x @ A.reshape(e * r, d_in).T  # (..., e·r)
    return scale * (inner * mask) @ B.permute(1, 0, 2).reshape(-1, e * r).T


class MoLoRALinear(nn.Module):
    """A frozen linear layer with a router and a mixture of LoRA experts beside it.

    Args:
        base: the layer to adapt; its weights stop learning.
        num_experts: experts, e.
        top_k: experts that are open for a token.
        r: rank of one expert.
        alpha: strength of an expert, used as alpha / r.

    >>> layer = MoLoRALinear(nn.Linear(8, 4), num_experts=4, top_k=2, r=2, alpha=4)
    >>> x = torch.randn(3, 8)
    >>> torch.equal(layer(x), layer.base(x)), int((layer.gate(x) > 0).sum())
    (True, 6)
    """

    def __init__(self, base: nn.Linear, num_experts: int, top_k: int, r: int, alpha: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.top_k, self.scale = top_k, alpha / r
        self.router = nn.Linear(base.in_features, num_experts)
        self.A = nn.Parameter(torch.empty(num_experts, r, base.in_features))
        self.B = nn.Parameter(torch.zeros(num_experts, base.out_features, r))
        for expert in self.A:
            nn.init.kaiming_uniform_(expert, a=math.sqrt(5))

    def gate(self, x: Tensor) -> Tensor:
        """(..., d_in) -> weights (..., e)"""
        return top_k_weights(self.router(x), self.top_k)

    def forward(self, x: Tensor) -> Tensor:
        """(..., d_in) -> (..., d_out)"""
        return self.base(x) + mixture_stacked(x, self.gate(x), self.A, self.B, self.scale)


def attach_molora(
    model: nn.Module,
    layer: Callable[..., nn.Module] = MoLoRALinear,
    num_experts: int = 8,
    top_k: int = 2,
    r: int = 4,
    alpha: float = 8,
) -> nn.Module:
    """Inject as MING-MOE does: experts into the feed-forward part, plain LoRA into attention.

    Args:
        model: the base; all its weights stop learning. A second call changes nothing.
        layer: class of the adapted feed-forward layers, such as the learner's own.

    >>> attach_molora(nn.ModuleDict({"up_proj": nn.Linear(4, 8)}))["up_proj"].A.shape
    torch.Size([8, 4, 4])
    """
    if any(isinstance(module, LoRALinear) or hasattr(module, "gate") for module in model.modules()):
        return model
    model.requires_grad_(False)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and name in FEED_FORWARD:
                setattr(parent, name, layer(child, num_experts, top_k, r, alpha))
            elif isinstance(child, nn.Linear) and name in ATTENTION:
                setattr(parent, name, LoRALinear(child, r, alpha))
    return model


def count_adapter(layer: MoLoRALinear) -> tuple[int, int]:
    """Adapter numbers that work for one token, and all adapter numbers of the layer.

    The router works for every token; of the experts, only top_k do.

    >>> count_adapter(MoLoRALinear(nn.Linear(10, 20), num_experts=8, top_k=2, r=3, alpha=6))
    (268, 808)
    """
    router = sum(p.numel() for p in layer.router.parameters())
    experts = layer.A.numel() + layer.B.numel()
    return router + experts * layer.top_k // len(layer.A), router + experts

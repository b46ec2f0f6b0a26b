"""Typical wrong answers to the exercises of notebook 03, by the mistake each makes.

The tests run every check against every one of them: the check has to name this very mistake.
They also serve as a teacher's list of what to expect.
"""

import math
from typing import Any

import torch
from torch import nn

from medmoe_lite.lab.molora import MoLoRALinear, mixture_loop, mixture_stacked, top_k_weights
from medmoe_lite.lab.nb03.failure import CAUSES, SICK


def _wrong_axis(logits, k):
    best, chosen = logits.softmax(1).topk(k, -1)
    return torch.zeros_like(logits).scatter(-1, chosen, best / best.sum(-1, keepdim=True))


def _no_renormalise(logits, k):
    best, chosen = logits.softmax(-1).topk(k, -1)
    return torch.zeros_like(logits).scatter(-1, chosen, best)


def _by_size(logits, k):
    chosen = logits.abs().topk(k, -1).indices
    best = logits.softmax(-1).gather(-1, chosen)
    return torch.zeros_like(logits).scatter(-1, chosen, best / best.sum(-1, keepdim=True))


def _first_places(logits, k):
    best = logits.softmax(-1).topk(k, -1).values
    weights = torch.zeros_like(logits)
    weights[..., :k] = best / best.sum(-1, keepdim=True)
    return weights


def _smallest(logits, k):
    best, chosen = logits.softmax(-1).topk(k, -1, largest=False)
    return torch.zeros_like(logits).scatter(-1, chosen, best / best.sum(-1, keepdim=True))


def _zero_mask(logits, k):
    chosen = logits.topk(k, -1).indices
    return (logits * torch.zeros_like(logits).scatter(-1, chosen, 1.0)).softmax(-1)


def _writes(logits, k):
    logits[logits < logits.topk(k, -1).values[..., -1:]] = -torch.inf
    return logits.softmax(-1)


def _dense_weights(logits, k):
    return logits.softmax(-1)


def _not_scattered(logits, k):
    return logits.topk(k, -1).values.softmax(-1)


def _no_weights(x, weights, A, B, scale):
    return mixture_loop(x, torch.ones_like(weights), A, B, scale)


def _open_or_closed(x, weights, A, B, scale):
    return mixture_loop(x, (weights > 0).float(), A, B, scale)


def _overwrites(x, weights, A, B, scale):
    for i in range(len(A)):
        total = weights[..., i : i + 1] * (x @ A[i].T @ B[i].T)
    return scale * total


def _largest_only(x, weights, A, B, scale):
    return mixture_loop(x, weights * (weights == weights.amax(-1, keepdim=True)), A, B, scale)


def _tiled(x, weights, A, B, scale):
    e, r, d_in = A.shape
    inner = (x @ A.reshape(e * r, d_in).T) * weights.repeat(1, 1, r)
    return scale * inner @ B.permute(1, 0, 2).reshape(-1, e * r).T


def _b_not_permuted(x, weights, A, B, scale):
    e, r, d_in = A.shape
    inner = (x @ A.reshape(e * r, d_in).T) * weights.repeat_interleave(r, -1)
    return scale * inner @ B.reshape(-1, e * r).T


def _mask_after_b(x, weights, A, B, scale):
    full = mixture_stacked(x, torch.ones_like(weights), A, B, scale)
    return full * weights.sum(-1, keepdim=True)


class _Built(MoLoRALinear):
    """The right layer, changed by `change` after it was built."""

    def __init__(self, base, num_experts, top_k, r, alpha):
        super().__init__(base, num_experts, top_k, r, alpha)
        self.change()

    def change(self):
        raise NotImplementedError


class _OpenBase(_Built):
    def change(self):
        self.base.requires_grad_(True)


class _RandomB(_Built):
    def change(self):
        nn.init.normal_(self.B)


class _EqualExperts(_Built):
    def change(self):
        with torch.no_grad():
            self.A.copy_(self.A[0].clone().expand_as(self.A))


class _HiddenRouter(_Built):
    def change(self):
        router = self.router
        del self.router
        self.__dict__["router"] = router  # as a plain attribute it is no submodule


class _FlatShapes(_Built):
    def change(self):
        self.A = nn.Parameter(self.A.flatten(0, 1).detach())

    def forward(self, x):
        return self.base(x)


class _AlphaOnly(_Built):
    def change(self):
        self.scale *= self.A.shape[1]


class _AllRanks(_Built):
    def change(self):
        self.scale /= len(self.A)


class _NoScale(_Built):
    def change(self):
        self.scale = 1.0


class _AllOpen(_Built):
    def change(self):
        self.top_k = len(self.A)


class _NoBase(MoLoRALinear):
    def forward(self, x):
        return super().forward(x) - self.base(x)


class _ByOutput(MoLoRALinear):
    def forward(self, x):
        y = self.base(x)
        return y + mixture_stacked(x, self.gate(y), self.A, self.B, self.scale)


class _CutGate(MoLoRALinear):
    def gate(self, x):
        with torch.no_grad():
            return top_k_weights(self.router(x), self.top_k)


class _GateGivesLogits(MoLoRALinear):
    def gate(self, x):
        return self.router(x)

    def forward(self, x):
        weights = top_k_weights(self.router(x), self.top_k)
        return self.base(x) + mixture_stacked(x, weights, self.A, self.B, self.scale)


def _count(router: float, active: float, whole: float = 1.0, bias: bool = True) -> Any:
    """A count with the router weighted by `router` and a share `active` of the experts."""

    def count(layer):
        size = layer.router.weight.numel() + bias * layer.router.bias.numel()
        experts = layer.A.numel() + layer.B.numel()
        return math.floor(router * size + active * experts), math.floor(whole * size + experts)

    return count


def _scaled(scale: float) -> Any:
    return lambda x, w, A, B, s: mixture_loop(x, w, A, B, s * scale)


def _diagnosis(run: str) -> dict[str, str]:
    return {**SICK, run: CAUSES[3]}


MUTANTS: dict[str, dict[str, Any]] = {
    "3.1": {
        "wrong-axis": lambda: _wrong_axis,
        "no-renormalise": lambda: _no_renormalise,
        "by-size": lambda: _by_size,
        "not-in-place": lambda: _first_places,
        "smallest": lambda: _smallest,
        "masked-with-zero": lambda: _zero_mask,
        "no-top-k": lambda: _dense_weights,
        "not-scattered": lambda: _not_scattered,
        "gradient-cut": lambda: lambda logits, k: top_k_weights(logits, k).detach(),
        "indices-only": lambda: lambda logits, k: logits.topk(k, -1).indices,
        "returns-a-pair": lambda: lambda logits, k: tuple(logits.topk(k, -1)),
        "changes-its-input": lambda: _writes,
        "other-device": lambda: lambda logits, k: torch.zeros_like(logits, device="meta"),
        "stopped": lambda: lambda logits, k: logits.softmax(7),
    },
    "3.2": {
        "no-weights": lambda: _no_weights,
        "open-or-closed": lambda: _open_or_closed,
        "weights-squared": lambda: lambda x, w, A, B, s: mixture_loop(x, w * w, A, B, s),
        "last-only": lambda: _overwrites,
        "largest-only": lambda: _largest_only,
        "no-scale": lambda: lambda x, w, A, B, s: mixture_loop(x, w, A, B, 1.0),
        "scale-twice": lambda: lambda x, w, A, B, s: mixture_loop(x, w, A, B, s * s),
        "mean-of-experts": lambda: _scaled(1 / 4),
        "changes-its-input": lambda: lambda x, w, A, B, s: mixture_loop(x, w, A, B.mul_(s), 1.0),
        "stopped": lambda: lambda x, w, A, B, s: x @ A[0] @ B[0],
    },
    "3.3": {
        "tiled": lambda: _tiled,
        "b-not-permuted": lambda: _b_not_permuted,
        "mask-after-b": lambda: _mask_after_b,
        "no-weights": lambda: _no_weights,
        "no-scale": lambda: lambda x, w, A, B, s: mixture_stacked(x, w, A, B, 1.0),
        "open-or-closed": lambda: _open_or_closed,
        "still-a-loop": lambda: mixture_loop,
    },
    "3.4": {
        "base-not-frozen": lambda: _OpenBase,
        "b-not-zero": lambda: _RandomB,
        "equal-experts": lambda: _EqualExperts,
        "not-learning": lambda: _HiddenRouter,
        "shapes": lambda: _FlatShapes,
        "alpha-not-divided": lambda: _AlphaOnly,
        "divided-by-all-ranks": lambda: _AllRanks,
        "no-scale": lambda: _NoScale,
        "all-open": lambda: _AllOpen,
        "base-missing": lambda: _NoBase,
        "routes-by-output": lambda: _ByOutput,
        "router-without-gradient": lambda: _CutGate,
        "gate": lambda: _GateGivesLogits,
    },
    "3.5": {
        "no-router": lambda: _count(0, 1 / 4, 0),
        "router-shared-out": lambda: _count(1 / 4, 1 / 4),
        "all-active": lambda: _count(1, 1),
        "one-expert": lambda: _count(1, 1 / 8),
        "no-bias": lambda: _count(1, 1 / 4, bias=False),
        "swapped": lambda: lambda layer: _count(1, 1 / 4)(layer)[::-1],
        "no-pair": lambda: lambda layer: _count(1, 1 / 4)(layer)[0],
    },
    "3.6": {
        "wrong-run P": lambda: _diagnosis("run P"),
        "wrong-run Q": lambda: _diagnosis("run Q"),
        "wrong-run R": lambda: _diagnosis("run R"),
        "form": lambda: {"run P": "no idea"},
    },
}

"""Typical wrong answers to the exercises of notebook 06, by the mistake each makes.

The tests run every check against every one of them: the check has to name this very mistake.
They also serve as a teacher's list of what to expect.
"""

import random
from typing import Any

import torch
from torch import nn

from medmoe_lite.lab.lora import LoRALinear
from medmoe_lite.lab.molora import mixture_stacked, top_k_weights
from medmoe_lite.lab.nb06.failure import CAUSES, SICK
from medmoe_lite.lab.nb06.layer import (
    KnowledgeNoiseLinear,
    drop,
    join_shared,
    mean_ranks,
    rank_correlation,
)


def _alpha(change: Any) -> Any:
    """The right pair with another alpha: change(alpha, n, r)."""

    def join(A, B, alpha):
        one_A, one_B, _ = join_shared(A, B, alpha)
        return one_A, one_B, change(alpha, *A.shape[:2])

    return join


def _b_not_permuted(A, B, alpha):
    n, r, d_in = A.shape
    return A.reshape(n * r, d_in), B.reshape(-1, n * r), n * alpha


def _scales_b(A, B, alpha):
    return join_shared(A, B.mul_(len(A)), alpha)


class _Changed(KnowledgeNoiseLinear):
    """The right layer, changed by `change` after it was built."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.change()

    def change(self):
        raise NotImplementedError


class _OpenBase(_Changed):
    def change(self):
        self.base.requires_grad_(True)


class _RandomB(_Changed):
    def change(self):
        nn.init.normal_(self.shared_B)


class _ZeroA(_Changed):
    def change(self):
        nn.init.zeros_(self.shared_A)


class _LowRank(_Changed):
    def change(self):
        r = self.A.shape[1]
        self.shared_A = nn.Parameter(self.shared_A[:r].detach())
        self.shared_B = nn.Parameter(self.shared_B[:, :r].detach())


class _PlainTensor(_Changed):
    def change(self):
        shared = self.shared_A.detach()
        del self.shared_A
        self.shared_A = shared  # type: ignore[assignment]


class _AllOpen(_Changed):
    def change(self):
        self.top_k = len(self.A)


class _Summed(KnowledgeNoiseLinear):
    """The right layer, put together of its parts in another way."""

    def shared(self, x):
        return self.scale * (x @ self.shared_A.T @ self.shared_B.T)

    def routed(self, x):
        return mixture_stacked(x, self.gate(x), self.A, self.B, self.scale)


class _SharedByRouter(_Summed):
    def forward(self, x):
        ones = torch.ones_like(x[..., :1])
        weight = torch.cat([ones, self.router(x)], -1).softmax(-1)[..., :1]
        return self.base(x) + weight * self.shared(x) + (0 if self.closed else self.routed(x))


class _SharedDivided(_Summed):
    def shared(self, x):
        return super().shared(x) * self.A.shape[1] / len(self.shared_A)

    def forward(self, x):
        return self.base(x) + self.shared(x) + (0 if self.closed else self.routed(x))


class _SharedMissing(_Summed):
    def forward(self, x):
        return self.base(x) + (0 if self.closed else self.routed(x))


class _NoBase(_Summed):
    def forward(self, x):
        return self.shared(x) + self.routed(x)


class _ClosedIgnored(_Summed):
    def forward(self, x):
        return self.base(x) + self.shared(x) + self.routed(x)


class _ClosesAll(_Summed):
    def forward(self, x):
        if self.closed:
            return self.base(x)
        return self.base(x) + self.shared(x) + self.routed(x)


class _GateUnused(_Summed):
    def forward(self, x):
        if self.closed:
            return super().forward(x)
        weights = top_k_weights(self.router(x), self.top_k)
        mixed = mixture_stacked(x, weights, self.A, self.B, self.scale)
        return self.base(x) + self.shared(x) + mixed


class _CutGate(KnowledgeNoiseLinear):
    def gate(self, x):
        return super().gate(x).detach()


def _left(alpha: Any = None, A: Any = None, B: Any = None) -> Any:
    """A drop with another alpha or another pair, functions of the layer."""

    def wrong_drop(layer):
        left = drop(layer)
        left.alpha = alpha(layer) if alpha else left.alpha
        left.A = A(layer) if A else left.A
        left.B = B(layer) if B else left.B
        return left

    return wrong_drop


def _fresh(layer):
    rank = len(layer.shared_A)
    return LoRALinear(layer.base, rank, layer.scale * rank)


def _in_place(layer):
    with torch.no_grad():
        layer.B.zero_()
    return drop(layer)


def _closes_the_given(layer):
    layer.closed = True
    return layer


class _Hull(LoRALinear):
    """Right numbers, with the routed part still inside."""


def _keeps_numbers(layer):
    left = drop(layer)
    hull = _Hull(layer.base, len(left.A), left.alpha)
    hull.A, hull.B, hull.old = left.A, left.B, layer.router
    return hull


def _layer_by_layer(layers, p, rng):
    for layer in layers:
        layer.closed = rng.random() < p


def _never_opens(layers, p, rng):
    if rng.random() < p:
        for layer in layers:
            layer.closed = True


def _closes(chance: Any) -> Any:
    """Close all layers together where chance(p, rng) is true."""

    def close_noise(layers, p, rng):
        closed = chance(p, rng)
        for layer in layers:
            layer.closed = closed

    return close_noise


def _pearson(a: Any, b: Any) -> float:
    a, b = torch.tensor(a, dtype=torch.double), torch.tensor(b, dtype=torch.double)
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / (a.norm() * b.norm()))


def _order(values):
    return sorted(range(len(values)), key=values.__getitem__)


def _sorts_in_place(use, own):
    found = rank_correlation(use, own)
    use.sort()
    return found


def _not_divided(use, own):
    a, b = (torch.tensor(mean_ranks(v)) for v in (use, own))
    return float((a - a.mean()) @ (b - b.mean()))


def _diagnosis(run: str) -> dict[str, str]:
    return {**SICK, run: CAUSES[4]}


MUTANTS: dict[str, dict[str, Any]] = {
    "6.1": {
        "alpha-unchanged": lambda: _alpha(lambda alpha, n, r: alpha),
        "alpha-divided": lambda: _alpha(lambda alpha, n, r: alpha / n),
        "a-scale": lambda: _alpha(lambda alpha, n, r: alpha / r),
        "b-not-permuted": lambda: _b_not_permuted,
        "averaged": lambda: lambda A, B, alpha: (A.sum(0), B.sum(0), alpha),
        "shapes": lambda: lambda A, B, alpha: (A.flatten(0, 1), B.flatten(0, 1), len(A) * alpha),
        "no-triple": lambda: lambda A, B, alpha: join_shared(A, B, alpha)[:2],
        "changes-its-input": lambda: _scales_b,
        "stopped": lambda: lambda A, B, alpha: (A @ B, A, alpha),
    },
    "6.2": {
        "shared-by-router": lambda: _SharedByRouter,
        "shared-scale": lambda: _SharedDivided,
        "shared-missing": lambda: _SharedMissing,
        "closed-ignored": lambda: _ClosedIgnored,
        "closes-all": lambda: _ClosesAll,
        "gate-unused": lambda: _GateUnused,
        "gradient-cut": lambda: _CutGate,
        "all-open": lambda: _AllOpen,
        "base-missing": lambda: _NoBase,
        "base-not-frozen": lambda: _OpenBase,
        "b-not-zero": lambda: _RandomB,
        "a-zero": lambda: _ZeroA,
        "shapes": lambda: _LowRank,
        "not-learning": lambda: _PlainTensor,
    },
    "6.3": {
        "scale-over-all-ranks": lambda: _left(alpha=lambda y: y.scale * y.A.shape[1]),
        "no-scale": lambda: _left(alpha=lambda y: len(y.shared_A)),
        "pair-not-loaded": lambda: _fresh,
        "wrong-pair": lambda: _left(A=lambda y: nn.Parameter(y.A[1].detach()),
                                    B=lambda y: nn.Parameter(y.B[1].detach())),
        "still-active": lambda: lambda layer: layer,
        "changes-its-input": lambda: _in_place,
        "numbers-left": lambda: _keeps_numbers,
        "no-layer": lambda: lambda layer: (layer.shared_A, layer.shared_B),
    },
    "6.4": {
        "layer-by-layer": lambda: _layer_by_layer,
        "never-opens-again": lambda: _never_opens,
        "inverted": lambda: _closes(lambda p, rng: rng.random() > p),
        "probability": lambda: _closes(lambda p, rng: rng.random() < 0.5),
        "own-rng": lambda: _closes(lambda p, rng: random.random() < p),
        "stopped": lambda: lambda layers, p, rng: rng.random(p),
    },
    "6.5": {
        "values-not-ranks": lambda: _pearson,
        "order-not-ranks": lambda: lambda use, own: _pearson(_order(use), _order(own)),
        "one-ranked": lambda: lambda use, own: _pearson(mean_ranks(use), own),
        "sign": lambda: lambda use, own: -rank_correlation(use, own),
        "not-divided": lambda: _not_divided,
        "ties": lambda: lambda use, own: _pearson(_order(_order(use)), _order(_order(own))),
        "constant": lambda: lambda use, own: _pearson(mean_ranks(use), mean_ranks(own)),
        "changes-its-input": lambda: _sorts_in_place,
        "no-number": lambda: lambda use, own: [mean_ranks(use), mean_ranks(own)],
    },
    "6.6": {
        "wrong-run P": lambda: _diagnosis("run P"),
        "wrong-run Q": lambda: _diagnosis("run Q"),
        "wrong-run R": lambda: _diagnosis("run R"),
        "form": lambda: {"run P": "no idea"},
    },
}  # fmt: skip

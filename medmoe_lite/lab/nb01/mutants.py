"""Typical wrong answers to the exercises of notebook 01, by the mistake each makes.

The tests run every check against every one of them: the check has to name this very mistake.
They also serve as a teacher's list of what to expect.
"""

import copy
import math
from typing import Any

import torch
from torch import nn

from medmoe_lite.lab.lora import LoRALinear, attach_lora, lora_update
from medmoe_lite.lab.nb01.failure import CAUSES, SICK


def _scaled(scale: Any) -> Any:
    return lambda x, A, B, alpha: (x @ A.T @ B.T) * scale(x, A, B, alpha)


class _Swapped(LoRALinear):
    def __init__(self, base, r, alpha):
        super().__init__(base, r, alpha)
        a, b = self.A.detach().T.clone(), self.B.detach().T.clone()
        self.A, self.B = nn.Parameter(a), nn.Parameter(b)

    def forward(self, x):
        return self.base(x) + x @ self.A @ self.B


class _PlainTensors(LoRALinear):
    def __init__(self, base, r, alpha):
        super().__init__(base, r, alpha)
        a, b = self.A.detach(), self.B.detach()
        del self.A, self.B
        self.__dict__.update(A=a, B=b)


class _OpenBase(LoRALinear):
    def __init__(self, base, r, alpha):
        super().__init__(base, r, alpha)
        self.base.requires_grad_(True)


class _ZeroA(LoRALinear):
    def __init__(self, base, r, alpha):
        super().__init__(base, r, alpha)
        nn.init.zeros_(self.A)


class _RandomB(LoRALinear):
    def __init__(self, base, r, alpha):
        super().__init__(base, r, alpha)
        nn.init.normal_(self.B)


class _NoBase(LoRALinear):
    def forward(self, x):
        return lora_update(x, self.A, self.B, self.alpha)


class _BiasTwice(LoRALinear):
    def forward(self, x):
        return super().forward(x) + self.base.bias


class _NoScale(LoRALinear):
    def forward(self, x):
        return self.base(x) + x @ self.A.T @ self.B.T


class _AlphaOnly(LoRALinear):
    def forward(self, x):
        return self.base(x) + x @ self.A.T @ self.B.T * self.alpha


def _wrap(model, chosen, r=2, alpha=4.0):
    """Wrap the linear layers for which `chosen(name)` is true."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and name != "base" and chosen(name):
                setattr(parent, name, LoRALinear(child, r, alpha))
    return model


def _top_level(model, targets, r, alpha):
    model.requires_grad_(False)
    for name, child in list(model.named_children()):
        if name in targets and isinstance(child, nn.Linear):
            setattr(model, name, LoRALinear(child, r, alpha))
    return model


def _first_block(model, targets, r, alpha):
    model.requires_grad_(False)
    _wrap(model.layers[0], lambda name: name in targets)
    return model


def _nested(model, targets, r, alpha):
    """Wraps whatever has the name, wrapped or not, so that adapters pile up."""
    model.requires_grad_(False)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if name in targets:
                inner = child if isinstance(child, nn.Linear) else child.base
                outer = LoRALinear(inner, r, alpha)
                if isinstance(child, LoRALinear):
                    outer.older = child
                setattr(parent, name, outer)
    return model


def _no_return(model, targets, r, alpha):
    attach_lora(model, targets, r, alpha)


def _merged(layer, update=None, keep=1.0):
    made = copy.deepcopy(layer.base)
    with torch.no_grad():
        made.weight.mul_(keep).add_(update(layer) if update else 0.0)
    return made


def _merge_in_place(layer):
    with torch.no_grad():
        layer.base.weight += layer.alpha / layer.A.shape[0] * layer.B @ layer.A
    return layer.base


def _without_bias(layer):
    made = nn.Linear(layer.base.in_features, layer.base.out_features, bias=False)
    with torch.no_grad():
        made.weight.copy_(_merged(layer, lambda v: 2 * v.B @ v.A).weight)
    return made


def _count(learning, whole):
    def count(model):
        return tuple(sum(f(p) for p in model.parameters()) for f in (learning, whole))

    return count


def _size(p):
    return p.numel()


def _learning(p):
    return p.numel() * p.requires_grad


MUTANTS: dict[str, dict[str, Any]] = {
    "1.1": {
        "no-scale": lambda: _scaled(lambda x, A, B, alpha: 1.0),
        "alpha-not-divided": lambda: _scaled(lambda x, A, B, alpha: alpha),
        "inverted": lambda: _scaled(lambda x, A, B, alpha: A.shape[0] / alpha),
        "sqrt-r": lambda: _scaled(lambda x, A, B, alpha: alpha / math.sqrt(A.shape[0])),
        "divided-by-d_in": lambda: _scaled(lambda x, A, B, alpha: alpha / A.shape[1]),
        "shape": lambda: lambda x, A, B, alpha: (x @ A.T @ B.T).sum(0) * alpha / A.shape[0],
        "changes-its-input": lambda: lambda x, A, B, alpha: x @ A.T @ B.mul_(alpha / A.shape[0]).T,
        "other-device": lambda: (
            lambda x, A, B, alpha: torch.empty(*x.shape[:-1], B.shape[0], device="meta")
        ),
        "stopped": lambda: lambda x, A, B, alpha: x @ A @ B * alpha / A.shape[0],
    },
    "1.2": {
        "orientation": lambda: _Swapped,
        "not-a-parameter": lambda: _PlainTensors,
        "base-not-frozen": lambda: _OpenBase,
        "a-zero": lambda: _ZeroA,
        "b-not-zero": lambda: _RandomB,
        "base-missing": lambda: _NoBase,
        "bias-twice": lambda: _BiasTwice,
        "no-scale": lambda: _NoScale,
        "alpha-not-divided": lambda: _AlphaOnly,
    },
    "1.3": {
        "no-return": lambda: _no_return,
        "none-wrapped": lambda: _top_level,
        "too-few": lambda: _first_block,
        "too-many": lambda: lambda model, *_: _wrap(model.requires_grad_(False), lambda n: True),
        "rest-not-frozen": lambda: lambda model, t, r, a: _wrap(model, lambda n: n in t),
        "double-attach": lambda: _nested,
        "second-call-freezes": lambda: (
            lambda model, t, r, a: _wrap(model.requires_grad_(False), lambda n: n in t)
        ),
    },
    "1.5": {
        "nothing-added": lambda: _merged,
        "changed-the-base": lambda: _merge_in_place,
        "base-lost": lambda: lambda layer: _merged(layer, lambda v: 2 * v.B @ v.A, keep=0.0),
        "transposed": lambda: lambda layer: _merged(layer, lambda v: 2 * (v.B @ v.A).T),
        "no-scale": lambda: lambda layer: _merged(layer, lambda v: v.B @ v.A),
        "alpha-not-divided": lambda: lambda layer: _merged(layer, lambda v: v.alpha * v.B @ v.A),
        "bias-lost": lambda: _without_bias,
    },
    "1.4": {
        "swapped": lambda: _count(_size, _learning),
        "tensors": lambda: _count(lambda p: int(p.requires_grad), lambda p: 1),
        "all-learn": lambda: _count(_size, _size),
        "learning-only": lambda: _count(_learning, _learning),
        "frozen-only": lambda: _count(_learning, lambda p: p.numel() * (not p.requires_grad)),
        "no-bias": lambda: _count(_learning, lambda p: p.numel() * (p.dim() > 1)),
        "no-pair": lambda: lambda model: sum(p.numel() for p in model.parameters()),
    },
    "1.6": {
        "form": lambda: {"run P": "bad luck", "run Q": CAUSES[0], "run R": CAUSES[1]},
        "wrong-run P": lambda: SICK | {"run P": CAUSES[4]},
        "wrong-run Q": lambda: SICK | {"run Q": CAUSES[3]},
        "wrong-run R": lambda: SICK | {"run R": CAUSES[4]},
    },
}

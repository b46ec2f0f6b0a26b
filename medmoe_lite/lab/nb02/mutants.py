"""Typical wrong answers to the exercises of notebook 02, by the mistake each makes.

The tests run every check against every one of them: the check has to name this very mistake.
They also serve as a teacher's list of what to expect.
"""

from typing import Any

import torch
from torch import nn

from medmoe_lite import nf4
from medmoe_lite.lab.nb02.failure import CAUSES, SICK
from medmoe_lite.lab.nb02.qlora import LEVELS, QLoRALinear


def _code(up=9, down=8, drop=1, start=None, zero=True, divide=True):
    """A code book with other counts, another end, or a step left out."""

    def code_book(outer):
        outer = start or outer
        halves = [torch.special.ndtri(torch.linspace(outer, 0.5, n)) for n in (up, down)]
        up_half, down_half = (half[: len(half) - drop] for half in halves)
        parts = [-down_half, torch.zeros(int(zero)), up_half]
        levels = torch.cat(parts).sort().values
        return levels / levels.max() if divide else levels

    return code_book


def _table(weight, block):
    flat = weight.flatten()
    return nn.functional.pad(flat, (0, -len(flat) % block)).view(-1, block)


def _quantise(scale=None, place=None, cut=True, dtype=torch.uint8, rows=lambda w: w):
    """A quantiser with one part changed."""

    def quantise(weight, code, block=64):
        table = _table(rows(weight), block)
        absmax = table.abs().amax(1) if scale is None else scale(table)
        between = (code[:-1] + code[1:]) / 2
        scaled = table / (absmax[:, None] if len(absmax) == len(table) else absmax)
        places = torch.bucketize(scaled, between) if place is None else place(scaled, code)
        places = places.flatten()
        return (places[: weight.numel()] if cut else places).to(dtype), absmax

    return quantise


def _by_row(weight, code, block=64):
    absmax = weight.abs().amax(1)
    return nf4.quantise(weight / absmax[:, None], code, weight.shape[1])[0], absmax


def _rest_dropped(weight, code, block=64):
    whole = weight.numel() // block * block
    return nf4.quantise(weight.flatten()[:whole], code, block)


def _in_place(weight, code, block=64):
    found = nf4.quantise(weight, code, block)
    weight.div_(weight.abs().max())
    return found


def _unscaled(weight, code, block=64):
    between = (code[:-1] + code[1:]) / 2
    places = torch.bucketize(weight.flatten(), between).to(torch.uint8)
    return places, nf4.quantise(weight, code, block)[1]


def _levels_back(weight, code, block=64):
    places, absmax = nf4.quantise(weight, code, block)
    return code[places.long()], absmax


def _dequantise(combine, cast=True, shaped=True):
    """A dequantiser whose weights are `combine(levels, scales, places, absmax)`."""

    def dequantise(places, absmax, code, shape, block=64, dtype=torch.float32):
        scales = absmax.repeat_interleave(block)[: len(places)]
        weight = combine(code[places.long()], scales, places, absmax)
        weight = weight.view(shape) if shaped else weight
        return weight.to(dtype) if cast else weight

    return dequantise


def _mixed(places, absmax, code, shape, block=64, dtype=torch.float32):
    scales = absmax.to(dtype).repeat_interleave(block)[: len(places)]
    return (code.to(dtype)[places.long()] * scales).view(shape)


def _short_block(places, absmax, code, shape, block=64, dtype=torch.float32):
    return (code[places.long()] * absmax.repeat_interleave(block)).view(shape).to(dtype)


def _double(block=256, less=None, code=None, parts=3):
    """A double quantiser with one part changed."""

    def double_quantise(absmax, given):
        mean = absmax.mean()
        shifted = absmax - (mean if less is None else less(absmax))
        found = nf4.quantise(shifted, given if code is None else code, block)
        return (*found, mean)[:parts]

    return double_quantise


def _double_in_place(absmax, code):
    mean = absmax.mean()
    absmax -= mean
    return *nf4.quantise(absmax, code, 256), mean


class _Built(QLoRALinear):
    """The right layer, changed by `change(base)` after it was built."""

    def __init__(self, base, r, alpha):
        super().__init__(base, r, alpha)
        self.change(base)

    def change(self, base):
        raise NotImplementedError


class _KeepsWeight(_Built):
    def change(self, base):
        self.register_buffer("weight", base.weight.detach().clone())


class _TrainsWeight(_Built):
    def change(self, base):
        full = nf4.dequantise(self.places, self.absmax, LEVELS, self.shape)
        self.weight = nn.Parameter(full)


class _TrainsScales(_Built):
    def change(self, base):
        absmax = self.absmax
        del self.absmax
        self.absmax = nn.Parameter(absmax)

    def get_buffer(self, target):
        return getattr(self, target)


class _TrainsBias(_Built):
    def change(self, base):
        self.bias.requires_grad_(True)


class _PlainAttributes(_Built):
    def change(self, base):
        places, absmax = self.places, self.absmax
        del self.places, self.absmax
        self.places, self.absmax = places, absmax

    def get_buffer(self, target):
        return getattr(self, target)


class _RandomB(_Built):
    def change(self, base):
        nn.init.normal_(self.B)


class _FrozenA(_Built):
    def change(self, base):
        self.A.requires_grad_(False)


class _HalfAdapter(_Built):
    def change(self, base):
        self.A, self.B = (nn.Parameter(p.detach().bfloat16()) for p in (self.A, self.B))

    def forward(self, x):
        return nn.functional.linear(x, torch.zeros(self.shape), self.bias)


class _NoScale(_Built):
    def change(self, base):
        self.scale = 1.0


class _AlphaOnly(_Built):
    def change(self, base):
        self.scale *= self.A.shape[0]


class _BiasLost(_Built):
    def change(self, base):
        self.bias = None


class _Unrounded(QLoRALinear):
    """Stores codes, but computes with a weight that it hides from the check of memory."""

    def __init__(self, base, r, alpha):
        super().__init__(base, r, alpha)
        weight = base.weight.detach().clone()
        self.full = lambda: weight

    def forward(self, x):
        return nn.functional.linear(x, self.full(), self.bias)


class _Cut(QLoRALinear):
    def forward(self, x):
        with torch.no_grad():
            frozen = super().forward(x) - self.update(x)
        return frozen + self.update(x)

    def update(self, x):
        return (self.scale * (x.float() @ self.A.T @ self.B.T)).to(x.dtype)


class _Mixed(QLoRALinear):
    def forward(self, x):
        weight = nf4.dequantise(self.places, self.absmax, LEVELS, self.shape)
        update = self.scale * (x @ self.A.T @ self.B.T)
        return nn.functional.linear(x, weight, self.bias) + update


def _diagnosis(run: str) -> dict[str, str]:
    return {**SICK, run: CAUSES[3]}


MUTANTS: dict[str, dict[str, Any]] = {
    "2.1": {
        "not-normalised": lambda: _code(divide=False),
        "no-zero": lambda: _code(zero=False),
        "half-kept": lambda: _code(up=8, down=7, drop=0),
        "not-sixteen": lambda: _code(up=8),
        "infinite": lambda: _code(start=1.0),
        "mirrored": lambda: lambda outer: -nf4.normal_code().flip(0),
        "not-sorted": lambda: lambda outer: nf4.normal_code().roll(8),
        "not-quantiles": lambda: lambda outer: torch.arange(-7, 9) / 8,
        "no-tensor": lambda: lambda outer: nf4.normal_code().tolist(),
        "stopped": lambda: lambda outer: torch.special.ndtri(outer),
    },
    "2.2": {
        "wrong-axis": lambda: _quantise(lambda table: table.abs().amax(0)),
        "signed": lambda: _quantise(lambda table: table.amax(1)),
        "whole-tensor": lambda: _quantise(lambda table: table.abs().amax().expand(len(table))),
        "by-row": lambda: _by_row,
        "columns": lambda: _quantise(rows=lambda weight: weight.T),
        "mean-size": lambda: _quantise(lambda table: table.abs().mean(1)),
        "rest-dropped": lambda: _rest_dropped,
        "padding-kept": lambda: _quantise(cut=False),
        "rounds-down": lambda: _quantise(
            place=lambda x, code: (torch.searchsorted(code, x, right=True) - 1).clamp(0)
        ),
        "rounds-up": lambda: _quantise(place=lambda x, code: torch.searchsorted(code, x)),
        "even-grid": lambda: _quantise(place=lambda x, code: ((x + 1) * 7.5).round().long()),
        "counts-from-one": lambda: _quantise(
            place=lambda x, code: 1 + (x[..., None] - code).abs().argmin(-1)
        ),
        "not-scaled": lambda: _unscaled,
        "returns-levels": lambda: _levels_back,
        "not-bytes": lambda: _quantise(dtype=torch.int64),
        "changes-its-input": lambda: _in_place,
        "block-ignored": lambda: lambda weight, code, block=64: nf4.quantise(weight, code, 64),
        "code-ignored": lambda: (
            lambda weight, code, block=64: nf4.quantise(weight, nf4.normal_code(), block)
        ),
        "no-pair": lambda: lambda weight, code, block=64: nf4.quantise(weight, code, block)[0],
        "stopped": lambda: lambda weight, code, block=64: weight.view(-1, block),
    },
    "2.3": {
        "no-scale": lambda: _dequantise(lambda levels, scales, places, absmax: levels),
        "divided": lambda: _dequantise(lambda levels, scales, places, absmax: levels / scales),
        "tiled": lambda: _dequantise(
            lambda levels, scales, places, absmax: levels * absmax.repeat(64)[: len(levels)]
        ),
        "places-as-numbers": lambda: _dequantise(
            lambda levels, scales, places, absmax: places * scales
        ),
        "one-scale": lambda: _dequantise(
            lambda levels, scales, places, absmax: levels * absmax.max()
        ),
        "shape": lambda: _dequantise(lambda levels, scales, *_: levels * scales, shaped=False),
        "dtype-ignored": lambda: _dequantise(
            lambda levels, scales, *_: levels * scales, cast=False
        ),
        "dtype-mix": lambda: _mixed,
        "short-block": lambda: _short_block,
        "stopped": lambda: lambda places, absmax, code, shape, block=64, dtype=None: places[absmax],
    },
    "2.4": {
        "mean-kept": lambda: _double(less=lambda absmax: 0.0),
        "block-of-64": lambda: _double(block=64),
        "sixteen-levels": lambda: _double(code=nf4.normal_code()),
        "no-triple": lambda: _double(parts=2),
        "changes-its-input": lambda: _double_in_place,
        "not-quantised": lambda: lambda absmax, code: (absmax, absmax, absmax.mean()),
        "mean": lambda: lambda absmax, code: (*_double()(absmax, code)[:2], absmax.sum()),
    },
    "2.5": {
        "full-weight-kept": lambda: _KeepsWeight,
        "codes-learn": lambda: _TrainsWeight,
        "absmax-learns": lambda: _TrainsScales,
        "bias-learns": lambda: _TrainsBias,
        "not-buffers": lambda: _PlainAttributes,
        "not-learning": lambda: _FrozenA,
        "half-adapter": lambda: _HalfAdapter,
        "b-not-zero": lambda: _RandomB,
        "not-quantised": lambda: _Unrounded,
        "bias-lost": lambda: _BiasLost,
        "no-scale": lambda: _NoScale,
        "alpha-not-divided": lambda: _AlphaOnly,
        "gradient-cut": lambda: _Cut,
        "dtype-mix": lambda: _Mixed,
    },
    "2.6": {
        "wrong-run P": lambda: _diagnosis("run P"),
        "wrong-run Q": lambda: _diagnosis("run Q"),
        "wrong-run R": lambda: _diagnosis("run R"),
        "form": lambda: {"run P": "no idea"},
    },
}

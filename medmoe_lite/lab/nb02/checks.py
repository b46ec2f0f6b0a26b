"""Checks of notebook 02: code book, quantise, dequantise, double quantisation, layer, diagnosis.

Every test compares with numbers worked out here and with those that the usual mistakes would
give: that is how a check knows which mistake it is.
"""

from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor

from medmoe_lite import nf4
from medmoe_lite.lab.checks import Exercise, Verdict, not_attempted, right, wrong
from medmoe_lite.lab.compare import factor, largest_difference, same
from medmoe_lite.lab.diagnosis import diagnosis
from medmoe_lite.lab.nb02 import qlora
from medmoe_lite.lab.nb02.check_layer import check_layer
from medmoe_lite.lab.nb02.failure import CAUSES, SICK, evidence
from medmoe_lite.lab.nb02.hints import HINTS
from medmoe_lite.lab.nb02.mutants import MUTANTS

OUTER = 0.9677083


def _numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _quantiles(count: int, end: float = 0.5, drop: int = 1) -> list[float]:
    """Normal quantiles of `count` shares from OUTER towards `end`; `drop` more are left out."""
    step = (OUTER - end) / (count + drop - 1)
    return [NormalDist().inv_cdf(OUTER - i * step) for i in range(count)]


def _levels(up: int, down: int) -> Tensor:
    code = [-q for q in _quantiles(down)] + [0.0] + _quantiles(up)
    return torch.tensor(sorted(code))


def check_code(code_book: Any) -> Verdict:
    """2.1: `code_book(outer)`."""
    got = code_book(OUTER)
    if got is None or got is Ellipsis:
        return not_attempted()
    if not isinstance(got, Tensor) or got.dim() != 1:
        kind = f"shape {tuple(got.shape)}" if isinstance(got, Tensor) else type(got).__name__
        return wrong("no-tensor", f"it returns {kind}; return one tensor of shape (16,).")
    got = got.detach().float()
    if not bool(got.isfinite().all()):
        text = "a level is infinite: the quantile of the share 1. Begin with `outer`."
        return wrong("infinite", text)
    zeros = int((got.abs() < 1e-6).sum())
    if zeros == 0:
        text = f"no level is zero, the smallest size is {got.abs().min():.3f}: add an exact zero."
        return wrong("no-zero", text)
    if zeros > 1:
        text = f"{zeros} levels are zero: the share 0.5 gives one as well. Leave it out of both."
        return wrong("half-kept", text)
    if len(got) != 16:
        positive, negative = int((got > 0).sum()), int((got < 0).sum())
        text = f"{len(got)} levels: {positive} positive, {negative} negative and zero. Four bits "
        return wrong("not-sixteen", text + "number 16: 8 positive, 7 negative, zero.")
    want = _levels(8, 7)
    if same(got, want, 1e-4):
        text = f"the largest level is {got.max():.3f}: divide by it, so that absmax has a level."
        return wrong("not-normalised", text)
    want = want / want.max()
    if same(got, want, 1e-4):
        return right("16 levels from -1 to 1, dense where weights are frequent.")
    if same(got.sort().values, want, 1e-4):
        return wrong("not-sorted", "the right levels, but not in ascending order.")
    if same(got.sort().values, -want.flip(0), 1e-4):
        return wrong("mirrored", "8 levels are negative and 7 positive; it is the other way round.")
    steps = got.sort().values.diff()
    if float(steps.max() - steps.min()) < 0.03:
        text = "the levels are (nearly) equally far apart: these are shares. Take their quantiles"
        return wrong("not-quantiles", text + " with torch.special.ndtri.")
    return wrong("values", f"a level is off by {largest_difference(got.sort().values, want):.2g}.")


SHAPE, BLOCK = (5, 30), 64  # 150 weights: two blocks of 64 and one of 22


def _weight() -> Tensor:
    weight = _numbers(*SHAPE)
    weight[0, 3] = -4.0  # the largest of its block is negative
    return weight


def _blocks(flat: Tensor, block: int = BLOCK) -> Tensor:
    return torch.nn.functional.pad(flat, (0, -len(flat) % block)).view(-1, block)


def _nearest(scaled: Tensor, code: Tensor) -> Tensor:
    return (scaled[..., None] - code).abs().argmin(-1)


def _stored(weight: Tensor, code: Tensor, block: int = BLOCK) -> tuple[Tensor, Tensor]:
    table = _blocks(weight.flatten(), block)
    absmax = table.abs().amax(1)
    return _nearest(table / absmax[:, None], code).flatten()[: weight.numel()], absmax


def check_quantise(quantise: Any) -> Verdict:
    """2.2: `quantise(weight, code, block)` returns (places, absmax)."""
    code, weight = nf4.normal_code(), _weight()
    given = weight.clone()
    got = quantise(given, code, BLOCK)
    if got is None or got is Ellipsis:
        return not_attempted()
    if not isinstance(got, tuple) or len(got) != 2 or not all(isinstance(t, Tensor) for t in got):
        return wrong("no-pair", "return two tensors: (places, absmax).")
    if not same(given, weight):
        return wrong("changes-its-input", "the weight itself was changed; work on a copy.")
    places, absmax = got[0].detach(), got[1].detach().float()
    if verdict := _check_absmax(absmax.flatten(), weight):
        return verdict
    if verdict := _check_places(places, weight, code):
        return verdict
    small = nf4.uniform_code(2)
    again, scales = quantise(_weight(), small, 32)
    if len(scales.flatten()) != 5:
        return wrong("block-ignored", f"with block=32 there are {len(scales)} scales, not 5.")
    if int(again.max()) > 2 or not bool((again.long() == _stored(weight, small, 32)[0]).all()):
        return wrong("code-ignored", "with another code book of 3 levels the places are wrong.")
    return right("150 weights in 3 blocks, the last one short: 150 codes of a byte, 3 scales.")


def _check_absmax(absmax: Tensor, weight: Tensor) -> Verdict | None:
    table = _blocks(weight.flatten())
    want = table.abs().amax(1)
    if same(absmax, want):
        return None
    if len(absmax) == BLOCK or same(absmax, table.abs().amax(0)):
        text = f"{len(absmax)} scales for 3 blocks: the maximum runs over the blocks (axis 0). It "
        return wrong("wrong-axis", text + "belongs to the weights of one block (axis 1).")
    if same(absmax, table.amax(1)):
        text = f"the first scale is {absmax[0]:.2f}, but the block holds -4: take the absolute "
        return wrong("signed", text + "values before the maximum.")
    if len(absmax) == 1 or same(absmax, weight.abs().amax().expand(3)):
        text = "all blocks have one scale, the largest of the whole tensor; each needs its own."
        return wrong("whole-tensor", text)
    if len(absmax) == SHAPE[0]:
        text = f"{len(absmax)} scales: one a row. A block is {BLOCK} weights, whatever the rows."
        return wrong("by-row", text)
    if len(absmax) == 2:
        return wrong("rest-dropped", "2 scales for 150 weights: the last 22 are lost. Pad them.")
    columns = _blocks(weight.T.flatten())
    if same(absmax, columns.abs().amax(1)):
        return wrong("columns", "the blocks run down the columns; they run along the rows.")
    if same(absmax, table.abs().mean(1)):
        return wrong("mean-size", "the scale is the mean size; it is the largest.")
    text = f"the scales are {[round(v, 2) for v in absmax.tolist()[:3]]}; they should be "
    return wrong("absmax", text + f"{[round(v, 2) for v in want.tolist()]}.")


def _check_places(places: Tensor, weight: Tensor, code: Tensor) -> Verdict | None:
    want, absmax = _stored(weight, code)
    scaled = _blocks(weight.flatten()) / absmax[:, None]
    if len(places.flatten()) == scaled.numel():
        text = f"{scaled.numel()} places for 150 weights: cut the padding off again."
        return wrong("padding-kept", text)
    if len(places.flatten()) == 128:
        return wrong("rest-dropped", "128 places for 150 weights: the short block is lost.")
    if places.shape != want.shape:
        text = f"the places have shape {tuple(places.shape)}; one row of 150 is wanted."
        return wrong("shape", text)
    if places.is_floating_point():
        text = f"the first place is {float(places[0]):.3f}: a level. Return its number, 0 to 15."
        return wrong("returns-levels", text)
    cut = slice(0, 150)
    flat = scaled.flatten()[cut]
    down = (torch.searchsorted(code, flat, right=True) - 1).clamp(0)
    usual = {
        "rounds-down": (down, "every weight goes to the level below it, half of them to the wrong "
                        "one: compare with the midpoints between levels, or take argmin."),
        "rounds-up": (torch.searchsorted(code, flat), "every weight goes to the level above it: "
                      "compare with the midpoints between levels, or take argmin."),
        "not-scaled": (_nearest(weight.flatten(), code), "the weights were not divided by their "
                       "absmax before they were compared with the levels."),
        "even-grid": (((flat + 1) * 7.5).round().long(), "these are 16 equal steps; look the "
                      "nearest level up in `code`."),
        "farthest": ((flat[:, None] - code).abs().argmax(-1), "the farthest level was taken."),
    }  # fmt: skip
    for mistake, (numbers, words) in usual.items():
        if bool((places.long() == numbers).all()):
            return wrong(mistake, words)
    if bool((places.long() == want + 1).all()):
        return wrong("counts-from-one", "all places are one too high; they count from 0.")
    other = int((places.long() != want).sum())
    if other:
        return wrong("places", f"{other} of 150 places are not those of the nearest level.")
    if places.dtype != torch.uint8:
        size = places.element_size()
        text = f"right, but each place takes {size} bytes ({places.dtype}). Return torch.uint8."
        return wrong("not-bytes", text)
    return None


def check_dequantise(dequantise: Any) -> Verdict:
    """2.3: `dequantise(places, absmax, code, shape, block, dtype)`."""
    code, weight = nf4.normal_code(), _weight()
    places, absmax = nf4.quantise(weight, code, BLOCK)
    scales = absmax.repeat_interleave(BLOCK)[:150]
    want = (code[places.long()] * scales).view(SHAPE)
    try:
        got = dequantise(places.clone(), absmax.clone(), code, SHAPE, BLOCK, torch.float32)
    except RuntimeError as error:
        if "size" in str(error):
            text = "sizes do not fit: 3 blocks of 64 are 192 scales, and there are 150 weights. "
            return wrong("short-block", text + "Cut the repeated scales to the number of places.")
        raise
    if got is None or got is Ellipsis:
        return not_attempted()
    if not isinstance(got, Tensor):
        return wrong("no-tensor", f"it returns {type(got).__name__}; return a tensor.")
    if got.numel() != 150 or tuple(got.shape) != SHAPE:
        text = f"the shape is {tuple(got.shape)}; give the weights the shape {SHAPE}."
        return wrong("shape", text)
    tiled = absmax.repeat(BLOCK)[:150]
    usual = {
        "no-scale": (code[places.long()], "levels between -1 and 1 come back: multiply each by the "
                     "absmax of its block."),
        "divided": (code[places.long()] / scales, "the levels were divided by absmax."),
        "tiled": (code[places.long()] * tiled, "neighbours get different scales: a b c a b c. A "
                  "block is 64 neighbours with one scale: use repeat_interleave."),
        "places-as-numbers": (places * scales, "the places were taken as numbers: look them up in "
                              "`code` first."),
        "one-scale": (code[places.long()] * absmax.max(), "one scale was used for all blocks."),
    }  # fmt: skip
    for mistake, (numbers, words) in usual.items():
        if same(got, numbers.view(SHAPE)):
            return wrong(mistake, words)
    if not same(got.float(), want, 1e-2):
        return wrong("values", f"a weight is off by {largest_difference(got, want):.2g}.")
    if got.dtype != torch.float32:
        return wrong("dtype-ignored", f"float32 was asked for, {got.dtype} came back.")
    half = dequantise(places.clone(), absmax.clone(), code, SHAPE, BLOCK, torch.bfloat16)
    if half.dtype != torch.bfloat16:
        return wrong("dtype-ignored", f"bfloat16 was asked for, {half.dtype} came back.")
    if not torch.equal(half, want.bfloat16()):
        off = int((half != want.bfloat16()).sum())
        text = f"{off} of 150 weights differ: level and scale were rounded to bfloat16 before they "
        return wrong("dtype-mix", text + "were multiplied. Multiply in float32, round once.")
    if not same(dequantise(*nf4.quantise(weight, code, 32), code, SHAPE, 32, torch.float32),
                nf4.dequantise(*nf4.quantise(weight, code, 32), code, SHAPE, 32)):  # fmt: skip
        return wrong("block-ignored", "with block=32 the scales reach the wrong weights.")
    return right("every weight is its level times the scale of its block, rounded once.")


def check_double(double_quantise: Any) -> Verdict:
    """2.4: `double_quantise(absmax, code)` returns (places, scales, mean)."""
    absmax, code = 1 + _numbers(600).abs(), nf4.dynamic_code()
    given = absmax.clone()
    got = double_quantise(given, code)
    if got is None or got is Ellipsis:
        return not_attempted()
    if not isinstance(got, tuple) or len(got) != 3:
        text = "return three things: (places, scales, mean). Without the mean nobody can go back."
        return wrong("no-triple", text)
    if not same(given, absmax):
        return wrong("changes-its-input", "absmax itself was changed; subtract into a new tensor.")
    places, scales, mean = (torch.as_tensor(part).detach() for part in got)
    if places.is_floating_point():
        return wrong("not-quantised", "the first thing should be places in `code`, one byte each.")
    if len(scales.flatten()) == 10:
        text = "10 scales for 600 numbers: blocks of 64. This level has blocks of 256."
        return wrong("block-of-64", text)
    if int(places.max()) < 16:
        return wrong("sixteen-levels", "only 16 levels are in use; pass the `code` of 256 levels.")
    if same(scales.flatten().float(), _blocks(absmax, 256).amax(1)):
        text = f"the scales are {scales.max():.2f}: the mean was not subtracted. All absmax are "
        return wrong("mean-kept", text + "positive, so half of the levels are never used.")
    if mean.numel() != 1 or abs(float(mean) - float(absmax.mean())) > 1e-5:
        return wrong("mean", f"the mean is {absmax.mean():.4f}; the third thing is another number.")
    want = _stored(absmax - absmax.mean(), code, 256)
    if not same(scales.flatten().float(), want[1]) or not bool((places.long() == want[0]).all()):
        c = factor(scales.flatten().float(), want[1])
        words = f"the scales are {c:.2g} times the right ones." if c else "the numbers differ."
        return wrong("values", words)
    return right("600 scales: one byte each, 3 scales of their own, and one mean.")


check_diagnosis = diagnosis(
    SICK, CAUSES, evidence, "all causes found. One of them the exam alone would never have shown."
)


def _bank(key: str, title: str, test: Any, reference: Any) -> Exercise:
    return Exercise(key, title, test, HINTS[key], lambda: reference, MUTANTS[key])


def code_book(outer: float = OUTER) -> Tensor:
    """The answer key of 2.1: nf4."""
    return nf4.normal_code()


def double_quantise(absmax: Tensor, code: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The answer key of 2.4."""
    return *nf4.quantise(absmax - absmax.mean(), code, 256), absmax.mean()


BANK = (
    _bank("2.1", "the code book", check_code, code_book),
    _bank("2.2", "quantise", check_quantise, nf4.quantise),
    _bank("2.3", "dequantise", check_dequantise, nf4.dequantise),
    _bank("2.4", "double quantisation", check_double, double_quantise),
    _bank("2.5", "the QLoRA layer", check_layer, qlora.QLoRALinear),
    _bank("2.6", "diagnose three sick runs", check_diagnosis, SICK),
)

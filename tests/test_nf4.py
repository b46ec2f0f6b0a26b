"""Four bits by hand against bitsandbytes, and against the definition."""

from statistics import NormalDist

import pytest
import torch
from bitsandbytes.functional import (
    create_dynamic_map,
    dequantize_4bit,
    get_4bit_type,
    quantize_4bit,
)

from medmoe_lite import load_base, nf4

SHAPES = [(128, 64), (96, 384), (7, 30), (65,), (2, 3, 50)]


def weights(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_code_books_are_those_of_bitsandbytes():
    assert torch.equal(nf4.normal_code(), get_4bit_type("nf4", device="cpu"))
    assert torch.equal(nf4.dynamic_code(), create_dynamic_map())


@pytest.mark.parametrize("bits", range(2, 9))
def test_levels_are_quantiles_with_one_zero(bits):
    code, count = nf4.normal_code(bits), 2**bits
    outer = 1 - (1 / count + 1 / (count - 1)) / 4
    assert len(code) == count
    assert bool((code.diff() > 0).all())
    assert (code[0], code[-1], int((code == 0).sum())) == (-1, 1, 1)
    second = outer - (outer - 0.5) / (count // 2)
    want = NormalDist().inv_cdf(second) / NormalDist().inv_cdf(outer)
    assert float(code[-2]) == pytest.approx(want, abs=1e-5)
    assert len(nf4.uniform_code(bits)) == count - 1


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("block", [64, 256])
def test_codes_scales_and_values_equal_bitsandbytes(shape, block):
    weight, code = weights(*shape), nf4.normal_code()
    packed, state = quantize_4bit(weight, blocksize=block, quant_type="nf4")
    places, absmax = nf4.quantise(weight, code, block)
    assert torch.equal(nf4.unpack(packed, weight.numel()), places)
    assert torch.equal(nf4.unpack(nf4.pack(places), len(places)), places)
    if len(places) % 2 == 0:  # the spare half of a last byte means nothing
        assert torch.equal(nf4.pack(places), packed.flatten())
    assert torch.equal(absmax, state.absmax)
    ours = nf4.dequantise(places, absmax, code, shape, block)
    torch.testing.assert_close(ours, dequantize_4bit(packed, state).view(shape), rtol=0, atol=0)


def test_a_loaded_model_holds_these_codes():
    base, four = load_base("nano")[0], load_base("nano", four_bit=True)[0]
    unequal, scales = 0, 0
    for name, layer in base.named_modules():
        if isinstance(layer, torch.nn.Linear) and name != "lm_head":
            packed = four.get_submodule(name).weight
            places, absmax = nf4.quantise(layer.weight, nf4.normal_code())
            assert torch.equal(nf4.unpack(packed.data, len(places)), places)
            small, own, mean = nf4.double_quantise(absmax)
            state = packed.quant_state
            assert mean == state.offset
            assert torch.equal(own, state.state2.absmax)
            apart = (small.int() - state.absmax.int()).abs()
            assert int(apart.max()) <= 2
            unequal, scales = unequal + int((apart > 0).sum()), scales + len(small)
    assert unequal < 0.005 * scales


def test_values_in_other_dtypes_are_rounded_once():
    weight, code = weights(64, 64), nf4.normal_code()
    places, absmax = nf4.quantise(weight, code)
    exact = code.double()[places.long()] * absmax.double().repeat_interleave(64)
    half = nf4.dequantise(places, absmax, code, weight.shape, dtype=torch.bfloat16)
    assert torch.equal(half, exact.float().view(64, 64).bfloat16())


def test_the_nearest_level_is_taken_and_the_error_is_bounded():
    weight, code = weights(10, 100), nf4.uniform_code(5)
    places, absmax = nf4.quantise(weight, code, 50)
    scaled = weight.double().view(-1, 50) / absmax.double()[:, None]
    nearest = (scaled.flatten()[:, None] - code.double()).abs().argmin(-1)
    assert torch.equal(places.long(), nearest)
    error = nf4.dequantise(places, absmax, code, weight.shape, 50) - weight
    assert bool((error.view(-1, 50).abs() <= absmax[:, None] / 30 + 1e-6).all())


def test_zero_blocks_and_inputs_stay():
    weight = torch.zeros(3, 50)
    weight[2, 49] = -1.0
    kept = weight.clone()
    places, absmax = nf4.quantise(weight, nf4.normal_code())
    assert torch.equal(weight, kept)
    assert torch.equal(nf4.dequantise(places, absmax, nf4.normal_code(), (3, 50)), weight)


def test_double_quantisation_comes_back_close():
    absmax = weights(1000).abs() + 0.5
    back = nf4.restore_absmax(*nf4.double_quantise(absmax))
    assert float((back - absmax).abs().max()) < 0.02 * float(absmax.max())
    assert nf4.bits_per_weight(4, 64) == pytest.approx(4.127, abs=1e-3)

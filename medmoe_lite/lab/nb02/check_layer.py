"""The check of exercise 2.5: what a QLoRA layer stores, computes and lets learn."""

from typing import Any

import torch
from torch import Tensor, nn

from medmoe_lite import nf4
from medmoe_lite.lab.checks import Verdict, not_attempted, right, wrong
from medmoe_lite.lab.compare import factor, largest_difference, named_factor, same

D_IN, D_OUT, R, ALPHA = 48, 40, 3, 7.5  # 1920 weights, 30 blocks


def _numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _tensors(layer: Any) -> dict[str, Tensor]:
    """Every tensor that the layer keeps, wherever it keeps it, without A and B."""
    found = dict(layer.named_parameters()) | dict(layer.named_buffers())
    found |= {name: value for name, value in vars(layer).items() if isinstance(value, Tensor)}
    for name, value in vars(layer).items():  # a layer kept in a list, out of PyTorch's sight
        if isinstance(value, (list, tuple)) and value and isinstance(value[0], nn.Module):
            found |= {f"{name}.{n}": p for n, p in value[0].named_parameters()}
    return {name: t for name, t in found.items() if name not in ("A", "B")}


def check_layer(layer_class: Any) -> Verdict:
    """2.5: the class `QLoRALinear(base, r, alpha)`."""
    torch.manual_seed(0)
    base, x = nn.Linear(D_IN, D_OUT), _numbers(2, 5, D_IN)
    weight, bias = base.weight.detach().clone(), base.bias.detach().clone()
    layer = layer_class(base, R, ALPHA)
    got = layer(x)
    if got is None or got is Ellipsis:
        return not_attempted()
    if verdict := _check_kept(layer):
        return verdict
    code = nf4.normal_code()
    stored = nf4.dequantise(*nf4.quantise(weight, code), code, weight.shape)
    want = nn.functional.linear(x, stored, bias)
    if bool(layer.B.any()):
        gap = largest_difference(got, want)
        return wrong("b-not-zero", f"B is not zero: the output moves by {gap:.2g} at the start.")
    if not bool(layer.A.any()):
        return wrong("a-zero", "A is zero, and so is B: no gradient reaches either.")
    usual = {
        "not-quantised": (nn.functional.linear(x, weight, bias), "the output is that of the full "
                          "weight: nothing was rounded. Use what quantise gave you."),
        "bias-lost": (want - bias, "the bias of the base is missing."),
        "bias-twice": (want + bias, "the bias is added twice."),
        "base-missing": (torch.zeros_like(want), "the output is 0: add x times the stored weight."),
    }  # fmt: skip
    for mistake, (numbers, words) in usual.items():
        if same(got.detach(), numbers):
            return wrong(mistake, words)
    if not same(got.detach(), want, 1e-4):
        gap = largest_difference(got, want)
        return wrong("start", f"with B zero it should be x W~ᵀ + bias; it is off by {gap:.2g}.")
    return _check_trained(layer, x, stored, want)


def _check_kept(layer: Any) -> Verdict | None:
    """What the layer keeps in memory, and what of it would learn."""
    missing = [name for name in ("places", "absmax", "A", "B") if not hasattr(layer, name)]
    if missing:
        return wrong("names", f"the layer has no {', '.join(missing)}; use these very names.")
    if tuple(layer.A.shape) != (R, D_IN) or tuple(layer.B.shape) != (D_OUT, R):
        shapes = f"A {tuple(layer.A.shape)}, B {tuple(layer.B.shape)}"
        return wrong("shapes", f"{shapes}; they should be (r, d_in) and (d_out, r).")
    kept = _tensors(layer)
    for name, tensor in kept.items():
        if tensor.numel() == D_IN * D_OUT and tensor.is_floating_point():
            if tensor.requires_grad:
                text = f"{name} learns: {tensor.numel()} numbers in full precision. Codes cannot "
                return wrong("codes-learn", text + "learn; only A and B do.")
            text = f"{name} keeps all weights in {tensor.element_size()} bytes each: nothing is "
            return wrong("full-weight-kept", text + "saved. Keep places and absmax alone.")
    learning = {name: t for name, t in kept.items() if t.requires_grad}
    for name, tensor in learning.items():
        mistake = "absmax-learns" if tensor.numel() == 30 else "bias-learns"
        text = f"{name} learns ({tensor.numel()} numbers). In QLoRA only A and B do: freeze the "
        return wrong(mistake, text + "rest: detach the weight, and keep the scales as a buffer.")
    parameters = {id(p) for p in layer.parameters() if p.requires_grad}
    for name in "AB":
        if id(getattr(layer, name)) not in parameters:
            return wrong("not-learning", f"{name} is no nn.Parameter that learns.")
    if layer.A.dtype != torch.float32 or layer.B.dtype != torch.float32:
        return wrong("half-adapter", f"A has {layer.A.dtype}; A and B learn in float32.")
    if not {"places", "absmax"} <= set(layer.state_dict()):
        text = "places and absmax are plain attributes: they are not saved, and stay behind when "
        return wrong("not-buffers", text + "the model moves to a GPU. Use register_buffer.")
    return None


def _check_trained(layer: Any, x: Tensor, stored: Tensor, base: Tensor) -> Verdict:
    """The layer with B as if it had learned: scale, gradients, dtypes."""
    with torch.no_grad():
        layer.B.copy_(_numbers(D_OUT, R, seed=2))
    want = (ALPHA / R) * torch.einsum("btd,rd,or->bto", x, layer.A, layer.B).detach()
    update = layer(x).detach() - base
    scales = {"no-scale": R / ALPHA, "alpha-not-divided": float(R)}
    if (name := named_factor(update, want, scales)) is not None:
        text = f"the update is {factor(update, want):.3g} times the right one: scale is alpha / r."
        return wrong(name, text)
    if not same(update, want, 1e-3):
        return wrong("values", f"the update is off by {largest_difference(update, want):.2g}.")
    asked = x.clone().requires_grad_()
    layer(asked).sum().backward()
    through = (torch.ones(D_OUT) @ stored).expand_as(x)
    beside = (ALPHA / R) * (torch.ones(D_OUT) @ layer.B @ layer.A).detach().expand_as(x)
    if asked.grad is None or same(asked.grad, beside, 1e-3):
        text = "no gradient passes through the frozen weight on to x: the layers below learn from "
        return wrong("gradient-cut", text + "half the signal. Freeze by buffers, not by no_grad.")
    if not same(asked.grad, through + beside, 1e-3):
        return wrong("gradient", "the gradient that reaches x is not that of the forward pass.")
    try:
        half = layer(x.bfloat16())
    except RuntimeError as error:
        text = f"x in bfloat16 stops it ({str(error)[:60]}...). Dequantise to x.dtype; bring x to "
        return wrong("dtype-mix", text + "float32 for A and B, and the update back to x.dtype.")
    if half.dtype != torch.bfloat16:
        text = f"x in bfloat16 gives {half.dtype}: the next layer gets another dtype than its own."
        return wrong("dtype-mix", text)
    return right("stored in 4 bits, A and B learn in 32, and the gradient passes on to x.")

"""How much two adapters read from the same input directions, in three forms.

    "l1"        Σ_modules Σ_ij |A_K A_aᵀ|_ij        MedCare (arXiv 2406.17484), from O-LoRA
    "cosine"    mean over modules and pairs of rows of cos²(a_K, a_a); 1/d for random rows, so one
                weight fits models of all widths, and shrinking A_a does not help
    "delta"     mean over modules of cos²(ΔW_K, ΔW_a), from R × R' products; ΔW is never formed

All three are functions of small products of rows, X Xᵀ, Y Yᵀ and X Yᵀ, so those are all that is
made from the large matrices, and the modules are looked up once, not by name at every step. Every
term is computed on the live parameters; a penalty on a detached copy of them would be logged and
would train nothing.

Shapes: `d` width, `R` and `R'` rank columns of the two adapters, `m` modules of one shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

KINDS = ("l1", "cosine", "delta")


class Pair(NamedTuple):
    """A (R, d_in), B (R, d_out) and the scale of each rank column (R,)."""

    A: Tensor
    B: Tensor
    scale: Tensor


def pair_readers(model: nn.Module, adapter: str) -> dict[str, Callable[[], Pair]]:
    """By module name: a function that reads an adapter's live pair, of MoLoRA or PEFT's LoRA."""
    found: dict[str, Callable[[], Pair]] = {}
    for name, module in model.named_modules():
        experts, lora = getattr(module, "molora_experts", {}), getattr(module, "lora_A", {})
        if isinstance(experts, nn.ModuleDict) and adapter in experts:
            found[cast(str, module.layer_name)] = _molora_reader(experts[adapter])
        elif isinstance(lora, nn.ModuleDict) and adapter in lora:
            found[name] = _lora_reader(module, adapter)
    return found


def _molora_reader(pair: Any) -> Callable[[], Pair]:
    scale = pair.A.new_tensor(pair.layout.scales)[pair.columns]
    return lambda: Pair(pair.A, pair.B, scale)


def _lora_reader(layer: Any, adapter: str) -> Callable[[], Pair]:
    def read() -> Pair:
        A, B = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight.T
        return Pair(A, B, A.new_full((len(A),), layer.scaling[adapter]))

    return read


def adapter_pairs(model: nn.Module, adapter: str) -> dict[str, Pair]:
    """The low-rank pairs of an adapter by module name, of MoLoRA and of PEFT's own LoRA."""
    return {name: read() for name, read in pair_readers(model, adapter).items()}


def orthogonal_penalty(
    model: nn.Module,
    knowledge: str = "default",
    alignment: str = "alignment",
    kind: str = "l1",
    eps: float = 1e-12,
) -> Tensor:
    """How much two adapters read from the same input directions (or change the same outputs).

    A frozen adapter gets no gradient; where both train, both are pushed. Add it once a step: with
    gradient accumulation, to one part only, or to each part divided by their number.

    Args:
        model: a PEFT model that carries both adapters, active or not.
        knowledge: name of the one that is protected.
        alignment: name of the one that is kept away.
        kind: "l1" (the paper's sum; weights near 1e-3), "cosine" (weights 1 to 100), or "delta"
            (no gradient while B is still zero). Hard projection is a training option.
        eps: keeps the division of "delta" finite.

    Returns:
        Scalar in at least float32.

    Raises:
        ValueError: unknown kind, or no module carries both adapters.

    >>> orthogonal_penalty(nn.Linear(2, 2), kind="l2")
    Traceback (most recent call last):
    ...
    ValueError: unknown kind 'l2': type one of 'l1', 'cosine', 'delta'
    """
    return orthogonal_term(model, knowledge, alignment, kind, eps)()


def orthogonal_term(
    model: nn.Module,
    knowledge: str = "default",
    alignment: str = "alignment",
    kind: str = "l1",
    eps: float = 1e-12,
) -> Callable[[], Tensor]:
    """`orthogonal_penalty` as a function of the weights alone, for a training loop.

    Names are looked up here, once; each call of the result costs a few batched products.
    """
    if kind not in KINDS:
        hint = "; projection is the training option `project`" if kind == "project" else ""
        raise ValueError(f"unknown kind {kind!r}: type one of {', '.join(map(repr, KINDS))}{hint}")
    first, second = pair_readers(model, knowledge), pair_readers(model, alignment)
    both = [(first[name], second[name]) for name in first if name in second]
    if not both:
        raise ValueError(
            f"no module carries both {knowledge!r} ({len(first)} modules) and {alignment!r} "
            f"({len(second)} modules): add the second with model.add_adapter({alignment!r}, "
            "config) and the same target_modules"
        )
    groups: dict[Any, list[tuple[Callable[[], Pair], Callable[[], Pair]]]] = {}
    for one, other in both:
        key = tuple((*t.shape, t.device) for pair in (one(), other()) for t in (pair.A, pair.B))
        groups.setdefault(key, []).append((one, other))

    def penalty() -> Tensor:
        terms = [
            overlap([one() for one, _ in group], [other() for _, other in group], kind, eps)
            for group in groups.values()
        ]
        whole = torch.cat(terms).sum()
        return whole if kind == "l1" else whole / len(both)

    return penalty


def overlap(one: list[Pair], other: list[Pair], kind: str, eps: float = 1e-12) -> Tensor:
    """The terms of m modules of one shape, (m,).

    >>> rows = [Pair(torch.eye(3)[:2], torch.ones(2, 1), torch.ones(2))]
    >>> overlap(rows, rows, "l1").item(), overlap(rows, rows, "cosine").item()
    (2.0, 0.5)
    """
    X, Y = [pair.A for pair in one], [pair.A for pair in other]
    cross = row_products(X, Y)
    if kind == "l1":
        return cross.abs().sum((-2, -1))
    first, second = row_products(X), row_products(Y)
    if kind == "cosine":
        squares = [gram.diagonal(dim1=-2, dim2=-1).clamp(min=1e-24) for gram in (first, second)]
        return (cross.square() / (squares[0][..., None] * squares[1][..., None, :])).mean((-2, -1))
    product = (cross * output_products(one, other)).sum((-2, -1)).square()
    sizes = [
        (gram * output_products(pairs)).sum((-2, -1))
        for gram, pairs in ((first, one), (second, other))
    ]
    return product / (sizes[0] * sizes[1] + eps)


def output_products(one: list[Pair], other: list[Pair] | None = None) -> Tensor:
    """(S B)(S' B')ᵀ of m modules, (m, R, R'): ⟨ΔW, ΔW'⟩ = Σ (S B)(S' B')ᵀ ⊙ A A'ᵀ."""
    second = None if other is None else [pair.B for pair in other]
    products = row_products([pair.B for pair in one], second)
    left, right = (torch.stack([pair.scale for pair in pairs]) for pairs in (one, other or one))
    return products * left[..., None] * right[..., None, :]


def row_products(X: list[Tensor], Y: list[Tensor] | None = None) -> Tensor:
    """X_i Y_iᵀ of m pairs of matrices (R, d) and (R', d) of one shape: (m, R, R').

    Without Y, X_i X_iᵀ.

    >>> row_products([torch.eye(2)], [torch.ones(1, 2)]).tolist()
    [[[1.0], [1.0]]]
    """
    return RowProducts.apply(len(X), *X, *(Y or ()))


class RowProducts(torch.autograd.Function):
    """Products of large matrices that are kept as they are: nothing is copied for the backward."""

    @staticmethod
    def forward(ctx: Any, m: int, *matrices: Tensor) -> Tensor:
        ctx.m = m
        ctx.save_for_backward(*matrices)
        whole = [full(matrix) for matrix in matrices]
        with torch.autocast(whole[0].device.type, enabled=False):  # or it would halve them again
            return torch.stack(multiply(whole[:m], [Y.T for Y in whole[-m:]]))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        m, matrices = ctx.m, ctx.saved_tensors
        if len(matrices) == m:  # X Xᵀ
            sides = [(matrices, grad + grad.mT, matrices)]
        else:
            sides = [(matrices[:m], grad, matrices[m:]), (matrices[m:], grad.mT, matrices[:m])]
        found: list[Tensor | None] = []
        for own, small, other in sides:
            if not any(ctx.needs_input_grad[1 + len(found) :][:m]):
                found += [None] * m
                continue
            products = multiply(list(small.unbind()), [full(matrix) for matrix in other])
            found += [part.to(matrix.dtype) for part, matrix in zip(products, own, strict=True)]
        return None, *found


def multiply(left: list[Tensor], right: list[Tensor], batched: bool | None = None) -> list[Tensor]:
    """Matrix products of m pairs of one shape.

    A GPU gets them in one call, so that it does not wait for m of them. A CPU gets them one by
    one, because to stack the matrices would take longer than to multiply them.

    >>> left, right = [torch.ones(1, 2)] * 3, [torch.ones(2, 1)] * 3
    >>> multiply(left, right, batched=True) == multiply(left, right, batched=False)
    True
    """
    if left[0].is_cuda if batched is None else batched:
        return list(torch.bmm(torch.stack(left), torch.stack(right)).unbind())
    return [one @ other for one, other in zip(left, right, strict=True)]


def full(matrix: Tensor) -> Tensor:
    """At least float32."""
    return matrix.to(torch.promote_types(matrix.dtype, torch.float32))

"""Checks of notebook 07: the second stage, two penalties, angles, projection, diagnosis.

Every test compares with numbers worked out here, not with the answer key, and with the numbers
that the usual mistakes would give: that is how a check knows which mistake it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from medmoe_lite.lab.checks import Exercise, Verdict, not_attempted, right, wrong
from medmoe_lite.lab.compare import factor, largest_difference, same, untouched
from medmoe_lite.lab.diagnosis import diagnosis
from medmoe_lite.lab.nb07 import reference
from medmoe_lite.lab.nb07.check_stage import check_stage
from medmoe_lite.lab.nb07.failure import CAUSES, SICK, evidence
from medmoe_lite.lab.nb07.hints import HINTS
from medmoe_lite.lab.nb07.mutants import MUTANTS

R, WIDTHS = 3, (7, 5)  # rank of both adapters; one layer of each width
Usual = Mapping[str, tuple[Any, str]]


def _numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _named(got: Tensor, usual: Usual) -> Verdict | None:
    """The verdict of the first usual mistake that gives these very numbers."""
    for mistake, (numbers, words) in usual.items():
        if same(got, torch.as_tensor(numbers)):
            return wrong(mistake, words)
    return None


def _pairs(grad: bool = False) -> list[tuple[Tensor, Tensor]]:
    """(A_K, A_a) of two layers; rows differ much in length."""
    lengths = torch.tensor([[0.3], [1.0], [4.0]])
    pairs = []
    for i, d in enumerate(WIDTHS):
        a_k, a_a = lengths * _numbers(R, d, seed=i), _numbers(R, d, seed=i + 5) / lengths
        pairs.append((a_k.requires_grad_(grad), a_a.requires_grad_(grad)))
    return pairs


def _scalar(got: Any) -> Verdict | None:
    """What both penalties have to be: a tensor without dimensions."""
    if got is None or got is Ellipsis:
        return not_attempted()
    if isinstance(got, int | float):
        text = f"it returns the plain number {got:.4g}: no gradient can come back through that."
        return wrong("plain-number", text + " Return a tensor, without .item() or float().")
    if not isinstance(got, Tensor):
        return wrong("no-tensor", f"it returns {type(got).__name__}; return one tensor.")
    if got.numel() != 1:
        text = f"the shape is {tuple(got.shape)}; a penalty is one number for the whole model."
        return wrong("no-scalar", text)
    return None


def _gradients(penalty: Any) -> Verdict | None:
    """Does the penalty reach both matrices of every layer?"""
    pairs = _pairs(grad=True)
    value = penalty(pairs)
    if value.requires_grad:
        value.sum().backward()
    reached = [[bool(a.grad is not None and a.grad.any()) for a in pair] for pair in pairs]
    if not any(second for _, second in reached):
        text = "the number is right, but no gradient reaches A_a: the penalty would be logged and "
        return wrong("gradient-cut", text + "would train nothing. Leave out detach and .data.")
    if not all(first for first, _ in reached):
        text = "A_K is cut off. In the paper it learns in stage 2 as well; whether it does is "
        return wrong("knowledge-detached", text + "said by requires_grad, not by the penalty.")
    return None


def _asked(function: Any, pairs: list[tuple[Tensor, Tensor]]) -> Any:
    named = {f"pairs[{i}][{j}]": a for i, pair in enumerate(pairs) for j, a in enumerate(pair)}
    with untouched(**named):
        return function(pairs)


def check_l1(overlap_l1: Any) -> Verdict:
    """7.2: `overlap_l1(pairs)`."""
    pairs = _pairs()
    got = _asked(overlap_l1, pairs)
    if verdict := _scalar(got):
        return verdict
    products = [torch.einsum("id,jd->ij", a_k, a_a) for a_k, a_a in pairs]
    layers = torch.stack([p.abs().sum() for p in products])
    want = layers.sum()
    unit = [torch.einsum("id,jd->ij", _unit(a), _unit(b)) for a, b in pairs]
    usual: Usual = {
        "no-abs": (
            sum(p.sum() for p in products),
            f"without the absolute values products of opposite sign cancel: {_sum(products):.3g} "
            f"in place of {want:.3g}.",
        ),
        "mean": (
            sum(p.abs().mean() for p in products),
            f"within a layer you take the mean; the paper sums. That is {R * R} times less here "
            "and 256 times less at rank 16: the same lambda would mean another thing.",
        ),
        "mean-of-layers": (layers.mean(), "the layers are averaged; the paper sums over them."),
        "squares": (
            sum(p.square().sum() for p in products),
            "these are squares. A square hardly pushes a product that is small already; the "
            "absolute value pushes it all the way to zero.",
        ),
        "frobenius": (
            sum(p.norm() for p in products),
            "this is the Frobenius norm, a root of squares; sum the absolute values.",
        ),
        "matrix-norm": (
            sum(p.abs().sum(0).max() for p in products),
            "torch.linalg.norm(M, 1) is the largest column sum of a matrix. The paper sums all "
            "entries: M.abs().sum().",
        ),
        "columns": (
            sum((a.T @ b).abs().sum() for a, b in pairs),
            "A_Kᵀ A_a is (d, d): it multiplies rank columns. What an adapter reads are its rows: "
            "A_K A_aᵀ, (r, r).",
        ),
        "own-pairs-only": (
            sum(p.diagonal().abs().sum() for p in products),
            "row i is compared with row i alone. Every row of one has to avoid every row of the "
            "other.",
        ),
        "first-layer": (layers[0], "only the first layer counts; sum over all of them."),
        "last-layer": (layers[-1], "only the last layer is left: add up inside the loop."),
        "normalised": (
            sum(u.abs().sum() for u in unit),
            "the rows were brought to length 1. The paper's sum takes them as they are; "
            "the normalised form comes next.",
        ),
    }  # fmt: skip
    if verdict := _named(got.reshape(()), usual):
        return verdict
    if not same(got.reshape(()), want):
        times = factor(got.reshape(1), want.reshape(1))
        return wrong("values", f"it is {times:.3g} times the right value, {want:.4g}.")
    if verdict := _gradients(overlap_l1):
        return verdict
    return right(f"the sum of all |a_K · a_a| over both layers is {want:.2f}; gradients flow.")


def _unit(a: Tensor) -> Tensor:
    return a / a.square().sum(-1, keepdim=True).sqrt()


def _sum(products: list[Tensor]) -> float:
    return float(sum(p.sum() for p in products))


def check_cosine(overlap_cosine: Any) -> Verdict:
    """7.3: `overlap_cosine(pairs)`."""
    pairs = _pairs()
    got = _asked(overlap_cosine, pairs)
    if verdict := _scalar(got):
        return verdict
    cosines = [torch.einsum("id,jd->ij", _unit(a), _unit(b)) for a, b in pairs]
    layers = torch.stack([c.square().mean() for c in cosines])
    want = layers.mean()

    def average(parts: list[Tensor]) -> Tensor:
        return torch.stack(parts).mean()

    def by_column(a: Tensor) -> Tensor:
        return a / a.square().sum(0, keepdim=True).sqrt()

    usual: Usual = {
        "not-normalised": (
            average([(a @ b.T).square().mean() for a, b in pairs]),
            "the products are squared, but the rows keep their lengths. Bring each row to "
            "length 1 first.",
        ),
        "columns": (
            average([(by_column(a) @ by_column(b).T).square().mean() for a, b in pairs]),
            "the columns have length 1. A row is what the adapter reads: normalise along the "
            "last axis.",
        ),
        "one-side": (
            average([(a @ _unit(b).T).square().mean() for a, b in pairs]),
            "only A_a is normalised; the value still grows with A_K.",
        ),
        "other-side": (
            average([(_unit(a) @ b.T).square().mean() for a, b in pairs]),
            "only A_K is normalised; shrinking A_a would still lower the penalty.",
        ),
        "whole-matrix": (
            average([((a / a.norm()) @ (b / b.norm()).T).square().mean() for a, b in pairs]),
            "each matrix was divided by one number, its own norm. Every row needs its own.",
        ),
        "not-squared": (
            average([c.abs().mean() for c in cosines]),
            "these are |cos|; square them.",
        ),
        "no-abs": (
            average([c.mean() for c in cosines]),
            "cosines of opposite sign cancel; square them before the mean.",
        ),
        "square-of-mean": (
            average([c.mean().square() for c in cosines]),
            "the mean is squared. Square each cosine, then take the mean.",
        ),
        "sum": (sum(c.square().sum() for c in cosines), "this is a sum; take means instead."),
        "sum-of-layers": (layers.sum(), "the layers are summed; take the mean over layers too."),
        "own-pairs-only": (
            average([c.diagonal().square().mean() for c in cosines]),
            "row i is compared with row i alone; take all pairs of rows.",
        ),
    }  # fmt: skip
    if verdict := _named(got.reshape(()), usual):
        return verdict
    if not same(got.reshape(()), want):
        return wrong("values", f"it gives {got.item():.4f}; it should be {want:.4f}.")
    if verdict := _gradients(overlap_cosine):
        return verdict
    return right(f"{want:.3f}, whatever the lengths of the rows; gradients flow.")


def _spaces() -> tuple[Tensor, Tensor]:
    """Two row spaces in 7 dimensions, of 3 and 2 rows, that share one direction."""
    a_k, a_a = _numbers(3, 7, seed=1), _numbers(2, 7, seed=2)
    return a_k, torch.stack([2 * a_k[0] - a_k[2], a_a[1]])


def _columns(a: Tensor) -> Tensor:
    """An orthonormal basis of the rows, from the eigenvectors of A Aᵀ: (d, r)."""
    values, vectors = torch.linalg.eigh(a @ a.T)
    return a.T @ (vectors / values.sqrt())


def check_angles(principal_angles: Any) -> Verdict:
    """7.4: `principal_angles(a_k, a_a)`."""
    a_k, a_a = _spaces()
    with untouched(a_k=a_k, a_a=a_a):
        got = principal_angles(a_k, a_a)
    if got is None or got is Ellipsis:
        return not_attempted()
    if not isinstance(got, Tensor):
        return wrong("no-tensor", f"it returns {type(got).__name__}; return a tensor.")
    cosines = torch.linalg.svdvals((_columns(a_k).T @ _columns(a_a)).double()).clamp(max=1)
    want = cosines.acos().rad2deg().float()
    if got.shape != want.shape:
        text = f"the shape is {tuple(got.shape)}; spaces of 3 and 2 dimensions have 2 angles, (2,)."
        return wrong("shape", text)
    got = got.float()
    raw = torch.linalg.svdvals(a_k @ a_a.T).clamp(max=1).acos().rad2deg()
    rows = torch.linalg.svdvals(_unit(a_k) @ _unit(a_a).T).clamp(max=1).acos().rad2deg()
    usual: dict[str, tuple[Tensor, str]] = {
        "cosines": (cosines.float(), "these are the cosines; take acos and turn it to degrees."),
        "radians": (want.deg2rad(), "the angles are in radians; .rad2deg() turns them to degrees."),
        "largest-first": (
            want.flip(0),
            "the largest angle comes first; singular values are sorted the right way already.",
        ),
        "sines": (90 - want, "this is asin; the singular values are cosines."),
        "no-basis": (
            raw,
            "the singular values of A_K A_aᵀ depend on the lengths of the rows and on their own "
            "angles. Take an orthonormal basis of each row space first (QR of the transpose).",
        ),
        "unit-rows": (
            rows,
            "rows of length 1 are no orthonormal basis: they are not at right angles to each "
            "other. QR of the transpose gives one.",
        ),
    }
    for mistake, (numbers, words) in usual.items():
        if bool(torch.isclose(got, numbers, atol=0.2).all()):
            return wrong(mistake, words)
    if not bool(torch.isclose(got, want, atol=0.2).all()):
        said, needed = ([round(v, 1) for v in row.tolist()] for row in (got, want))
        return wrong("values", f"it gives {said} degrees; these two spaces have {needed}.")
    for seed in range(40):
        equal = _numbers(3, 7, seed=seed)
        if bool(principal_angles(equal, 3 * equal.flip(0)).isnan().any()):
            text = "two equal spaces give nan: rounding makes a cosine a little larger than 1. "
            return wrong("not-clamped", text + "Clamp it to 1 before acos.")
    return right("one shared direction at 0 degrees, the other angle as it should be.")


def check_take_out(take_out: Any) -> Verdict:
    """7.5: `take_out(a, q)`."""
    a = _numbers(3, 7, seed=3)
    q = torch.linalg.qr(_numbers(7, 2, seed=4)).Q
    with untouched(a=a, q=q):
        got = take_out(a, q)
    if got is None or got is Ellipsis:
        return not_attempted()
    if not isinstance(got, Tensor):
        return wrong("no-tensor", f"it returns {type(got).__name__}; return a tensor.")
    if tuple(got.shape) == (3, 2):
        text = "the shape is (3, 2): that is A Q, how far each row goes along the directions. "
        return wrong("coordinates", text + "Times Qᵀ it is the part to subtract.")
    if got.shape != a.shape:
        text = f"the shape is {tuple(got.shape)}; A keeps its shape {tuple(a.shape)}."
        return wrong("shape", text)
    inside = torch.einsum("rd,dm,em->re", a, q, q)
    first = torch.einsum("rd,d,e->re", a, q[:, 0], q[:, 0])
    usual: Usual = {
        "kept-the-part": (inside, "this keeps just the part along Q; it is to be taken out."),
        "mirrored": (a - 2 * inside, "the part is taken out twice: that mirrors the rows."),
        "added": (a + inside, "the part is added; subtract it."),
        "half": (a - 0.5 * inside, "half of the part is left."),
        "first-direction": (a - first, "only the first direction is taken out; Q has more."),
        "unchanged": (a, "A comes back as it was."),
    }
    if verdict := _named(got, usual):
        return verdict
    left = float((got @ q).abs().max())
    if left > 1e-5:
        return wrong("still-reads", f"A still reads the directions of Q: up to {left:.2g}.")
    if not same(got, a - inside):
        gap = largest_difference(got, a - inside)
        return wrong("takes-more", f"Q is out, and more with it: other parts are off by {gap:.2g}.")
    return right("A Q is zero, and the rest of A is as it was.")


check_diagnosis = diagnosis(
    SICK, CAUSES, evidence, "all causes found. Each of these runs ends without an error."
)


def _bank(key: str, title: str, test: Any, answer: Any) -> Exercise:
    return Exercise(key, title, test, HINTS[key], lambda: answer, MUTANTS[key])


BANK = (
    _bank("7.1", "open the second stage", check_stage, reference.open_stage_two),
    _bank("7.2", "the paper's penalty", check_l1, reference.overlap_l1),
    _bank("7.3", "the penalty as a cosine", check_cosine, reference.overlap_cosine),
    _bank("7.4", "principal angles", check_angles, reference.principal_angles),
    _bank("7.5", "take directions out", check_take_out, reference.take_out),
    _bank("7.6", "diagnose three sick runs", check_diagnosis, SICK),
)

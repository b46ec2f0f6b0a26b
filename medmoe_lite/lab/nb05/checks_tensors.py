"""Checks of notebook 05 that compare tensors: rank columns and the group term."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from medmoe_lite.lab.checks import Verdict, not_attempted, right, wrong
from medmoe_lite.lab.compare import largest_difference, same, untouched

RANKS, ALPHA, DELTA = [1, 3, 2], 3.0, 0.3
B, T, E = 3, 5, 4  # samples, tokens, experts


def numbers_of(*shape: int, seed: int = 0) -> Tensor:
    """Random numbers that are the same in every run."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def first_named(got: Tensor, usual: Mapping[str, tuple[Tensor, str]]) -> Verdict | None:
    """The verdict of the first usual mistake that gives these very numbers."""
    for mistake, (numbers, words) in usual.items():
        if got.shape == numbers.shape and same(got, numbers):
            return wrong(mistake, words)
    return None


def check_columns(column_factors: Any) -> Verdict:
    """5.3: `column_factors(weights, ranks, alpha)`."""
    weights = numbers_of(2, 5, 3).softmax(-1)
    given, ranks = weights.clone().requires_grad_(), list(RANKS)
    detached = weights.clone()
    with untouched(weights=detached):
        got = column_factors(detached, ranks, ALPHA)
    if got is None or got is Ellipsis:
        return not_attempted()
    if not isinstance(got, Tensor):
        return wrong("no-tensor", f"it returns {type(got).__name__}; return a tensor (..., R).")
    if ranks != RANKS:
        return wrong("changes-its-input", "your code changes the list of ranks: work on a copy.")
    if got.shape != (2, 5, 6):
        text = f"the shape is {tuple(got.shape)}; ranks 1, 3, 2 have 6 columns: (2, 5, 6)."
        return wrong("shape", text)
    spread = lambda w, r: w.repeat_interleave(torch.tensor(r), -1)  # noqa: E731
    root = torch.tensor(RANKS).sqrt()
    want = spread(weights * ALPHA / root, RANKS)
    usual = {
        "no-scale": (spread(weights, RANKS), "the weights are placed right; the scale is missing."),
        "one-scale": (
            spread(weights * ALPHA / 6**0.5, RANKS),
            "all experts are divided by the root of 6; divide each by the root of its own rank.",
        ),
        "no-rank": (
            spread(weights * ALPHA, RANKS),
            "alpha is not divided: an expert with more columns would be louder.",
        ),
        "by-rank": (
            spread(weights * ALPHA / torch.tensor(RANKS), RANKS),
            "alpha is divided by the rank. Then large experts whisper: the sum of r columns "
            "grows like the root of r. Divide by the root.",
        ),
        "times-root": (
            spread(weights * ALPHA * root, RANKS),
            "multiplied by the root of the rank; divide.",
        ),
        "shared-out": (
            spread(weights * ALPHA / root / torch.tensor(RANKS), RANKS),
            "the weight was shared out over an expert's columns; each column gets all of it.",
        ),
        "tiled": (
            (weights * ALPHA / root).repeat(1, 1, 2),
            "the columns run 0 1 2 0 1 2; those of one expert are neighbours: 0 1 1 1 2 2.",
        ),
        "order": (
            spread(weights * ALPHA / root, RANKS[::-1]),
            "the numbers of columns are in the wrong order: expert 0 has 1, expert 1 has 3.",
        ),
    }  # fmt: skip
    if verdict := first_named(got, usual):
        return verdict
    if not same(got, want):
        return wrong("values", f"it is off by {largest_difference(got, want):.2g}.")
    out = column_factors(given, list(RANKS), ALPHA)
    if not out.requires_grad:
        text = "the numbers are right, but no gradient comes back to the weights: the router "
        return wrong("gradient-cut", text + "could not learn. Leave out detach and no_grad.")
    ones = column_factors(torch.ones(1, 4), [1, 1, 1, 1], 2.0)
    if not same(ones, torch.full((1, 4), 2.0)):
        return wrong("rank-one", f"four experts of rank one give {ones.tolist()}; all should be 2.")
    return right("each column opens with its expert; experts of all ranks are equally loud.")


def _groups() -> tuple[Tensor, Tensor, Tensor]:
    """p (b, t, e), mask (b, t), same (b, e)."""
    p = (2 * numbers_of(B, T, E)).softmax(-1)
    mask = torch.tensor([[1.0, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 0]])
    kinds = torch.tensor([True, False, False, False])
    return p, mask, torch.tensor([True, False, True])[:, None] == kinds


def _cv2(use: Tensor, same: Tensor, on: float = 1 - DELTA, off: float = 1 + DELTA) -> Tensor:
    z = use * torch.where(same, on, off)
    return z.var() / z.mean().square()


def check_groups(group_term: Any) -> Verdict:
    """5.4: `group_term(p, mask, same, delta)`."""
    p, mask, kind = _groups()
    given = (p.clone(), mask.clone(), kind.clone())
    with untouched(p=given[0], mask=given[1], same=given[2]):
        got = group_term(*given, DELTA)
    if got is None or got is Ellipsis:
        return not_attempted()
    if not isinstance(got, Tensor):
        return wrong("no-tensor", f"it returns {type(got).__name__}; return a tensor.")
    if got.numel() != 1:
        text = f"the shape is {tuple(got.shape)}; one number for all samples and experts."
        return wrong("no-scalar", text)
    got = got.reshape(())
    keep = mask[..., None]
    use = (p * keep).sum(1) / mask.sum(1, keepdim=True)
    z = use * torch.where(kind, 1 - DELTA, 1 + DELTA)
    want = _cv2(use, kind)
    usual = {
        "sign-reversed": (
            _cv2(use, kind, 1 + DELTA, 1 - DELTA),
            "1 + δ stands where sample and expert are of one kind. Then a smaller term takes "
            "use away from the expert of the own kind. It belongs where the kinds differ.",
        ),
        "one-side": (
            _cv2(use, kind, 1 - DELTA, 1.0),
            "where the kinds differ the factor is 1; it should be 1 + δ.",
        ),
        "no-groups": (_cv2(use, kind, 1.0, 1.0), "this balances all experts; δ is not used."),
        "padding-counted": (
            _cv2(p.mean(1), kind),
            "padding counts as well: a padded sample is read from tokens that mean nothing.",
        ),
        "not-averaged": (
            _cv2((p * keep).sum(1), kind),
            "the use is not divided by each sample's own number of real tokens, so long samples "
            "weigh more.",
        ),
        "mean-not-squared": (
            z.var() / z.mean(),
            "the variance is divided by the mean, not by its square.",
        ),
        "deviation": (z.std() / z.mean(), "this is deviation over mean; the term is its square."),
        "variance-only": (z.var(), "the variance is not divided by the square of the mean."),
        "per-sample": (
            (z.var(1) / z.mean(1).square()).mean(),
            "each sample was balanced by itself; take variance and mean over all b · e numbers.",
        ),
        "divides-by-n": (
            z.var(correction=0) / z.mean().square(),
            "the variance divides by n; here, as in torch's default, it divides by n - 1.",
        ),
    }  # fmt: skip
    if verdict := first_named(got, usual):
        return verdict
    if not same(got, want):
        return wrong("values", f"the term is {float(got):.4f}; it should be {float(want):.4f}.")
    asked = p.clone().requires_grad_()
    out = group_term(asked, mask, kind, DELTA)
    if not out.requires_grad:
        text = "the number is right, but no gradient comes back to p: the router cannot learn."
        return wrong("gradient-cut", text)
    return right(f"the term is {float(want):.3f} here, and 0 where all Z are equal.")

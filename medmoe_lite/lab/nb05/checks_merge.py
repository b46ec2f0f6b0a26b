"""Check of notebook 05: experts merged into one pair of factors."""

from typing import Any

import torch
from torch import Tensor

from medmoe_lite.lab.checks import Verdict, not_attempted, right, wrong
from medmoe_lite.lab.compare import largest_difference, named_factor, same, untouched
from medmoe_lite.lab.nb05.checks_tensors import first_named, numbers_of

T, E, R, D_IN, D_OUT = 5, 4, 2, 6, 7  # tokens, experts, rank, widths: all different


def check_merge(merge_experts: Any) -> Verdict:
    """5.5: `merge_experts(weights, prompt, A, B)` returns (A, B)."""
    w = (2 * numbers_of(T, E, seed=3)).softmax(-1)
    prompt = torch.tensor([1.0, 1, 1, 0, 0])
    a, b = numbers_of(E, R, D_IN, seed=1), numbers_of(E, D_OUT, R, seed=2)
    given = (w.clone(), prompt.clone(), a.clone(), b.clone())
    with untouched(weights=given[0], prompt=given[1], A=given[2], B=given[3]):
        got = merge_experts(*given)
    if got is None or got is Ellipsis:
        return not_attempted()
    mean = (w * prompt[:, None]).sum(0) / prompt.sum()
    each = b @ a  # (e, d_out, d_in)
    mix = lambda v: torch.einsum("e,eoi->oi", v, each)  # noqa: E731
    if isinstance(got, Tensor) and got.shape == (D_OUT, D_IN):
        text = "this is the full matrix, d_out by d_in. Return its two thin factors, A and B."
        return wrong("multiplied-out", text)
    pair = isinstance(got, list | tuple) and len(got) == 2
    if not pair or not all(isinstance(m, Tensor) and m.dim() == 2 for m in got):
        return wrong("no-pair", "return two matrices: A (e·r, d_in) and B (d_out, e·r).")
    A, B_ = got
    if A.shape == (R, D_IN) and B_.shape == (D_OUT, R):
        factors = torch.einsum("e,eri->ri", mean, a), torch.einsum("e,eor->or", mean, b)
        gap = (factors[1] @ factors[0] - mix(mean)).norm() / mix(mean).norm()
        text = "A and B were averaged each by itself, (Σ w B)(Σ w A). That brings in products of "
        text += f"one expert's B with another's A: off by {float(gap):.0%} of the sum here."
        return wrong("averaged-factors", text)
    if A.shape == (D_OUT, E * R) and B_.shape == (E * R, D_IN):
        return wrong("swapped", "the order is (A, B).")
    if A.shape != (E * R, D_IN) or B_.shape != (D_OUT, E * R):
        text = f"A {tuple(A.shape)} and B {tuple(B_.shape)}; expected {(E * R, D_IN)} and "
        return wrong("shapes", text + f"{(D_OUT, E * R)}: stack the experts.")
    product, want = B_ @ A, mix(mean)
    flat = b.reshape(D_OUT, E * R)
    usual = {
        "no-weights": (
            mix(torch.ones(E)),
            f"all {E} experts count in full: the weights are unused.",
        ),
        "plain-mean": (mix(torch.full((E,), 1 / E)), "every expert counts 1 / e; use the weights."),
        "reads-answer": (
            mix(w.mean(0)),
            "the weights are averaged over all tokens; those of the answer are not known when "
            "the merge is made. Use the prompt's.",
        ),
        "weights-twice": (mix(mean**2), "the weights are in A and in B, so they count squared."),
        "last-token": (mix(w[2]), "only the last prompt token decides; average over the prompt."),
        "first-token": (mix(w[0]), "only the first token decides; average over the prompt."),
        "b-not-permuted": (
            (mean.repeat_interleave(R) * flat) @ a.reshape(E * R, D_IN),
            "B was reshaped without moving its axes: (e, d_out, r) first becomes (d_out, e, r).",
        ),
        "order": (
            (b * mean[:, None, None]).permute(1, 2, 0).flatten(1) @ a.flatten(0, 1),
            "the columns of B are in another order than the rows of A: expert first, then rank.",
        ),
    }  # fmt: skip
    if verdict := first_named(product, usual):
        return verdict
    sums = {"weights-summed": 3.0, "divided-by-all": 3 / T}
    if (name := named_factor(product, want, sums)) is not None:
        text = f"the merged weights sum to {sums[name]:.1f}, not to 1: divide the sum over prompt "
        return wrong(name, text + "tokens by the number of prompt tokens.")
    if not same(product, want):
        return wrong("values", f"B A is off by {largest_difference(product, want):.2g}.")
    return right(f"one LoRA of rank {E * R} computes the weighted sum of {E} experts exactly.")

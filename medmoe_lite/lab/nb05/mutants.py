"""Typical wrong answers to the exercises of notebook 05, by the mistake each makes.

The tests run every check against every one of them: the check has to name this very mistake.
"""

from typing import Any

import torch

from medmoe_lite.lab.nb05.failure import CAUSES, SICK
from medmoe_lite.lab.nb05.reference import (
    column_factors,
    experts_by_depth,
    group_term,
    merge_experts,
    mixture_numbers,
)


def _shares(weights, total, low):
    rest = total - low * len(weights)
    return [rest * weight / sum(weights) for weight in weights]


def _rest_on_the_last(weights, total, low):
    plan = [low + int(share) for share in _shares(weights, total, low)]
    plan[-1] += total - sum(plan)
    return plan


def _low_on_top(weights, total, low):
    return [low + n for n in experts_by_depth(weights, total, 0)]


def _shifted(weights, total, low):
    plan = experts_by_depth(weights, total, low)
    return plan[-1:] + plan[:-1]


def _sorts_its_input(weights, total, low):
    weights.sort(reverse=True)
    return experts_by_depth(weights, total, low)


def _spread(scale: Any) -> Any:
    """A column function whose scale is `scale(alpha, ranks as a tensor)`."""

    def columns(weights, ranks, alpha):
        sizes = torch.tensor(ranks)
        return (weights * scale(alpha, sizes)).repeat_interleave(sizes, -1)

    return columns


def _tiled(weights, ranks, alpha):
    return (weights * alpha / torch.tensor(ranks).sqrt()).repeat(1, 1, sum(ranks) // len(ranks))


def _wrong_order(weights, ranks, alpha):
    scaled = weights * alpha / torch.tensor(ranks).sqrt()
    return scaled.repeat_interleave(torch.tensor(ranks[::-1]), -1)


def _in_place(weights, ranks, alpha):
    weights *= alpha / torch.tensor(ranks).sqrt()
    return weights.repeat_interleave(torch.tensor(ranks), -1)


def _term(use: Any = None, on: Any = None, end: Any = None) -> Any:
    """A group term with one part changed.

    Args:
        use: (p, mask) -> (b, e).
        on: delta -> (factor of one kind, factor of two kinds).
        end: z -> the number.
    """
    use = use or (lambda p, m: (p * m[..., None]).sum(1) / m.sum(1, keepdim=True))
    on = on or (lambda d: (1 - d, 1 + d))
    end = end or (lambda z: z.var() / z.mean() ** 2)

    def term(p, mask, same, delta):
        return end(use(p, mask) * torch.where(same, *on(delta)))

    return term


def _term_in_place(p, mask, same, delta):
    p *= mask[..., None]
    return group_term(p, mask, same, delta)


def _averaged(weights, prompt, A, B):
    mean = (weights * prompt[:, None]).sum(0) / prompt.sum()
    return torch.einsum("e,eri->ri", mean, A), torch.einsum("e,eor->or", mean, B)


def _merge(mean: Any) -> Any:
    """A merge whose weights are `mean(weights, prompt)`."""

    def merge(weights, prompt, A, B):
        v = mean(weights, prompt)
        return A.flatten(0, 1), (v[:, None, None] * B).permute(1, 0, 2).flatten(1)

    return merge


def _weights_twice(weights, prompt, A, B):
    mean = (weights * prompt[:, None]).sum(0) / prompt.sum()
    return merge_experts(weights, prompt, mean[:, None, None] * A, B)


def _b_not_permuted(weights, prompt, A, B):
    mean = (weights * prompt[:, None]).sum(0) / prompt.sum()
    e, d_out, r = B.shape
    return A.flatten(0, 1), mean.repeat_interleave(r) * B.reshape(d_out, e * r)


def _merge_in_place(weights, prompt, A, B):
    weights *= prompt[:, None]
    return merge_experts(weights, prompt, A, B)


def _multiplied_out(*given):
    A, B = merge_experts(*given)
    return B @ A


def _diagnosis(run: str) -> dict[str, str]:
    return {**SICK, run: CAUSES[4]}


MUTANTS: dict[str, dict[str, Any]] = {
    "5.1": {
        "rest-lost": lambda: lambda w, t, low: [low + int(s) for s in _shares(w, t, low)],
        "rounded": lambda: lambda w, t, low: [low + round(s) for s in _shares(w, t, low)],
        "not-whole": lambda: lambda w, t, low: [low + s for s in _shares(w, t, low)],
        "off-the-line": lambda: _rest_on_the_last,
        "low-on-top": lambda: _low_on_top,
        "below-low": lambda: lambda w, t, low: experts_by_depth(w, t, 0),
        "turned": lambda: lambda w, t, low: experts_by_depth(w, t, low)[::-1],
        "off-by-one": lambda: _shifted,
        "changes-its-input": lambda: _sorts_its_input,
        "no-list": lambda: lambda w, t, low: torch.tensor(experts_by_depth(w, t, low)),
        "stopped": lambda: lambda w, t, low: w / sum(w),
    },
    "5.2": {
        "no-router": lambda: lambda i, o, ranks: sum(ranks) * (i + o),
        "no-bias": lambda: lambda i, o, ranks: mixture_numbers(i, o, ranks) - len(ranks),
        "a-only": lambda: lambda i, o, ranks: mixture_numbers(i, 0, ranks),
        "router-reads-output": lambda: lambda i, o, r: sum(r) * (i + o) + len(r) * (o + 1),
        "full-matrices": lambda: lambda i, o, r: len(r) * (i * o + i + 1),
        "largest-rank": lambda: lambda i, o, r: mixture_numbers(i, o, [max(r)] * len(r)),
        "first-rank": lambda: lambda i, o, r: mixture_numbers(i, o, [r[0]] * len(r)),
        "one-router-row": lambda: lambda i, o, r: sum(r) * (i + o) + i + 1,
        "ranks-times-sizes": lambda: lambda i, o, r: sum(r) * i * o + len(r) * (i + 1),
    },
    "5.3": {
        "no-scale": lambda: _spread(lambda alpha, r: 1.0),
        "no-rank": lambda: _spread(lambda alpha, r: alpha),
        "by-rank": lambda: _spread(lambda alpha, r: alpha / r),
        "times-root": lambda: _spread(lambda alpha, r: alpha * r.sqrt()),
        "one-scale": lambda: _spread(lambda alpha, r: alpha / r.sum().sqrt()),
        "shared-out": lambda: _spread(lambda alpha, r: alpha / r.sqrt() / r),
        "tiled": lambda: _tiled,
        "order": lambda: _wrong_order,
        "shape": lambda: lambda w, r, alpha: w * alpha / torch.tensor(r).sqrt(),
        "gradient-cut": lambda: lambda w, r, alpha: column_factors(w.detach(), r, alpha),
        "changes-its-input": lambda: _in_place,
    },
    "5.4": {
        "sign-reversed": lambda: _term(on=lambda d: (1 + d, 1 - d)),
        "one-side": lambda: _term(on=lambda d: (1 - d, 1.0)),
        "no-groups": lambda: _term(on=lambda d: (1.0, 1.0)),
        "padding-counted": lambda: _term(use=lambda p, m: p.mean(1)),
        "not-averaged": lambda: _term(use=lambda p, m: (p * m[..., None]).sum(1)),
        "mean-not-squared": lambda: _term(end=lambda z: z.var() / z.mean()),
        "deviation": lambda: _term(end=lambda z: z.std() / z.mean()),
        "variance-only": lambda: _term(end=lambda z: z.var()),
        "per-sample": lambda: _term(end=lambda z: (z.var(1) / z.mean(1) ** 2).mean()),
        "divides-by-n": lambda: _term(end=lambda z: z.var(correction=0) / z.mean() ** 2),
        "gradient-cut": lambda: lambda *given: group_term(*given).detach(),
        "no-scalar": lambda: _term(end=lambda z: z),
        "changes-its-input": lambda: _term_in_place,
    },
    "5.5": {
        "averaged-factors": lambda: _averaged,
        "reads-answer": lambda: _merge(lambda w, prompt: w.mean(0)),
        "weights-summed": lambda: _merge(lambda w, prompt: (w * prompt[:, None]).sum(0)),
        "divided-by-all": lambda: _merge(lambda w, prompt: (w * prompt[:, None]).mean(0)),
        "no-weights": lambda: _merge(lambda w, prompt: torch.ones_like(w[0])),
        "plain-mean": lambda: _merge(lambda w, prompt: torch.ones_like(w[0]) / len(w[0])),
        "first-token": lambda: _merge(lambda w, prompt: w[0]),
        "weights-twice": lambda: _weights_twice,
        "b-not-permuted": lambda: _b_not_permuted,
        "swapped": lambda: lambda *given: merge_experts(*given)[::-1],
        "multiplied-out": lambda: _multiplied_out,
        "changes-its-input": lambda: _merge_in_place,
    },
    "5.6": {
        "wrong-run P": lambda: _diagnosis("run P"),
        "wrong-run Q": lambda: _diagnosis("run Q"),
        "wrong-run R": lambda: _diagnosis("run R"),
        "form": lambda: {"run P": "no idea"},
    },
}

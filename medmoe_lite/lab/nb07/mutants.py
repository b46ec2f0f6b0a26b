"""Typical wrong answers to the exercises of notebook 07, by the mistake each makes.

The tests run every check against every one of them: the check has to name this very mistake.
They also serve as a teacher's list of what to expect.
"""

from typing import Any

import torch
from torch.nn.functional import normalize

from medmoe_lite.lab.nb07.failure import CAUSES, SICK
from medmoe_lite.lab.nb07.reference import (
    open_stage_two,
    overlap_cosine,
    overlap_l1,
    principal_angles,
    take_out,
)


def _only(*adapters: str) -> Any:
    def stage(model, learn_knowledge=False):
        open_stage_two(model, learn_knowledge)
        model.base_model.set_adapter(list(adapters))
        for name, parameter in model.named_parameters():
            parts = name.split(".")
            known = learn_knowledge and "default" in parts
            parameter.requires_grad_("alignment" in parts or known)
        return model

    return stage


def _learns(rule: Any) -> Any:
    """Both open; `rule(parts of a name, learn_knowledge)` says what learns."""

    def stage(model, learn_knowledge=False):
        model.base_model.set_adapter(["default", "alignment"])
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(bool(rule(name.split("."), learn_knowledge)))
        return model

    return stage


def _both_learn(model, learn_knowledge=False):
    model.base_model.set_adapter(["default", "alignment"])
    return model


def _restart(model, learn_knowledge=False):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("alignment.B"):
                parameter.mul_(0.5)
    return open_stage_two(model, learn_knowledge)


def _closed(model, learn_knowledge=False):
    open_stage_two(model, learn_knowledge)
    model.base_model.disable_adapter_layers()
    return model


def _l1(measure: Any) -> Any:
    """Sum over layers of `measure` of A_K A_aᵀ."""
    return lambda pairs: sum(measure(a_k @ a_a.T) for a_k, a_a in pairs)


def _overwrites(pairs):
    for a_k, a_a in pairs:
        total = (a_k @ a_a.T).abs().sum()
    return total


def _l1_normalised(pairs):
    return overlap_l1([(normalize(a_k, dim=-1), normalize(a_a, dim=-1)) for a_k, a_a in pairs])


def _rows(a):
    return normalize(a, dim=-1)


def _cosines(measure: Any, first: Any = _rows, second: Any = None) -> Any:
    """Mean over layers of `measure` of the products of rows; each side is prepared first."""
    second = second or first

    def penalty(pairs):
        return torch.stack([measure(first(a_k) @ second(a_a).T) for a_k, a_a in pairs]).mean()

    return penalty


def _square(products):
    return products.square().mean()


def _same(a):
    return a


def _detached(penalty: Any, second: bool) -> Any:
    """The penalty with A_K cut off, and A_a as well where `second`."""
    return lambda pairs: penalty([(a.detach(), b.detach() if second else b) for a, b in pairs])


def _writes_rows(pairs):
    for _, a_a in pairs:
        a_a.div_(a_a.norm(dim=-1, keepdim=True))
    return overlap_cosine(pairs)


def _writes_last(pairs):
    pairs[0][1].abs_()
    return overlap_l1(pairs)


def _angles(change: Any) -> Any:
    return lambda a_k, a_a: change(principal_angles(a_k, a_a))


def _of(product: Any) -> Any:
    """Angles from the singular values of `product(a_k, a_a)`."""

    def angles(a_k, a_a):
        return torch.linalg.svdvals(product(a_k, a_a)).clamp(max=1).acos().rad2deg()

    return angles


def _not_clamped(a_k, a_a):
    q_k, q_a = torch.linalg.qr(a_k.T).Q, torch.linalg.qr(a_a.T).Q
    return torch.linalg.svdvals(q_k.T @ q_a).acos().rad2deg()


def _all_pairs(a_k, a_a):
    cosines = normalize(a_k, dim=-1) @ normalize(a_a, dim=-1).T
    return cosines.acos().rad2deg()


def _inside(a, q):
    return a @ q @ q.T


def _takes_more(a, q):
    out = take_out(a, q)
    return out / out.norm(dim=-1, keepdim=True)


def _diagnosis(run: str) -> dict[str, str]:
    other = next(cause for cause in CAUSES if cause not in SICK.values())
    return {**SICK, run: other}


MUTANTS: dict[str, dict[str, Any]] = {
    "7.1": {
        "knowledge-closed": lambda: _only("alignment"),
        "alignment-closed": lambda: _only("default"),
        "both-closed": lambda: _closed,
        "knowledge-learns": lambda: _both_learn,
        "knowledge-frozen": lambda: _learns(lambda parts, learn: "alignment" in parts),
        "alignment-frozen": lambda: _learns(lambda parts, learn: learn and "default" in parts),
        "base-learns": lambda: _learns(lambda parts, learn: learn or "default" not in parts),
        "values": lambda: _restart,
        "no-model": lambda: lambda model, learn: ["default", "alignment"],
        "stopped": lambda: lambda model, learn: model.set_adapter("second"),
    },
    "7.2": {
        "no-abs": lambda: _l1(lambda m: m.sum()),
        "mean": lambda: _l1(lambda m: m.abs().mean()),
        "mean-of-layers": lambda: lambda pairs: overlap_l1(pairs) / len(pairs),
        "squares": lambda: _l1(lambda m: m.square().sum()),
        "frobenius": lambda: _l1(lambda m: m.norm()),
        "matrix-norm": lambda: _l1(lambda m: torch.linalg.norm(m, 1)),
        "columns": lambda: lambda pairs: sum((a.T @ b).abs().sum() for a, b in pairs),
        "own-pairs-only": lambda: _l1(lambda m: m.diagonal().abs().sum()),
        "first-layer": lambda: lambda pairs: overlap_l1(pairs[:1]),
        "last-layer": lambda: _overwrites,
        "normalised": lambda: _l1_normalised,
        "plain-number": lambda: lambda pairs: overlap_l1(pairs).item(),
        "no-scalar": lambda: lambda pairs: torch.stack([overlap_l1([p]) for p in pairs]),
        "gradient-cut": lambda: _detached(overlap_l1, True),
        "knowledge-detached": lambda: _detached(overlap_l1, False),
        "changes-its-input": lambda: _writes_last,
        "stopped": lambda: _l1(lambda m: (m @ torch.ones(7)).sum()),
    },
    "7.3": {
        "not-normalised": lambda: _cosines(_square, _same, _same),
        "one-side": lambda: _cosines(_square, _same, _rows),
        "other-side": lambda: _cosines(_square, _rows, _same),
        "columns": lambda: _cosines(_square, lambda a: normalize(a, dim=0)),
        "whole-matrix": lambda: _cosines(_square, lambda a: a / a.norm()),
        "not-squared": lambda: _cosines(lambda c: c.abs().mean()),
        "no-abs": lambda: _cosines(lambda c: c.mean()),
        "square-of-mean": lambda: _cosines(lambda c: c.mean().square()),
        "sum": lambda: lambda pairs: 2 * _cosines(lambda c: c.square().sum())(pairs),
        "sum-of-layers": lambda: lambda pairs: len(pairs) * overlap_cosine(pairs),
        "own-pairs-only": lambda: _cosines(lambda c: c.diagonal().square().mean()),
        "gradient-cut": lambda: _detached(overlap_cosine, True),
        "knowledge-detached": lambda: _detached(overlap_cosine, False),
        "changes-its-input": lambda: _writes_rows,
    },
    "7.4": {
        "radians": lambda: _angles(torch.deg2rad),
        "largest-first": lambda: _angles(lambda angles: angles.flip(0)),
        "cosines": lambda: _angles(lambda angles: angles.deg2rad().cos()),
        "sines": lambda: _angles(lambda angles: 90 - angles),
        "no-basis": lambda: _of(lambda a, b: a @ b.T),
        "unit-rows": lambda: _of(lambda a, b: normalize(a, dim=-1) @ normalize(b, dim=-1).T),
        "shape": lambda: _all_pairs,
        "not-clamped": lambda: _not_clamped,
        "changes-its-input": lambda: lambda a, b: principal_angles(a.mul_(2), b),
        "stopped": lambda: _of(lambda a, b: torch.linalg.qr(a).Q @ torch.linalg.qr(b).Q),
    },
    "7.5": {
        "kept-the-part": lambda: _inside,
        "mirrored": lambda: lambda a, q: a - 2 * _inside(a, q),
        "added": lambda: lambda a, q: a + _inside(a, q),
        "half": lambda: lambda a, q: a - _inside(a, q) / 2,
        "first-direction": lambda: lambda a, q: take_out(a, q[:, :1]),
        "unchanged": lambda: lambda a, q: a.clone(),
        "coordinates": lambda: lambda a, q: a @ q,
        "takes-more": lambda: _takes_more,
        "changes-its-input": lambda: lambda a, q: a.sub_(_inside(a, q)),
        "stopped": lambda: lambda a, q: a - q @ q.T @ a,
    },
    "7.6": {
        "wrong-run P": lambda: _diagnosis("run P"),
        "wrong-run Q": lambda: _diagnosis("run Q"),
        "wrong-run R": lambda: _diagnosis("run R"),
        "form": lambda: {"run P": "no idea"},
    },
}

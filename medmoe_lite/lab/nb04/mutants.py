"""Typical wrong answers to the exercises of notebook 04, by the mistake each makes.

The tests run every check against every one of them: the check has to name this very mistake.
They also serve as a teacher's list of what to expect.
"""

import math
from typing import Any

import torch
from torch.special import entr

from medmoe_lite.lab.nb04.failure import CAUSES, SICK
from medmoe_lite.lab.nb04.reference import dials, expert_load


def _share(counts: Any) -> Any:
    return counts / counts.sum()


def _zeroes_in_place(weights, mask):
    weights[mask == 0] = 0
    return _share((weights > 0).sum((0, 1)))


def _per_sentence(weights, mask):
    found = [_share((w[m.bool()] > 0).sum(0)) for w, m in zip(weights, mask, strict=True)]
    return torch.stack(found).mean(0)


def _first_choices(weights, mask):
    chosen = weights.argmax(-1)[mask.bool()]
    return _share(torch.bincount(chosen, minlength=weights.shape[-1]))


def _masked_counts(weights, mask):
    return ((weights > 0) * mask[..., None]).sum((0, 1))


LOAD = {
    "padding-counted": lambda w, m: _share((w > 0).sum((0, 1))),
    "padding-in-the-divisor": lambda w, m: _masked_counts(w, m) / (w > 0).sum(),
    "weights-not-counts": lambda w, m: w[m.bool()].mean(0),
    "sums-to-k": lambda w, m: (w[m.bool()] > 0).float().mean(0),
    "not-divided": _masked_counts,
    "largest-only": _first_choices,
    "sentence-by-sentence": _per_sentence,
    "mask-as-numbers": lambda w, m: _share((w[m] > 0).flatten(0, -2).sum(0)),
    "changes-its-input": _zeroes_in_place,
    "shape": lambda w, m: (w > 0).sum(1) / m.sum(1, keepdim=True),
    "no-tensor": lambda w, m: expert_load(w, m).tolist(),
}


def _dials(evenness: Any = None, busiest: Any = None, dead: Any = None) -> Any:
    """The right dials with one of them computed another way."""

    def mutant(load):
        found = dials(load)
        parts = zip((evenness, busiest, dead), found, strict=True)
        return tuple(value if other is None else other(load) for other, value in parts)

    return mutant


DIALS = {
    "in-nats": _dials(evenness=lambda v: float(entr(v).sum())),
    "in-bits": _dials(evenness=lambda v: float(entr(v).sum() / math.log(2))),
    "base-ten": _dials(evenness=lambda v: float(entr(v).sum() / math.log(10))),
    "nan": _dials(evenness=lambda v: float(-(v * v.log()).sum() / math.log(len(v)))),
    "sign": _dials(evenness=lambda v: -dials(v).evenness),
    "only-the-living": _dials(
        evenness=lambda v: float(entr(v).sum() / math.log(int((v > 0).sum())))
    ),
    "always-eight": _dials(evenness=lambda v: float(entr(v).sum() / math.log(8))),
    "index-not-share": _dials(busiest=lambda v: int(v.argmax())),
    "not-a-share": _dials(busiest=lambda v: float(v.max() * len(v))),
    "swapped": lambda v: (dials(v).evenness, dials(v).dead, dials(v).busiest),
    "only-zeros": _dials(dead=lambda v: int((v == 0).sum())),
    "fixed-threshold": _dials(dead=lambda v: int((v < 0.1).sum())),
    "dead-share": _dials(dead=lambda v: dials(v).dead / len(v)),
    "no-triple": lambda v: dials(v).evenness,
}


def _unmasked(p, mask):
    flat = p.flatten(0, 1)
    return float((entr(flat.mean(0)).sum() - entr(flat).sum(-1).mean()) / math.log(p.shape[-1]))


def _halves(p, mask):
    rows = p[mask.bool()]
    return float(entr(rows.mean(0)).sum()), float(entr(rows).sum(-1).mean())


def _log_of_zero(p, mask):
    rows = p[mask.bool()]
    mean = rows.mean(0)
    gain = (rows * rows.log()).sum(-1).mean() - (mean * mean.log()).sum()
    return float(gain / math.log(p.shape[-1]))


def _told_by_sentence(p, mask):
    rows = [one[keep.bool()] for one, keep in zip(p, mask, strict=True)]
    gains = [float(entr(r.mean(0)).sum() - entr(r).sum(-1).mean()) for r in rows]
    return sum(gains) / len(gains) / math.log(p.shape[-1])


def _told(combine: Any) -> Any:
    return lambda p, mask: combine(*_halves(p, mask), math.log(p.shape[-1]))


INFORMATION = {
    "padding-counted": _unmasked,
    "sign": _told(lambda of, mean, unit: (mean - of) / unit),
    "only-entropy-of-mean": _told(lambda of, mean, unit: of / unit),
    "only-mean-entropy": _told(lambda of, mean, unit: mean / unit),
    "in-nats": _told(lambda of, mean, unit: of - mean),
    "in-bits": _told(lambda of, mean, unit: (of - mean) / math.log(2)),
    "added": _told(lambda of, mean, unit: (of + mean) / unit),
    "nan": _log_of_zero,
    "sentence-by-sentence": _told_by_sentence,
    "shape": lambda p, mask: entr(p).sum(-1),
    "no-number": lambda p, mask: list(_halves(p, mask)),
}


def _balance(load: Any = None, mean: Any = None, combine: Any = None) -> Any:
    """The balance loss with another load, another P, or put together another way."""

    def mutant(weights, probabilities, mask):
        f = load(weights, mask) if load else expert_load(weights, mask)
        p = probabilities[mask.bool()].mean(0)
        if mean:
            p = mean(weights, probabilities, mask)
        return combine(f, p) if combine else len(p) * (f * p).sum()

    return mutant


def _everything(weights, mask):
    return expert_load(weights, torch.ones_like(mask))


def _token_by_token(weights, probabilities, mask):
    load = (weights > 0) / (weights > 0).sum(-1, keepdim=True)
    return weights.shape[-1] * (load * probabilities).sum(-1)[mask.bool()].mean()


BALANCE = {
    "no-experts": _balance(combine=lambda f, p: (f * p).sum()),
    "mean-not-sum": _balance(combine=lambda f, p: (f * p).mean()),
    "sums-to-k": _balance(load=lambda w, m: (w[m.bool()] > 0).float().mean(0)),
    "padding-counted": _balance(load=_everything, mean=lambda w, p, m: p.mean((0, 1))),
    "padding-in-p": _balance(mean=lambda w, p, m: p.mean((0, 1))),
    "padding-in-the-load": _balance(load=_everything),
    "weights-as-load": _balance(load=lambda w, m: w[m.bool()].mean(0)),
    "weights-as-p": _balance(mean=lambda w, p, m: w[m.bool()].mean(0)),
    "load-squared": _balance(combine=lambda f, p: len(p) * (f * f).sum()),
    "p-squared": _balance(combine=lambda f, p: len(p) * (p * p).sum()),
    "token-by-token": _token_by_token,
    "no-gradient": _balance(mean=lambda w, p, m: p.detach()[m.bool()].mean(0)),
    "no-tensor": lambda *given: _balance()(*given).item(),
    "shape": _balance(combine=lambda f, p: len(p) * f * p),
}


def _settings(**changed: Any) -> Any:
    def mutant(n):
        r = 32 // n
        right = {"num_experts": n, "r": r, "lora_alpha": 2 * r, "top_k": min(2, n)}
        return right | {key: value(n) for key, value in changed.items()}

    return mutant


SWEEP = {
    "budget": _settings(r=lambda n: 4, lora_alpha=lambda n: 8),
    "scale": _settings(lora_alpha=lambda n: 8),
    "more-open": _settings(top_k=lambda n: 2),
    "top-k": _settings(top_k=lambda n: max(1, n // 4)),
    "not-whole": _settings(r=lambda n: 32 / n, lora_alpha=lambda n: 64 / n),
    "experts": _settings(num_experts=lambda n: 8),
    "keys": lambda n: {"n": n, "r": 32 // n},
    "no-dict": lambda n: (n, 32 // n, 64 // n, 2),
}


def _diagnosis(**changed: Any) -> Any:
    return {**SICK, **{name.replace("_", " "): cause for name, cause in changed.items()}}


DIAGNOSIS = {
    "wrong-run P": _diagnosis(run_P=CAUSES[4]),
    "wrong-run Q": _diagnosis(run_Q=CAUSES[3]),
    "wrong-run R": _diagnosis(run_R=CAUSES[3]),
    "form": {"run P": "it is sick"},
}


def _ready(found: dict[str, Any]) -> dict[str, Any]:
    """Each wrong answer behind a function that hands it out."""
    return {name: (lambda answer=answer: answer) for name, answer in found.items()}


MUTANTS = {
    "4.1": _ready(LOAD),
    "4.2": _ready(DIALS),
    "4.3": _ready(INFORMATION),
    "4.4": _ready(BALANCE),
    "4.5": _ready(SWEEP),
    "4.6": _ready(DIAGNOSIS),
}

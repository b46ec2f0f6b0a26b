"""Checks of notebook 04 whose answers are plain numbers: the dials and the information."""

import math
from typing import Any

import torch
from torch import Tensor

from medmoe_lite.lab.checks import Verdict, not_attempted, right, wrong
from medmoe_lite.lab.nb04 import reference
from medmoe_lite.lab.nb04.case import MASK, B, E, batch

LOAD = (0.46, 0.3, 0.12, 0.06, 0.04, 0.012, 0.008, 0.0)  # of 8 experts, the last three dead
UNITS = {
    "in-nats": (math.log(8), "nats"),
    "in-bits": (math.log2(8), "bits"),
    "base-ten": (math.log10(8), "digits"),
}


def _near(got: float, want: float) -> bool:
    return abs(got - want) < 1e-4


def check_dials(dials: Any) -> Verdict:
    """4.2: `dials(load)` returns (evenness, busiest, dead)."""
    load = torch.tensor(LOAD)
    given = load.clone()
    got = dials(given)
    if got is None or got is Ellipsis:
        return not_attempted()
    if not isinstance(got, tuple | list) or len(got) != 3:
        return wrong("no-triple", f"it returns {got!r}; return (evenness, busiest, dead).")
    if not torch.equal(given, load):
        return wrong("changes-its-input", "your function changed the load it was given.")
    evenness, busiest, dead = (float(part) for part in got)
    want = reference.dials(load)
    if math.isnan(evenness):
        text = "evenness is nan: 0 · log 0. An expert that is never chosen has share 0. "
        return wrong("nan", text + "Clamp before the log, or use torch.special.entr.")
    if _near(evenness, -want.evenness):
        return wrong("sign", f"evenness is {evenness:.2f}: entropy has a minus in front.")
    for name, (unit, word) in UNITS.items():
        if _near(evenness, want.evenness * unit):
            text = f"evenness is {evenness:.2f}, an entropy in {word}. Divide by log e in the same "
            return wrong(name, text + f"unit, {unit:.2f} for 8 experts: then 1 is even.")
    alive = [share for share in LOAD if share > 0]
    if _near(evenness, want.evenness * math.log(8) / math.log(len(alive))):
        text = f"it was divided by the log of {len(alive)}: experts that are never chosen are "
        return wrong("only-the-living", text + "experts as well, e is 8.")
    if not _near(evenness, want.evenness):
        text = f"evenness is {evenness:.3f} for a load whose entropy is "
        text += f"{want.evenness * math.log(8):.3f} nats with 8 experts."
        return wrong("values", text)
    if not _near(busiest, want.busiest):
        known = {0: ("index-not-share", "that is the number of the busiest expert, not its share"),
                 8 * want.busiest: ("not-a-share", "that is in units of an even share"),
                 want.dead: ("swapped", "the order is evenness, busiest, dead")}  # fmt: skip
        for value, (name, words) in known.items():
            if _near(busiest, value):
                return wrong(name, f"busiest is {busiest:g}: {words}.")
        return wrong("busiest", f"busiest is {busiest:g}; the largest share is {want.busiest}.")
    if dead != want.dead:
        known = {1: ("only-zeros", "only the one that is never chosen counts"),
                 5: ("fixed-threshold", "you count shares below 0.1; the limit is a tenth of an "
                     "even share, 0.1 / e = 0.0125"),
                 want.dead / 8: ("dead-share", "that is a share; count them")}  # fmt: skip
        for value, (name, words) in known.items():
            if _near(dead, value):
                return wrong(name, f"dead is {dead:g}: {words}.")
        return wrong("dead", f"dead is {dead:g}; {want.dead} shares are below 0.1 / e = 0.0125.")
    even = tuple(float(part) for part in dials(torch.full((5,), 0.2)))
    if not _near(even[0], 1):
        text = f"with 5 experts alike evenness is {even[0]:.2f}, not 1: take e from the load."
        return wrong("always-eight", text)
    return right(f"evenness {evenness:.2f}, busiest {busiest:.2f}, {int(dead)} of 8 dead.")


def _entropy(p: Tensor) -> Tensor:
    return torch.special.entr(p).sum(-1)


def check_information(information: Any) -> Verdict:
    """4.3: `information(probabilities, mask)`."""
    _, p = batch()
    p[0, 0] = torch.eye(E)[1]  # a token that is sure: its other probabilities are 0
    given = p.clone()
    got = information(given, MASK.clone())
    if got is None or got is Ellipsis:
        return not_attempted()
    if not isinstance(got, Tensor | float | int):
        return wrong("no-number", f"it returns {type(got).__name__}; return one number.")
    if isinstance(got, Tensor) and got.numel() != 1:
        return wrong("shape", f"it returns {tuple(got.shape)}; return one number for the router.")
    if not torch.equal(given, p):
        text = "your function changed the probabilities it was given."
        return wrong("changes-its-input", text)
    value, unit = float(got), math.log(E)
    if math.isnan(value):
        text = "it is nan: 0 · log 0. A token that is quite sure has probabilities of 0. "
        return wrong("nan", text + "Use torch.special.entr, or clamp before the log.")
    real = p[MASK.bool()]
    of_mean, mean_of = float(_entropy(real.mean(0))), float(_entropy(real).mean())
    want = (of_mean - mean_of) / unit
    everything = float(_entropy(p.mean((0, 1))) - _entropy(p).mean()) / unit
    rows = [p[i][MASK[i].bool()] for i in range(B)]
    sentence = sum(float(_entropy(r.mean(0)) - _entropy(r).mean()) for r in rows) / unit / B
    usual = {
        "padding-counted": (everything, "padding is counted: its tokens are all alike."),
        "sign": (-want, "it is negative: entropy of the mean comes first, then minus."),
        "only-entropy-of-mean": (
            of_mean / unit,
            "this is the entropy of the mean alone: dice would get 1. Subtract what each token "
            "leaves open.",
        ),
        "only-mean-entropy": (
            mean_of / unit,
            "this is the mean of the tokens' entropies alone: how unsure a token is.",
        ),
        "in-nats": (want * unit, f"it is in nats: divide by log e, {unit:.2f}."),
        "in-bits": (want * math.log2(E), "it is in bits: divide by the largest entropy."),
        "sentence-by-sentence": (
            sentence,
            "each sentence was measured alone, then averaged. Take all real tokens together.",
        ),
        "added": ((of_mean + mean_of) / unit, "the two entropies are added; subtract."),
    }
    for name, (number, words) in usual.items():
        if _near(value, number):
            return wrong(name, f"it gives {value:.3f}: {words}")
    if not _near(value, want):
        return wrong("values", f"it gives {value:.3f}, it should be {want:.3f}.")
    return right(f"{want:.3f} of 1: real tokens differ a little in their favourites.")

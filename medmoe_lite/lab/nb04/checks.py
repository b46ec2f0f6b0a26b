"""Checks of notebook 04: load, dials, information, balance loss, a fair sweep, diagnosis.

Every test compares with numbers worked out here from a small batch with padding in it, and with
the numbers that the usual mistakes would give: that is how a check knows which mistake it is.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from medmoe_lite.lab.checks import Exercise, Verdict, not_attempted, right, wrong
from medmoe_lite.lab.compare import largest_difference, same
from medmoe_lite.lab.diagnosis import diagnosis
from medmoe_lite.lab.nb04 import check_scalars, reference
from medmoe_lite.lab.nb04.case import MASK, PADDED, REAL, B, E, K, T, batch
from medmoe_lite.lab.nb04.failure import CAUSES, SICK, evidence
from medmoe_lite.lab.nb04.hints import HINTS
from medmoe_lite.lab.nb04.mutants import MUTANTS


def _named(got: Tensor, usual: Mapping[str, tuple[Tensor, str]]) -> Verdict | None:
    """The verdict of the first usual mistake that gives these very numbers."""
    for mistake, (numbers, words) in usual.items():
        if got.shape == numbers.shape and same(got.double(), numbers.double()):
            return wrong(mistake, words)
    return None


def _normal(values: Tensor) -> Tensor:
    return values / values.sum()


def check_load(expert_load: Any) -> Verdict:
    """4.1: `expert_load(weights, mask)`."""
    weights, _ = batch()
    given, mask = weights.clone(), MASK.clone()
    got = expert_load(given, mask)
    if got is None or got is Ellipsis:
        return not_attempted()
    if not isinstance(got, Tensor):
        return wrong("no-tensor", f"it returns {type(got).__name__}; return a tensor (e,).")
    if not (same(given, weights) and torch.equal(mask, MASK)):
        text = "your function changed the weights or the mask it was given. Work on a copy: the "
        return wrong("changes-its-input", text + "model still needs them.")
    if got.shape != (E,):
        text = f"the shape is {tuple(got.shape)}, it should be ({E},), one number an expert: "
        return wrong("shape", text + "sum over sentences and tokens.")
    open_experts = (weights > 0).double()
    real = open_experts[MASK.bool()]
    counts, chosen = real.sum(0), PADDED * K
    first = torch.nn.functional.one_hot(weights.argmax(-1), E)[MASK.bool()].double()
    sentence = [_normal(open_experts[i][MASK[i].bool()].sum(0)) for i in range(B)]
    usual = {
        "padding-counted": (
            _normal(open_experts.sum((0, 1))),
            f"{B * T} tokens are counted, {REAL} of them are real: leave the padding out.",
        ),
        "padding-in-the-divisor": (
            counts / chosen,
            f"the shares sum to {float(counts.sum() / chosen):.2f}: padding is out of the counts "
            "and still in what they are divided by.",
        ),
        "weights-not-counts": (
            weights[MASK.bool()].mean(0),
            "these are the mean weights. Count choices: an open expert counts 1, whatever its "
            "weight.",
        ),
        "sums-to-k": (
            counts / REAL,
            f"they sum to {K}: {REAL} tokens make {REAL * K} choices. Divide by the choices.",
        ),
        "not-divided": (counts, f"these are counts, {int(counts.sum())} in all; divide by that."),
        "largest-only": (
            _normal(first.sum(0)),
            "only the expert with the largest weight is counted; every open one works.",
        ),
        "sentence-by-sentence": (
            torch.stack(sentence).mean(0),
            "each sentence counts the same, however long it is. Count all tokens together.",
        ),
        "mask-as-numbers": (
            _normal(open_experts[MASK].flatten(0, -2).sum(0)),
            "weights[mask] with a mask of whole numbers picks sentences 0 and 1 by number. "
            "Use mask.bool().",
        ),
    }
    if verdict := _named(got, usual):
        return verdict
    if not same(got.double(), _normal(counts)):
        gap = largest_difference(got, _normal(counts))
        return wrong("values", f"it sums to {float(got.sum()):.2f} and is off by {gap:.2g}.")
    return right(f"{REAL} real tokens make {REAL * K} choices; the load sums to 1.")


def check_balance(balance_loss: Any) -> Verdict:
    """4.4: `balance_loss(weights, probabilities, mask)`."""
    weights, probabilities = batch()
    given = probabilities.clone().requires_grad_()
    got = balance_loss(weights.clone(), given, MASK.clone())
    if got is None or got is Ellipsis:
        return not_attempted()
    if not isinstance(got, Tensor):
        text = f"it returns {type(got).__name__}; return a tensor, so that a gradient can flow."
        return wrong("no-tensor", text)
    if got.numel() != 1:
        return wrong("shape", f"it returns {tuple(got.shape)}; return one number: sum it up.")
    keep = MASK.bool()
    load, mean = reference.expert_load(weights, MASK), probabilities[keep].mean(0)
    ones = torch.ones_like(MASK)
    all_load, all_mean = reference.expert_load(weights, ones), probabilities.mean((0, 1))
    want = E * (load * mean).sum()
    token = E * ((weights > 0) / K * probabilities).sum(-1)[keep].mean()
    usual = {
        "no-experts": (want / E, f"it is 1 / {E} of the right number: multiply by e."),
        "sums-to-k": (K * want, f"it is {K} times the right one: the load has to sum to 1."),
        "mean-not-sum": (want / E / E, "this is a mean over experts; take e times the sum."),
        "padding-counted": (
            E * (all_load * all_mean).sum(),
            "padding counts in the load and in P. Leave it out of both.",
        ),
        "padding-in-p": (
            E * (load * all_mean).sum(),
            "padding counts in P: its probabilities are in your mean.",
        ),
        "padding-in-the-load": (E * (all_load * mean).sum(), "padding counts in the load."),
        "weights-as-load": (
            E * (weights[keep].mean(0) * mean).sum(),
            "the load was taken from the weights. Count choices, with expert_load.",
        ),
        "weights-as-p": (
            E * (load * weights[keep].mean(0)).sum(),
            "P was taken from the weights; closed experts have probability too.",
        ),
        "load-squared": (E * (load * load).sum(), "the probabilities are not used."),
        "p-squared": (E * (mean * mean).sum(), "the load is not used."),
        "token-by-token": (
            token,
            "every single token is asked to spread. Take means over all tokens first, and "
            "multiply after that.",
        ),
    }
    if verdict := _named(got.detach().reshape(()), usual):
        return verdict
    if not same(got.detach().reshape(()).double(), want.double()):
        text = f"it gives {float(got.detach()):.3f}, it should be {float(want):.3f}."
        return wrong("values", text)
    if got.requires_grad:
        got.sum().backward()
    if given.grad is None or not bool(given.grad.any()):
        text = "the number is right, but no gradient comes back to the probabilities: this loss "
        return wrong("no-gradient", text + "cannot move a router. Leave out detach and float().")
    return right(f"{float(want):.3f} here, 1 where even; the gradient flows through P.")


def check_sweep(same_rank: Any) -> Verdict:
    """4.5: `same_rank(n)`."""
    found = {}
    for n in (1, 2, 4, 8, 16):
        found[n] = got = same_rank(n)
        if got is None or got is Ellipsis:
            return not_attempted()
        if not isinstance(got, dict):
            return wrong("no-dict", f"it returns {type(got).__name__}; return a dict.")
        keys = {"num_experts", "r", "lora_alpha", "top_k"}
        if set(got) != keys:
            return wrong("keys", f"give exactly {', '.join(sorted(keys))}; you give {list(got)}.")
        if any(not isinstance(value, int) for value in got.values()):
            return wrong("not-whole", f"{got}: all four are whole numbers. Divide with //.")
    for n in (2, 4, 8, 16, 1):
        got = found[n]
        if got["num_experts"] != n:
            return wrong("experts", f"for n = {n} there are {got['num_experts']} experts.")
        if got["num_experts"] * got["r"] != 32:
            text = f"n = {n}: {n} experts of rank {got['r']} have {n * got['r']} columns, not 32."
            return wrong("budget", text)
        if got["lora_alpha"] != 2 * got["r"]:
            scale = got["lora_alpha"] / got["r"]
            text = f"n = {n}: lora_alpha / r is {scale:g}, not 2: the experts of one setting "
            return wrong("scale", text + "would shout louder than those of another.")
        if got["top_k"] > n:
            return wrong("more-open", f"n = {n}: {got['top_k']} open experts, there is {n}.")
        if got["top_k"] != min(2, n):
            return wrong("top-k", f"n = {n}: {got['top_k']} experts are open; at most 2 should be.")
    return right("32 rank columns and scale 2 in every setting; only the cut differs.")


check_diagnosis = diagnosis(
    SICK,
    CAUSES,
    evidence,
    "all causes found. P spreads every token, so tokens decide less. Q never moves. R is even by "
    "its own count only, as padding is in it. No single dial shows all three.",
)


def _bank(key: str, title: str, test: Any, answer: Any) -> Exercise:
    return Exercise(key, title, test, HINTS[key], lambda: answer, MUTANTS[key])


BANK = (
    _bank("4.1", "the load of the experts", check_load, reference.expert_load),
    _bank("4.2", "three dials", check_scalars.check_dials, reference.dials),
    _bank("4.3", "what the token decides", check_scalars.check_information, reference.information),
    _bank("4.4", "the balance loss", check_balance, reference.balance_loss),
    _bank("4.5", "a fair sweep", check_sweep, reference.same_rank),
    _bank("4.6", "diagnose three sick runs", check_diagnosis, SICK),
)

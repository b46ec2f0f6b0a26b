"""Checks of notebook 06: joining experts, the layer of two parts, the drop, diagnosis.

Every test compares with numbers worked out here, not with the answer key, and with the numbers
that the usual mistakes would give: that is how a check knows which mistake it is. Exercises 6.4
and 6.5 are judged in `checks_measures`.
"""

from typing import Any

import torch
from torch import Tensor, nn

from medmoe_lite.lab.checks import Exercise, Verdict, not_attempted, right, wrong
from medmoe_lite.lab.compare import factor, largest_difference, named_factor, same, untouched
from medmoe_lite.lab.diagnosis import diagnosis
from medmoe_lite.lab.lora import LoRALinear
from medmoe_lite.lab.nb06 import layer as key
from medmoe_lite.lab.nb06.checks_layer import check_layer
from medmoe_lite.lab.nb06.checks_measures import check_noise, check_rank
from medmoe_lite.lab.nb06.failure import CAUSES, SICK, evidence
from medmoe_lite.lab.nb06.hints import HINTS
from medmoe_lite.lab.nb06.mutants import MUTANTS

N, R, D_IN, D_OUT, ALPHA = 2, 3, 7, 5, 4.5  # shared experts, rank of one, widths, alpha


def _numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def check_join(join_shared: Any) -> Verdict:
    """6.1: `join_shared(A, B, alpha)` returns the A, B and alpha of one LoRA."""
    A, B, x = _numbers(N, R, D_IN, seed=1), _numbers(N, D_OUT, R, seed=2), _numbers(4, D_IN)
    with untouched(A=A, B=B):
        got = join_shared(A, B, ALPHA)
    if got is None or got is Ellipsis:
        return not_attempted()
    if not isinstance(got, tuple | list) or len(got) != 3:
        return wrong("no-triple", "return three things: A, B and alpha of the one LoRA.")
    one_A, one_B, alpha = got
    if not (isinstance(one_A, Tensor) and isinstance(one_B, Tensor)):
        return wrong("no-triple", "the first two of the three should be tensors: A and B.")
    if (tuple(one_A.shape), tuple(one_B.shape)) != ((N * R, D_IN), (D_OUT, N * R)):
        shapes = f"A {tuple(one_A.shape)}, B {tuple(one_B.shape)}"
        wanted = f"A {(N * R, D_IN)}, B {(D_OUT, N * R)}"
        if tuple(one_A.shape) == (R, D_IN):
            text = f"{shapes}: the experts were added or averaged. B A of a sum is another thing "
            return wrong(
                "averaged", text + f"than the sum of B A. Write them side by side: {wanted}"
            )
        return wrong("shapes", f"{shapes}; for {N} experts of rank {R} it should be {wanted}.")
    each = torch.einsum("td,erd,eor->to", x, A, B)
    want = ALPHA / R * each
    update = (x @ one_A.T @ one_B.T) * (float(alpha) / (N * R))
    scales = {"alpha-unchanged": 1 / N, "alpha-divided": 1 / N**2, "a-scale": 1 / (N * R)}
    if (name := named_factor(update, want, scales)) is not None:
        text = {
            "alpha-unchanged": "a LoRA of rank n r divides its alpha by n r. So alpha must grow.",
            "alpha-divided": "alpha was divided by n. It has to grow with n.",
            "a-scale": "this is the scale alpha / r. Return the alpha that, divided by n r, "
            "gives it.",
        }[name]
        return wrong(name, f"the update is {factor(update, want):.3g} times the right one: {text}")
    mixed = x @ A.reshape(N * R, D_IN).T @ B.reshape(D_OUT, N * R).T
    if factor(update, mixed) is not None:
        text = "B was reshaped without moving its axes: (n, d_out, r) first becomes (d_out, n, r)."
        return wrong("b-not-permuted", text)
    if not same(update, want):
        return wrong("values", f"the update is off by {largest_difference(update, want):.2g}.")
    return right(f"one LoRA of rank {N * R} gives the sum of {N} experts, at scale alpha / r.")


def trained_layer() -> key.KnowledgeNoiseLinear:
    """A layer of two parts with numbers in every B, as if it had learnt."""
    torch.manual_seed(0)
    layer = key.KnowledgeNoiseLinear(nn.Linear(D_IN, D_OUT), 4, 2, R, ALPHA, N)
    with torch.no_grad():
        layer.shared_B.copy_(_numbers(D_OUT, N * R, seed=3))
        layer.B.copy_(_numbers(4, D_OUT, R, seed=4))
    return layer


def check_drop(drop: Any) -> Verdict:
    """6.3: `drop(layer)` returns the plain LoRA that is left."""
    layer, x = trained_layer(), _numbers(9, D_IN)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    got = drop(layer)
    if got is None or got is Ellipsis:
        return not_attempted()
    after = layer.state_dict()
    if list(after) != list(before) or any(not same(after[n], v, 0.0) for n, v in before.items()):
        text = "the layer you were given has changed. Leave it whole and return a new one: the "
        return wrong("changes-its-input", text + "notebook compares before and after.")
    if layer.closed:
        text = "you closed the experts of the layer you were given. Return a new layer instead."
        return wrong("changes-its-input", text)
    if not isinstance(got, nn.Module):
        return wrong("no-layer", f"it returns {type(got).__name__}; return a LoRALinear.")
    with torch.no_grad():
        base, out = layer.base(x), got(x)
        full = layer(x) - base
    shared = layer.scale * (x @ layer.shared_A.T @ layer.shared_B.T).detach()
    if out.shape != base.shape:
        return wrong("shape", f"its output is {tuple(out.shape)}, not {tuple(base.shape)}.")
    update = out - base
    if same(update, full):
        text = "the output is that of the whole layer: the routed experts still work."
        return wrong("still-active", text)
    kept = sum(p.numel() for n, p in got.named_parameters() if not n.startswith("base."))
    wanted = layer.shared_A.numel() + layer.shared_B.numel()
    if same(update, torch.zeros_like(update)):
        text = "the output is the base's: the shared pair was not put into the new layer."
        return wrong("pair-not-loaded", text)
    scales = {"scale-over-all-ranks": 1 / N, "no-scale": 1 / layer.scale}
    if (name := named_factor(update, shared, scales)) is not None:
        text = f"the update is {factor(update, shared):.3g} times the shared expert's. Its scale "
        return wrong(name, text + "stays alpha / r; LoRALinear divides its alpha by n r.")
    for expert in range(4):
        own = x @ layer.A[expert].detach().T @ layer.B[expert].detach().T
        if factor(update, own) is not None:
            text = f"this is routed expert {expert}. Keep shared_A and shared_B, not A and B."
            return wrong("wrong-pair", text)
    if not same(update, shared):
        return wrong("values", f"the update is off by {largest_difference(update, shared):.2g}.")
    if kept > wanted:
        text = f"the output is right, and {kept - wanted} numbers of the routed part are still "
        return wrong("numbers-left", text + "inside. They would be saved and loaded again.")
    if not isinstance(got, LoRALinear):
        return wrong("no-layer", f"it returns {type(got).__name__}; return a LoRALinear.")
    return right(f"output = base + shared expert; {kept} numbers stay, the routed part is gone.")


check_diagnosis = diagnosis(
    SICK,
    CAUSES,
    evidence,
    "all causes found. None of them raises an error: only the dials tell them apart.",
)


def _bank(number: str, title: str, test: Any, reference: Any) -> Exercise:
    return Exercise(number, title, test, HINTS[number], lambda: reference, MUTANTS[number])


BANK = (
    _bank("6.1", "shared experts as one LoRA", check_join, key.join_shared),
    _bank("6.2", "the layer of two parts", check_layer, key.KnowledgeNoiseLinear),
    _bank("6.3", "the drop", check_drop, key.drop),
    _bank("6.4", "noise dropout", check_noise, key.close_noise),
    _bank("6.5", "rank correlation", check_rank, key.rank_correlation),
    _bank("6.6", "diagnose three bad drops", check_diagnosis, SICK),
)

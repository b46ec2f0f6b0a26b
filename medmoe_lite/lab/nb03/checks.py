"""Checks of notebook 03: top-k weights, the loop, the stack, the layer, counting, diagnosis.

Every test compares with numbers worked out here, not with the answer key, and with the numbers
that the usual mistakes would give: that is how a check knows which mistake it is.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from medmoe_lite.lab import molora
from medmoe_lite.lab.checks import Exercise, Verdict, not_attempted, right, wrong
from medmoe_lite.lab.compare import factor, largest_difference, named_factor, same, untouched
from medmoe_lite.lab.diagnosis import diagnosis
from medmoe_lite.lab.nb03.failure import CAUSES, SICK, evidence
from medmoe_lite.lab.nb03.hints import HINTS
from medmoe_lite.lab.nb03.mutants import MUTANTS

E, K, R, D_IN, D_OUT = 4, 2, 3, 7, 6  # experts, open, rank of one, widths: all different


def _numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _named(got: Tensor, usual: Mapping[str, tuple[Tensor, str]]) -> Verdict | None:
    """The verdict of the first usual mistake that gives these very numbers."""
    for mistake, (numbers, words) in usual.items():
        if got.shape == numbers.shape and same(got, numbers):
            return wrong(mistake, words)
    return None


def _keep(values: Tensor, by: Tensor, k: int = K) -> Tensor:
    """`values` where `by` is among the k largest of its row, else 0."""
    threshold = by.sort(-1, descending=True).values[..., k - 1 : k]
    return values * (by >= threshold)


def _normal(values: Tensor) -> Tensor:
    return values / values.sum(-1, keepdim=True)


def check_weights(top_k_weights: Any) -> Verdict:
    """3.1: `top_k_weights(logits, k)`."""
    logits = 2 * _numbers(3, 5, E) - 1
    with untouched(logits=logits):
        got = top_k_weights(logits, K)
    if got is None or got is Ellipsis:
        return not_attempted()
    if isinstance(got, tuple):
        text = f"it returns {len(got)} things; return one tensor of weights, (..., e)."
        return wrong("returns-a-pair", text)
    if not isinstance(got, Tensor):
        return wrong("no-tensor", f"it returns {type(got).__name__}; return a tensor.")
    if not got.is_floating_point():
        text = (
            f"these are whole numbers such as {int(got.flatten()[0])}: the places of the experts."
        )
        return wrong("indices-only", text + " Return their weights.")
    if got.shape != logits.shape:
        text = f"the shape is {tuple(got.shape)}, logits have {tuple(logits.shape)}: put the k "
        return wrong("not-scattered", text + "weights back to their places among e experts.")
    p = logits.softmax(-1)
    sorted_values = torch.zeros_like(p)
    sorted_values[..., :K] = _normal(p.sort(-1, descending=True).values[..., :K])
    zeroed = _keep(logits, logits).softmax(-1)
    usual = {
        "no-top-k": (p, f"{E} of {E} experts are open for every token; keep the {K} largest."),
        "no-renormalise": (
            _keep(p, p),
            f"the weights of the first token sum to {_keep(p, p)[0, 0].sum():.2f}, not to 1: "
            "divide by the sum of those that were kept.",
        ),
        "masked-with-zero": (
            zeroed,
            "closed experts still have weight: exp(0) is 1. Mask with minus infinity, "
            "or cut after the softmax.",
        ),
        "by-size": (
            _normal(_keep(p, logits.abs())),
            "the experts were chosen by |logit|: a strongly negative logit means closed.",
        ),
        "smallest": (_normal(_keep(p, -p)), "the k smallest were kept; keep the largest."),
        "not-in-place": (
            sorted_values,
            "the first k experts are always the open ones: the weights were written to places "
            "0 to k - 1. Write them to the chosen places (scatter).",
        ),
    }
    for axis, over in ((0, "sequences"), (1, "tokens")):
        other = logits.softmax(axis)
        for name, form in ((f"wrong-axis-{axis}", _normal(_keep(other, other))),
                           (f"wrong-axis-{axis}-raw", _keep(other, other))):  # fmt: skip
            text = f"the softmax runs over the {over} (axis {axis}); it belongs to the last axis."
            usual[name] = (form, text)
    if verdict := _named(got, usual):
        mistake = verdict.mistake
        return wrong("wrong-axis", verdict.text) if mistake.startswith("wrong-axis") else verdict
    want = _normal(_keep(p, p))
    if not same(got, want):
        sums = got.sum(-1)
        gap = largest_difference(got, want)
        text = f"off by {gap:.2g}; the weights of the first token sum to {sums[0, 0]:.2f}."
        return wrong("values", text)
    asked = logits.clone().requires_grad_()
    weights = top_k_weights(asked, K)
    flows = weights.requires_grad
    if flows:
        (weights * _numbers(3, 5, E, seed=1)).sum().backward()
    if not flows or asked.grad is None or not bool(asked.grad.any()):
        text = "the numbers are right, but no gradient comes back to the logits: this router "
        return wrong("gradient-cut", text + "cannot learn. Leave out detach, no_grad and .data.")
    return right(f"{K} of {E} experts open for every token, weights sum to 1, the gradient flows.")


def _mixture() -> tuple[Tensor, Tensor, Tensor, Tensor, float]:
    """x, weights, A, B, scale; the weights do not sum to 1, which tells mistakes apart."""
    weights = 0.7 * molora.top_k_weights(_numbers(2, 5, E, seed=3), K)
    A, B = _numbers(E, R, D_IN, seed=1), _numbers(E, D_OUT, R, seed=2)
    return _numbers(2, 5, D_IN), weights, A, B, 2.5


def _each(x: Tensor, A: Tensor, B: Tensor) -> Tensor:
    """Every expert's own answer: (e, ..., d_out)"""
    return torch.einsum("btd,erd,eor->ebto", x, A, B)


def _mix(weights: Tensor, each: Tensor) -> Tensor:
    return torch.einsum("bte,ebto->bto", weights, each)


def _asked(mixture: Any) -> Any:
    """What the learner's mixture returns for these numbers; it must not write to them."""
    x, weights, A, B, scale = _mixture()
    with untouched(x=x, weights=weights, A=A, B=B):
        return mixture(x, weights, A, B, scale)


def _check_mixture(got: Any) -> Verdict | None:
    """The part that loop and stack have in common."""
    x, w, A, B, scale = _mixture()
    each = _each(x, A, B)
    want = scale * _mix(w, each)
    if not isinstance(got, Tensor):
        return wrong("no-tensor", f"it returns {type(got).__name__}; return a tensor.")
    if got.shape != want.shape:
        text = (
            f"the shape is {tuple(got.shape)}; x {tuple(x.shape)} should give {tuple(want.shape)}."
        )
        return wrong("shape", text)
    scales = {"no-scale": 1 / scale, "scale-twice": scale, "mean-of-experts": 1 / E}
    if (name := named_factor(got, want, scales)) is not None:
        text = f"the update is {factor(got, want):.3g} times the right one; it is the sum over "
        return wrong(name, text + "the experts, times scale once.")
    usual = {
        "no-weights": (
            scale * each.sum(0),
            f"all {E} experts answer in full: the weights are unused.",
        ),
        "open-or-closed": (
            scale * _mix((w > 0).float(), each),
            "open experts answer in full. Multiply by the weight itself, not by open or closed.",
        ),
        "weights-squared": (scale * _mix(w * w, each), "the weights are multiplied in twice."),
        "last-only": (
            scale * _mix(torch.eye(E)[-1] * w, each),
            "only the last expert is left: each turn of the loop overwrites the sum.",
        ),
        "largest-only": (
            scale * _mix(w * (w == w.amax(-1, keepdim=True)), each),
            "only the expert with the largest weight answers; all open ones should.",
        ),
        "tiled": (
            scale * _stack(x, w.repeat(1, 1, R), A, B),
            f"the mask repeats as 0 1 2 3 0 1 2 3; the columns of one expert are neighbours: "
            f"0 repeated {R} times, then 1. Use repeat_interleave.",
        ),
        "b-not-permuted": (
            scale * (_mask(x, w, A) @ B.reshape(D_OUT, E * R).T),
            "B was reshaped without moving its axes: (e, d_out, r) first becomes (d_out, e, r).",
        ),
        "mask-after-b": (
            scale * each.sum(0) * w.sum(-1, keepdim=True),
            "the weights reach only the finished sum. The mask belongs between A and B.",
        ),
    }
    if verdict := _named(got, usual):
        return verdict
    gap = largest_difference(got, want)
    return None if same(got, want, 1e-6) else wrong("values", f"it is off by {gap:.2g}.")


def _mask(x: Tensor, w: Tensor, A: Tensor) -> Tensor:
    return (x @ A.reshape(E * R, D_IN).T) * w.repeat_interleave(R, -1)


def _stack(x: Tensor, mask: Tensor, A: Tensor, B: Tensor) -> Tensor:
    return torch.einsum("btn,no->bto", (x @ A.flatten(0, 1).T) * mask, B.mT.flatten(0, 1))


def check_loop(mixture_loop: Any) -> Verdict:
    """3.2: `mixture_loop(x, weights, A, B, scale)`."""
    got = _asked(mixture_loop)
    if got is None or got is Ellipsis:
        return not_attempted()
    if verdict := _check_mixture(got):
        return verdict
    return right("every open expert answers, by its weight; closed experts add nothing.")


class _Products(TorchFunctionMode):
    """Counts matrix products."""

    NAMES = ("matmul", "__matmul__", "__rmatmul__", "linear", "bmm", "mm", "einsum", "baddbmm")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += getattr(func, "__name__", "") in self.NAMES
        return func(*args, **(kwargs or {}))


def check_stacked(mixture_stacked: Any) -> Verdict:
    """3.3: `mixture_stacked(x, weights, A, B, scale)`."""
    with _Products() as products:
        got = _asked(mixture_stacked)
    if got is None or got is Ellipsis:
        return not_attempted()
    if verdict := _check_mixture(got):
        return verdict
    if products.count > 3:
        text = f"the numbers are right, with {products.count} matrix products for {E} experts. "
        return wrong("still-a-loop", text + "Stack the experts and take 2, whatever their number.")
    x, w, A, B = (v.double() for v in _mixture()[:4])
    scale = _mixture()[4]
    gap = largest_difference(mixture_stacked(x, w, A, B, scale), scale * _mix(w, _each(x, A, B)))
    if gap > 1e-10:
        return wrong("values", f"in double precision it is off by {gap:.2g}.")
    small = "below 1e-10" if gap < 1e-10 else f"{gap:.0e}"
    return right(f"{products.count} matrix products; the difference from the loop is {small}.")


def check_layer(layer_class: Any) -> Verdict:
    """3.4: the class `MoLoRALinear(base, num_experts, top_k, r, alpha)`."""
    torch.manual_seed(0)
    base, x, alpha = nn.Linear(6, 6), _numbers(2, 5, 6), 7.5  # square: x and base(x) fit alike
    before = base(x).detach()
    layer = layer_class(base, E, K, R, alpha)
    got = layer(x)
    if got is None or got is Ellipsis:
        return not_attempted()
    missing = [name for name in ("base", "router", "A", "B") if not hasattr(layer, name)]
    if missing:
        return wrong("names", f"the layer has no {', '.join(missing)}; use these very names.")
    if tuple(layer.A.shape) != (E, R, 6) or tuple(layer.B.shape) != (E, 6, R):
        shapes = f"A {tuple(layer.A.shape)}, B {tuple(layer.B.shape)}"
        return wrong("shapes", f"{shapes}; they should be (e, r, d_in) and (e, d_out, r).")
    learning = {id(p) for p in layer.parameters() if p.requires_grad}
    for name, tensor in (("A", layer.A), ("B", layer.B), ("router", layer.router.weight)):
        if id(tensor) not in learning:
            text = f"{name} is not among the parameters that learn: it would stay as it is."
            return wrong("not-learning", text)
    if still := sum(p.numel() for p in base.parameters() if p.requires_grad):
        text = f"{still} numbers of the base still learn; freeze it with requires_grad_(False)."
        return wrong("base-not-frozen", text)
    if bool(layer.B.any()):
        text = f"B is not zero, so the output moves by {largest_difference(got, before):.2g}"
        return wrong("b-not-zero", text + " before anything was learned.")
    if same(layer.A[0].detach(), layer.A[1].detach()):
        text = "all experts begin with the same A: " + (
            "all zero, nothing can learn." if not layer.A.any() else "eight copies, one direction."
        )
        return wrong("equal-experts", text)
    if not same(got.detach(), before):
        if same(got.detach(), torch.zeros_like(before)):
            return wrong("base-missing", "the output is 0: add the base's own output.")
        gap = largest_difference(got, before)
        return wrong(
            "start", f"with B zero the output should be the base's; it is off by {gap:.2g}."
        )
    return _check_trained_layer(layer, base, x, alpha)


def _check_trained_layer(layer: Any, base: nn.Linear, x: Tensor, alpha: float) -> Verdict:
    """The layer with B as if it had learned: scale, routing, gradient."""
    with torch.no_grad():
        layer.B.copy_(_numbers(E, 6, R, seed=2))
    each = _each(x, layer.A, layer.B).detach()
    logits = layer.router(x).detach()
    p, scale = logits.softmax(-1), alpha / R
    want = scale * _mix(_normal(_keep(p, p)), each)
    update = (layer(x) - base(x)).detach()
    scales = {"no-scale": 1 / scale, "alpha-not-divided": R, "divided-by-all-ranks": 1 / E}
    if (name := named_factor(update, want, scales)) is not None:
        text = f"the update is {factor(update, want):.3g} times the right one: scale is alpha / r, "
        return wrong(name, text + "with r the rank of one expert.")
    by_output = layer.router(base(x)).detach().softmax(-1)
    usual = {
        "all-open": (
            scale * _mix(p, each),
            f"all {E} experts are open; pass top_k on to the gate.",
        ),
        "not-weighted": (scale * each.sum(0), f"all {E} experts answer in full; use the gate."),
        "one-open": (scale * _mix(_keep(torch.ones_like(p), p, 1), each), "one expert is open."),
        "routes-by-output": (
            scale * _mix(_normal(_keep(by_output, by_output)), each),
            "the router reads the base's output; it should read x, as the experts do.",
        ),
    }
    if verdict := _named(update, usual):
        return verdict
    if not same(update, want, 1e-4):
        return wrong("values", f"the update is off by {largest_difference(update, want):.2g}.")
    weights = layer.gate(x)
    if (
        weights is None
        or weights.shape != p.shape
        or not same(weights.detach(), _normal(_keep(p, p)))
    ):
        text = "gate(x) should return the weights (..., e) that forward uses: the heatmap asks it."
        return wrong("gate", text)
    layer.zero_grad()
    layer(x).square().sum().backward()
    gradient = layer.router.weight.grad
    if gradient is None or not bool(gradient.any()):
        text = "the forward pass is right, but no gradient reaches the router: it cannot learn."
        return wrong("router-without-gradient", text)
    return right("nothing changes at the start; router, A and B learn; 2 experts open a token.")


def check_count(count: Any) -> Verdict:
    """3.5: `count_adapter(layer)` returns (active, all)."""
    layer = molora.MoLoRALinear(nn.Linear(10, 20), 8, 2, 3, 6.0)
    got = count(layer)
    if got is None or got is Ellipsis:
        return not_attempted()
    if not isinstance(got, tuple) or len(got) != 2:
        return wrong("no-pair", f"it returns {got!r}; return two numbers: (active, all).")
    active, whole = got
    told = {
        (808, 268): ("swapped", "the order is (active, all)"),
        (180, 720): ("no-router", "the router is missing; it works for every token"),
        (180, 808): ("no-router", "the router is missing in the first; it works for every token"),
        (202, 808): ("router-shared-out", "the router works in full for every token, not 2 / 8"),
        (808, 808): ("all-active", "6 of 8 experts are closed for a token; they do no work"),
        (178, 808): ("one-expert", "two experts are open for a token, not one"),
        (268, 1028): ("base-counted", "the frozen base is no part of the adapter"),
        (260, 800): ("no-bias", "the router's bias is missing; go through router.parameters()"),
    }
    if (active, whole) == (268, 808):
        return right("268 of 808: the router (88) and two of eight experts (2 · 90).")
    if (active, whole) in told:
        mistake, words = told[active, whole]
        return wrong(mistake, f"you count {active} of {whole}: {words}.")
    return wrong("values", f"you count {active} of {whole}; it should be 268 of 808.")


check_diagnosis = diagnosis(
    SICK,
    CAUSES,
    evidence,
    "all causes found. None of them raises an error: only the dials show them.",
)


def _bank(key: str, title: str, test: Any, reference: Any) -> Exercise:
    return Exercise(key, title, test, HINTS[key], lambda: reference, MUTANTS[key])


BANK = (
    _bank("3.1", "the router's weights", check_weights, molora.top_k_weights),
    _bank("3.2", "the mixture as a loop", check_loop, molora.mixture_loop),
    _bank("3.3", "the mixture as one LoRA", check_stacked, molora.mixture_stacked),
    _bank("3.4", "the MoLoRA layer", check_layer, molora.MoLoRALinear),
    _bank("3.5", "count what works", check_count, molora.count_adapter),
    _bank("3.6", "diagnose three sick routers", check_diagnosis, SICK),
)

"""The check of exercise 6.2: the layer of two parts, its start, its sum, its switch."""

from typing import Any

import torch
from torch import Tensor, nn

from medmoe_lite.lab.checks import Verdict, not_attempted, right, wrong
from medmoe_lite.lab.compare import factor, largest_difference, same

E, K, R, N, WIDTH, ALPHA = 4, 2, 3, 2, 6, 7.5  # square layers: x and base(x) fit alike


def _numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def check_layer(layer_class: Any) -> Verdict:
    """6.2: `KnowledgeNoiseLinear(base, num_experts, top_k, r, alpha, shared_experts)`."""
    torch.manual_seed(0)
    base, x = nn.Linear(WIDTH, WIDTH), _numbers(2, 5, WIDTH)
    before = base(x).detach()
    layer = layer_class(base, E, K, R, ALPHA, N)
    got = layer(x)
    if got is None or got is Ellipsis:
        return not_attempted()
    wanted = ("base", "router", "shared_A", "shared_B", "A", "B", "closed")
    if missing := [name for name in wanted if not hasattr(layer, name)]:
        return wrong("names", f"the layer has no {', '.join(missing)}; use these very names.")
    shapes: dict[str, tuple[int, ...]] = {"shared_A": (N * R, WIDTH), "shared_B": (WIDTH, N * R)}
    shapes |= {"A": (E, R, WIDTH), "B": (E, WIDTH, R)}
    for name, shape in shapes.items():
        if tuple(getattr(layer, name).shape) != shape:
            text = f"{name} is {tuple(getattr(layer, name).shape)}; it should be {shape}."
            return wrong("shapes", text)
    learning = {id(p) for p in layer.parameters() if p.requires_grad}
    for name in shapes:
        if id(getattr(layer, name)) not in learning:
            text = f"{name} is not among the parameters that learn: it would stay as it is."
            return wrong("not-learning", text)
    if still := sum(p.numel() for p in base.parameters() if p.requires_grad):
        text = f"{still} numbers of the base still learn; freeze it with requires_grad_(False)."
        return wrong("base-not-frozen", text)
    for name in ("shared_B", "B"):
        if bool(getattr(layer, name).any()):
            text = f"{name} is not zero, so the layer does not start as its base."
            return wrong("b-not-zero", text)
    if not layer.shared_A.any() or not layer.A.any():
        text = "A and B of a pair are both zero: no gradient reaches either of them."
        return wrong("a-zero", text)
    if not same(got.detach(), before):
        if same(got.detach(), torch.zeros_like(before)):
            return wrong("base-missing", "the output is 0: add the base's own output.")
        text = f"at the start it is off its base by {largest_difference(got, before):.2g}."
        return wrong("start", text)
    return _check_trained(layer, x, before)


def _parts(layer: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Shared update, each routed expert's (e, ..., d), and the weights, worked out here."""
    scale = ALPHA / R
    shared = scale * torch.einsum("btd,rd,or->bto", x, layer.shared_A, layer.shared_B)
    each = scale * torch.einsum("btd,erd,eor->ebto", x, layer.A, layer.B)
    p = layer.router(x).softmax(-1)
    kept = p * (p >= p.sort(-1, descending=True).values[..., K - 1 : K])
    return shared.detach(), each.detach(), (kept / kept.sum(-1, keepdim=True)).detach()


def _mix(weights: Tensor, each: Tensor) -> Tensor:
    return torch.einsum("bte,ebto->bto", weights, each)


def _shared_mistake(rest: Tensor, shared: Tensor) -> Verdict | None:
    """What is wrong with the shared path, where everything but the routed part is `rest`."""
    if same(rest, torch.zeros_like(rest)):
        return wrong("shared-missing", "only the routed experts answer: add the shared path.")
    c = factor(rest, shared)
    if c is not None and abs(c - 1) > 1e-3:
        name = "shared-scale" if abs(c - 1 / N) < 1e-3 else "shared-factor"
        text = f"the shared update is {c:.3g} times the right one: its scale is alpha / r too, "
        return wrong(name, text + "with r the rank of one expert, not n r.")
    ratio = (rest * shared).sum(-1) / (shared * shared).sum(-1)
    if c is None and same(ratio[..., None] * shared, rest, 1e-4):
        low, high = float(ratio.min()), float(ratio.max())
        text = f"the shared expert answers with a weight of {low:.2f} to {high:.2f}, depending on "
        return wrong("shared-by-router", text + "the token. Its weight is 1: no router before it.")
    return None


def _check_trained(layer: Any, x: Tensor, base: Tensor) -> Verdict:
    """The layer with numbers in both B: the sum, the switch, the gate, the gradient."""
    with torch.no_grad():
        layer.shared_B.copy_(_numbers(WIDTH, N * R, seed=3))
        layer.B.copy_(_numbers(E, WIDTH, R, seed=2))
    shared, each, weights = _parts(layer, x)
    mixed = _mix(weights, each)
    update = (layer(x) - base).detach()
    if same(update, shared):
        text = "the routed experts add nothing although closed is False."
        return wrong("routed-missing", text)
    if verdict := _shared_mistake(update - mixed, shared):
        return verdict
    p = layer.router(x).softmax(-1).detach()
    for name, other, text in (
        ("all-open", _mix(p, each), f"all {E} routed experts are open; keep the top {K}."),
        ("not-weighted", each.sum(0), "all routed experts answer in full; use the gate."),
    ):
        if same(update, shared + other, 1e-4):
            return wrong(name, text)
    if not same(update, shared + mixed, 1e-4):
        gap = largest_difference(update, shared + mixed)
        return wrong("values", f"the update is off by {gap:.2g}.")
    return _check_switch(layer, x, base, shared, weights)


def _check_switch(layer: Any, x: Tensor, base: Tensor, shared: Tensor, weights: Tensor) -> Verdict:
    layer.closed = True
    closed = (layer(x) - base).detach()
    layer.closed = False
    if same(closed, torch.zeros_like(closed)):
        text = "with closed = True nothing is left: only the routed experts should be shut."
        return wrong("closes-all", text)
    if not same(closed, shared, 1e-4):
        text = f"with closed = True the update is off by {largest_difference(closed, shared):.2g}: "
        return wrong("closed-ignored", text + "the shared expert alone should be left.")
    got = layer.gate(x)
    if not isinstance(got, Tensor) or got.shape != weights.shape or not same(got, weights):
        text = "gate(x) should return the weights (..., e) of the routed experts."
        return wrong("gate", text)
    first = torch.zeros_like(weights)
    first[..., 0] = 1
    layer.gate = lambda _: first
    replaced = (layer(x) - base).detach()
    del layer.gate
    if not same(replaced, shared + _parts(layer, x)[1][0], 1e-4):
        text = "forward does not ask self.gate(x): to try experts one by one, the notebook puts "
        return wrong("gate-unused", text + "another gate in its place.")
    layer.zero_grad()
    layer(x).square().sum().backward()
    for name in ("router.weight", "shared_A", "A"):
        gradient = layer.get_parameter(name).grad
        if gradient is None or not bool(gradient.any()):
            return wrong("gradient-cut", f"no gradient reaches {name}: it cannot learn.")
    return right("base + shared expert with weight 1 + two routed ones, which closed shuts.")

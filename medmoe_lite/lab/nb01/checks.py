"""Checks of notebook 01: the low-rank update, the layer, attaching, merging, counting, diagnosis.

Every test compares with numbers worked out here, not with the answer key.
"""

from typing import Any

import torch
from torch import nn

from medmoe_lite.lab import lora
from medmoe_lite.lab.checks import Exercise, Verdict, not_attempted, right, wrong
from medmoe_lite.lab.compare import factor, largest_difference, named_factor, same, untouched
from medmoe_lite.lab.diagnosis import diagnosis
from medmoe_lite.lab.nb01.failure import CAUSES, SICK, evidence
from medmoe_lite.lab.nb01.hints import HINTS
from medmoe_lite.lab.nb01.mutants import MUTANTS

R, ALPHA = 3, 6.0  # alpha / r = 2; no other plausible scale gives the same factor
SCALES = {
    "no-scale": 1 / 2,
    "alpha-not-divided": R,
    "inverted": 1 / 4,
    "sqrt-r": R**0.5,
    "divided-by-d_in": R / 6,
}
SCALE_WORDS = {
    "no-scale": "the scale alpha / r is missing",
    "alpha-not-divided": "it is scaled by alpha; divide alpha by r",
    "inverted": "it is scaled by r / alpha; turn the fraction over",
    "sqrt-r": "it is scaled by alpha / sqrt(r), the variant rsLoRA; LoRA uses alpha / r",
    "divided-by-d_in": "alpha is divided by d_in; r is the number of rows of A",
}


def _numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _wrong_scale(got: torch.Tensor, want: torch.Tensor) -> Verdict | None:
    name = named_factor(got, want, SCALES)
    if name is None:
        return None
    c = factor(got, want)
    return wrong(name, f"the update is {c:.3g} times the right one: {SCALE_WORDS[name]}.")


def check_update(update: Any) -> Verdict:
    """1.1: `lora_update(x, A, B, alpha)`."""
    x, A, B = _numbers(2, 5, 7), _numbers(R, 7, seed=1), _numbers(4, R, seed=2)
    with untouched(x=x, A=A, B=B):
        got = update(x, A, B, ALPHA)
    if got is None or got is Ellipsis:
        return not_attempted()
    if not isinstance(got, torch.Tensor):
        return wrong("no-tensor", f"it returns {type(got).__name__}; return a tensor.")
    want = 2 * torch.einsum("btd,rd,or->bto", x, A, B)
    if got.shape != want.shape:
        text = f"x {tuple(x.shape)} gives {tuple(got.shape)}; it should give {tuple(want.shape)}."
        return wrong("shape", text)
    scales = SCALES | {"divided-by-d_in": R / 7}
    if (name := named_factor(got, want, scales)) is not None:
        text = f"the update is {factor(got, want):.3g} times the right one: {SCALE_WORDS[name]}."
        return wrong(name, text)
    if not same(got, want):
        gap = largest_difference(got, want)
        return wrong("values", f"the largest difference is {gap:.2g}; it is x Aᵀ Bᵀ · alpha / r.")
    return right("the update equals (alpha / r) · B A x, for a whole batch at once.")


def check_layer(layer_class: Any) -> Verdict:
    """1.2: the class `LoRALinear(base, r, alpha)`."""
    torch.manual_seed(0)
    base, x = nn.Linear(6, 4), _numbers(5, 6)
    before = base(x).detach()
    layer = layer_class(base, R, ALPHA)
    got = layer(x)
    if got is None or got is Ellipsis:
        return not_attempted()
    if tuple(layer.A.shape) != (R, 6) or tuple(layer.B.shape) != (4, R):
        shapes = f"A {tuple(layer.A.shape)}, B {tuple(layer.B.shape)}"
        return wrong(
            "orientation", f"{shapes}; PEFT and the papers have A (r, d_in), B (d_out, r)."
        )
    learning = {id(p) for p in layer.parameters() if p.requires_grad}
    for name in "AB":
        if id(getattr(layer, name)) not in learning:
            text = f"{name} is not among the parameters that learn; wrap it in nn.Parameter."
            return wrong("not-a-parameter", text)
    if open_base := sum(p.numel() for p in base.parameters() if p.requires_grad):
        text = f"{open_base} numbers of the base still learn; freeze it with requires_grad_(False)."
        return wrong("base-not-frozen", text)
    if not bool(layer.A.any()):
        text = "A is zero. With B zero as well no gradient reaches either: it can never learn."
        return wrong("a-zero", text)
    if bool(layer.B.any()):
        gap = largest_difference(got, before)
        text = f"B is not zero: the output moves by {gap:.2g} before anything was learned."
        return wrong("b-not-zero", text)
    if not same(got, before):
        gap = largest_difference(got, before)
        if same(got, torch.zeros_like(got)):
            return wrong("base-missing", "the output is 0: add the base's own output.")
        if same(got, before + base.bias):
            return wrong("bias-twice", f"the bias is added twice (difference {gap:.2g}).")
        return wrong(
            "start", f"with B zero the output should be the base's; it is off by {gap:.2g}."
        )
    with torch.no_grad():
        layer.A.copy_(_numbers(R, 6, seed=1))
        layer.B.copy_(_numbers(4, R, seed=2))
    want = 2 * torch.einsum("bd,rd,or->bo", x, layer.A, layer.B).detach()
    update = (layer(x) - before).detach()
    if verdict := _wrong_scale(update, want):
        return verdict
    if not same(update, want, 1e-4):
        return wrong("values", f"the update is off by {largest_difference(update, want):.2g}.")
    return right("nothing changes at the start, only A and B learn, the scale is alpha / r.")


class Toy(nn.Module):
    """A model of two blocks with the names of a Qwen feed-forward part."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        sizes = {"q_proj": (6, 6), "up_proj": (6, 8), "down_proj": (8, 6)}
        blocks = [{name: nn.Linear(*size) for name, size in sizes.items()} for _ in range(2)]
        self.layers = nn.ModuleList([nn.ModuleDict(block) for block in blocks])
        self.lm_head = nn.Linear(6, 11, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """ids (t,) -> (t, 11)"""
        h = self.embed(ids)
        block: Any  # a ModuleDict with named layers
        for block in self.layers:
            h = h + block.down_proj(block.up_proj(block.q_proj(h)))
        return self.lm_head(h)


TARGETS = ("up_proj", "down_proj")


def _wrapped(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if hasattr(module, "A")]


def check_attach(attach: Any) -> Verdict:
    """1.3: `attach_lora(model, targets, r, alpha)`."""
    torch.manual_seed(0)
    model, ids = Toy(), torch.arange(5)
    before, names = model(ids).detach(), [n for n, _ in model.named_parameters()]
    got = attach(model, TARGETS, 2, 4.0)
    if got is None or got is Ellipsis:
        changed = [n for n, _ in model.named_parameters()] != names
        if changed or not all(p.requires_grad for p in model.parameters()):
            return wrong("no-return", "the model was changed but not returned; return model.")
        return not_attempted()
    wrapped = _wrapped(got)
    want = [f"layers.{i}.{name}" for i in (0, 1) for name in TARGETS]
    if not wrapped:
        text = "no layer was wrapped. The targets sit deeper: go through model.modules()."
        return wrong("none-wrapped", text)
    if extra := sorted(set(wrapped) - set(want)):
        return wrong("too-many", f"{len(extra)} layers too many were wrapped, such as {extra[0]}.")
    if missed := sorted(set(want) - set(wrapped)):
        return wrong("too-few", f"{len(missed)} of 4 targets were missed, such as {missed[0]}.")
    free = [n for n, p in got.named_parameters() if p.requires_grad and n[-2:] not in (".A", ".B")]
    if free:
        text = f"{len(free)} other tensors still learn, such as {free[0]}; freeze the model first."
        return wrong("rest-not-frozen", text)
    if not same(got(ids).detach(), before):
        return wrong("moved", "the output changed at the start; B should be zero.")
    again = attach(got, TARGETS, 2, 4.0)
    if len(_wrapped(again)) != 4:
        text = f"a second call wraps again: {len(_wrapped(again))} adapters where there were 4."
        return wrong("double-attach", text)
    learning = sum(p.requires_grad for p in again.parameters())
    if learning != 8:
        text = (
            f"after a second call {learning} of 8 adapter tensors learn; leave early if attached."
        )
        return wrong("second-call-freezes", text)
    return right("4 layers wrapped, nothing else learns, a second call changes nothing.")


def check_merge(merge: Any) -> Verdict:
    """1.5: `merge(layer)`."""
    torch.manual_seed(0)
    layer = lora.LoRALinear(nn.Linear(6, 6), R, ALPHA)  # square, so that a transpose has the shape
    with torch.no_grad():
        layer.B.copy_(_numbers(6, R, seed=2))
    base = layer.base.weight.detach().clone()
    delta, x = 2 * (layer.B @ layer.A).detach(), _numbers(5, 6)
    got = merge(layer)
    if got is None or got is Ellipsis:
        return not_attempted()
    if not isinstance(got, nn.Linear):
        return wrong("no-linear", f"it returns {type(got).__name__}; return a plain nn.Linear.")
    if not same(layer.base.weight, base):
        text = "the base inside the layer was changed: merging twice would add the update twice."
        return wrong("changed-the-base", text)
    added = got.weight.detach() - base
    if same(added, torch.zeros_like(added)):
        return wrong("nothing-added", "the merged weight equals the base's; add the update.")
    if same(got.weight.detach(), delta):
        return wrong("base-lost", "the merged weight is the update alone; add it to the base's.")
    if same(added, delta.T):
        return wrong("transposed", "the update is transposed: it is B A, of shape (d_out, d_in).")
    if verdict := _wrong_scale(added, delta):
        return verdict
    if got.bias is None or not same(got.bias, layer.base.bias):
        return wrong("bias-lost", "the merged layer has another bias than the base.")
    gap = largest_difference(got(x), layer(x))
    if gap > 1e-4:
        return wrong("values", f"merged and unmerged outputs differ by {gap:.2g}.")
    return right("one plain layer, the same output; the update costs nothing at inference.")


def check_count(count: Any) -> Verdict:
    """1.4: `count_parameters(model)` returns (learning, all)."""
    layer = lora.LoRALinear(nn.Linear(10, 20), 2, 4.0)
    got = count(layer)
    if got is None or got is Ellipsis:
        return not_attempted()
    if not isinstance(got, tuple) or len(got) != 2:
        return wrong("no-pair", f"it returns {got!r}; return two numbers: (learning, all).")
    learning, whole = got
    if (learning, whole) == (60, 280):
        return right("60 of 280 numbers learn: r · (d_in + d_out) = 2 · (10 + 20).")
    told = {
        (280, 60): ("swapped", "the order is (learning, all)"),
        (2, 4): ("tensors", "these are tensors; count their numbers with p.numel()"),
        (280, 280): ("all-learn", "frozen ones are counted as learning; ask p.requires_grad"),
        (60, 220): ("frozen-only", "the second number leaves out what learns; count all"),
        (60, 60): ("learning-only", "the second number leaves out what is frozen; count all"),
        (60, 260): ("no-bias", "the bias is missing; go through all parameters"),
    }
    if (learning, whole) in told:
        mistake, words = told[learning, whole]
        return wrong(mistake, f"you count {learning} of {whole}: {words}.")
    return wrong("values", f"you count {learning} of {whole}; it should be 60 of 280.")


check_diagnosis = diagnosis(
    SICK, CAUSES, evidence, "all causes found. Each leaves its own mark on the first steps."
)


def _bank(key: str, title: str, test: Any, reference: Any) -> Exercise:
    return Exercise(key, title, test, HINTS[key], lambda: reference, MUTANTS[key])


BANK = (
    _bank("1.1", "the low-rank update", check_update, lora.lora_update),
    _bank("1.2", "the LoRA layer", check_layer, lora.LoRALinear),
    _bank("1.3", "attach to a model", check_attach, lora.attach_lora),
    _bank("1.4", "count parameters", check_count, lora.count_parameters),
    _bank("1.5", "merge", check_merge, lora.merge),
    _bank("1.6", "diagnose three sick runs", check_diagnosis, SICK),
)

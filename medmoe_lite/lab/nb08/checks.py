"""Checks of notebook 08: pooling, head, joint loss, three steps, reading a label, the case.

Every test compares with numbers worked out here, and with those that the usual mistakes would
give: that is how a check knows which mistake it is. The learner's function gets copies.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from medmoe_lite.lab.checks import Exercise, Verdict, not_attempted, right, wrong
from medmoe_lite.lab.compare import largest_difference, named_factor, same
from medmoe_lite.lab.nb08 import head, steps
from medmoe_lite.lab.nb08.evidence import CASE, NAMES, evidence
from medmoe_lite.lab.nb08.hints import HINTS
from medmoe_lite.lab.nb08.mutants import MUTANTS
from medmoe_lite.lab.nb08.text_checks import check_read, check_steps

B, T, D, V, C = 4, 6, 8, 5, 3
MASK = torch.tensor([[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 0], [1, 0, 0, 0, 0, 0], [1] * 6])


def _numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _named(got: Tensor, usual: Mapping[str, tuple[Tensor, str]]) -> Verdict | None:
    """The verdict of the first usual mistake that gives these very numbers."""
    for mistake, (numbers, words) in usual.items():
        if got.shape == numbers.shape and same(got, numbers):
            return wrong(mistake, words)
    return None


def _by_hand(hidden: Tensor, how: str) -> Tensor:
    """Row by row, in float64."""
    rows = []
    for row, marks in zip(hidden.double(), MASK, strict=True):
        chosen = row[marks.bool()]
        rows.append({"mean": chosen.mean(0), "max": chosen.amax(0), "last": chosen[-1]}[how])
    return torch.stack(rows).float()


def check_pool(pool: Any) -> Verdict:
    """8.1: `pool(hidden, mask, how)`."""
    hidden = _numbers(B, T, D) - 2.5  # so low that a 0 would be a maximum
    for how in ("mean", "max", "last"):
        given, marks = hidden.clone(), MASK.clone()
        got = pool(given, marks, how)
        if got is None or got is Ellipsis:
            return not_attempted()
        if verdict := _check_pooled(got, hidden, how):
            return verdict
        if not same(given, hidden) or not bool((marks == MASK).all()):
            text = f'"{how}" changes the states or the mask it was given; work on a copy, with '
            return wrong("changes-its-input", text + "torch.where or masked_fill.")
        spoilt = torch.where(MASK[..., None] != 0, hidden, torch.nan)
        if bool(pool(spoilt, MASK.clone(), how).isnan().any()):
            text = f'"{how}" reads padding: NaN there came through. 0 times NaN is NaN, so choose '
            return wrong("product", text + "with torch.where in place of multiplying.")
    return right("mean, max and last of the marked tokens alone; padding is never read.")


def _check_pooled(got: Any, hidden: Tensor, how: str) -> Verdict | None:
    if not isinstance(got, Tensor):
        return wrong("no-tensor", f"it returns {type(got).__name__}; return a tensor.")
    if got.shape == (B, T):
        return wrong("wrong-axis", "the features were pooled (axis 2); pool the tokens (axis 1).")
    if got.shape != (B, D):
        return wrong("shape", f'"{how}" gives {tuple(got.shape)}; it should be {(B, D)}, (b, d).')
    inside, each = MASK[..., None].float(), MASK.sum(1, keepdim=True)
    ends = torch.arange(B), MASK.sum(1) - 1
    usual = {
        "padding-pooled": {
            "mean": hidden.mean(1),
            "max": hidden.amax(1),
            "last": hidden[:, -1],
        }[how],
        "divided-by-all": (hidden * inside).sum(1) / T,
        "sum": (hidden * inside).sum(1),
        "zeros-in-the-max": (hidden * inside).amax(1),
        "counted-from-the-left": hidden[ends],
    }
    words = {
        "padding-pooled": f'"{how}" reads the padding too: use the mask.',
        "divided-by-all": f"the sum is divided by all {T} places; row 0 has {each[0, 0]} tokens.",
        "sum": "this is the sum: divide by the number of marked tokens.",
        "zeros-in-the-max": "masked places became 0, and 0 is above every state here: fill them "
        "with minus infinity before the maximum.",
        "counted-from-the-left": "the last token of row 1 is at place 4, not at 3 - 1: its prompt "
        "does not begin at the left.",
    }
    want = _by_hand(hidden, how)
    if same(got, want):
        return None
    if verdict := _named(got, {name: (usual[name], words[name]) for name in usual}):
        return verdict
    return wrong("values", f'"{how}" is off by {largest_difference(got, want):.2g}.')


def check_head(head_class: Any) -> Verdict:
    """8.2: the class `LabelHead(width, labels, how)`."""
    torch.manual_seed(0)
    names = ("yes", "no", "maybe")
    made = head_class(D, names, "mean")
    hidden = _numbers(B, T, D)
    got = made(hidden.clone(), MASK.clone())
    if got is None or got is Ellipsis:
        return not_attempted()
    missing = [name for name in ("labels", "norm", "inner", "out") if not hasattr(made, name)]
    if missing:
        return wrong("names", f"the head has no {', '.join(missing)}; use these very names.")
    if not isinstance(made.labels, tuple | list) or tuple(made.labels) != names:
        return wrong("nameless", f"labels are {made.labels!r}; keep the names, in their order.")
    sizes = [tuple(getattr(made, part).weight.shape) for part in ("norm", "inner", "out")]
    if sizes != [(D,), (D // 2, D), (C, D // 2)]:
        text = f"the weights are {sizes}; they should be {[(D,), (D // 2, D), (C, D // 2)]}."
        return wrong("shapes", text)
    if not isinstance(got, Tensor) or got.shape != (B, C):
        return wrong("shape", f"the logits are {getattr(got, 'shape', got)}; make them {(B, C)}.")
    return _check_answers(made, hidden)


def _check_answers(made: Any, hidden: Tensor) -> Verdict:
    """Logits against the parts, one after the other."""
    with torch.no_grad():
        made.out.bias.copy_(torch.tensor([-3.0, 0.0, 3.0]))
    got = made(hidden.clone(), MASK.clone()).detach()

    def through(u: Tensor, norm: Any = made.norm, act: Any = F.gelu) -> Tensor:
        return made.out(act(made.inner(norm(u)))).detach()

    mean, plain = _by_hand(hidden, "mean"), lambda u: u
    want = through(mean)
    usual = {
        "activation-on-logits": (F.gelu(want), "GELU after the last map: logits below zero are "
                                 "cut off, so no class can be ruled out."),
        "relu-on-logits": (F.relu(want), "ReLU after the last map: logits below zero are gone."),
        "leaky-on-logits": (F.leaky_relu(want), "a LeakyReLU after the last map shrinks every "
                            "logit below zero to 1 %, and its gradient as well."),
        "probabilities": (want.softmax(-1), "these are probabilities: return logits, the cross "
                          "entropy takes the softmax itself."),
        "no-norm": (through(mean, norm=plain), "the norm is made but not used."),
        "no-gelu": (through(mean, act=plain), "there is no GELU between the two maps: together "
                    "they are one linear map."),
        "padding-pooled": (through(hidden.mean(1)), "padding is pooled with the prompt: hand the "
                           "mask to pool."),
        "always-last": (through(_by_hand(hidden, "last")), 'how="mean" was asked for, and the '
                        "last token is read."),
    }  # fmt: skip
    if verdict := _named(got, usual):
        mistake = verdict.mistake
        return wrong("activation-on-logits", verdict.text) if "-on-logits" in mistake else verdict
    if not same(got, want):
        gap = largest_difference(got, want)
        return wrong("values", f"off by {gap:.2g}; the order is pool, norm, inner, GELU, out.")
    made.how = "max"
    if not same(made(hidden.clone(), MASK.clone()).detach(), through(_by_hand(hidden, "max"))):
        text = 'with how="max" it still reads something else: keep self.how and use it in forward.'
        return wrong("how-ignored", text)
    sized = sum(p.numel() for p in made.parameters())
    return right(f"{sized} numbers at width {D}, at every length; the lowest logit is free.")


def _loss_case() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """logits, labels, class logits, classes; rows of different length, one without a class."""
    labels = torch.randint(V, (B, T), generator=torch.Generator().manual_seed(4))
    labels[0, :2] = labels[1, :4] = labels[2, :3] = labels[3, :1] = -100
    labels[0, 5:] = -100
    return 2 * _numbers(B, T, V), labels, 2 * _numbers(B, C, seed=1), torch.tensor([0, 2, -100, 1])


def check_loss(joint_loss: Any) -> Verdict:
    """8.3: `joint_loss(logits, labels, class_logits, classes, w)`."""
    logits, labels, class_logits, classes = _loss_case()
    given = [part.clone() for part in _loss_case()]
    w = 0.3
    got = joint_loss(*given, w)
    if got is None or got is Ellipsis:
        return not_attempted()
    if not isinstance(got, Tensor):
        return wrong("no-tensor", f"it returns {type(got).__name__}; return a tensor.")
    if got.numel() != 1:
        return wrong("shape", f"the loss has {got.numel()} numbers; it should be one.")
    if not all(torch.equal(a, b) for a, b in zip(given, _loss_case(), strict=True)):
        return wrong("changes-its-input", "it changes a tensor it was given; work on copies.")
    each = F.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:], reduction="none")
    counted = labels[:, 1:] != -100
    lm = each.sum() / counted.sum()
    rows = F.cross_entropy(class_logits, classes, reduction="none")
    ce = rows.sum() / (classes != -100).sum()
    here = F.cross_entropy(logits.transpose(1, 2), labels)
    probable = F.cross_entropy(class_logits.softmax(-1), classes)
    row_means = (each.sum(1) / counted.sum(1)).mean()
    mix = lambda a, b: (1 - w) * a + w * b  # noqa: E731
    usual = {
        "no-shift": (mix(here, ce), "logits and labels are not shifted: the logits at one place "
                     "speak of the next token."),
        "w-swapped": (mix(ce, lm), f"w = {w} weighs the LM loss; it belongs to the class loss."),
        "plain-sum": (lm + w * ce, "LM stands in full: it should be weighed with 1 - w."),
        "unweighted": (lm + ce, "both stand in full: w is not used."),
        "on-probabilities": (mix(lm, probable), "the cross entropy is taken of probabilities: "
                             "give it logits, it takes the softmax itself."),
        "sum-over-tokens": (mix(each.sum(), ce), "LM is a sum: a long answer would drown the "
                            "label. Take the mean over the answer's tokens."),
        "all-tokens": (mix(each.mean(), ce), f"LM is divided by all {counted.numel()} places; "
                       f"{int(counted.sum())} of them carry a label."),
        "all-rows": (mix(lm, rows.mean()), f"CE is divided by all {B} rows; one has no class."),
        "mean-of-rows": (mix(row_means, ce), "LM is a mean of the rows' means: tokens of short "
                         "answers count more. Take one mean over all tokens of the batch."),
        "no-lm": (w * ce, "the LM loss is missing."),
        "no-class": ((1 - w) * lm, "the class loss is missing."),
    }  # fmt: skip
    if verdict := _named(got.detach().reshape(()), usual):
        return verdict
    if (name := named_factor(got.reshape(1), mix(lm, ce).reshape(1), {"half": 0.5})) is not None:
        return wrong(name, "the loss is half of the right one: 1 - w and w already sum to 1.")
    if not same(got.detach().reshape(()), mix(lm, ce)):
        text = f"it gives {float(got):.4f}; LM is {lm:.4f}, CE is {ce:.4f}, w is {w}."
        return wrong("values", text)
    return _check_gradient(joint_loss, w)


def _check_gradient(joint_loss: Any, w: float) -> Verdict:
    logits, labels, class_logits, classes = _loss_case()
    logits.requires_grad_()
    class_logits.requires_grad_()
    loss = joint_loss(logits, labels, class_logits, classes, w)
    if not loss.requires_grad:
        return wrong("gradient-cut", "the number is right, but nothing can learn from it: leave "
                     "out item, detach and no_grad.")  # fmt: skip
    loss.backward()
    if logits.grad is None or class_logits.grad is None:
        return wrong("gradient-cut", "the number is right, but one of the two gets no gradient.")
    return right("LM is a mean over answer tokens, CE over rows with a class; both get a gradient.")


def check_case(faults: Any) -> Verdict:
    """8.6: which fault each reading shows."""
    if not isinstance(faults, dict) or not faults:
        return not_attempted()
    if all(name is None or name is Ellipsis for name in faults.values()):
        return not_attempted()
    if set(faults) != set(CASE) or any(name not in NAMES for name in faults.values()):
        return wrong("form", f"give one of NAMES for each of {', '.join(CASE)}.")
    missed = [letter for letter, name in CASE.items() if faults[letter] != name]
    if missed:
        text = f"{len(CASE) - len(missed)} of {len(CASE)} are right. {evidence(missed[0])}"
        return wrong(f"wrong-{missed[0]}", text)
    return right("all six found. Not one of them stops the training or raises an error.")


def _bank(key: str, title: str, test: Any, reference: Any) -> Exercise:
    return Exercise(key, title, test, HINTS[key], lambda: reference, MUTANTS[key])


BANK = (
    _bank("8.1", "pool the prompt", check_pool, head.pool),
    _bank("8.2", "the head", check_head, head.LabelHead),
    _bank("8.3", "the joint loss", check_loss, head.both_losses),
    _bank("8.4", "write three steps", check_steps, steps.three_steps),
    _bank("8.5", "read the label", check_read, steps.read_label),
    _bank("8.6", "faults of the published head", check_case, CASE),
)

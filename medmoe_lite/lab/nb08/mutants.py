"""Typical wrong answers to the exercises of notebook 08, by the mistake each makes.

The tests run every check against every one of them: the check has to name this very mistake.
"""

import re
from typing import Any

import torch
import torch.nn.functional as F

from medmoe_lite.lab.nb08.evidence import CASE
from medmoe_lite.lab.nb08.head import LabelHead, both_losses, pool
from medmoe_lite.lab.nb08.steps import RULES, read_label, three_steps


def _unmasked(hidden, mask, how):
    return pool(hidden, torch.ones_like(mask), how)


def _mean_as(change: Any) -> Any:
    """The right pooling, but for the mean."""
    return lambda h, m, how: change(h, m[..., None]) if how == "mean" else pool(h, m, how)


def _zero_max(hidden, mask, how):
    return (hidden * mask[..., None]).amax(1) if how == "max" else pool(hidden, mask, how)


def _from_the_left(hidden, mask, how):
    if how != "last":
        return pool(hidden, mask, how)
    return hidden[torch.arange(len(hidden)), mask.sum(1) - 1]


def _in_place(hidden, mask, how):
    found = pool(hidden, mask, how)
    hidden[mask == 0] = 0
    return found


def _activated(function: Any) -> type:
    class Activated(LabelHead):
        def forward(self, hidden, mask):
            return function(super().forward(hidden, mask))

    return Activated


class _Padded(LabelHead):
    def forward(self, hidden, mask):
        return super().forward(hidden, torch.ones_like(mask))


class _AlwaysLast(LabelHead):
    def forward(self, hidden, mask):
        return self.out(F.gelu(self.inner(self.norm(pool(hidden, mask, "last")))))


class _AlwaysMean(LabelHead):
    def forward(self, hidden, mask):
        return self.out(F.gelu(self.inner(self.norm(pool(hidden, mask, "mean")))))


class _NoNorm(LabelHead):
    def forward(self, hidden, mask):
        return self.out(F.gelu(self.inner(pool(hidden, mask, self.how))))


class _NoGelu(LabelHead):
    def forward(self, hidden, mask):
        return self.out(self.inner(self.norm(pool(hidden, mask, self.how))))


class _Nameless(LabelHead):
    def __init__(self, width, labels, how="mean"):
        super().__init__(width, labels, how)
        self.labels = len(labels)


class _Wide(LabelHead):
    def __init__(self, width, labels, how="mean"):
        super().__init__(width, labels, how)
        self.inner = torch.nn.Linear(width, width)
        self.out = torch.nn.Linear(width, len(labels))


def _parts(logits, labels, class_logits, classes):
    lm = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    return lm, F.cross_entropy(class_logits, classes)


def _mixed(how: Any) -> Any:
    return lambda x, y, u, c, w: how(*_parts(x, y, u, c), w)


def _lm_as(change: Any) -> Any:
    """The right loss with another LM loss."""
    return lambda x, y, u, c, w: (1 - w) * change(x, y) + w * F.cross_entropy(u, c)


def _each(x, y):
    return F.cross_entropy(x[:, :-1].transpose(1, 2), y[:, 1:], reduction="none")


def _all_rows(x, y, u, c, w):
    return both_losses(x, y, u, c, 0) * (1 - w) + w * F.cross_entropy(u, c, reduction="none").mean()


def _spoils_labels(x, y, u, c, w):
    loss = both_losses(x, y, u, c, w)
    y[y == -100] = 0
    return loss


def _told(trials, drug, label, form):
    name, count, condition = next(trial for trial in trials if trial[0] == drug)
    recall = f"{name} helped {count} of 10 patients with {condition}."
    return form.format(recall=recall, count=count, rule=RULES[label], label=label)


def _form(form: str) -> Any:
    return lambda trials, drug, label: _told(trials, drug, label, form)


def _both_trials(trials, drug, label):
    told = " ".join(f"{n} helped {k} of 10 patients with {c}." for n, k, c in trials)
    return f"Recall: {told} Summarise: {RULES[label]}. Decide: The answer is {label}."


def _found_first(text, labels):
    return next((w for w in re.findall(r"\w+", text) if w in labels and "Decide: " in text
                 and "unknown" not in text), None)  # fmt: skip


def _substring(text, labels):
    decision = text.partition("The answer is ")[2].replace("unknown", "?")
    return next((label for label in labels if decision.startswith(label)), None)


def _whole(pattern: str) -> Any:
    def read(text, labels):
        found = re.search(pattern, text)
        return found[1] if found and found[1] in labels else None

    return read


def _any_word(text, labels):
    found = re.fullmatch(r"Recall: .+ Summarise: .+ Decide: The answer is (\w+)\.", text)
    return found[1] if found else None


def _scattered(text, labels):
    found = re.findall(r"The answer is (\w+)\.", text)
    whole = all(part in text for part in ("Recall:", "Summarise:", "Decide:"))
    return found[0] if whole and len(found) == 1 and found[0] in labels else None


def _case(letter: str) -> dict[str, str]:
    return {**CASE, letter: "size"}


MUTANTS: dict[str, dict[str, Any]] = {
    "8.1": {
        "padding-pooled": lambda: _unmasked,
        "divided-by-all": lambda: _mean_as(lambda h, m: (h * m).mean(1)),
        "sum": lambda: _mean_as(lambda h, m: (h * m).sum(1)),
        "product": lambda: _mean_as(lambda h, m: (h * m).sum(1) / m.sum(1)),
        "zeros-in-the-max": lambda: _zero_max,
        "counted-from-the-left": lambda: _from_the_left,
        "wrong-axis": lambda: _mean_as(lambda h, m: h.mean(2)),
        "changes-its-input": lambda: _in_place,
        "shape": lambda: lambda h, m, how: h,
        "stopped": lambda: lambda h, m, how: h.mean(7),
    },
    "8.2": {
        "activation-on-logits": lambda: _activated(F.leaky_relu),
        "probabilities": lambda: _activated(lambda logits: logits.softmax(-1)),
        "padding-pooled": lambda: _Padded,
        "always-last": lambda: _AlwaysLast,
        "how-ignored": lambda: _AlwaysMean,
        "no-norm": lambda: _NoNorm,
        "no-gelu": lambda: _NoGelu,
        "nameless": lambda: _Nameless,
        "shapes": lambda: _Wide,
    },
    "8.3": {
        "no-shift": lambda: _lm_as(lambda x, y: F.cross_entropy(x.transpose(1, 2), y)),
        "w-swapped": lambda: _mixed(lambda lm, ce, w: w * lm + (1 - w) * ce),
        "plain-sum": lambda: _mixed(lambda lm, ce, w: lm + w * ce),
        "unweighted": lambda: _mixed(lambda lm, ce, w: lm + ce),
        "on-probabilities": lambda: lambda x, y, u, c, w: both_losses(x, y, u.softmax(-1), c, w),
        "sum-over-tokens": lambda: _lm_as(lambda x, y: _each(x, y).sum()),
        "all-tokens": lambda: _lm_as(lambda x, y: _each(x, y).mean()),
        "mean-of-rows": lambda: _lm_as(
            lambda x, y: (_each(x, y).sum(1) / (y[:, 1:] != -100).sum(1)).mean()
        ),
        "all-rows": lambda: _all_rows,
        "half": lambda: _mixed(lambda lm, ce, w: ((1 - w) * lm + w * ce) / 2),
        "changes-its-input": lambda: _spoils_labels,
        "gradient-cut": lambda: lambda *a: both_losses(*a).detach(),
        "no-tensor": lambda: lambda *a: both_losses(*a).item(),
    },
    "8.4": {
        "recalls-both": lambda: _both_trials,
        "other-trial": lambda: lambda t, drug, label: three_steps(t, t[0][0], label),
        "no-rule": lambda: _form(
            "Recall: {recall} Summarise: {count} of 10. Decide: The answer is {label}."
        ),
        "decision": lambda: _form(
            "Recall: {recall} Summarise: {count} of 10, {rule}. Decide: {label}."
        ),
        "order": lambda: _form(
            "Decide: The answer is {label}. Recall: {recall} Summarise: {count} of 10, {rule}."
        ),
        "part-missing": lambda: _form("Recall: {recall} Decide: The answer is {label}."),
        "no-text": lambda: lambda t, drug, label: (drug, label),
        "text": lambda: lambda t, drug, label: three_steps(t, drug, "yes"),
    },
    "8.5": {
        "first-word": lambda: _found_first,
        "substring": lambda: _substring,
        "guesses": lambda: lambda text, labels: read_label(text, labels) or labels[0],
        "other-label": lambda: _any_word,
        "one-of-two": lambda: _whole(r"(?s)Recall.*Summarise.*Decide.*The answer is (\w+)\.$"),
        "parts-ignored": lambda: _whole(r"^(?:Recall.*)?Decide: The answer is (\w+)\.$"),
        "order-ignored": lambda: _scattered,
        "not-read": lambda: lambda text, labels: "maybe" if text else None,
    },
    "8.6": {
        **{f"wrong-{letter}": (lambda letter=letter: _case(letter)) for letter in CASE},
        "form": lambda: {"A": "no idea"},
    },
}

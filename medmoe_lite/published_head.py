"""An exhibit for a find-the-bug lesson: the ECI head as it was published, faults and all.

    states (b, s, d) -> flatten (b, s·d) -> MaxPool 8 -> AvgPool 8 -> Linear s·d/64 -> 1024 ->
    256 -> 64 -> 16 -> 4 -> c, with a LeakyReLU after every linear map, the last one included

Written from the description of LlamaCare (arXiv 2406.02350) and of its code; none of that code
is here. Do not train with it: eci.py is the head that this package uses. Its faults, each shown
by a test of the same name in tests/test_eci_published.py:

1.  fixed_length      weights belong to places in the text; another length cannot be read at all
2.  padding           padding is flattened with the rest, so the same prompt with other padding
                      gives other logits
3.  answer_leak       the states of the answer are read in training; at inference there is none
4.  feature_windows   windows of 8 run over neighbouring features of one token, never over tokens;
                      features have no order, and only the largest of 8 gets a gradient
5.  logit_activation  a LeakyReLU on the logits: what is below zero is shrunk to 1 %, so a class
                      can hardly be ruled out, and its gradient is 1 % as well
6.  narrow_chain      six maps without normalisation through 4 numbers: at the start all inputs
                      get almost the same logits
7.  size              parameters grow with the length: 155.6 million at 1900 tokens of width 5120
8.  nameless          nothing says which logit is which label; order lives in another file
9.  all_tokens        the language-model loss counts prompt and padding too
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

WINDOW = 8
CHAIN = (1024, 256, 64, 16, 4)
FORMS = ("pooled", "flat")


class Fault(NamedTuple):
    """A fault: its name, what to look at, and what eci.py does instead."""

    name: str
    look: str
    cure: str


FAULTS = (
    Fault("fixed_length", "run it on a shorter text", "pool over tokens, however many"),
    Fault("padding", "add padding to a prompt", "pool under the attention mask"),
    Fault("answer_leak", "change the answer, watch the logits", "pool under the prompt mask"),
    Fault("feature_windows", "which inputs get a gradient?", "mean and max over tokens"),
    Fault("logit_activation", "how low can a logit go?", "nothing after the last linear map"),
    Fault("narrow_chain", "compare the logits of two texts", "a norm and one inner layer"),
    Fault("size", "count parameters at two lengths", "sizes follow the width only"),
    Fault("nameless", "ask the head for its labels", "labels by name, saved with the head"),
    Fault("all_tokens", "which tokens have a gradient?", "labels of -100 but on the answer"),
)


class PublishedHead(nn.Module):
    """The published head.

    Args:
        length: s, the one length that it can read.
        width: d of the base.
        num_classes: c; the published order is no, yes, maybe.
        form: "pooled" (the drawing above), or "flat": one linear map from s·d, LeakyReLU after it.

    Raises:
        ValueError: unknown form, or s·d that the two windows do not divide.

    >>> import torch
    >>> PublishedHead(length=16, width=32)(torch.zeros(2, 16, 32)).shape
    torch.Size([2, 3])
    """

    def __init__(self, length: int, width: int, num_classes: int = 3, form: str = "pooled") -> None:
        super().__init__()
        if form not in FORMS:
            raise ValueError(f"unknown form {form!r}: type one of {', '.join(map(repr, FORMS))}")
        numbers = length * width
        if form == "pooled" and numbers % WINDOW**2:
            raise ValueError(
                f"{length} tokens of width {width} are {numbers} numbers, and two windows of "
                f"{WINDOW} need a multiple of {WINDOW**2}: give another length"
            )
        if form == "flat":
            self.pools = nn.Sequential()
            sizes: tuple[int, ...] = (numbers, num_classes)
        else:
            self.pools = nn.Sequential(nn.MaxPool1d(WINDOW), nn.AvgPool1d(WINDOW))
            sizes = (numbers // WINDOW**2, *CHAIN, num_classes)
        self.maps = nn.ModuleList(nn.Linear(n, m) for n, m in pairwise(sizes))

    def forward(self, hidden: Tensor) -> Tensor:
        """Logits (b, c) from all states (b, s, d): there is no mask to give."""
        x = self.pools(hidden.flatten(1))
        for linear in self.maps:
            x = F.leaky_relu(linear(x))
        return x


def published_loss(
    lm_logits: Tensor, input_ids: Tensor, head_logits: Tensor, classes: Tensor, weight: float = 0.2
) -> Tensor:
    """(1 - w)·LM + w·CE as published: LM over every token, prompt and padding included.

    Args:
        lm_logits: (b, t, v). input_ids: (b, t). head_logits: (b, c). classes: (b,).
    """
    lm = F.cross_entropy(lm_logits[:, :-1].flatten(0, 1), input_ids[:, 1:].flatten())
    return (1 - weight) * lm + weight * F.cross_entropy(head_logits, classes)

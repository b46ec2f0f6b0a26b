"""Numbers that published metrics are made of: F1 over classes and spans, longest subsequences.

    precision = right / said     recall = right / gold     F1 = 2 right / (said + gold)

macro: the mean of the classes; weighted: by how often a class is gold; micro: from the sums.
Zero divided by zero is 0, as scikit-learn has it with `zero_division=0`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple


class F1(NamedTuple):
    """Precision, recall and their harmonic mean."""

    precision: float
    recall: float
    f1: float


def f1_of(right: int, said: int, gold: int) -> F1:
    """From counts: items that are right, that were said, that should have been.

    >>> f1_of(2, 4, 2)
    F1(precision=0.5, recall=1.0, f1=0.6666666666666666)
    """
    return F1(share(right, said), share(right, gold), share(2 * right, said + gold))


def f1_by_class(pairs: Sequence[tuple[str, str]], classes: Sequence[str] = ()) -> dict[str, F1]:
    """One against the rest, for each class.

    Args:
        pairs: (gold, said).
        classes: which; without any, all that occur, in gold or in what was said. Then a text
            that is no label is a class of its own, with an F1 of 0, as scikit-learn has it.
    """
    gold, told = Counter(g for g, _ in pairs), Counter(s for _, s in pairs)
    right = Counter(g for g, s in pairs if g == s)
    return {
        name: f1_of(right[name], told[name], gold[name])
        for name in (classes or sorted(gold | told))
    }


def mean_f1(pairs: Sequence[tuple[str, str]], classes: Sequence[str] = ()) -> F1:
    """Macro average: each class counts the same."""
    scores = list(f1_by_class(pairs, classes).values())
    return F1(*(share(sum(column), len(scores)) for column in zip(*scores, strict=True)))


def weighted_f1(pairs: Sequence[tuple[str, str]]) -> F1:
    """Each class counts as often as it is gold."""
    gold = Counter(g for g, _ in pairs)
    scores = f1_by_class(pairs)
    return F1(
        *(share(sum(scores[c][i] * n for c, n in gold.items()), len(pairs)) for i in range(3))
    )


def rouge_l(said_text: str, gold_text: str) -> float:
    """F of the longest common subsequence, over characters of Chinese and words of English.

    An empty text counts as "无。", as PromptCBLUE has it.

    >>> rouge_l("主诉咳嗽", "主诉：咳嗽")
    0.8888888888888888
    """
    a, b = (re.findall(r"[a-z0-9]+|\S", t.lower()) or ["无", "。"] for t in (said_text, gold_text))
    where: dict[str, int] = {}
    for place, token in enumerate(a):
        where[token] = where.get(token, 0) | 1 << place
    row = full = (1 << len(a)) - 1  # a bit a token of `a`: 0 where the subsequence grew
    for token in b:
        hit = row & where.get(token, 0)
        row = (row + hit | row - hit) & full
    return f1_of(len(a) - row.bit_count(), len(a), len(b)).f1


def mentions(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """(type, first token, last token) of each mention in IOB, IOB2 or IOBES tags.

    As seqeval and conlleval read them: a type that changes, and an I- after O, begin a mention.

    >>> mentions(["B-Disease", "I-Disease", "O", "I-Disease", "S-Chemical"])
    [('Disease', 0, 1), ('Disease', 3, 3), ('Chemical', 4, 4)]
    """
    found: list[tuple[str, int, int]] = []
    open_ = False
    for place, tag in enumerate(tags):
        mark, _, kind = tag.partition("-")
        follows = open_ and mark in ("I", "E") and found[-1][0] == kind
        if follows:
            found[-1] = (kind, found[-1][1], place)
        elif mark != "O":
            found.append((kind, place, place))
        open_ = mark in ("B", "I")
    return found


def span_f1(gold: Sequence[Sequence[str]], told: Sequence[Sequence[str]]) -> F1:
    """Entity-level micro-F1 of tag sequences: a mention is right with its type and both ends.

    Raises:
        ValueError: a sentence has another number of tags than its gold.
    Source: Tjong Kim Sang and De Meulder 2003 (conlleval); seqeval computes the same.
    """
    right = n_told = n_gold = 0
    for number, (a, b) in enumerate(zip(gold, told, strict=True)):
        if len(a) != len(b):
            raise ValueError(f"sentence {number} has {len(a)} tokens and {len(b)} tags.")
        known, claimed = set(mentions(a)), set(mentions(b))
        right, n_told = right + len(known & claimed), n_told + len(claimed)
        n_gold += len(known)
    return f1_of(right, n_told, n_gold)


def share(part: float, whole: float) -> float:
    """part / whole; 0 where there is nothing."""
    return part / whole if whole else 0.0

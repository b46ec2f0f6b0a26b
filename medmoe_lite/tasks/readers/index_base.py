"""Does an answer of 1 mean the first option or the second? Off by one is silent, so it is asked.

The authors of MedMCQA count from 1, the version on the hub from 0, and both call the field
`cop`. A first pass over the file gathers which numbers occur and what the explanations say
("Ans. is 'c'"). A 0 or a 4 of four options decides; both, or a base that was typed and does not
fit, is an error that says what to type.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from .base import DataError
from .rows import LETTERS, Unfit

_SAYS = re.compile(r"\s*Ans(?:wer)?\.?\s*(?:is)?\s*[:.]?\s*['\"‘’“(\[]*([A-Ea-e])\b")
ENOUGH = 5  # explanations that name a letter, before they decide anything


def as_index(value: Any) -> int | None:
    """A whole number, also where it is written as text or as 2.0; None for anything else."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        return int(value) if float(value) == int(float(value)) else None
    except (TypeError, ValueError, OverflowError):
        return None


def find_base(
    answers: Iterable[tuple[Any, str | None]],
    count: int,
    where: str,
    stated: int | str | None = None,
) -> int | None:
    """The base of a file's answers, 0 or 1; None where no row is labelled.

    Args:
        answers: (the number, the explanation or None), row by row.
        count: options of an item.
        where: the file, for messages.
        stated: what the user typed, if anything.

    Raises:
        DataError: it cannot be told, or it contradicts what was stated or explained.

    >>> find_base([(0, None), (3, None)], 4, "dev.json"), find_base([(4, None)], 4, "dev.json")
    (0, 1)
    """
    if stated is not None and str(stated) not in ("0", "1"):
        raise DataError(f"index_base is {stated!r}: type 0 or 1.")
    seen: Counter[int] = Counter()
    fits: Counter[int] = Counter()
    named = 0
    for value, explanation in answers:
        index = as_index(value)
        if index is None or not 0 <= index <= count:
            continue
        seen[index] += 1
        letter = _SAYS.match(explanation) if explanation else None
        if letter:
            named += 1
            fits[index - LETTERS.index(letter[1].upper())] += 1
    if not seen:
        return None
    if seen[0] and seen[count] and stated is not None:
        return int(stated)  # the rows that do not fit are reported one by one
    if seen[0] and seen[count]:
        raise DataError(
            f"{where}: the answers go from 0 to {count}, which is {count + 1} values for {count} "
            "options: files that count from 0 and from 1 were put together. Read them apart, or "
            "type index_base=0 or 1 to have the rows reported that do not fit."
        )
    told = 0 if seen[0] else 1 if seen[count] else None
    explained = None
    if named >= ENOUGH:
        likeliest, times = fits.most_common(1)[0]
        explained = likeliest if times > 0.8 * named else None
    base = _agree(told, explained, where)
    if stated is not None:
        if base is not None and base != int(stated):
            raise DataError(_wrong(where, int(stated), base, seen, count))
        return int(stated)
    if base is None:
        raise DataError(
            f"{where}: the answers are {_values(seen)}, which fits counting from 0 and from 1. "
            "Type index_base=1 for the authors' file, index_base=0 for the version on the hub."
        )
    return base


def _agree(told: int | None, explained: int | None, where: str) -> int | None:
    if explained is not None and explained not in ((0, 1) if told is None else (told,)):
        raise DataError(
            f"{where}: the numbers look as if counted from {told or 0}, but the explanations "
            f"(\"Ans. is 'c'\") fit counting from {explained}. The file is off by one: fetch it "
            "again."
        )
    return told if told is not None else explained


def _wrong(where: str, stated: int, base: int, seen: Counter[int], count: int) -> str:
    kind = "the version on the hub" if base == 0 else "the authors' file"
    return (
        f"{where}: index_base={stated}, but the answers are {_values(seen)} of {count} options: "
        f"this is counted from {base} ({kind}). Type index_base={base}."
    )


def _values(seen: Counter[int]) -> str:
    return ", ".join(str(value) for value in sorted(seen) if seen[value])


def letter_at(value: Any, base: int | None, count: int) -> str:
    """The letter of an answer.

    Raises:
        Unfit: unlabelled (-1 or null), no number, or out of range.
    """
    index = as_index(value)
    if value is None or value == "" or index == -1:
        raise Unfit(f"unlabelled: the answer is {value!r} (a test set without its key).")
    if index is None or base is None or not 0 <= index - base < count:
        low = base or 0
        raise Unfit(f"the answer is {value!r}, not one of {low} to {low + count - 1}.")
    return LETTERS[index - base]

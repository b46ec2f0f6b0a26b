"""What a text lists: sets of typed items, for answers that are more than one thing.

    dis: fever                         ("dis", "fever")
    treated by: gout -> colchicine     ("treated by", "gout", "colchicine")
    none                               nothing

A form says how items are written: one function text -> `Items`. An item has a line of its own
here, so that no comma inside a mention cuts it in two. Benchmarks that publish another form add
theirs to `FORMS`; an example names its form in `meta["form"]`. Gold and answer are read by the
same form, and repeated items count once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from .record import Example

ARROW = " -> "
NOTHING = ("none", "无")


class Items(NamedTuple):
    """What a text lists.

    Attributes:
        found: the items that could be read, each a tuple: its type, then its texts.
        clean: is the whole text in the form? If not, `found` is what a tolerant scorer takes.
    """

    found: frozenset[tuple[str, ...]]
    clean: bool


Form = Callable[[Example, str], Items]
FORMS: dict[str, Form] = {}


def read_items(example: Example, text: str) -> Items:
    """The items of an answer to an example, by the form of its `meta["form"]`.

    Raises:
        ValueError: an unknown form.

    >>> note = Example("ner", "", "", choices=("dis", "drug"), grader="entities")
    >>> sorted(read_items(note, "drug: aspirin\\ndis: fever").found)
    [('dis', 'fever'), ('drug', 'aspirin')]
    >>> read_items(note, "It has fever.")
    Items(found=frozenset(), clean=False)
    """
    name = example.meta.get("form", "labels" if example.grader == "labels" else "lines")
    if name not in FORMS:
        raise ValueError(f"unknown form of items {name!r}. There are: {', '.join(FORMS)}.")
    return FORMS[name](example, text.strip())


def write_lines(items: Iterable[tuple[str, ...]]) -> str:
    """The answer that `lines` reads, each item once, in the order given.

    >>> write_lines([("dis", "fever"), ("dis", "fever"), ("treats", "a", "b")])
    'dis: fever\\ntreats: a -> b'
    """
    rows = dict.fromkeys(f"{kind}: {ARROW.join(texts)}" for kind, *texts in items)
    return "\n".join(rows) or NOTHING[0]


def lines(example: Example, text: str) -> Items:
    """One item a line, `type: text` or `type: text -> text`; the types are `choices`."""
    found, clean = set(), bool(text)
    if text in NOTHING:
        return Items(frozenset(), True)
    for row in text.splitlines():
        kind, *rest = (part.strip() for part in re.split("[:：]", row, maxsplit=1))
        texts = [part.strip() for part in rest[0].split(ARROW)] if rest else [""]
        if all(texts) and (not example.choices or kind in example.choices):
            found.add((kind, *texts))
        elif row.strip():
            clean = False
    return Items(frozenset(found), clean)


def labels(example: Example, text: str) -> Items:
    """Labels between `meta["separator"]` ("##" where it has none), in any order.

    Where the possible labels are known (`choices`), a label that has the separator inside is
    read as one, and any other text makes the answer unclean.
    """
    separator = example.meta.get("separator", "##")
    none = example.meta.get("none", NOTHING)
    if text in none:
        return Items(frozenset(), True)
    parts = [part.strip() for part in text.split(separator)]
    found, clean, first = set(), bool(text), 0
    while first < len(parts):
        for last in range(len(parts) if example.choices else first + 1, first, -1):
            label = separator.join(parts[first:last])
            if label in example.choices or (label and not example.choices):
                found.add((label,))
                break
        else:
            clean = False
        first = last
    return Items(frozenset(found), clean)


FORMS.update(lines=lines, labels=labels)

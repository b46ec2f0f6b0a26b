"""Annotations as a reader of files needs them: their parts, and the words for them."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, Union, get_args, get_origin, get_type_hints

WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def advice(name: str, known: Iterable[str]) -> str:
    """The nearest right names.

    >>> advice("lora_alfa", ["lora_alpha", "r"])
    "Did you mean 'lora_alpha'?"
    >>> advice("colour", ["lora_alpha", "r"])
    'There are: lora_alpha, r.'
    """
    known = list(known)
    near = get_close_matches(name, known, 1, 0.6)
    return f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(known)}."


def is_bundle(kind: Any) -> bool:
    """Whether a type is a NamedTuple or a dataclass."""
    return isinstance(kind, type) and (is_dataclass(kind) or hasattr(kind, "_fields"))


def fields_of(kind: Any) -> tuple[dict[str, Any], list[str]]:
    """Name -> annotation of a NamedTuple or dataclass, and the names without a default."""
    hints = get_type_hints(kind)
    if is_dataclass(kind):
        own = fields(kind)
        empty = [f.name for f in own if f.default is MISSING and f.default_factory is MISSING]
        return {f.name: hints[f.name] for f in own}, empty
    return hints, [name for name in kind._fields if name not in kind._field_defaults]


def words_of(hint: Any) -> str:
    """A type in words.

    >>> words_of(list[int]), words_of(None), words_of(float)
    ('a list (each a whole number)', 'null', 'a number')
    """
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind in (None, type(None)):
        return "null"
    if kind in (list, tuple):
        return f"a list (each {words_of(inner[0])})" if inner else "a list"
    if is_bundle(kind):
        return f"a mapping of {', '.join(fields_of(kind)[0])}"
    if isinstance(kind, type) and issubclass(kind, Mapping):
        return f"a mapping of names (each {words_of(inner[1])})"
    if kind in (Union, types.UnionType):
        return " or ".join(words_of(option) for option in inner)
    return WORDS.get(kind, str(kind))

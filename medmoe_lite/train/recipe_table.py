"""A recipe as a table for people: value, paper, nano, source."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from .recipe import Recipe

WIDTHS = (34, 24, 24)


def table(recipe: Recipe, width: int = 140) -> str:
    """The recipe's values, a line each; the reason follows where the two columns differ.

    Args:
        recipe: what to show.
        width: of the whole table in characters, at least 100.

    >>> from medmoe_lite.train.recipe import Recipe
    >>> print(table(Recipe.read("ming_moe")))  # doctest: +NORMALIZE_WHITESPACE
    MoLoRA, eight experts, two for each token
    Liao et al. 2024, MING-MOE, arXiv 2404.09027
    <BLANKLINE>
    value                paper   nano   source
    ...
    adapters.default.r   16      4      the paper: N=8, K=2, r=16; ...
    ...
    """
    widths = (*WIDTHS, max(100, width) - sum(WIDTHS) - 6)
    lines = [recipe.title, recipe.cite, "", *_row(("value", "paper", "nano", "source"), widths)]
    section = ""
    for value in recipe.sources():
        new = value.key.rpartition(".")[0]
        if new != section:
            lines.append("")
        section = new
        told = f"{value.source}; nano: {value.reason}" if value.reason else value.source
        cells = (value.key, in_words(value.paper), in_words(value.nano), told)
        lines += _row(cells, widths)
    return "\n".join(lines) + "\n"


def in_words(value: Any) -> str:
    """A value in short.

    >>> in_words({"facts": 5, "general": 2}), in_words(None), in_words(["q_proj"]), in_words(4e-3)
    ('facts 5, general 2', 'none', 'q_proj', '0.004')
    """
    if is_dataclass(value) and not isinstance(value, type):
        value = {key: entry for key, entry in asdict(value).items() if entry is not None}
    elif hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {in_words(entry)}" for key, entry in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(in_words(entry) for entry in value) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _row(cells: tuple[str, ...], widths: tuple[int, ...]) -> list[str]:
    """One row, as many lines as its longest cell needs."""
    wrapped = [textwrap.wrap(cell, w) or [""] for cell, w in zip(cells, widths, strict=True)]
    return [
        "  ".join(
            (part[i] if i < len(part) else "").ljust(w)
            for part, w in zip(wrapped, widths, strict=True)
        ).rstrip()
        for i in range(max(map(len, wrapped)))
    ]

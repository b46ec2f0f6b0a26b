"""Suites of the kit's own tasks for a recipe: what the embedded model is scored on by default.

Facts are asked in wordings that were not taught; all other families are of the test split. A
suite's name begins with its source, so gates that ask for a task can be told it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .recipe import Recipe
from .recipe_file import FACTS, STEPS

if TYPE_CHECKING:
    from ..tasks import Example

SEED = 11


def kit_suites(recipe: Recipe, n: int = 24) -> dict[str, list[Example]]:
    """Suite name -> at most `n` test items, for every source of a recipe.

    >>> from medmoe_lite.train.recipe import Recipe
    >>> list(kit_suites(Recipe.read("medcare"), 2))[:5]
    ['facts', 'formats.json', 'formats.triage', 'formats.soap', 'general.knowledge']
    """
    from ..bases.nano import SMALL
    from ..tasks import every_fact, make

    found: dict[str, list[Example]] = {}
    for source, parts in recipe.data("nano").items():
        families = [family for family in parts if family != STEPS]
        for family in families:
            name = source if len(families) == 1 else f"{source}.{family}"
            if family == FACTS:
                everything = every_fact(parts[family], "heldout")
                found[name] = everything[:: max(1, len(everything) // n)][:n]
            else:
                found[name] = make(family, "test", min(n, SMALL.get(family, n)), SEED)
    return found

"""One training stage: what is mixed, which adapters learn, for how many steps, at what price.

    examples -> Mixture -> StageTrainer -> History (+ whole files in `out`)

`Stage` says what to do, `run_stage` does it. Names are loaded when they are first used, so
importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checkpoint import DamagedCheckpoint
    from .data import Mixture
    from .history import History
    from .recipe import Recipe, RecipeError
    from .recipe_run import run_recipe
    from .run import run_stage
    from .seeds import seeded
    from .stage import Orthogonal, Preservation, Projection, Stage

_WHERE = {
    "DamagedCheckpoint": "checkpoint",
    "History": "history",
    "Mixture": "data",
    "Orthogonal": "stage",
    "Preservation": "stage",
    "Projection": "stage",
    "Recipe": "recipe",
    "RecipeError": "recipe",
    "Stage": "stage",
    "run_recipe": "recipe_run",
    "run_stage": "run",
    "seeded": "seeds",
}

__all__ = [
    "Stage", "Orthogonal", "Preservation", "Projection", "Recipe", "RecipeError",
    "run_stage", "run_recipe", "History",
    "Mixture", "DamagedCheckpoint", "seeded",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

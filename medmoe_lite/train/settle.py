"""A recipe with every value known: its column, what the command line says, and stated defaults.

    paper column  +  --set KEY=VALUE  +  a default for each `unknown`  ->  a recipe that can run

A value that nobody published is never filled in silently: each default has a sentence that says
what was taken and why. The sentences are printed before training and stand in the run card.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from .hints import advice
from .recipe import Recipe
from .recipe_fields import config_fields, head_fields, stage_fields
from .recipe_file import UNKNOWN, Value, column_of
from .strict import RecipeError

TYPED = "the command line"
PUBLISHED = "as in MING-MOE and MedCare, whose values are published"
# field -> (value, why), where the value of the embedded model would make no sense
COMMON: dict[str, tuple[Any, str]] = {
    "r": (16, PUBLISHED),
    "lora_alpha": (32, PUBLISHED),
    "batch_size": (128, PUBLISHED),
    "lr": (2e-4, PUBLISHED),
}
WARMUP = 0.03  # of the steps, as MING's script
AT_ONCE = 8  # examples in one part of a step


@dataclass
class Settled:
    """A recipe that can run.

    Attributes:
        recipe: its column is complete.
        file: the values as the recipe's file has them.
        given: key -> value that was typed.
        defaults: key -> (value, why), of what nobody gave.
    """

    recipe: Recipe
    file: Mapping[str, Value]
    given: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, tuple[Any, str]] = field(default_factory=dict)

    def sentences(self) -> list[str]:
        """One line a stated default."""
        return [f"{key} = {value}: {why}" for key, (value, why) in self.defaults.items()]


def settle(recipe: Recipe, column: str, typed: Iterable[str], sizes: Mapping[str, int]) -> Settled:
    """Complete a column of a recipe.

    Args:
        recipe: as it was read.
        column: "nano" or "paper".
        typed: "KEY=VALUE" in YAML; KEY as `medmoe recipe NAME` shows it, or its last word, which
            then holds for every stage (or adapter, or the head) that knows it.
        sizes: source -> how many examples there are.

    Raises:
        ValueError: an unknown key, or a value of another type.

    >>> found = settle(Recipe.read("ming_moe"), "paper", ["lr=1.0e-4"], {"facts": 300, "json": 100})
    >>> found.recipe.stages("paper")[0].lr
    0.0001
    >>> found.sentences()[0]
    "stages.multitask.mix = {'facts': 300, 'json': 100}: not published; as many of each source ..."
    """
    column = column_of(column)
    known = _known_keys(recipe)
    settled = Settled(replace(recipe, values=dict(recipe.values)), recipe.values)
    for text in typed:
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--set {text!r}: type KEY=VALUE, such as --set lr=1.0e-4.")
        for full in _full_keys(key.strip(), known):
            found = _typed(recipe, full, value, known[full])
            _put(settled.recipe, full, column, found)
            settled.given[full] = found
    _fill(settled, column, sizes)
    return settled


def _fill(settled: Settled, column: str, sizes: Mapping[str, int]) -> None:
    """Defaults for what is still unknown, the mix first: others hang on it."""
    recipe = settled.recipe
    order = ("mix", "batch_size", "accumulation", "steps", "warmup")
    unknown = [
        key for key, value in recipe.values.items()
        if getattr(value, column) == UNKNOWN and key.split(".")[0] in ("adapters", "stages", "head")
    ]  # fmt: skip
    unknown.sort(key=lambda key: order.index(_last(key)) if _last(key) in order else len(order))
    for key in unknown:
        section, last = key.rpartition(".")[0], _last(key)
        near = {
            name.removeprefix(f"{section}."): getattr(value, column)
            for name, value in recipe.values.items()
            if name.startswith(f"{section}.")
        }
        value, why = _default(recipe, key, last, near, sizes)
        _put(recipe, key, column, value)
        settled.defaults[key] = (value, f"not published; {why}")
    _keep_in_proportion(settled, column)


def _default(
    recipe: Recipe, key: str, last: str, near: Mapping[str, Any], sizes: Mapping[str, int]
) -> tuple[Any, str]:
    """A value for one unknown key, and why this one."""
    if last == "mix":
        sources = recipe.data()
        mix = {source: sizes[source] for source in sources if sizes.get(source)}
        if not mix:
            raise ValueError(
                f"{key} is not published, and there is no data to take it from: give "
                f"--data SOURCE=READER:PATH for some of {', '.join(sources)}."
            )
        return mix, "as many of each source as it has examples"
    if last == "accumulation":
        parts = math.ceil(near["batch_size"] / AT_ONCE)
        return parts, f"at most {AT_ONCE} examples at a time"
    if last == "steps":
        examples = sum(sizes.get(source, 0) for source in near["mix"])
        steps = max(1, math.ceil(examples / near["batch_size"]))
        return steps, f"one pass over {examples} examples"
    if last == "warmup":
        return max(1, round(WARMUP * near["steps"])), f"{WARMUP} of the steps, as MING's script"
    if last in COMMON:
        return COMMON[last]
    value = recipe.values[key]
    return value.nano, f"the value of the embedded model ({value.reason or value.source})"


def _keep_in_proportion(settled: Settled, column: str) -> None:
    """Where steps or batch size were typed, what hangs on them follows, and says so."""
    values, given = settled.recipe.values, settled.given
    for key in list(given):
        section, last = key.rpartition(".")[0], _last(key)
        if last == "steps" and f"{section}.warmup" not in given:
            before = getattr(settled.file.get(key), column, None)
            old = getattr(values.get(f"{section}.warmup"), column, None)
            if isinstance(old, int) and isinstance(before, int) and before != given[key]:
                scaled = max(1, round(old * given[key] / before))
                _put(settled.recipe, f"{section}.warmup", column, scaled)
                settled.defaults[f"{section}.warmup"] = (scaled, "scaled with the steps")
        if last == "batch_size" and f"{section}.accumulation" not in given:
            parts = getattr(values.get(f"{section}.accumulation"), column, 1)
            if isinstance(parts, int) and parts > given[key]:
                _put(settled.recipe, f"{section}.accumulation", column, given[key])
                settled.defaults[f"{section}.accumulation"] = (
                    given[key], "at most one part an example",
                )  # fmt: skip


def _put(recipe: Recipe, key: str, column: str, value: Any) -> None:
    old = recipe.values.get(key)
    new = old or Value(key, None, None, TYPED, "")
    recipe.values[key] = new._replace(**{column: value})  # type: ignore[index]


def _known_keys(recipe: Recipe) -> dict[str, Any]:
    """Every key that may be typed, with its type."""
    found: dict[str, Any] = {}
    sections = dict.fromkeys(key.rpartition(".")[0] for key in recipe.values)
    fields = {"stages": stage_fields, "adapters": config_fields, "head": head_fields}
    for section in sections:
        make = fields.get(section.split(".")[0])
        if make is not None:
            found.update({f"{section}.{name}": hint for name, hint in make().items()})
    return found


def _full_keys(key: str, known: Mapping[str, Any]) -> list[str]:
    """The keys that were meant: the full one, or all that end in this word."""
    if key in known:
        return [key]
    for part in ("stages.", "adapters.", "head."):
        found = [full for full in known if full.startswith(part) and _last(full) == key]
        if found:
            return found
    names = [*known, *dict.fromkeys(map(_last, known))]
    raise ValueError(f"--set {key}: the recipe has no such value. {advice(key, names)}")


def _typed(recipe: Recipe, key: str, text: str, hint: Any) -> Any:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"--set {key}={text}: no YAML ({error})") from error
    if node is None:
        raise ValueError(f"--set {key}=: a value is missing; type null for none.")
    try:
        return recipe.reader.typed(node, hint, _last(key))
    except RecipeError as error:
        told = str(error).removeprefix(f"{error.path}:{error.line}: ")
        raise ValueError(f"--set {key}={text}: {told}") from error


def _last(key: str) -> str:
    return key.rpartition(".")[2]

"""Tables of facts: read from CSV, with file and line in every complaint.

A fact is (table, entity, column, value). Entities named in `kept.csv` are kept out of the
base model's world: they, and the invented drugs, are what adapters are taught later.
"""

from __future__ import annotations

import csv
import random
from functools import cache
from typing import NamedTuple

from ..paths import data_dir
from .names import RESERVED, all_names

COLUMNS = {
    "drugs": ("class", "indication", "adverse_effect", "interaction"),
    "conditions": ("symptom", "specialty", "treatment", "code"),
    "countries": ("capital", "continent", "language"),
    "animals": ("group", "covering", "food", "home"),
}
MEDICAL = ("drugs", "conditions")
GENERAL = ("countries", "animals")
NUM_INVENTED = 36


class Fact(NamedTuple):
    """One cell of a table."""

    table: str
    entity: str
    column: str
    value: str


def rows(name: str) -> list[dict[str, str]]:
    """The rows of `data/facts/{name}.csv` as dictionaries.

    Raises:
        ValueError: a row has another number of cells than the header; file and line are named.
    """
    path = data_dir() / "facts" / f"{name}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        header = next(reader)
        result = []
        for cells in reader:
            if len(cells) != len(header):
                raise ValueError(
                    f"{path}:{reader.line_num}: {len(cells)} cells, the header has {len(header)}. "
                    "A comma inside a cell needs quotes. Type `medmoe data check` for all rows."
                )
            result.append(dict(zip(header, cells, strict=True)))
    return result


@cache
def table(name: str) -> dict[str, dict[str, str]]:
    """A table as {entity: {column: value}}; of a condition's symptoms the first is the value.

    >>> table("countries")["france"]["capital"]
    'paris'
    """
    result = {}
    for row in rows(name):
        values = dict(row)
        entity = values.pop("name")
        if name == "conditions":
            values["symptom"] = values["symptoms"].split("; ")[0]
        result[entity] = {column: values[column] for column in COLUMNS[name.split("_")[-1]]}
    return result


@cache
def kept() -> frozenset[tuple[str, str]]:
    """(table, entity) pairs that the base model never saw."""
    return frozenset((row["table"], row["name"]) for row in rows("kept"))


@cache
def facts(source: str) -> tuple[Fact, ...]:
    """All facts of a source: "base", "kept", "invented" (medical) or "general".

    >>> len(facts("invented"))
    144
    """
    if source == "invented":
        cells = table("invented_drugs").items()
        return tuple(Fact("drugs", e, c, v) for e, row in cells for c, v in row.items())
    if source not in ("base", "kept", "general"):
        raise ValueError(
            f"unknown table of facts {source!r}: there are 'base', 'kept', 'invented', 'general'."
        )
    names = GENERAL if source == "general" else MEDICAL
    return tuple(
        Fact(name, entity, column, value)
        for name in names
        for entity, row in table(name).items()
        if source == "general" or ((name, entity) in kept()) == (source == "kept")
        for column, value in row.items()
    )


@cache
def values(name: str, column: str) -> tuple[str, ...]:
    """The distinct values of a column, sorted: what wrong options are drawn from."""
    return tuple(sorted({row[column] for row in table(name).values()}))


def choose_kept(num_drugs: int = 36, num_conditions: int = 20, seed: int = 0) -> list[list[str]]:
    """Entities to keep out of the base's world, so that every value stays with another entity.

    A value (the class "statin", say) must still occur at an entity of the base: the fact is
    to be new, not the word. Codes are unique by nature and exempt.
    """
    chosen = []
    for name, wanted in (("drugs", num_drugs), ("conditions", num_conditions)):
        cells = table(name)
        columns = [column for column in COLUMNS[name] if column != "code"]
        left = {c: [row[c] for row in cells.values()] for c in columns}
        order = sorted(cells)
        random.Random(f"kept/{name}/{seed}").shuffle(order)
        for entity in order:
            if wanted and all(left[c].count(cells[entity][c]) >= 2 for c in columns):
                for c in columns:
                    left[c].remove(cells[entity][c])
                chosen.append([name, entity])
                wanted -= 1
    return sorted(chosen)


def invent_drugs(num_drugs: int = NUM_INVENTED, seed: int = 0) -> list[list[str]]:
    """Invented drugs whose values are drawn, column by column, from those of real drugs.

    Independent columns: nothing about one value can be derived from another.
    """
    rng = random.Random(f"invented/{seed}")
    names = sorted(all_names()[:RESERVED][:num_drugs])
    return [[name, *(rng.choice(values("drugs", c)) for c in COLUMNS["drugs"])] for name in names]

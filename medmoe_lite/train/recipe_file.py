"""Where recipes lie, how a file becomes values, and which names in it have to exist."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from yaml import MappingNode, Node, ScalarNode, SequenceNode

from ..paths import PACKAGE
from .hints import advice
from .recipe_fields import ACTIONS, base_fields, config_fields, head_fields, stage_fields
from .stage import ADAPTER
from .strict import Entries, Reader

FOLDER = PACKAGE / "recipes"
UNKNOWN = "unknown"
COLUMNS = ("paper", "nano")
TOP = ("title", "cite", "bases", "data", "adapters", "head", "stages")
FACTS, STEPS = "every_fact", "classify_steps"  # beside the task families, in data
DATA: dict[str, Any] = {"paper": str, "nano": Mapping[str, int | str]}


class Value(NamedTuple):
    """One line of a recipe: key, both columns, and where they come from."""

    key: str
    paper: Any
    nano: Any
    source: str
    reason: str


Hints = Mapping[str, Any]


def names() -> list[str]:
    """The shipped recipes.

    >>> names()
    ['llamacare', 'lora', 'med_moe_lora', 'medcare', 'ming_moe']
    """
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def find(path_or_name: Path | str) -> Path:
    """The file of a shipped recipe, or the path itself where it ends in .yaml or .yml.

    Raises:
        FileNotFoundError: there is none.
    """
    path = Path(path_or_name)
    if path.suffix not in (".yaml", ".yml"):
        known = names()
        if str(path_or_name) not in known:
            raise FileNotFoundError(
                f"no recipe {str(path_or_name)!r}. {advice(str(path_or_name), known)} "
                "Or give the path of a .yaml file."
            )
        path = FOLDER / f"{path_or_name}.yaml"
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}: give the path of a .yaml file")
    return path


def column_of(base: str) -> str:
    """Which column a base stands in: "nano" (also "nano/seed1") or "paper".

    Raises:
        ValueError: neither.
    """
    column = base.partition("/")[0]
    if column not in COLUMNS:
        raise ValueError(f"base={base!r}: type base='nano' or base='paper', the two columns")
    return column


def read_file(reader: Reader) -> tuple[str, str, dict[str, Value], dict[str, Node]]:
    """Title, citation, values by key, and nodes of sections ("stages.align") and columns.

    Raises:
        RecipeError: a key, type or name that cannot be.
    """
    top = reader.entries(reader.root, "a recipe", TOP)
    for key in TOP:
        if key not in top and key != "head":
            reader.fail(reader.root, f"the recipe lacks {key!r}")
    title, cite = (reader.typed(top[key], str, key) for key in ("title", "cite"))
    values: dict[str, Value] = {}
    nodes: dict[str, Node] = {}
    for name, node, hints in _sections(reader, top):
        nodes[name] = node
        for key, line in reader.entries(node, name, hints).items():
            types = DATA if hints is None else dict.fromkeys(COLUMNS, hints[key])
            values[f"{name}.{key}"] = _value(reader, f"{name}.{key}", line, types, nodes)
    for part in ("adapters", "stages", "data"):
        if not names_in(part, nodes):
            reader.fail(top[part], f"{part} is empty: name at least one")
    check_names(reader, nodes)
    return title, cite, values, nodes


def names_in(section: str, nodes: Mapping[str, Node]) -> list[str]:
    """Names of the adapters, stages or data sources, in order."""
    inside = (key.split(".")[1] for key in nodes if key.startswith(f"{section}."))
    return list(dict.fromkeys(name.partition("@")[0] for name in inside))


def _sections(reader: Reader, top: Entries) -> Iterator[tuple[str, Node, Hints | None]]:
    """(name, node, its keys with their types); the keys of data are free."""
    groups: dict[str, Callable[[], Hints]] = {"adapters": config_fields, "stages": stage_fields}
    single: dict[str, Callable[[], Hints]] = {"bases": base_fields, "head": head_fields}
    for part, node in top.items():
        if part in groups:
            for name, inner in reader.entries(node, part).items():
                if "." in name:
                    reader.fail(inner, f"the name {name!r} has a point in it: leave it out")
                if not re.fullmatch(r"[\w-]+", name):
                    reader.fail(inner, f"the name {name!r}: use letters, digits, - and _ only")
                yield f"{part}.{name}", inner, groups[part]()
        elif part in single:
            yield part, node, single[part]()
        elif part == "data":
            yield part, node, None


def _value(
    reader: Reader, key: str, node: Node, types: Mapping[str, Any], nodes: dict[str, Node]
) -> Value:
    """One line: both columns in the right types, with source and reason."""
    name = key.rpartition(".")[2]
    form = f"{name}: {{paper: ..., nano: ..., source: ..., reason: ...}}"
    if not isinstance(node, MappingNode):
        reader.fail(node, f"{key} is {reader.shown(node)} alone; write {form}")
    found = reader.entries(node, key, Value._fields[1:])
    for need in ("paper", "source"):
        if need not in found:
            reader.fail(node, f"{key} lacks {need!r}; write {form}")
    texts = {k: reader.typed(found[k], str, k) for k in ("source", "reason") if k in found}
    for word, text in texts.items():
        if not text.strip():
            reader.fail(found[word], f"{key} has an empty {word}")
    unknown = isinstance(found["paper"], ScalarNode) and found["paper"].value == UNKNOWN
    if unknown and "nano" not in found:
        reader.fail(node, f"{key} is unknown in the paper, so it needs nano: ...")
    columns = {}
    for column in COLUMNS:
        place = nodes[f"{key}@{column}"] = found.get(column, found["paper"])
        known = not (unknown and column == "paper")
        columns[column] = reader.typed(place, types[column], name) if known else UNKNOWN
    if columns["paper"] != columns["nano"] and "reason" not in texts:
        reader.fail(node, f"{key} differs between paper and nano: say why with reason: ...")
    return Value(key, columns["paper"], columns["nano"], texts["source"], texts.get("reason", ""))


def check_names(reader: Reader, nodes: Mapping[str, Node]) -> None:
    """Every name that points to another part of the recipe, or to a task family, must exist.

    Raises:
        RecipeError: one does not.
    """
    from ..tasks import families

    known = {
        "adapter": names_in("adapters", nodes),
        "data source": names_in("data", nodes),
        "action": list(ACTIONS),
    }
    for key, node in nodes.items():
        line, _, column = key.partition("@")
        section, _, name = line.rpartition(".")
        if section.startswith("stages.") and column:
            for word, kind, place in _pointers(name, node):
                if word not in known[kind]:
                    near = advice(word, known[kind])
                    reader.fail(place, f"there is no {kind} {word!r}. {near}")
        if section == "data" and column == "nano":
            for family, count in reader.entries(node, line, [*families(), FACTS, STEPS]).items():
                reader.typed(count, str if family == FACTS else int, family)


def _pointers(name: str, node: Node) -> Iterator[tuple[str, str, Node]]:
    """(word, what it names, its node) of all words in a stage's value that point elsewhere."""
    lists = {"train": "adapter", "frozen": "adapter", "before": "action"}
    inner = {"knowledge": "adapter", "alignment": "adapter", "source": "data source"}
    if name in lists and isinstance(node, SequenceNode):
        yield from ((item.value, lists[name], item) for item in node.value)
    if name == "mix" and isinstance(node, MappingNode):
        yield from ((key.value, "data source", key) for key, _ in node.value)
    if name in ("orthogonal", "project", "preservation") and isinstance(node, MappingNode):
        for key, value in node.value:
            if key.value not in inner:
                continue
            for item in value.value if isinstance(value, SequenceNode) else [value]:
                if item.value.startswith(ADAPTER):
                    yield item.value.removeprefix(ADAPTER), "adapter", item
                else:
                    yield item.value, inner[key.value], item

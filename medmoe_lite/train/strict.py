"""Read YAML strictly: every complaint has file and line, and the nearest right thing to type.

    text -> nodes that know their line -> values of the types that a dataclass or function declares

The types are not written down a second time: they are the annotations of the thing that will
take the values. Nothing is ever built from a tag, so a file can hold data only.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, Union, get_args, get_origin

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode

from .hints import advice, fields_of, is_bundle, words_of

Entries = dict[str, Node]


class RecipeError(ValueError):
    """What is wrong in a recipe, with the place in front: `file:line: ...`."""

    def __init__(self, path: Path | str, line: int, text: str) -> None:
        super().__init__(f"{path}:{line}: {text}")
        self.path, self.line = Path(path), line


class Reader:
    """One file and its complaints.

    Args:
        path: the file.

    Raises:
        RecipeError: it is no text, no YAML, or empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8")
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except UnicodeDecodeError as error:
            line = path.read_bytes()[: error.start].count(b"\n") + 1
            raise RecipeError(path, line, "not UTF-8: save the file as UTF-8") from error
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or error
            raise RecipeError(path, mark.line + 1 if mark else 1, f"no YAML: {problem}") from error
        except RecursionError as error:
            raise RecipeError(path, 1, "brackets or lines are nested too deep") from error
        if root is None:
            raise RecipeError(path, 1, "the file is empty: start from a shipped recipe")
        self.root: Node = root

    def fail(self, node: Node, text: str) -> NoReturn:
        """Raise, with the line of a node."""
        raise RecipeError(self.path, line_of(node), text)

    def entries(self, node: Node, what: str, known: Iterable[str] | None = None) -> Entries:
        """Key -> value node of a mapping; with `known`, other keys are refused.

        Raises:
            RecipeError: no mapping, a key twice, a key that is no word, or an unknown one.
        """
        if not isinstance(node, MappingNode):
            self.fail(node, f"{what} is {self.shown(node)}; give `key: value` lines")
        found: Entries = {}
        first: dict[str, int] = {}
        allowed = None if known is None else list(known)
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.fail(key, f"a key of {what} is no word")
            name = key.value
            if name in found:
                self.fail(key, f"{name!r} stands twice in {what}, first in line {first[name]}")
            if allowed is not None and name not in allowed:
                self.fail(key, f"{what} has no {name!r}. {advice(name, allowed)}")
            found[name], first[name] = value, line_of(key)
        return found

    def plain(self, node: Node) -> Any:
        """The value of a node as YAML's safe loader builds it."""
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_object(node, deep=True)  # type: ignore[no-untyped-call]
        except (yaml.YAMLError, ValueError, TypeError) as error:
            self.fail(node, f"cannot be read: {getattr(error, 'problem', None) or error}")
        finally:
            loader.dispose()  # type: ignore[no-untyped-call]

    def shown(self, node: Node) -> str:
        """A value in short words, for complaints."""
        if isinstance(node, MappingNode):
            return "a mapping"
        if isinstance(node, SequenceNode):
            return "a list"
        return "empty" if node.value == "" else repr(self.plain(node))

    def typed(self, node: Node, hint: Any, name: str) -> Any:
        """The value of a node, which must be what an annotation asks for.

        Args:
            node: where it stands.
            hint: int, float, bool, str, None, list, tuple, Mapping, a NamedTuple, a dataclass, or
                a union of those.
            name: of the key, for complaints.

        Raises:
            RecipeError: another type; the message says which one is meant.
        """
        options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
        for option in options:
            if self._is(node, option):
                return self._build(node, option, name)
        meant = " or ".join(dict.fromkeys(words_of(option) for option in options))
        self.fail(node, f"{name} is {self.shown(node)}; give {meant}{self._help(node, options)}")

    def _is(self, node: Node, hint: Any) -> bool:
        """Whether a node has the outer form of a type."""
        kind = get_origin(hint) or hint
        if isinstance(node, MappingNode):
            return is_bundle(kind) or (isinstance(kind, type) and issubclass(kind, Mapping))
        if isinstance(node, SequenceNode):
            return kind in (list, tuple)
        value = self.plain(node)
        if kind is float:
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        kind = type(None) if kind is None else kind
        return isinstance(kind, type) and type(value) is kind

    def _build(self, node: Node, hint: Any, name: str) -> Any:
        kind, inner = get_origin(hint) or hint, get_args(hint)
        if isinstance(node, ScalarNode):
            return self.plain(node)
        if isinstance(node, SequenceNode):
            one = inner[0] if inner else Any
            return kind(self.typed(item, one, f"an entry of {name}") for item in node.value)
        if not is_bundle(kind):
            found = self.entries(node, name)
            return {key: self.typed(item, inner[1], key) for key, item in found.items()}
        hints, needed = fields_of(kind)
        found = self.entries(node, name, hints)
        for key in needed:
            if key not in found:
                self.fail(node, f"{name} lacks {key!r}: give {words_of(hints[key])}")
        return kind(**{key: self.typed(item, hints[key], key) for key, item in found.items()})

    def _help(self, node: Node, options: Iterable[Any]) -> str:
        """What to type, where YAML reads something else than a person."""
        options = list(options)
        value = self.plain(node) if isinstance(node, ScalarNode) else None
        if isinstance(value, str) and (float in options or int in options):
            try:
                number = float(value)
            except ValueError:
                return ""
            if node.style is None:  # type: ignore[attr-defined]
                exact = f"{number:.10e}".split("e")
                digits = exact[0].rstrip("0") + ("0" if exact[0].rstrip("0").endswith(".") else "")
                return f" (YAML needs the point: type {digits}e{int(exact[1]):+d})"
            return f" (without quotes: type {value})"
        if isinstance(value, bool) and str in options:
            return f' (YAML reads this word as true or false: type "{node.value}")'
        if isinstance(value, float) and int in options and value.is_integer():
            return f" (type {int(value)})"
        return ""

    def _inner(self, node: Node) -> list[tuple[str, Node]]:
        """Keys and values of a mapping; nothing for other nodes."""
        return list(self.entries(node, "").items()) if isinstance(node, MappingNode) else []

    def blame(self, nodes: Entries, fallback: Node, error: Exception) -> NoReturn:
        """Raise a constructor's complaint again, at the line of the key that it speaks of."""
        text, node = str(error), fallback
        places = mentions(nodes, text)
        if not places:  # perhaps it speaks of a key inside one of the values
            nodes = {key: inner for outer in nodes.values() for key, inner in self._inner(outer)}
            places = mentions(nodes, text)
        while places:
            node = nodes[min(places, key=lambda key: places[key])]
            nodes = dict(self._inner(node))
            places = mentions(nodes, text)
        if isinstance(node, ScalarNode):
            words = [word for word in re.findall(r"[A-Za-z][\w-]+", text) if word != node.value]
            near = get_close_matches(node.value, words, 1, 0.6)
            text += f" Did you mean {near[0]!r}?" if near else ""
        raise RecipeError(self.path, line_of(node), text) from error


def line_of(node: Node) -> int:
    """Line of a node, counted from 1."""
    return node.start_mark.line + 1


def mentions(keys: Iterable[str], text: str) -> dict[str, int]:
    """Key -> where a message first speaks of it: as a word or, if long, as the start of one.

    >>> mentions(["r", "orthogonal", "project"], "the energy of a projection")
    {'project': 16}
    """
    found = {}
    for key in keys:
        end = r"" if len(key) > 4 and not re.search(rf"\b{re.escape(key)}\b", text) else r"\b"
        hit = re.search(rf"\b{re.escape(key)}{end}", text)
        if hit is not None:
            found[key] = hit.start()
    return found

"""Rows of CBLUE -> prompt and answer, one function a kind of task.

Each takes a row and whether it has its gold, and gives the prompt, the answer and what else the
`Example` needs. What is wrong with a row is said in one sentence (`Unfit`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..items import write_lines
from .base import DataError
from .cblue_labels import ENTITIES
from .rows import Unfit, said, text

Written = tuple[str, str, dict[str, Any]]  # prompt, answer, more for the Example


def entities(row: Mapping[str, Any], labelled: bool) -> Written:
    body = _whole(row)
    found = []
    for number, one in enumerate(_list(row, "entities") if labelled else [], start=1):
        try:
            first, last, kind, name = (one[k] for k in ("start_idx", "end_idx", "type", "entity"))
        except (KeyError, TypeError):
            raise Unfit(f"entity {number} lacks start_idx, end_idx, type or entity.") from None
        if not all(isinstance(place, int) for place in (first, last)):
            raise Unfit(f"entity {number}: start_idx and end_idx are not whole numbers.")
        if body[first : last + 1] != name:
            there = repr(body[first : last + 1])
            end = " (its end_idx is exclusive here)" if body[first:last] == name else ""
            raise Unfit(f"entity {number} is {name!r}, the text says {there}{end}.")
        if kind not in ENTITIES:
            raise Unfit(f"entity {number} is of type {kind!r}: types are {', '.join(ENTITIES)}.")
        found.append((kind, name.strip()))
    ask = "找出句子中的医学实体，每行一个，写作“类型: 实体”，没有则写none。"
    ask += f"类型：{'，'.join(ENTITIES)}。"
    more = {
        "choices": ENTITIES,
        "grader": "entities",
        "meta": {"entities": [list(one) for one in found]},
    }
    return f"{ask}\n{body.strip()}", write_lines(found), more


def relations(row: Mapping[str, Any], labelled: bool) -> Written:
    if "predicate" in row and "text" not in row:
        raise DataError(
            "this is the schema of CMeIE (53_schemas.json), not a file of its sentences: give it "
            "as the option schema=."
        )
    found = []
    for number, one in enumerate(_list(row, "spo_list") if labelled else [], start=1):
        thing = one.get("object") if isinstance(one, dict) else None
        if isinstance(thing, dict) and set(thing) == {"@value"}:
            thing = thing["@value"]
        if not isinstance(thing, str):
            raise Unfit(f'triple {number}: the object is not {{"@value": text}}.')
        found.append((text(one, "predicate"), text(one, "subject"), said(thing, "an object")))
    ask = "找出句子中的关系三元组，每行一个，写作“关系: 头实体 -> 尾实体”，没有则写none。"
    more = {"grader": "entities", "meta": {"triples": [list(one) for one in found]}}
    return f"{ask}\n{text(row, 'text')}", write_lines(found), more


def terms(row: Mapping[str, Any], labelled: bool) -> Written:
    answer = "##".join(
        said(term, "a term of 'normalized_result'")
        for term in (text(row, "normalized_result").split("##") if labelled else [])
    )
    ask = "把诊断写成标准词，多个标准词之间用##分开。"
    return f"{ask}\n{text(row, 'text')}", answer, {"grader": "labels"}


def label(ask: str, labels: tuple[str, ...], *fields: str) -> Callable[..., Written]:
    """A task of one label. A field may have a second name: "query2|title"."""

    def write(row: Mapping[str, Any], labelled: bool) -> Written:
        names = [next((n for n in field.split("|") if n in row), field) for field in fields]
        answer = said(row["label"], "the label") if labelled else ""
        if labelled and answer not in labels:
            raise Unfit(f"the label is {answer!r}: labels are {', '.join(labels)}.")
        body = "\n".join(text(row, name) for name in names)
        return f"{ask}\n{body}", answer, {"choices": labels, "grader": "label"}

    return write


def _whole(row: Mapping[str, Any]) -> str:
    """The text with its leading spaces: places are counted from its first character."""
    text(row, "text")
    return str(row["text"])


def _list(row: Mapping[str, Any], field: str) -> list[Any]:
    if not isinstance(row[field], list):
        raise Unfit(f"the field {field!r} is a {type(row[field]).__name__}, not a list.")
    return row[field]

"""The original tasks of CBLUE, each in its own shape of row.

    CMeEE      {"text", "entities": [{"start_idx", "end_idx", "type", "entity"}]}   end inclusive
    CMeIE      {"text", "spo_list": [{"predicate", "subject", "object": {"@value"}}]}   JSON Lines
    CHIP-CDN   {"text", "normalized_result": "a##b"}
    CHIP-CTC   {"id", "text", "label"}                CHIP-STS   {"id", "text1", "text2", "label"}
    KUAKE-QIC  {"id", "query", "label"}               KUAKE-QQR  {"id", "query1", "query2", "label"}
                                                      KUAKE-QTR  {"id", "query", "title", "label"}

The file's or a folder's name says which task it is, or the fields of its rows do. Labels are
strings, "0" too. Test rows have no labels: each is a bad row, unless `unlabelled="keep"`.
A text of CHIP-CTC that came before is marked (`meta["duplicate_of"]`), and with another label
too (`meta["conflict"]`). Source: Zhang et al., 2022 (arXiv:2106.08087).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ..items import read_items
from ..record import Example
from .base import DataError, Reader, Record, Row, register
from .cblue_labels import CATEGORIES, INTENTS, UNLABELLED
from .cblue_rows import Written, entities, label, relations, terms
from .files import json_lines, json_rows
from .metrics import METRICS, by_task
from .rows import ENCODING, Ids, Unfit, each, name_of, optional


class Task(NamedTuple):
    """A task: its fields, what to do, a row's prompt and answer, its metric."""

    fields: tuple[str, ...]
    gold: str
    write: Callable[[Mapping[str, Any], bool], Written]
    metric: str


KIND = f"这条临床试验筛选标准属于哪一类？只回答一个类别：{', '.join(CATEGORIES)}。"
SAME = "下面两句话的意思相同吗？相同答1，不同答0。只回答一个数字。"
QUERIES = "两个搜索词是什么关系？意思一致答2，后者是前者的子集答1，其他答0。只回答一个数字。"
TITLE = "标题在多大程度上回答了搜索词？从0（完全不匹配）到3（完全匹配）。只回答一个数字。"
INTENT = f"搜索词的意图是什么？只回答一个意图：{'，'.join(INTENTS)}。"
TASKS = {
    "CMeEE": Task(("text",), "entities", entities, "set_f1"),
    "CMeIE": Task(("text",), "spo_list", relations, "set_f1"),
    "CHIP-CDN": Task(("text",), "normalized_result", terms, "set_f1"),
    "CHIP-CTC": Task(("text",), "label", label(KIND, CATEGORIES, "text"), "macro_f1"),
    "CHIP-STS": Task(
        ("text1", "text2"), "label", label(SAME, tuple("01"), "text1", "text2"), "macro_f1"
    ),
    "KUAKE-QQR": Task(
        ("query1", "query2"),
        "label",
        label(QUERIES, tuple("012"), "query1|query", "query2|title"),
        "accuracy",
    ),
    "KUAKE-QTR": Task(
        ("query", "title"), "label", label(TITLE, tuple("0123"), "query", "title"), "accuracy"
    ),
    "KUAKE-QIC": Task(("query",), "label", label(INTENT, INTENTS, "query"), "accuracy"),
}
METRICS["cblue"] = by_task({name: METRICS[task.metric] for name, task in TASKS.items()})


def sniff(path: Path, encoding: str | None = None) -> str:
    """The task of a file: by its name, by its folders' names, by the fields of its first row.

    Raises:
        DataError: none fits, or the rows have no label and more than one fits.
    """
    for part in (path.name, *(folder.name for folder in path.absolute().parents)):
        for name in TASKS:
            if part.lower().startswith(name.lower()):
                return name
    good = (row.value for row in json_rows(path, encoding) if isinstance(row, Record))
    first: dict[str, Any] = next(good, {})
    fit = [name for name, t in TASKS.items() if {*t.fields, t.gold} <= first.keys()]
    most = max((len(TASKS[name].fields) for name in fit), default=0)
    fit = [name for name in fit if len(TASKS[name].fields) == most]  # a QTR row has QIC's fields
    if len(fit) == 1:
        return fit[0]
    raise DataError(
        f"{path}: neither its name nor its fields ({', '.join(first)}) say which task of CBLUE it "
        f"is. Give the option task=, one of {', '.join(TASKS)}."
    )


def read_schema(path: Path | str) -> tuple[str, ...]:
    """The predicates of 53_schemas.json, which is JSON Lines as well, each once.

    Raises:
        DataError: a row of it names no predicate.
    """
    found: dict[str, None] = {}
    for row in json_lines(path):
        name = optional(row.value, "predicate") if isinstance(row, Record) else None
        if not name:
            raise DataError(f"{row.file}:{row.line}: no predicate: is it the schema of CMeIE?")
        found[name] = None
    return tuple(found)


def rows(
    path: Path,
    split: str | None,
    task: str | None = None,
    unlabelled: str = "refuse",
    schema: str | None = None,
    encoding: str | None = None,
) -> Iterator[Row]:
    """Items of a file of one task."""
    name = task or sniff(path, encoding)
    if name not in TASKS:
        raise DataError(f"CBLUE has no task {name!r} here: there are {', '.join(TASKS)}.")
    if unlabelled not in UNLABELLED:
        raise DataError(f"unlabelled is {unlabelled!r}: type one of {', '.join(UNLABELLED)}.")
    ids, seen = Ids(), dict[int, tuple[str, str]]()
    predicates = read_schema(schema) if schema else ()

    def build(record: Record) -> Example:
        row = record.value
        labelled = TASKS[name].gold in row and row[TASKS[name].gold] not in (None, "")
        if not labelled and unlabelled != "keep" and "predicate" not in row:
            raise Unfit(f"unlabelled: no {TASKS[name].gold!r} (a test file? unlabelled=keep).")
        prompt, answer, more = TASKS[name].write(row, labelled)
        identity = ids.new(str(row["id"]), record.line) if "id" in row else name_of(record)
        meta = {
            "id": identity, "file": record.file, "line": record.line,
            "category": optional(row, "category"), **more.pop("meta", {}),
        }  # fmt: skip
        if not labelled:
            answer, meta["unlabelled"] = "", True
        if name == "CHIP-CTC":
            before, label = seen.setdefault(hash(prompt), (identity, answer))
            if before != identity:
                meta.update(duplicate_of=before, conflict=label != answer)
        item = Example(f"cblue/{name}", prompt, answer, meta=meta, **more)
        if name in ("CMeEE", "CMeIE"):
            items = meta["entities" if name == "CMeEE" else "triples"]
            _check(item, {tuple(one) for one in items}, predicates)
        return replace(item, choices=predicates) if predicates else item

    yield from each(json_rows(path, encoding), build)


def _check(item: Example, found: set[tuple[str, ...]], predicates: tuple[str, ...]) -> None:
    """The answer must say what the row says, in predicates that the schema has."""
    if item.answer and read_items(item, item.answer).found != found:
        raise Unfit("an item has a line break or ' -> ' inside: it cannot be written as a line.")
    for kind, *_ in found if predicates else ():
        if kind not in predicates:
            raise Unfit(f"the predicate {kind!r} is not in the schema.")


register(
    Reader(
        "cblue",
        "CBLUE: " + ", ".join(TASKS),
        "https://github.com/CBLUEbenchmark/CBLUE (data: Tianchi)",
        "data by registration at Tianchi, research only: do not pass it on",
        "cblue",
        rows,
        "a file of one task, such as KUAKE-QIC_dev.json.",
        options={
            "task": "its name, where the file's name and fields do not say",
            "unlabelled": "'keep' reads rows without labels, to predict them; 'refuse' (default)",
            "schema": "path of 53_schemas.json: its predicates become the choices of CMeIE",
            **ENCODING,
        },
        language="zh",
    )
)

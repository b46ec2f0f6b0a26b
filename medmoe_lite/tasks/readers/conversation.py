"""The conversations that MING and MedCare train on and write, in three shapes.

    training   [{"conversations": [{"from": "human", "value": ...}, {"from": "gpt", ...}, ...]}]
    questions  the same with "eval": {"answer": "ACE", "type": ...}
    answers    {"text": what the model said, "prompt": ..., "additional_info": {"answer": ...}}

Rows are a JSON list or JSON Lines; "role" and "content" are read as well. Every answer of a
training conversation is an item: the turn before it is the prompt, all earlier ones are
`meta["history"]` ({"role", "content"}, a system turn first). MING's own loader silently drops an
answer before the first question; it is left out here too, and counted in
`meta["dropped_turns"]`. In the third shape `meta["said"]` is what the model answered, and the
folder is `meta["dataset"]`, because it picks MING's grader.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..record import Example
from .base import BadRow, Reader, Record, Row, register
from .files import json_rows
from .paper_graders import dataset_of
from .rows import ENCODING, Unfit, name_of, said

ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant",
    "system": "system",
}  # fmt: skip
_LETTERS = re.compile(r"[A-Z](?:[,，、 ]*[A-Z])*")
_OPTION = re.compile(r"^[ \t]*[(（]?([A-Z])[)）.．、:：][ \t]*(.+?)[ \t]*$", re.MULTILINE)

Turn = dict[str, str]


def read_turns(value: Any) -> tuple[list[Turn], int]:
    """The turns of a conversation as {"role", "content"}, and how many were dropped.

    Raises:
        Unfit: not a list of turns, an unknown role, an empty turn, two turns of one role.
    """
    if not isinstance(value, list) or not value:
        raise Unfit("the field 'conversations' is not a list of turns.")
    turns: list[Turn] = []
    for number, turn in enumerate(value, start=1):
        if not isinstance(turn, dict):
            raise Unfit(f"turn {number} is a {type(turn).__name__}, not an object.")
        name = turn.get("from", turn.get("role"))
        if not isinstance(name, str) or name not in ROLES:
            known = ", ".join(ROLES)
            raise Unfit(f"turn {number} is from {name!r}; known are {known}.")
        content = said(turn.get("value", turn.get("content")), f"turn {number}")
        turns.append({"role": ROLES[name], "content": content})
    head = turns[:1] if turns[0]["role"] == "system" else []
    rest = turns[len(head) :]
    dropped = 1 if rest and rest[0]["role"] == "assistant" else 0
    rest = rest[dropped:]
    for number, turn in enumerate(rest):
        if turn["role"] != ("user", "assistant")[number % 2]:
            place = number + 1 + len(head) + dropped
            raise Unfit(f"turn {place} is again from {turn['role']}: the two do not alternate.")
    if not rest:
        raise Unfit("there is no question in the conversation.")
    return head + rest, dropped


def items(record: Record) -> Iterator[Example]:
    """The items of one row: one, or in a training conversation one for each answer."""
    row = record.value
    where = {"id": str(row.get("id", name_of(record))), "file": record.file, "line": record.line}
    if "conversations" not in row and "text" in row and "additional_info" in row:
        yield _answered(row, where)
        return
    if "conversations" not in row:
        raise Unfit("neither 'conversations' nor 'text' with 'additional_info' is in the row.")
    turns, dropped = read_turns(row["conversations"])
    where["dropped_turns"] = dropped
    first = 1 if turns[0]["role"] == "system" else 0
    if row.get("eval") is not None:
        yield _question(turns[first]["content"], row["eval"], {**where, "history": turns[:first]})
        return
    answers = [number for number, turn in enumerate(turns) if turn["role"] == "assistant"]
    if not answers:
        raise Unfit("unlabelled: the conversation has a question and no answer, and no 'eval'.")
    for number in answers:
        meta = {**where, "history": turns[: number - 1], "turn": (number - first) // 2 + 1}
        if len(answers) > 1:
            meta["id"] = f"{where['id']}#{meta['turn']}"
        yield Example(
            "conversation", turns[number - 1]["content"], turns[number]["content"], meta=meta
        )


def _answered(row: Mapping[str, Any], where: dict[str, Any]) -> Example:
    if not isinstance(row["text"], str):
        raise Unfit("the field 'text' is not text.")
    more = {**where, "said": row["text"], "dataset": dataset_of(where["file"])}
    return _question(said(row.get("prompt"), "the field 'prompt'"), row["additional_info"], more)


def _question(prompt: str, info: Any, meta: dict[str, Any]) -> Example:
    """A question with its key: letters where the key is letters and the prompt has options."""
    if not isinstance(info, dict):
        raise Unfit("'eval' or 'additional_info' is no object: there is nothing to grade by.")
    name = "answer_idx" if "answer_idx" in info else "answer"
    answer = info.get(name)
    if not isinstance(answer, str) or not answer.strip():
        raise Unfit(f"unlabelled: {name!r} of 'eval' or 'additional_info' is no text.")
    meta = {**meta, "additional_info": info, "type": info.get("type")}
    options = dict(_OPTION.findall(prompt))
    letters = sorted(set(re.findall("[A-Z]", answer)))
    if _LETTERS.fullmatch(answer.strip()) and len(options) > 1 and set(letters) <= set(options):
        grader = "letter" if len(letters) == 1 else "letters"
        meta["options"], meta["published_answer"] = options, answer
        return Example(
            "conversation", prompt, "".join(letters), choices=tuple(options), grader=grader,
            meta=meta,
        )  # fmt: skip
    grader = "number" if "####" in answer else "exact"
    return Example("conversation", prompt, answer.strip(), grader=grader, meta=meta)


def rows(path: Path, split: str | None, encoding: str | None = None) -> Iterator[Row]:
    """Items of a file; a conversation with a bad turn is one bad row."""
    for record in json_rows(path, encoding):
        if not isinstance(record, Record):
            yield record
            continue
        try:
            yield from list(items(record))
        except Unfit as fault:
            yield BadRow(record.file, record.line, str(fault), record.raw)


register(
    Reader(
        "conversation",
        "conversations of MING and MedCare: training, questions, answers",
        "https://github.com/MediaBrain-SJTU/MING and https://github.com/BlueZeros/MedCare",
        "code Apache-2.0; data as published beside it, and as your own",
        "accuracy",
        rows,
        "a JSON list or JSON Lines of conversations, or a file of answers of their eval scripts.",
        options=ENCODING,
        language="zh",
    )
)

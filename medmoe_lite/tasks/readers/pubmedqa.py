"""PubMedQA, PQA-L: a question about an abstract -> yes, no or maybe.

    ori_pqal.json            {"21645374": {"QUESTION": ..., "CONTEXTS": [...], ...}}   1000 items
    test_ground_truth.json   {"12377809": "yes", ...}                                   500 of them

The test items lie inside the training file. `split="train"` leaves out the keys of the second
file, `split="test"` gives exactly those; without a split all 1000 come, each with its split in
`meta`. The conclusion (LONG_ANSWER) and the annotators' guesses (reasoning_*_pred) tell the
answer and go nowhere. The question comes before the abstract, so that a prompt that is cut at
its end loses context and not the question. Source: Jin et al., 2019 (arXiv:1909.06146).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..record import Example
from .base import BadRow, DataError, Reader, Record, Row, register
from .files import json_items
from .rows import ENCODING, Ids, Unfit, each, row_of, said, text

LABELS = ("yes", "no", "maybe")
KEY = "test_ground_truth.json"
ASK = "Answer the question about the abstract with yes, no or maybe."


def read_key(path: Path | str, encoding: str | None = None) -> dict[str, tuple[str, int]]:
    """The test key: id -> (answer, line).

    Raises:
        DataError: a row of it is no answer.
    """
    key = {}
    for row in json_items(path, encoding):
        if isinstance(row, BadRow) or not row.key or row.value not in LABELS:
            raise DataError(f'{row.file}:{row.line}: not a row like "12377809": "yes".')
        key[row.key[0]] = (row.value, row.line)
    return key


def _key_beside(path: Path, split: str | None, test_key: str | None) -> Path | None:
    beside = Path(test_key) if test_key else path.with_name(KEY)
    if beside.exists():
        return beside
    if split is None and not test_key:
        return None
    raise DataError(
        f"there is no {beside}: the 500 test items lie inside {path.name}, and only this file says "
        f"which they are. Put {KEY} (github.com/pubmedqa/pubmedqa, folder data) beside it: type "
        "`medmoe data fetch pubmedqa`, or give the option test_key=PATH."
    )


def rows(
    path: Path, split: str | None, encoding: str | None = None, test_key: str | None = None
) -> Iterator[Row]:
    """Items of the file, in its order."""
    if path.is_dir():
        path = path / "ori_pqal.json"
    beside = _key_beside(path, split, test_key)
    key = read_key(beside, encoding) if beside else {}
    left, ids = set(key), Ids()

    def build(record: Record) -> Example | None:
        identity = ids.new(record.key[0], record.line) if record.key else ""
        left.discard(identity)
        here = "unknown" if beside is None else "test" if identity in key else "train"
        return _example(record, identity, here, key) if split in (None, here) else None

    yield from each(json_items(path, encoding), build)
    if split == "test" or (split is None and len(left) < len(key)):
        for identity in sorted(left):
            answer, line = key[identity]
            reason = f"the test item {identity!r} is not in {path.name}: is it the whole file?"
            yield BadRow(str(beside), line, reason, f'"{identity}": "{answer}"')


def _example(record: Record, identity: str, split: str, key: dict[str, tuple[str, int]]) -> Example:
    row: dict[str, Any] = row_of(record)
    if not identity:
        raise Unfit("an item without its PMID: the file is an object keyed by PMID.")
    question, contexts = text(row, "QUESTION"), row.get("CONTEXTS")
    if not isinstance(contexts, list) or not contexts:
        raise Unfit("the field 'CONTEXTS' is not a list of texts.")
    sections = [said(part, "a section of CONTEXTS") for part in contexts]
    labels = row.get("LABELS")
    if isinstance(labels, list) and len(labels) != len(sections):
        raise Unfit(f"{len(sections)} CONTEXTS and {len(labels)} LABELS.")
    answer = row.get("final_decision")
    if answer is None:
        raise Unfit("unlabelled: final_decision is missing (the file of PQA-U has none).")
    if answer not in LABELS:
        raise Unfit(f"final_decision is {answer!r}, not yes, no or maybe.")
    if identity in key and key[identity][0] != answer:
        raise Unfit(f"final_decision is {answer!r}, the test key says {key[identity][0]!r}.")
    year = row.get("YEAR")
    return Example(
        "pubmedqa", f"{ASK}\nQuestion: {question}\nAbstract: " + "\n".join(sections), answer,
        choices=LABELS, grader="label",
        meta={
            "id": identity, "file": record.file, "line": record.line, "question": question,
            "split": split, "year": str(year) if year is not None else None,
        },
    )  # fmt: skip


register(
    Reader(
        "pubmedqa",
        "PubMedQA, PQA-L: yes, no or maybe from an abstract",
        "https://github.com/pubmedqa/pubmedqa",
        "MIT",
        "accuracy_macro_f1",
        rows,
        f"ori_pqal.json with {KEY} beside it, or the folder of both.",
        splits=("train", "test"),
        options={"test_key": f"path of {KEY}, where it is not beside the file", **ENCODING},
    )
)

"""MMLU and CMMLU: one CSV file a subject, in four dialects that are told apart by the first row.

    question,A,B,C,D,B                                    no header, a letter: the authors
    question,choice0,choice1,choice2,choice3,answer       a header, an index from 0
    question,A,B,C,D,answer                               the same with other names
    ,Question,A,B,C,D,Answer                              CMMLU: a number first, a letter last

Cells hold newlines, quotes, "None" and "0": they stay text. The subject is the file's name
without its split. Source: Hendrycks et al., 2021 (arXiv:2009.03300).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ..record import Example
from .base import BadRow, DataError, Reader, Record, Row, register
from .files import csv_rows, files_in
from .index_base import as_index, find_base, letter_at
from .rows import ASK, ENCODING, Unfit, choice, each, each_file, one_letter, options_of, said

SPLITS = ("dev", "val", "test")
MEDICAL = (
    "anatomy", "clinical_knowledge", "college_biology", "college_medicine", "medical_genetics",
    "professional_medicine",
)  # fmt: skip
CHINESE_ASK = "请用正确选项的字母回答。"


class Dialect(NamedTuple):
    """How a file is written: is the first row a header, how many cells stand before the question,
    what do its integers count from (None: it has letters)?"""

    header: bool
    before: int
    base: int | None


def subject_and_split(path: Path) -> tuple[str, str | None]:
    """From the file's name, or from its folder's.

    >>> subject_and_split(Path("test/anatomy_test.csv")), subject_and_split(Path("dev/anatomy.csv"))
    (('anatomy', 'test'), ('anatomy', 'dev'))
    """
    subject, _, split = path.stem.rpartition("_")
    if subject and split in SPLITS:
        return subject, split
    folder = path.parent.name
    return path.stem, folder if folder in SPLITS else None


def sniff(path: Path, encoding: str | None = None, index_base: int | str | None = None) -> Dialect:
    """The dialect of a file, from its first row and all its answers.

    Raises:
        DataError: it is no MMLU file, or its integers are not those of four options.
    """
    records = (record for record in csv_rows(path, encoding) if isinstance(record, Record))
    first = next(records, None)
    cells = [cell.strip() for cell in first.value] if first else []
    header = bool(cells) and cells[-1].lower() == "answer"
    before = 1 if header and len(cells) == 7 and not cells[0] else 0
    if len(cells) - before != 6:
        raise DataError(
            f"{path}:1: {len(cells)} cells where MMLU has 6 (question, four options, answer). "
            "Is it another file, or is it separated by something else than commas?"
        )

    def answers() -> Iterator[tuple[str, None]]:
        if first and not header:
            yield first.value[-1], None
        for record in records:
            yield record.value[-1], None

    return Dialect(header, before, _base(answers(), path, index_base))


def _base(
    answers: Iterator[tuple[str, None]], path: Path, index_base: int | str | None
) -> int | None:
    """0 unless the integers say otherwise: all published dialects count from 0."""
    values = list(answers)
    indices = [value for value in values if as_index(value[0]) is not None]
    if not indices or len(indices) < len(values) / 2:
        return None
    seen = {as_index(value[0]) for value in indices}
    if index_base is None and not seen & {0, 4}:
        return 0
    return find_base(indices, 4, str(path), index_base)


def _wanted(subject: str, subjects: str | None) -> bool:
    if subjects is None:
        return True
    names = MEDICAL if subjects == "medical" else [name.strip() for name in subjects.split(",")]
    return subject in names


def rows(
    path: Path,
    split: str | None,
    encoding: str | None = None,
    subjects: str | None = None,
    index_base: int | str | None = None,
    *,
    reader: str = "mmlu",
    ask: str = ASK,
) -> Iterator[Row]:
    """Items of a file, or of all subjects in a folder."""

    def wanted(file: Path) -> bool:
        subject, here = subject_and_split(file)
        return _wanted(subject, subjects) and split in (None, here)

    def one(file: Path) -> Iterator[Row]:
        subject, here = subject_and_split(file)
        return _file(file, f"{reader}/{subject}", here, encoding, index_base, ask)

    files = [file for file in files_in(path, "*.csv") if wanted(file)]
    yield from each_file(path, files, one)
    if not files:
        asked = " ".join(filter(None, (f"split {split}" if split else "", subjects)))
        raise DataError(
            f"{path} has no file of {asked or 'a subject'}: files are named like anatomy_test.csv, "
            f"or lie in folders {', '.join(SPLITS)}."
        )


def _file(
    path: Path,
    task: str,
    split: str | None,
    encoding: str | None,
    index_base: int | str | None,
    ask: str,
) -> Iterator[Row]:
    dialect = sniff(path, encoding, index_base)
    records: Iterator[Record | BadRow] = csv_rows(path, encoding)

    def build(record: Record) -> Example:
        cells = record.value[dialect.before :]
        if len(cells) != 6:
            raise Unfit(f"{len(record.value)} cells where this file has {6 + dialect.before}.")
        question, *texts, value = cells
        options = options_of({letter: said(t, letter) for letter, t in zip("ABCD", texts)})  # noqa: B905
        if dialect.base is None:
            answer = one_letter(value, options)
        else:
            answer = letter_at(value.strip(), dialect.base, 4)
        identity = f"{task}/{split or 'all'}:{record.line}"
        question = said(question, "the question")
        return choice(task, question, options, answer, record, ask, id=identity, split=split)

    skipped = dialect.header
    for record in records:
        if skipped and isinstance(record, Record):
            skipped = False
            continue
        yield from each([record], build)


register(
    Reader(
        "mmlu",
        "MMLU, 57 subjects; subjects=medical for the six medical ones",
        "https://github.com/hendrycks/test",
        "MIT",
        "accuracy",
        rows,
        "a CSV file named like anatomy_test.csv, or a folder of them.",
        splits=SPLITS,
        options={
            "subjects": "names with commas between, or 'medical' for the six medical ones",
            "index_base": "what integer answers count from: 0 (all published files) or 1",
            **ENCODING,
        },
    )
)
register(
    Reader(
        "cmmlu",
        "CMMLU, 67 subjects in Chinese",
        "https://github.com/haonan-li/CMMLU",
        "CC BY-NC-SA 4.0: not for commercial use",
        "accuracy",
        partial(rows, reader="cmmlu", ask=CHINESE_ASK),
        "a CSV file such as test/anatomy.csv, or a folder of them.",
        splits=SPLITS,
        options={"subjects": "names with commas between", **ENCODING},
        language="zh",
    )
)

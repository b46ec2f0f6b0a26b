"""Named entities in IOB: NCBI-disease, BC5CDR and every set of their form.

    adenomatous<TAB>B-Disease        a token, its tag; the last column is the tag
    polyposis<TAB>I-Disease
                                     a blank line between sentences

A quote is a token, and so are NA and null: no csv module, no pandas. Tags are IOB, IOB2 or IOBES
(S- and E-), read as seqeval reads them. The answer has a line for each mention, `Disease:
adenomatous polyposis`; mentions that are there twice stand once. Sources: Doğan et al., 2014;
Li et al., 2016; IOB files of Crichton et al., 2017.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..items import write_lines
from ..record import Example
from .base import BadRow, DataError, Reader, Record, Row, register
from .f1 import mentions
from .files import tab_rows
from .rows import ENCODING

ASK = "List the entities of the sentence, one a line, as `type: mention`; none if there is none."
MARKS = ("B", "I", "O", "E", "S")


def sentences(
    path: Path, encoding: str | None = None
) -> Iterator[tuple[list[Record], BadRow | None]]:
    """The rows of each sentence, and what is wrong with it."""
    held: list[Record] = []
    fault: BadRow | None = None
    for row in tab_rows(path, encoding):
        if isinstance(row, Record) and row.value:
            held.append(row)
            fault = fault or _fault(row)
        elif isinstance(row, BadRow):
            fault = fault or row
        elif held or fault:
            yield held, fault
            held, fault = [], None
    if held or fault:
        yield held, fault


def _fault(row: Record) -> BadRow | None:
    """What keeps a row from being a token and its tag."""
    cells = row.value
    if len(cells) < 2:
        reason = "one column where a token, a tab and a tag were expected."
    elif not cells[0].strip():
        reason = "an empty token."
    else:
        mark, dash, kind = cells[-1].strip().partition("-")
        if mark in MARKS and bool(dash and kind) == (mark != "O"):
            return None
        reason = f"the tag is {cells[-1]!r}, not O, B-, I-, E- or S- with a type."
    return BadRow(row.file, row.line, reason, row.raw)


def types_in(path: Path, encoding: str | None = None) -> tuple[str, ...]:
    """The types of entities that a file names, sorted. Reads it once, a row at a time."""
    found = set()
    for row in tab_rows(path, encoding):
        if isinstance(row, Record) and len(row.value) > 1 and _fault(row) is None:
            found.add(row.value[-1].strip().partition("-")[2])
    return tuple(sorted(found - {""}))


def rows(
    path: Path, split: str | None, types: str | None = None, encoding: str | None = None
) -> Iterator[Row]:
    """Sentences of a file."""
    if path.is_dir():
        raise DataError(f"{path} is a folder: give one file of it, such as {path}/test.tsv.")
    wanted = tuple(kind.strip() for kind in types.split(",")) if types else types_in(path, encoding)
    for number, (held, fault) in enumerate(sentences(path, encoding), start=1):
        if fault:
            raw = "\n".join(row.raw for row in held)
            yield BadRow(fault.file, fault.line, fault.reason, raw or fault.raw)
        elif held[0].value[0] != "-DOCSTART-":
            yield _example(held, number, wanted)


def _example(held: list[Record], number: int, wanted: tuple[str, ...]) -> Example:
    tokens = [row.value[0].strip() for row in held]
    tags = [row.value[-1].strip() for row in held]
    spans = [span for span in mentions(tags) if span[0] in wanted]
    entities = [(kind, " ".join(tokens[a : b + 1])) for kind, a, b in spans]
    prompt = f"{ASK} Types: {', '.join(wanted)}.\n{' '.join(tokens)}"
    meta = {
        "id": number, "file": held[0].file, "line": held[0].line,
        "tokens": tokens, "tags": tags, "spans": [list(span) for span in spans],
        "entities": [list(entity) for entity in entities],
    }  # fmt: skip
    return Example(
        "bio_ner", prompt, write_lines(entities), choices=wanted, grader="entities", meta=meta
    )


register(
    Reader(
        "bio_ner",
        "named entities in IOB or IOBES: NCBI-disease, BC5CDR",
        "https://github.com/cambridgeltl/MTL-Bioinformatics-2016",
        "NCBI-disease and BC5CDR: CC BY 4.0 as the repository states; others as their own",
        "entity_f1",
        rows,
        "a file of token<TAB>tag lines, such as NCBI-disease-IOB/test.tsv.",
        options={"types": "entity types with commas between; those in the file if not given",
                 **ENCODING},
    )
)  # fmt: skip

"""MedQuAD: consumer questions with answers of the NIH, one XML document a focus.

    <Document id="0000001" source="CDC" url="..."><Focus>...</Focus><QAPairs>
      <QAPair pid="1"><Question qid="0000001-1" qtype="information">...</Question>
      <Answer>...</Answer></QAPair></QAPairs></Document>

Some documents call their root DiseaseFile. The answers of three folders (and a few others) were
removed for copyright: each such pair is a bad row with the reason. Document ids repeat across
folders, so an id is "folder/qid". Text is read with its lines, without their indentation.

The parser is the C library expat, fed block by block. A document type is refused before anything
in it is read, so no entity is ever expanded and no other file or address opened; a document has
a limit of size. Source: Ben Abacha and Demner-Fushman, 2019 (BMC Bioinformatics 20:511).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

from ..record import Example
from .base import BadRow, Reader, Record, Row, register
from .encodings import read_head
from .files import files_in
from .rows import Unfit, each, each_file

MAX_BYTES = 1 << 24  # of a document; the largest published one has a hundredth of it


class _Document:
    """Handlers of expat: gathers question and answer of one pair after the other."""

    def __init__(self, path: Path) -> None:
        self.path, self.found, self.inside = path, [], [""]
        self.source = self.focus = ""
        self.pair: dict[str, str] = {}
        self.line = 0
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.text
        self.parser.StartDoctypeDeclHandler = self.refuse

    found: list[Record]

    def refuse(self, *_: object) -> None:
        raise Unfit(
            "the document declares a document type (<!DOCTYPE ...>), which may define entities "
            "that never end or that open other files: it is not read. MedQuAD has none."
        )

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.inside.append(tag)
        if len(self.inside) > 50:
            raise Unfit("elements are nested more than 50 deep: no document of MedQuAD.")
        if len(self.inside) == 2:
            self.source = attributes.get("source", "")
        elif tag == "QAPair":
            self.pair, self.line = {}, self.parser.CurrentLineNumber
        elif tag == "Question":
            self.pair |= {key: attributes.get(key, "") for key in ("qid", "qtype")}

    def text(self, data: str) -> None:
        tag = self.inside[-1]
        if tag == "Focus":
            self.focus += data
        elif tag in ("Question", "Answer"):
            self.pair[tag] = self.pair.get(tag, "") + data

    def end(self, tag: str) -> None:
        self.inside.pop()
        if tag == "QAPair":
            raw = f"{self.pair.get('qid', '')}: {self.pair.get('Question', '').strip()}"
            self.found.append(Record(str(self.path), self.line, self.pair, raw))


def pairs(path: Path) -> Iterator[Record | BadRow]:
    """The pairs of one document; what is wrong with the document is its last, a bad row."""
    document, name = _Document(path), str(path)
    read_head(path)
    size = os.path.getsize(path)
    if size > MAX_BYTES:
        yield BadRow(name, 0, f"{size} bytes: a document has at most {MAX_BYTES}.")
        return
    fault = ""
    with open(path, "rb") as file:
        while not fault:
            block = file.read(65536)
            try:
                document.parser.Parse(block, not block)
            except expat.ExpatError as error:
                fault = f"not XML: {expat.ErrorString(error.code)}."
            except Unfit as error:
                fault = str(error)
            except (ValueError, LookupError) as error:  # an encoding that Python does not know
                fault = f"not XML: {error}."
            for record in document.found:
                record.value.update(focus=document.focus, source=document.source)
                yield record
            document.found.clear()
            if not block:
                break
    if fault:
        reason = f"{fault} What follows in the document was not read."
        yield BadRow(name, document.parser.CurrentLineNumber, reason)


def tidy(text: str) -> str:
    """Lines without indentation, at most one empty line between them.

    >>> tidy("  Pain\\n      \\n\\n    - in the eye  ")
    'Pain\\n\\n- in the eye'
    """
    lines = "\n".join(re.sub(r"[ \t]+", " ", line).strip() for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines).strip()


def _example(record: Record) -> Example:
    pair = record.value
    question = " ".join(pair.get("Question", "").split())
    answer = tidy(pair.get("Answer", ""))
    if not question:
        raise Unfit("the question is empty.")
    if not answer:
        raise Unfit(
            "the answer is empty: those of A.D.A.M., MedlinePlus Drugs and Herbs were removed for "
            "copyright."
        )
    folder = Path(record.file).parent.name
    return Example(
        "medquad", question, answer,
        meta={
            "id": f"{folder}/{pair.get('qid') or record.line}", "file": record.file,
            "line": record.line, "question": question, "qtype": pair.get("qtype", ""),
            "focus": " ".join(pair["focus"].split()), "source": pair["source"],
        },
    )  # fmt: skip


def rows(path: Path, split: str | None) -> Iterator[Row]:
    """Pairs of a document, or of all documents in a folder."""
    files = files_in(path, "*.xml")
    yield from each_file(path, files, lambda file: each(pairs(file), _example))


register(
    Reader(
        "medquad",
        "MedQuAD, consumer health questions with answers of the NIH",
        "https://github.com/abachaa/MedQuAD",
        "CC BY 4.0",
        "rouge_l",
        rows,
        "an XML document, or a folder of them.",
    )
)

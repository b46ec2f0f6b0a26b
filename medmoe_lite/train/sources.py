"""Data by name on a command line: SOURCE=READER:PATH[:SPLIT].

    facts=pubmedqa:data/ori_pqal.json:train     source, reader, file, split
    exam=medmcqa,index_base=1:train.json        options of the reader behind its name
    facts=cmexam:a.csv facts=medqa:b.jsonl      one source of two files

`SOURCE` is a source of the recipe's mix, or the name of a suite that is scored. Every file goes
into the run card with its checksum.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import sha256

if TYPE_CHECKING:
    from ..tasks import Example

FORM = "SOURCE=READER:PATH or SOURCE=READER:PATH:SPLIT"


@dataclass(frozen=True)
class Spec:
    """One `--data` of a command line."""

    source: str
    reader: str
    path: Path
    split: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Read what was typed.

        Raises:
            ValueError: it has another form, or there is no such reader.

        >>> spec = Spec.parse("facts=pubmedqa:ori_pqal.json:test")
        >>> spec.source, spec.reader, spec.path.name, spec.split
        ('facts', 'pubmedqa', 'ori_pqal.json', 'test')
        """
        source, equals, rest = text.partition("=")
        reader, colon, place = rest.partition(":")
        if not (source and equals and reader and colon and place):
            raise ValueError(f"{text!r} is no data: type {FORM}, such as facts=medqa:train.jsonl.")
        reader, *extra = reader.split(",")
        options = {}
        for option in extra:
            key, _, value = option.partition("=")
            options[key] = int(value) if value.lstrip("-").isdigit() else value
        from ..tasks.readers import find

        known = find(reader)
        path, _, split = place.rpartition(":")
        if path and split in known.splits and not Path(place).exists():
            return cls(source, reader, Path(path).expanduser(), split, options)
        if path and not Path(place).exists() and Path(path).expanduser().exists():
            splits = ", ".join(known.splits) or "none: each file is a split"
            raise ValueError(f"{text!r}: {reader} has no split {split!r}; its splits: {splits}.")
        return cls(source, reader, Path(place).expanduser(), None, options)

    def read(self) -> list[Example]:
        """All examples of the file.

        Raises:
            DataError: a bad row, with file and line, or a file that is none.
        """
        from ..tasks.readers import DataError, read

        found = read(self.reader, self.path, self.split, **self.options)
        if not found:
            where = f", split {self.split}" if self.split else ""
            raise DataError(f"{self.path}{where} has no example that {self.reader} reads.")
        return found

    def card(self, examples: int) -> dict[str, Any]:
        """What the run card says about the file."""
        return {
            "source": self.source,
            "reader": self.reader,
            "path": str(self.path.resolve()),
            "split": self.split,
            "options": dict(self.options),
            "sha256": checksum(self.path),
            "examples": examples,
        }


def read_all(
    texts: Iterable[str], limit: int | None = None
) -> tuple[dict[str, list[Example]], list[dict[str, Any]]]:
    """Sources by name, and their lines of the run card.

    Args:
        texts: what was typed; a source may be named several times, its files are then one.
        limit: at most so many examples of each file, the first ones.

    Raises:
        ValueError: a form, reader, file or row that cannot be read.
    """
    found: dict[str, list[Example]] = {}
    card = []
    for spec in [Spec.parse(text) for text in texts]:
        examples = spec.read()
        card.append(spec.card(len(examples)))
        found.setdefault(spec.source, []).extend(examples[:limit])
    return found, card


def checksum(path: Path) -> str:
    """SHA-256 of a file; of a folder, that of the names and checksums of its files."""
    if path.is_file():
        return sha256(path)
    hasher = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        hasher.update(f"{sha256(file)}  {file.relative_to(path).as_posix()}\n".encode())
    return hasher.hexdigest()


def too_long(
    data: Mapping[str, Sequence[Example]], tokenizer: Any, max_length: int | None
) -> dict[str, list[int]]:
    """Source -> places of the examples that have more tokens than a stage takes."""
    if max_length is None:
        return {}
    from ..tasks import encode

    found = {
        source: [
            place for place, example in enumerate(examples)
            if len(encode(example, tokenizer)["input_ids"]) > max_length
        ]
        for source, examples in data.items()
    }  # fmt: skip
    return {source: places for source, places in found.items() if places}

"""A big JSON array, or an object keyed by id, item by item in constant memory.

`json.JSONDecoder.raw_decode` reads one value from a buffer and says where it ends. Around it
stand a buffer that is refilled from the file and a count of lines. Where a value is broken, its
brackets are counted to find its end, so the items after it are still read.

    [ {...} , {...} , ... ]           items with key ()
    { "id": {...} , ... }             items with key ("id",)
    { "set": { "id": {...} } }        depth=2: items with key ("set", "id")
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from .base import BadRow, DataError, Record
from .encodings import MAX_ROW, SURROGATE, first_bad, open_text

CHUNK = 1 << 16
_SPACE = re.compile(r"[ \t\n\r]*")
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]"]', re.DOTALL)
_SCALAR = re.compile(r"[^,\]}\n]*+[,\]}\n]")
_DIGITS = re.compile(r"[-+.0-9eE]*")
_DECODER = json.JSONDecoder(parse_constant=lambda _: None)


def decode_json(raw: str) -> Any:
    """One JSON value. NaN (as pandas writes a missing value) is null.

    Raises:
        ValueError: with the reason, for a bad row.
    """
    try:
        value = _DECODER.decode(raw)
    except RecursionError:
        raise ValueError("JSON nested too deeply.") from None
    except json.JSONDecodeError as fault:
        raise ValueError(f"not JSON: {fault.msg} (character {fault.pos + 1}).") from None
    check_pairs(value, raw)
    return value


def check_pairs(value: Any, raw: str) -> None:
    """Refuse half of a \\u pair: such a string cannot be written as UTF-8 again."""
    if re.search(r"\\u[dD][89a-fA-F]", raw) and SURROGATE.search(
        json.dumps(value, ensure_ascii=False)
    ):
        raise ValueError(r"half of a \u pair: no character, cannot be written as UTF-8.")


class Broken(Exception):
    """What follows in the file cannot be read; the message is the reason."""


class Buffer:
    """A window on the file: text not yet taken, and the line it begins in."""

    def __init__(self, file: TextIO, limit: int) -> None:
        self.file, self.limit = file, limit
        self.text, self.at, self.line, self.ended = "", 0, 1, False

    def more(self) -> bool:
        """Read on (twice as much each time for one value); False at the end of the file."""
        rest = self.text[self.at :]
        read = self.file.read(max(CHUNK, len(rest)))
        self.text, self.at, self.ended = rest + read, 0, not read
        return bool(read)

    def move(self, to: int) -> None:
        self.line += self.text.count("\n", self.at, to)
        self.at = to

    def peek(self) -> str:
        """The next character that is no space; "" at the end of the file."""
        while True:
            self.move(_SPACE.match(self.text, self.at).end())  # type: ignore[union-attr]
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def take(self, expected: str) -> None:
        found = self.peek()
        if found != expected:
            seen = repr(found) if found else "the end of the file"
            raise Broken(f"{expected!r} was expected here, not {seen}")
        self.move(self.at + 1)

    def end_of_value(self) -> int:
        """Where a value that is no JSON ends, by its brackets; -1 if not within the buffer."""
        if self.text[self.at] not in '{["':
            scalar = _SCALAR.match(self.text, self.at)
            return scalar.end() - 1 if scalar else -1
        depth = 0
        for token in _TOKEN.finditer(self.text, self.at):
            if token[0] == '"':
                return -1
            depth += (token[0] in "{[") - (token[0] in "}]")
            if depth == 0:
                return token.end()
        return -1

    def _may_go_on(self, value: Any, end: int) -> bool:
        """Is it a number that may be longer than the buffer ("-1.5" of "-1.5e-7")?"""
        return isinstance(value, (int, float)) and _DIGITS.fullmatch(self.text, end) is not None

    def value(self) -> tuple[Any, str, str]:
        """(value, its text, "") or (None, its text, why it is no JSON)."""
        if not self.peek():
            raise Broken("the file ends where an item was expected: it is cut off")
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
                reason = ""
            except RecursionError:
                value, end, reason = None, self.end_of_value(), "JSON nested too deeply."
            except json.JSONDecodeError as fault:
                value, end, reason = None, self.end_of_value(), f"not JSON: {fault.msg}."
            except ValueError as fault:
                value, end, reason = None, self.end_of_value(), f"not JSON: {fault}."
            cut = end == len(self.text) or (not reason and self._may_go_on(value, end))
            if end >= 0 and (self.ended or not cut):
                raw = self.text[self.at : end]
                self.move(end)
                return value, raw, reason
            if len(self.text) - self.at > self.limit:
                raise Broken(f"an item is longer than {self.limit} characters")
            if not self.more() and end < 0:
                raise Broken("the file ends within this item: it is cut off")


def json_items(
    path: Path | str, encoding: str | None = None, depth: int = 1
) -> Iterator[Record | BadRow]:
    """Items of a JSON array, or of objects by key,.

    Args:
        path: the file.
        encoding: None for UTF-8.
        depth: how many keys lead to an item, where the file is an object.

    Raises:
        DataError: the file begins with neither `[` nor `{`.
    """
    name = os.fspath(path)
    with open_text(path, encoding) as file:
        buffer = Buffer(file, MAX_ROW)
        if buffer.peek() not in ("[", "{"):
            raise DataError(f"{name}:{buffer.line}: neither a JSON list nor a JSON object.")
        try:
            yield from _walk(buffer, name, encoding, depth, ())
            if buffer.peek():
                raise Broken("the JSON value ends before this")
        except Broken as fault:
            raw = buffer.text[buffer.at : buffer.at + 2000]
            reason = f"{fault}; what follows was not read."
            yield BadRow(name, buffer.line, reason, raw)


def _walk(
    buffer: Buffer, name: str, encoding: str | None, depth: int, keys: tuple[str, ...]
) -> Iterator[Record | BadRow]:
    keyed = buffer.peek() == "{"
    buffer.take("{" if keyed else "[")
    closing = "}" if keyed else "]"
    first = True
    while buffer.peek() != closing:
        if not first:
            buffer.take(",")
        first = False
        key = keys
        if keyed:
            found, raw, reason = buffer.value()
            if reason or not isinstance(found, str):
                raise Broken(f"a key in quotes was expected here, not {raw[:40]!r}")
            key = (*keys, found)
            buffer.take(":")
        if keyed and len(key) < depth and buffer.peek() == "{":
            yield from _walk(buffer, name, encoding, depth, key)
            continue
        buffer.peek()
        line = buffer.line
        value, raw, reason = buffer.value()
        if not reason:
            try:
                check_pairs(value, raw)
            except ValueError as fault:
                reason = str(fault)
        reason = reason or first_bad(raw, encoding) or first_bad("".join(key), encoding)
        if reason:
            yield BadRow(name, line, reason, raw)
        else:
            yield Record(name, line, value, raw, key)
    buffer.take(closing)

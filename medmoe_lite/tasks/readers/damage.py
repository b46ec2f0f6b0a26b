"""Ways to damage a file, for the fuzz: in its values, in its bytes, inside an Excel file."""

from __future__ import annotations

import random
from copy import deepcopy
from typing import Any

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 7, 1e308, float("nan"), 10**30, "", " ", "A", "ABCDEF", "None",
    "\x00", "\ud800", "﻿x", "a\r\nb", "甲" * 50, "x" * 9999, [], [None], ["A"], {}, {"A": None},
    {"": {}}, [[[[]]]], [{"from": 1}], {"a": {"b": [1, {"c": "d"}]}},
)  # fmt: skip
PIECES = (
    b"\x00", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\r\n", b"\n", b"\t", b'"', b'""', b"'", b",",
    b"{", b"}", b"[", b"]", b"[" * 3000, b'{"a":' * 2000, b"null", b"NaN", b"-0", b"1e999",
    b"9" * 5000, b"\\u", b"\\ud800", b"\x1b[2J", b"PK\x03\x04",
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;", b"<", b"]]>",
    b"version https://git-lfs.github.com/spec/v1\n", b"<html>", b"\xe4\xb8", b"#### ",
)  # fmt: skip


def damage_value(value: Any, rng: random.Random) -> Any:
    """A JSON value with one place in it changed."""
    value = deepcopy(value)
    spots: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        if isinstance(node, (dict, list)):
            for key in list(node) if isinstance(node, dict) else range(len(node)):
                spots.append((node, key))
                walk(node[key])

    walk(value)
    if not spots:
        return rng.choice(VALUES)
    node, key = rng.choice(spots)
    way = rng.randrange(4)
    if way == 0:
        del node[key]
    elif way == 1 and isinstance(node, dict):
        node[rng.choice(["", "id", "A", f"{key} ", str(key).upper()])] = node.pop(key)
    elif way == 1:
        node.insert(key, deepcopy(node[key]))
    else:
        node[key] = rng.choice(VALUES)
    return value


def damage_bytes(content: bytes, rng: random.Random) -> bytes:
    """Bytes with one place changed."""
    at = rng.randint(0, len(content))
    end = min(len(content), at + rng.choice((1, 1, 2, 5, 40)))
    way = rng.randrange(6)
    if way == 0:
        return content[:at]
    if way == 1:
        return content[:at] + content[end:]
    if way == 2:
        return content[:at] + content[at:end] * rng.choice((2, 3, 50)) + content[end:]
    if way == 3:
        return content[:at] + bytes(rng.randrange(256) for _ in range(end - at)) + content[end:]
    return content[:at] + rng.choice(PIECES) + content[at if way == 4 else end :]


def sheet(rng: random.Random) -> bytes:
    """An Excel file like CMExam's, sometimes with a damaged part inside an intact zip."""
    import io
    import zipfile

    from openpyxl import Workbook

    book, made = Workbook(), io.BytesIO()
    book.active.append(["Question", "Options", "Answer", "Explanation"])
    answer = rng.choice(["A", None, 3, "#N/A"])
    book.active.append(["下列哪一项是骨", "A 股骨\\nB 肝", answer, None])
    book.save(made)
    if rng.random() < 0.5:
        return made.getvalue()
    out = io.BytesIO()
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(out, "w") as new:
        broken = rng.choice(old.namelist())
        for part in old.namelist():
            content = old.read(part)
            new.writestr(part, damage_bytes(content, rng) if part == broken else content)
    return out.getvalue()

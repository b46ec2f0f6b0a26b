"""The opening layer: what a file is, its rows with their lines, big files in constant memory."""

from __future__ import annotations

import csv
import json
import os
import tracemalloc

import pytest

from medmoe_lite.tasks.readers.base import BadRow, DataError
from medmoe_lite.tasks.readers.encodings import guess
from medmoe_lite.tasks.readers.files import (
    MAX_CELL,
    Record,
    csv_dicts,
    csv_rows,
    files_in,
    json_items,
    json_lines,
    json_rows,
    tab_rows,
    text_lines,
)


def write(folder, data, name="a.json"):
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def seen(rows):
    """(line, value) of good rows, (line, reason) of bad ones."""
    return [(r.line, r.reason if isinstance(r, BadRow) else r.value) for r in rows]


POINTER = (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1000000\n"
)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (POINTER, rf"{len(POINTER)}-byte pointer of Git LFS.*git lfs pull"),
        (b"", "is empty.*Fetch it again"),
        (b"\xef\xbb\xbf \r\n", "is empty"),
        (b"PK\x03\x04....", "zip archive.*save the table as CSV"),
        (b"\x1f\x8b....", "gunzip"),
        (b"PAR1....", "Parquet"),
        (b"\x80\x04\x95....", "pickle.*not read"),
        (b"<!DOCTYPE html><html>sign in</html>", "web page, not the data"),
        (bytes(range(256)) * 4, "no text file|not UTF-8"),
        ('{"a": "心肌缺血如何治疗与"}'.encode("gbk"), "looks like GBK: type encoding='gbk'"),
        ('{"a": "心肌缺血如何治疗"}'.encode("utf-16"), "looks like UTF-16: .*encoding='utf-16'"),
        (b'{"a": 1}\n{"a": "caf\xe9 \x96 5 \xb5g"}', "a.json:2: .*encoding='cp1252'"),
    ],
)  # fmt: skip
def test_what_is_no_such_file_is_named(tmp_path, data, message):
    with pytest.raises(DataError, match=message):
        list(json_lines(write(tmp_path, data)))


def test_missing_folders_devices_and_unknown_encodings_are_named(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        list(json_lines(tmp_path / "none.json"))
    with pytest.raises(DataError, match="is a folder"):
        list(json_lines(tmp_path))
    with pytest.raises(DataError, match="no plain file"):
        list(json_lines(os.devnull))
    with pytest.raises(DataError, match="no text encoding 'klingon'.*'gbk'"):
        list(json_lines(write(tmp_path, "{}"), "klingon"))
    with pytest.raises(DataError, match="holds no \\*.csv"):
        files_in(tmp_path, "*.csv")


def test_other_encodings_are_read_when_they_are_named(tmp_path):
    row = '{"a": "心肌缺血 – né"}\n'
    for encoding in ("gb18030", "utf-16", "utf-8"):
        path = write(tmp_path, row.encode(encoding))
        assert seen(json_lines(path, encoding)) == [(1, {"a": "心肌缺血 – né"})]
    path = write(tmp_path, "﻿" + row)  # a mark at the beginning
    assert seen(json_lines(path)) == [(1, {"a": "心肌缺血 – né"})]
    assert guess("繁體中文的問題和答案都在這裡".encode("big5")) == "big5"


def test_one_damaged_byte_is_one_bad_row(tmp_path):
    rows = ['{"a": "心肌缺血"}'.encode()] * 4
    rows[2] = rows[2].replace("缺".encode(), b"\xe7\xbc")
    found = seen(json_lines(write(tmp_path, b"\n".join(rows))))
    assert [line for line, _ in found] == [1, 2, 3, 4]
    assert found[2][1] == "byte 0xe7 at character 10 is no UTF-8 text."


def test_json_lines_with_crlf_blanks_and_bad_lines(tmp_path):
    text = '{"a": 1}\r\n\r\n{"a": nul}\r\n[1]\r\n{"a": "NA", "b": NaN, "c": null}\r\n{"a": "x'
    assert seen(json_lines(write(tmp_path, text))) == [
        (1, {"a": 1}),
        (3, "not JSON: Expecting value (character 7)."),
        (4, "a JSON object was expected here, not a list."),
        (5, {"a": "NA", "b": None, "c": None}),
        (6, "not JSON: Unterminated string starting at (character 7)."),
    ]
    bad = list(json_lines(tmp_path / "a.json"))[1]
    assert (bad.file, bad.raw) == (str(tmp_path / "a.json"), '{"a": nul}')


def test_a_line_separator_inside_a_string_ends_no_line(tmp_path):
    path = write(tmp_path, '{"a": "x\u2028y"}\n{"a": "z\x85"}\n')
    assert seen(json_lines(path)) == [(1, {"a": "x\u2028y"}), (2, {"a": "z\x85"})]


def test_hostile_json_is_a_bad_row(tmp_path):
    deep = "[" * 200_000
    huge = '{"a": ' + "9" * 5000 + "}"
    half = r'{"a": "\ud83d"}'
    whole = r'{"a": "\ud83d\ude00"}'
    found = seen(json_lines(write(tmp_path, "\n".join((deep, huge, half, whole)))))
    reasons = [value for _, value in found]
    assert reasons[0] == "JSON nested too deeply."
    assert "digits" in reasons[1]
    assert r"half of a \u pair" in reasons[2]
    assert reasons[3] == {"a": "😀"}
    assert seen(json_items(write(tmp_path, deep)))[0][1].startswith("the file ends within")


def test_lines_have_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("medmoe_lite.tasks.readers.files.MAX_ROW", 100)
    path = write(tmp_path, "a\n" + "b" * 350 + "\nc\n")
    assert seen(text_lines(path)) == [
        (1, "a"), (2, "the line is longer than 100 characters."), (3, "c"),
    ]  # fmt: skip


def test_arrays_and_keyed_objects_agree_with_the_json_module(tmp_path):
    items = [{"n": i, "t": 'a "quoted" [bracket] {brace}, \n 中 \\'} for i in range(300)]
    for indent in (None, 2):
        path = write(tmp_path, json.dumps(items, indent=indent, ensure_ascii=indent is None))
        rows = list(json_items(path))
        assert [row.value for row in rows] == items
        lines = path.read_text().splitlines()
        for row in rows:
            assert lines[row.line - 1].lstrip(" [").startswith("{")
            assert json.loads(row.raw) == row.value
        assert [row.value for row in json_rows(path)] == items
    keyed = {"one": {"a": items[0], "b": items[1]}, "two": {"a": items[2]}}
    path = write(tmp_path, json.dumps(keyed, indent=1))
    assert [(row.key, row.value) for row in json_items(path, depth=2)] == [
        (("one", "a"), items[0]), (("one", "b"), items[1]), (("two", "a"), items[2]),
    ]  # fmt: skip
    assert [row.key for row in json_items(path)] == [("one",), ("two",)]


def test_values_that_cross_the_edge_of_the_buffer(tmp_path, monkeypatch):
    items = [{"n": i, "t": "x" * (i % 7)} for i in range(40)] + [12345, -1.5e-7, True, None, "é"]
    path = write(tmp_path, json.dumps(items, indent=1))
    for chunk in (1, 2, 3, 7, 64):
        monkeypatch.setattr("medmoe_lite.tasks.readers.json_stream.CHUNK", chunk)
        assert [row.value for row in json_items(path)] == items


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"a": 1},\n{"a": nul},\n{"a": 3}]', [1, "not JSON", 3]),
        ('[{"a": 1},\n{"a": "x\\q"},\n{"a": 3}]', [1, "not JSON", 3]),
        ('[{"a": 1},\n{"a": 2,},\n{"a": 3}]', [1, "not JSON", 3]),
        ('[{"a": 1},\n{"a": 2}', [1, 2, "',' was expected here, not the end of the file"]),
        ('[{"a": 1},\n{"a": "x', [1, "the file ends within this item: it is cut off"]),
        ('[{"a": 1},', [1, "it is cut off"]),
        ('[{"a": 1}\n{"a": 2}]', [1, "',' was expected here, not '{'"]),
        ('[{"a": 1}]\n{"a": 2}', [1, "the JSON value ends before this"]),
        ('{"x": {"a": 1}, 2: {"a": 2}}', [1, "a key in quotes was expected"]),
        ("[]", []),
    ],
)
def test_broken_arrays_give_what_can_be_read_and_say_the_rest(tmp_path, text, expected):
    rows = list(json_items(write(tmp_path, text)))
    for row, wanted in zip(rows, expected, strict=True):
        if isinstance(wanted, int):
            assert row.value == {"a": wanted}
        else:
            assert wanted in row.reason
            assert row.line == text.count("\n", 0, text.rfind(row.raw or text)) + 1 or row.raw == ""


def test_one_object_over_many_lines_is_no_file_of_rows(tmp_path):
    with pytest.raises(DataError, match="one JSON object over many lines"):
        list(json_rows(write(tmp_path, '{\n "a": {}\n}')))
    with pytest.raises(DataError, match=":2: neither a JSON list nor a JSON object"):
        list(json_items(write(tmp_path, "\nhello")))


def test_csv_agrees_with_the_csv_module_and_knows_its_lines(tmp_path):
    cells = [["q", "a"], ['say "hi"', "x\ny\r\nz"], ["None", ""], ["NA", "0"], ["null", "007"]]
    path = tmp_path / "a.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(cells)
    assert [row.value for row in csv_rows(path)] == cells
    assert [row.line for row in csv_rows(path)] == [1, 2, 5, 6, 7]
    assert [row.value for row in csv_dicts(path, ["q"])] == [{"q": q, "a": a} for q, a in cells[1:]]


def test_csv_rows_that_are_broken(tmp_path):
    text = 'a,b\n1\n"x"y,2\n\n3,4\n"never,5\n6,7\n'
    assert seen(csv_dicts(write(tmp_path, text), ["a", "b"])) == [
        (2, "1 cells where the header has 2."),
        (3, 'text follows a closing quote: a quote inside a cell is written twice ("").'),
        (5, {"a": "3", "b": "4"}),
        (6, 'a quote (") is opened here and never closed.'),
    ]
    long = f'a\n"{"x " * MAX_CELL}\n' + "1\n" * 5
    found = seen(csv_rows(write(tmp_path, long)))
    assert "longer than 131072 characters" in found[1][1]
    assert found[2:] == [(n, ["1"]) for n in range(3, 8)]
    with pytest.raises(DataError, match=":1: the header has no column b: it is"):
        list(csv_dicts(write(tmp_path, "a,c\n1,2\n"), ["a", "b"]))
    with pytest.raises(DataError, match="names a column twice"):
        list(csv_dicts(write(tmp_path, "a,a\n1,2\n"), ["a"]))


def test_tabs_take_quotes_as_they_are(tmp_path):
    path = write(tmp_path, '"\tO\nNA\tB-Disease\n\nnull\tO\n', "train.tsv")
    assert [row.value for row in tab_rows(path)] == [
        ['"', "O"], ["NA", "B-Disease"], [], ["null", "O"],
    ]  # fmt: skip


def peak_of(rows):
    """Bytes at the peak, and how many rows."""
    tracemalloc.start()
    count = sum(isinstance(row, Record) for row in rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak, count


ROWS = 1_000_000 if os.environ.get("MEDMOE_SLOW") == "1" else 20_000


@pytest.mark.parametrize("kind", ["lines", "keyed", "csv"])
def test_big_files_are_read_in_constant_memory(tmp_path, kind):
    row = {"question": "q" * 200, "options": {"A": "x", "B": "y"}, "answer": "A"}
    path = tmp_path / "big"
    with open(path, "w", encoding="utf-8") as file:
        opening, closing = "{}" if kind == "keyed" else ("", "")
        file.write(opening)
        for n in range(ROWS):
            text = json.dumps(row | {"n": n})
            between = ",\n" if n else "\n"
            if kind == "csv":
                file.write(f'{n},"{"q" * 200}\n""y"""\n')
            elif kind == "lines":
                file.write(text + "\n")
            else:
                file.write(f'{between}"{n}": {text}')
        file.write(closing)
    read = {"lines": json_rows, "csv": csv_rows}.get(kind, json_items)
    peak, count = peak_of(read(path))
    assert count == ROWS
    assert os.path.getsize(path) > 4e6
    assert peak < 2e6

"""Any bytes given to any reader end in examples, bad rows or a `DataError`, and nothing else."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medmoe_lite.tasks.readers import READERS, BadRow
from medmoe_lite.tasks.readers.fuzz import main, outcomes, run_one
from medmoe_lite.tasks.readers.lookalikes import LOOKALIKES, written
from medmoe_lite.tasks.record import Example

NAMES = sorted(READERS)
LONG = os.environ.get("MEDMOE_SLOW") == "1"
QUIET = settings(deadline=None, derandomize=True, database=None)
FIELDS = sorted(
    {
        key
        for item in LOOKALIKES
        if isinstance(item.value, list)
        for row in item.value
        for key in row
    }
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("A"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from("ABCDE") | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def feed(folder, reader, name, content):
    path = folder / name
    path.write_bytes(content)
    try:
        return list(outcomes(reader, path))
    finally:
        path.unlink()


@pytest.mark.parametrize("item", LOOKALIKES, ids=lambda item: f"{item.reader}-{item.name}")
def test_every_look_alike_is_read_without_a_bad_row(tmp_path, item):
    if item.beside[0]:
        (tmp_path / item.beside[0]).write_bytes(written(*item.beside))
    found = feed(tmp_path, item.reader, item.name, written(item.name, item.value))
    assert found
    assert all(isinstance(outcome, Example) for outcome in found), found


def test_every_reader_has_a_look_alike():
    assert {item.reader for item in LOOKALIKES} == set(READERS)


@settings(QUIET, max_examples=3000 if LONG else 120)
@given(reader=st.sampled_from(NAMES), content=st.binary(max_size=200))
def test_any_bytes(folder, reader, content):
    feed(folder, reader, "anatomy_test.csv" if "mmlu" in reader else "dev.json", content)


@settings(QUIET, max_examples=3000 if LONG else 150)
@given(
    reader=st.sampled_from(NAMES),
    rows=st.lists(
        st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=9) | VALUES, max_size=4
    ),
    array=st.booleans(),
)
def test_any_json_under_the_right_names(folder, reader, rows, array):
    """In JSON Lines each value that is no blank is a row: good, bad, and none missing."""
    text = json.dumps(rows) if array else "".join(json.dumps(row) + "\n" for row in rows)
    found = feed(folder, reader, "dev.jsonl", text.encode())
    if reader in ("gsm8k", "medqa", "mmedbench", "kit") and not array and rows and found:
        broken = not isinstance(found[-1], (Example, BadRow))
        ended = isinstance(found[-1], BadRow) and "was not read" in found[-1].reason
        assert broken or ended or len(found) == len(rows)  # "[]" in the first line is a JSON array


@settings(QUIET, max_examples=5000 if LONG else 300)
@given(seed=st.integers(min_value=0, max_value=10**9))
def test_damaged_look_alikes(folder, seed):
    _, _, fault = run_one(seed, NAMES, folder)
    assert not fault


def test_the_command_counts_and_keeps_what_it_found(tmp_path, monkeypatch, capsys):
    out = tmp_path / "fuzz.json"
    assert main(["--inputs", "30", "--readers", "gsm8k", "--out", str(out)]) == 0
    told = json.loads(out.read_text())
    assert told["total"]["inputs"] == told["readers"]["gsm8k"]["inputs"] == 30
    assert told["faults"] == []

    def broken(path, split, **options):
        yield Example("t", "p", "")

    from dataclasses import replace

    monkeypatch.setitem(READERS, "gsm8k", replace(READERS["gsm8k"], rows=broken))
    assert main(["--inputs", "2", "--readers", "gsm8k", "--out", str(out)]) == 1
    assert "no answer" in json.loads(out.read_text())["faults"][0]["fault"]
    assert "seed 0, gsm8k" in capsys.readouterr().err

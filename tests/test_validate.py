"""The validator of the tables finds each kind of damage, with file and line."""

from __future__ import annotations

import shutil

import pytest

from medmoe_lite.paths import data_dir
from medmoe_lite.tasks.validate import main, validate


@pytest.fixture
def tables(tmp_path):
    return shutil.copytree(data_dir() / "facts", tmp_path / "facts")


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def test_the_shipped_tables_are_clean_and_large_enough(capsys):
    assert main([]) == 0
    assert "OK" in capsys.readouterr().out


DAMAGE = {
    "empty": ("drugs.csv", "metformin,biguanide,", "metformin,,", "is empty"),
    "cells": ("drugs.csv", "metformin,biguanide,", "metformin,", "4 cells instead of 5"),
    "letters": ("countries.csv", "france,paris,", "france,Paris!,", "lower-case"),
    "code": ("conditions.csv", ",G43", ",43G", "'code' is"),
    "reference": ("kept.csv", "drugs,", "drugs,x", "unknown reference"),
    "opposite": ("words.csv", "hot,cold,", "hot,warm,", "not the other way round"),
    "invented": ("invented_drugs.csv", ",", ",moon dust ", "no real drug has"),
    "header": ("animals.csv", "name,group", "name,kind", "the header is"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named_with_file_and_line(kind, tables):
    name, old, new, message = DAMAGE[kind]
    if kind == "invented":
        lines = (tables / name).read_text().splitlines()
        cells = lines[1].split(",")
        old, new = lines[1], ",".join([cells[0], "moon dust", *cells[2:]])
    line = edit(tables / name, old, new)
    hits = [p for p in validate(tables) if p.file.name == name and p.line == line]
    assert any(message in p.text for p in hits), validate(tables)


def test_duplicates_and_contradictions(tables):
    lines = (tables / "drugs.csv").read_text().splitlines()
    contradiction = ",".join([*lines[2].split(",")[:-1], "moonlight"])
    (tables / "drugs.csv").write_text("\n".join([*lines, lines[1], contradiction]) + "\n")
    problems = {p.line: p.text for p in validate(tables) if p.file.name == "drugs.csv"}
    assert "duplicate, first in line 2" in problems[len(lines) + 1]
    assert "contradiction in ['interaction'], first in line 3" in problems[len(lines) + 2]


def test_one_code_for_two_conditions(tables):
    line = edit(tables / "conditions.csv", ",G43", ",J45")
    assert any("belongs to" in p.text for p in validate(tables)), line


def test_wrong_encoding_and_missing_file(tables, capsys):
    (tables / "animals.csv").write_bytes(b"name,group,covering,food,home\ncaf\xe9,a,b,c,d\n")
    (tables / "words.csv").unlink()
    assert main([str(tables)]) == 1
    said = capsys.readouterr().out
    assert "animals.csv:2: not UTF-8" in said
    assert "words.csv:0: the file is missing" in said

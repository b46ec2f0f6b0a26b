"""Recorded runs belong to the bases that are shipped: their weights are stamped into each file."""

from __future__ import annotations

import json

import pytest

from medmoe_lite.bases.checksums import base_digest
from medmoe_lite.lab.record import BASES, keep_recording
from medmoe_lite.paths import data_dir

RECORDED = sorted((data_dir() / "recorded").glob("[0-9]*.json"))
EFFECTS = sorted((data_dir() / "recorded").glob("nano_effects*.json"))


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_a_notebook_recording_was_made_with_the_shipped_bases(file):
    settings = json.loads(file.read_text(encoding="utf-8"))["settings"]
    assert settings["bases"] == {name: base_digest(name) for name in BASES}


@pytest.mark.parametrize("file", EFFECTS, ids=lambda file: file.stem)
def test_recorded_effects_were_measured_on_the_shipped_base(file):
    content = json.loads(file.read_text(encoding="utf-8"))
    assert content["weights"] == base_digest(content["base"])


def test_a_recording_of_other_weights_is_begun_anew(tmp_path):
    file = tmp_path / "x.json"
    todo = [{"arm": "a", "seed": 0}]
    keep_recording(file, {"steps": 1}, todo, lambda names: {"value": 1})
    again = keep_recording(file, {"steps": 1}, todo, lambda names: {"value": 2})
    assert again["runs"][0]["value"] == 1
    content = json.loads(file.read_text(encoding="utf-8"))
    content["settings"]["bases"]["nano"] = "other weights"
    file.write_text(json.dumps(content), encoding="utf-8")
    anew = keep_recording(file, {"steps": 1}, todo, lambda names: {"value": 2})
    assert anew["runs"][0]["value"] == 2

"""The README keeps its word: its program runs, its files and its commands exist."""

import json
import re
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def text(root):
    return (root / "README.md").read_text(encoding="utf-8")


def test_the_program_runs(text, tmp_path):
    (program,) = re.findall(r"```python\n(.*?)```", text, re.S)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "my-adapter" / "adapter_config.json").is_file()


def test_every_method_of_the_table_can_be_typed(text):
    from medmoe_lite import MoLoraConfig, depth_plan

    rows = [line for line in text.splitlines() if line.startswith("|") and "MoLoraConfig(" in line]
    typed = re.findall(r"`(MoLoraConfig\([^`]*\))`", " ".join(rows))
    assert len(typed) >= 12
    for line in typed:
        eval(line, {"MoLoraConfig": MoLoraConfig, "depth_plan": depth_plan})


def test_named_files_exist(root, text):
    names = re.findall(r"`((?:medmoe_lite|data|notebooks)/[\w./-]*)`", text)
    names += re.findall(r"`([\w-]+\.(?:md|txt|yml))`", text)
    names += re.findall(r"`(LICENSE[\w-]*)`", text) + re.findall(r"\]\((?!http|#)([^)]+)\)", text)
    assert len(names) > 8
    assert [name for name in names if not (root / name).exists()] == []


def test_commands_exist_at_both_doors(root, text):
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    named = re.findall(r"`make (\w+)", text)
    assert set(named) == set(re.findall(r"python -m make (\w+)", text))
    assert all(re.search(rf"^\.PHONY:.* {name}\b", makefile, re.M) for name in named)


def test_the_minutes_of_reading_are_those_of_the_notebooks(root, text):
    for source in (root / "notebooks/source").glob("*.py"):
        (minutes,) = re.findall(r'id="title" minutes=(\d+)', source.read_text(encoding="utf-8"))
        (row,) = re.findall(rf"\(notebooks/{source.stem}\.ipynb\).*", text)
        assert row.endswith(f"| {minutes} min |")


def test_the_budgets_in_the_text_hold_for_the_recorded_ones(root, text):
    words = " ".join(text.split())
    assert "in less than 3 minutes and in less than 1.2 GB" in words
    runs = json.loads((root / "data/recorded/budgets.json").read_text(encoding="utf-8"))
    assert set(runs) == {path.stem for path in (root / "notebooks/source").glob("*.py")}
    for run in runs.values():
        assert run["minutes"] < 3
        assert run["gigabytes"] < 1.2

"""What a visitor meets first: the picture, messages, citation, forms, the weekly checks."""

import ast
import datetime
import json
import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version
from PIL import Image

import medmoe_lite
from medmoe_lite.course import matrix
from medmoe_lite.lab.figures import words
from medmoe_lite.lab.moving import LONGEST
from medmoe_lite.lab.recorded import recorded


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text(encoding="utf-8")


# The picture


def test_the_picture_is_small_and_plays_once(root):
    file = root / "notebooks/figures/readme.gif"
    assert file.stat().st_size < 1.5e6
    film, still = Image.open(file), Image.open(root / "notebooks/figures/readme.png")
    assert film.size == still.size
    assert "loop" not in film.info
    milliseconds = []
    for index in range(film.n_frames - 1):
        film.seek(index)
        milliseconds.append(film.info["duration"])
    assert sum(milliseconds) / 1000 <= LONGEST < 5, "moving longer needs a way to stop it"
    assert 1000 / min(milliseconds) < 10 / 3 + 0.1, "no more than about three changes a second"


def test_the_picture_has_a_still_form_and_the_words_of_the_numbers(readme, root):
    (alt,) = re.findall(r'<img src="notebooks/figures/readme\.gif"[^>]* alt="([^"]*)"', readme)
    assert alt == words(recorded("03_routing"), recorded("07_curves"))
    assert '(prefers-reduced-motion: reduce)" srcset="notebooks/figures/readme.png"' in readme
    places = re.findall(r'(?:src|srcset)="([^"]+)"', readme)
    assert [place for place in places if not (root / place).is_file()] == []


def test_the_number_of_exercises_is_counted(readme, root):
    sources = [p.read_text(encoding="utf-8") for p in (root / "notebooks/source").glob("*.py")]
    keys = set(re.findall(r'^check\("([\d.]+)"', "\n".join(sources), re.M))
    assert f"{len(keys)} exercises" in readme


# Messages


@pytest.fixture(scope="module")
def templates(root):
    """Every text of the source; values that are put in stand as NUL."""
    found = set()
    files = [root / "make.py", *(root / "medmoe_lite").rglob("*.py")]
    for file in files:
        if file.name == "mutants.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [v.value if isinstance(v, ast.Constant) else "\0" for v in node.values]
                found.add("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return "\n\n".join(found)


def quoted(page):
    """(section, message) of each row of the page's tables."""
    section, rows = "", []
    for line in page.splitlines():
        section = line[3:] if line.startswith("## ") else section
        if line.startswith("| `"):
            first = line.split(" | ")[0]
            rows += [(section, message) for message in re.findall(r"`([^`]+)`", first)]
    return rows


def pattern(message):
    return r"[^\n]*".join(re.escape(part) for part in message.split("…"))


FOREIGN = (  # of other programs, in sections that are about this kit
    "KeyError: 'MOLORA'", "ModuleNotFoundError", "NameError", "The kernel appears",
    "Error displaying", "No such kernel", "Kernel not found", "Address already",
    "The port 8888", "Running as root", "jupyter: command",
)  # fmt: skip


def test_each_message_of_the_kit_is_one(root, templates):
    page = (root / "docs/troubleshooting.md").read_text(encoding="utf-8")
    rows = quoted(page)
    own = [m for s, m in rows if not s.startswith("torch") and not m.startswith(FOREIGN)]
    assert len(own) >= 35
    assert [m for m in own if not re.search(pattern(m), templates)] == []
    assert len(rows) - len(own) >= 25


def test_the_page_is_found_and_names_what_exists(root, readme):
    assert "docs/troubleshooting.md" in readme
    page = (root / "docs/troubleshooting.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", page):
        assert (root / "docs" / target).is_file()


# Citation, version, forms


def check_citation(found):
    """Faults by the rules of the Citation File Format 1.2 that this file touches."""
    faults = [
        f"no {key}" for key in ("cff-version", "message", "title", "authors") if key not in found
    ]
    known = set(
        "abstract authors cff-version commit contact date-released doi identifiers keywords "
        "license license-url message preferred-citation references repository repository-artifact "
        "repository-code title type url version".split()
    )
    faults += [f"unknown key {key}" for key in found if key not in known]
    if found.get("cff-version") != "1.2.0":
        faults.append("cff-version is not the text 1.2.0")
    if found.get("type", "software") not in ("software", "dataset"):
        faults.append("type")
    faults += [
        f"{key} is no text" for key in ("message", "title", "abstract", "version", "license")
        if key in found and not isinstance(found[key], str)
    ]  # fmt: skip
    if not isinstance(found.get("date-released"), datetime.date):
        faults.append("date-released is no date YYYY-MM-DD")
    faults += [
        f"keyword {word!r}" for word in found.get("keywords", []) if not isinstance(word, str)
    ]
    for work in [found, *found.get("references", [])]:
        if not work.get("authors"):
            faults.append(f"no authors: {work.get('title')}")
        for person in work.get("authors", []):
            names = {"name"} if "name" in person else {"family-names", "given-names"}
            if set(person) - names - {"orcid", "affiliation", "email", "website", "alias"}:
                faults.append(f"author {person}")
    for work in found.get("references", []):
        faults += [f"reference without {key}" for key in ("type", "title") if key not in work]
        if not isinstance(work.get("year", 0), int) or not work.get("url", "https://").startswith(
            "http"
        ):
            faults.append(f"reference {work.get('title')}")
    return faults


def test_the_citation_file_keeps_the_format(root, readme):
    found = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    assert check_citation(found) == []
    cited = {work["url"].rpartition("/")[2] for work in found["references"]}
    assert cited == set(re.findall(r"arxiv\.org/abs/([\d.]+)", readme))
    broken = {**found, "date-released": "yesterday", "writers": [], "cff-version": 1.2}
    assert len(check_citation(broken)) == 3


def test_one_version_everywhere(root):
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (\d\S+) \(([^)]+)\)$", changes, re.M)
    released = [(number, date) for number, date in headings if date != "not yet released"]
    assert project["version"] == medmoe_lite.__version__
    assert headings[0][0] == medmoe_lite.__version__
    assert released[0] == (citation["version"], str(citation["date-released"]))
    numbers = [Version(number) for number, _ in headings]
    assert numbers == sorted(numbers, reverse=True)


def test_the_issue_forms_can_be_filled_in(root):
    files = sorted((root / ".github/ISSUE_TEMPLATE").glob("*.yml"))
    assert {file.stem for file in files} == {"bug", "course", "paper", "config"}
    for file in files:
        form = yaml.safe_load(file.read_text(encoding="utf-8"))
        if file.stem == "config":
            continue
        assert set(form) == {"name", "description", "labels", "body"}
        ids = [part["id"] for part in form["body"] if part["type"] != "markdown"]
        assert len(ids) == len(set(ids)) > 2
        for part in form["body"]:
            assert part["type"] in ("markdown", "input", "textarea", "dropdown", "checkboxes")
            key = "value" if part["type"] == "markdown" else "label"
            assert part["attributes"][key].strip()
            if part["type"] in ("dropdown", "checkboxes"):
                assert len(part["attributes"]["options"]) > 1


# The newest and the oldest packages


@pytest.fixture(scope="module")
def needed(root):
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return matrix.requirements(project)


def test_the_oldest_are_the_bounds_of_the_project(needed):
    lines = matrix.constraints("oldest", needed, ["torch==2.13.0"])
    assert lines[0] == "torch==2.13.0"
    assert len([line for line in lines if line.startswith("torch==")]) == 1
    by_name = {Requirement(line).name: Requirement(line) for line in lines}
    for requirement in needed:
        (only,) = by_name[requirement.name].specifier
        assert requirement.specifier.contains(only.version), requirement
    assert matrix.constraints("newest", needed, []) == []
    with pytest.raises(ValueError, match="no lower bound"):
        matrix.lowest(Requirement("numpy<3"))


def test_its_subset_exists_and_touches_every_library(root, needed):
    assert [name for name in matrix.SUBSET if not (root / name).is_file()] == []
    assert {"torch", "peft", "transformers", "pytest", "ipywidgets"} <= {r.name for r in needed}


def test_uv_is_used_where_it_is(needed, tmp_path, monkeypatch):
    monkeypatch.setattr(matrix.shutil, "which", lambda name: None)
    venv, install, kit = matrix.commands("oldest", tmp_path / "v", tmp_path / "c.txt", needed)
    assert venv[1:4] == ["-m", "venv", "--clear"]
    assert install[1:4] == ["-m", "pip", "install"]
    assert "--no-deps" in kit
    monkeypatch.setattr(matrix.shutil, "which", lambda name: "/bin/uv")
    install = matrix.commands("oldest", tmp_path / "v", tmp_path / "c.txt", needed)[1]
    assert install[-len(needed) - 4 : -len(needed) - 2] == ["--resolution", "lowest-direct"]


def test_what_does_not_install_is_in_the_table(tmp_path, monkeypatch):
    bad = [sys.executable, "-c", "print('no such wheel'); raise SystemExit(1)"]
    monkeypatch.setattr(matrix, "commands", lambda *given: [bad])
    found = matrix.examine("oldest", [], [], tmp_path)
    assert found["verdict"] == "does not install"
    assert json.loads((tmp_path / "oldest.json").read_text()) == found
    assert "no such wheel" in (tmp_path / "oldest.md").read_text()


def test_failed_tests_are_named_in_the_table(tmp_path):
    (tmp_path / "r.xml").write_text(
        '<testsuites><testsuite tests="3" failures="1" errors="0" skipped="1">'
        '<testcase classname="tests.a" name="b"><failure message="1 != 2"/></testcase>'
        "</testsuite></testsuites>"
    )
    tests = matrix.verdicts(tmp_path / "r.xml")
    text = matrix.table({"kind": "newest", "verdict": "failed", "python": "3.11", "seconds": 2,
                         "versions": {"peft": "0.21.2"}, "allowed": {"peft": ">=0.21"},
                         "tests": tests})  # fmt: skip
    assert "3 tests: 1 failed" in text
    assert "- tests.a.b: 1 != 2" in text
    assert "| peft | 0.21.2 | >=0.21 |" in text


def test_it_runs_weekly_and_by_hand(root):
    work = yaml.safe_load((root / ".github/workflows/weekly.yml").read_text(encoding="utf-8"))
    assert set(work[True]) == {"schedule", "workflow_dispatch"}  # YAML reads `on` as a yes
    kinds = {row["kind"] for row in work["jobs"]["packages"]["strategy"]["matrix"]["include"]}
    assert kinds == set(matrix.KINDS)
    ignored = (root / ".gitignore").read_text(encoding="utf-8").split()
    assert {f".venv-{kind}/" for kind in matrix.KINDS} <= set(ignored)
    command = [sys.executable, "-m", "medmoe_lite.course.matrix", "oldest", "--dry-run",
               "--torch", "torch==2.13.0"]  # fmt: skip
    shown = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True).stdout
    assert shown.splitlines()[0] == "torch==2.13.0"

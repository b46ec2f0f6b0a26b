"""Faults: the promises of docs/faults.md, each once; the long form is `medmoe faults`.

MEDMOE_SLOW=1 runs every fault with all its cases and five kills of each kind.
"""

import json
import os
import string
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medmoe_lite.bases.checksums import SUMS, damaged, listed
from medmoe_lite.measure import faults
from medmoe_lite.measure.faults_table import markdown
from medmoe_lite.paths import PACKAGE, data_dir
from medmoe_lite.setup_advice import explain, requirements
from medmoe_lite.train.recipe import Recipe, RecipeError

SLOW = os.environ.get("MEDMOE_SLOW") == "1"
# New processes that import everything, or one more run; these wait for the long form.
LONG = ("same seed twice", "old packages", "no network", "full disk, log")
KNOWN = faults.all_faults()


@pytest.mark.parametrize("name", [n for n in KNOWN if SLOW or n not in LONG])
def test_the_promise_is_kept(name):
    outcome = faults.run(KNOWN[name], kills=5 if SLOW else 1, seed=1, short=not SLOW)
    assert outcome.passed, f"{outcome.happened}: {outcome.message}"


def test_a_fault_that_is_not_noticed_is_told():
    nothing = faults.refused(lambda: None, ValueError)
    assert not nothing.passed
    other = faults.refused(lambda: [][0], ValueError)
    assert (other.passed, other.happened) == (False, "another error: IndexError")

    def raises(place):
        raise OSError("no")

    outcome = faults.run(faults.Fault("n", "run", "d", "p", raises))
    assert (outcome.passed, outcome.happened, outcome.message) == (
        False, "it escaped: OSError", "no",
    )  # fmt: skip


def test_the_command_writes_file_and_table(tmp_path, capsys):
    arguments = ["--only", "hostile archives", "--out", str(tmp_path), "--short"]
    assert faults.main([*arguments, "--markdown", str(tmp_path / "faults.md")]) == 0
    recorded = json.loads((tmp_path / "faults.json").read_text())
    (row,) = recorded["faults"]
    assert row["passed"]
    assert str(tmp_path.parent) not in json.dumps(recorded)
    page = (tmp_path / "faults.md").read_text()
    assert page == markdown(recorded)
    assert "`hostile archives`" in page
    assert faults.main(["--only", "no such fault"]) == 2
    assert "medmoe faults --list" in capsys.readouterr().out


def test_the_page_agrees_with_the_recorded_file(root):
    recorded = json.loads((data_dir() / "recorded" / "faults.json").read_text(encoding="utf-8"))
    assert (root / "docs" / "faults.md").read_text(encoding="utf-8") == markdown(recorded), (
        "type: medmoe faults --only nothing --out data/recorded --markdown docs/faults.md"
    )
    assert [row["name"] for row in recorded["faults"]] == list(KNOWN)
    assert all(row["passed"] for row in recorded["faults"])
    assert asdict(faults.Outcome(**recorded["faults"][0])) == recorded["faults"][0]


def test_the_lists_of_checksums_are_in_step():
    names = {folder.name for folder in listed()}
    assert {"nano", "seed1", "facts", "recorded", "recipes"} <= names
    for folder in listed():
        changed = damaged(folder)
        listed_files = {line.split("  ")[1] for line in (folder / SUMS).read_text().splitlines()}
        there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
        new = sorted(n for n in there - listed_files if not n.endswith(SUMS) and "." in n)
        assert not changed + new, "type: python -m medmoe_lite.bases.checksums"


def test_a_missing_package_is_a_sentence_everywhere():
    for name in requirements():
        text = explain(ModuleNotFoundError(f"No module named {name!r}", name=name))
        assert f'pip install "{name}' in text
    assert "medmoe doctor" in explain(ImportError("cannot import name 'x' from 'y'", name="y"))


def test_nothing_in_the_package_reads_a_pickle():
    """The words that do it stand nowhere in the code."""
    words = ("torch.load(", "pickle.load", "weights_only", "trust_remote_code=True",
             "yaml.load(", "np.load(", "joblib", "marshal.load")  # fmt: skip
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not [word for word in words if word in text], path


RECIPE = (PACKAGE / "recipes" / "medcare.yaml").read_text(encoding="utf-8")
LINES = RECIPE.splitlines()
SCALARS = st.one_of(
    st.sampled_from("null true no .nan .inf -.inf 0 -1 1e400 0x10 1_0 1:30 2020-99-99 ~ '' \
        unknown nano default facts [] {} [1] {a: 1} !!binary !!set *x &x |".split(" ")),
    st.integers(-10, 10**6).map(str),
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(str),
    st.text(string.ascii_letters + string.digits + " :#{}[],&*!|>'\"%@`-?\t\\äπ\x07", max_size=12),
)  # fmt: skip


@st.composite
def mutated(draw):
    """A recipe with one to three lines changed a little."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        way = draw(st.integers(0, 6))
        line = lines[at]
        cut = draw(st.integers(0, len(line)))
        if way == 0:
            del lines[at]
        elif way == 1:
            lines.insert(at, lines[draw(st.integers(0, len(lines) - 1))])
        elif way == 2:
            lines[at] = line[:cut] + draw(SCALARS) + line[cut:]
        elif way == 3:
            lines[at] = line[:cut] + line[cut + draw(st.integers(1, 4)) :]
        elif way == 4:
            lines[at] = "  " * draw(st.integers(0, 4)) + line.lstrip()
        elif way == 5 and ":" in line:
            key, _, rest = line.partition(": ")
            lines[at] = (
                f"{key}: {draw(SCALARS)}" if draw(st.booleans()) else f"{draw(SCALARS)}: {rest}"
            )
        elif "paper: " in line:
            head, _, rest = line.partition("paper: ")
            end = rest.partition(",")
            lines[at] = f"{head}paper: {draw(SCALARS)}{end[1]}{end[2]}"
        if not lines:
            break
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    return tmp_path_factory.mktemp("recipes") / "mine.yaml"


@settings(
    max_examples=3000 if SLOW else 60, deadline=None, derandomize=not SLOW, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(text=mutated())
def test_a_changed_recipe_is_a_recipe_or_an_error_with_its_line(mine, text):
    mine.write_text(text, encoding="utf-8")
    try:
        recipe = Recipe.read(mine)
    except RecipeError as error:
        found = error
    else:
        found = None
    if found is not None:
        assert str(found).startswith(f"{mine}:{found.line}: ")
        assert 1 <= found.line <= text.count("\n") + 1
        return
    assert recipe.stages("nano")
    assert recipe.config("nano", recipe.adapters()[0])
    assert isinstance(yaml.safe_load(text), dict)


@settings(max_examples=1000 if SLOW else 60, deadline=None, derandomize=not SLOW, database=None)
@given(content=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
def test_any_bytes_are_no_recipe(tmp_path_factory, content):
    path = Path(tmp_path_factory.getbasetemp()) / "bytes.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError):
        Recipe.read(path)


def test_help_is_there_without_anything_of_weight():
    code = "import sys; sys.argv = ['medmoe', 'faults', '--help']; import medmoe_lite.cli as c"
    code += "\ntry:\n    c.main()\nexcept SystemExit:\n    pass"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--kills" in done.stdout

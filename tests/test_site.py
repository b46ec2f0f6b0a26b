"""The site: what is staged, a small build of it, its links, and the page whose code must run.

The whole site with a browser and axe-core on every page is `make site ARGS=--check`; it and the
patched copy of the package run here with MEDMOE_SLOW=1.
"""

import os
import re
import shutil
import subprocess
import sys
import warnings
from html.parser import HTMLParser

import nbformat
import pytest

from medmoe_lite.course import build as notebooks
from medmoe_lite.course import source
from medmoe_lite.course.site import api as site_api
from medmoe_lite.course.site import command as site
from medmoe_lite.course.site import links as site_links
from medmoe_lite.course.site import pages as site_pages
from medmoe_lite.course.site.docstrings import as_rst
from medmoe_lite.course.site.formulas import mathml
from medmoe_lite.course.site.stage import Stage, repository_pages, solution_notebooks

SLOW = bool(os.environ.get("MEDMOE_SLOW"))
slow = pytest.mark.skipif(not SLOW, reason="takes minutes: MEDMOE_SLOW=1")
SITE_EXTRA = ("myst_nb", "pydata_sphinx_theme", "sphinx_copybutton", "latex2mathml")


def need_extra():
    for name in SITE_EXTRA:
        pytest.importorskip(name, reason="the extra `site` is not installed: `make site`")


# ---- staging


@pytest.fixture
def small(tmp_path):
    """A repository of a few files."""
    root = tmp_path / "repo"
    for name, text in {
        "README.md": "# Kit\n\n[run](docs/run.md) [all](docs/) [net](https://example.org)\n",
        "docs/run.md": "# Run\n\nHow to run. More.\n\n[sh](../launch/a.sh) "
        "[nb](../notebooks/solutions/03_x.ipynb) `[no](link.md)`\n",
        "docs/teach/plan.md": "# Plan\n\n[up](../run.md#more)\n",
        "launch/a.sh": "echo\n",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (root / "notebooks/solutions").mkdir(parents=True)
    book = notebooks.notebook(
        [
            source.Cell("markdown", "t", "# 03 X\n\n[next](04_y.ipynb)"),
            source.Cell("code", "ex", "### BEGIN SOLUTION\nx = 1\n### END SOLUTION"),
        ],
        learner=False,
    )
    picture = {"image/png": "AAAA", "text/html": '<a href="04_y.ipynb">y</a>'}
    words = {"image/png": {"alt": "Words"}}
    book.cells[1].outputs = [nbformat.v4.new_output("display_data", picture, metadata=words)]
    text = notebooks.dump(book)
    for name in ("03_x", "04_y"):
        (root / f"notebooks/solutions/{name}.ipynb").write_text(text, encoding="utf-8")
    return root


def test_links_of_the_repository_work_on_the_site(small, tmp_path):
    stage = Stage(small, tmp_path / "out")
    for name in repository_pages(small):
        stage.page(name, (small / name).read_text(encoding="utf-8"))
    readme = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert "[run](docs/run.md) all [net](https://example.org)" in readme  # no link to a folder
    run = (tmp_path / "out/docs/run.md").read_text(encoding="utf-8")
    assert "[sh](../launch/a.sh)" in run
    assert (tmp_path / "out/launch/a.sh").exists()  # comes along as a download
    assert "[nb](../notebooks/03_x.ipynb)" in run
    assert "`[no](link.md)`" in run  # code is not touched


def test_a_solution_is_folded_and_a_picture_has_words(small, tmp_path):
    import json

    stage = Stage(small, tmp_path / "out")
    before = {p: p.read_bytes() for p in solution_notebooks(small)}
    for path in before:
        stage.notebook(path)
    assert {p: p.read_bytes() for p in before} == before  # the repository's own are not touched
    text, exercise = json.loads((tmp_path / "out/notebooks/03_x.ipynb").read_text())["cells"]
    assert "[next](04_y.ipynb)" in text["source"]
    assert "hide-input" in exercise["metadata"]["tags"]
    assert exercise["metadata"]["mystnb"]["image"]["alt"] == "Words"
    assert exercise["outputs"][0]["data"]["text/html"] == '<a href="04_y.html">y</a>'


def test_staging_again_keeps_and_clears(small, tmp_path):
    first = Stage(small, tmp_path / "out")
    first.write("a.md", "same")
    first.write("old/b.md", "gone")
    before = (tmp_path / "out/a.md").stat().st_mtime_ns
    again = Stage(small, tmp_path / "out")
    again.write("a.md", "same")
    again.clear()
    assert (tmp_path / "out/a.md").stat().st_mtime_ns == before
    assert not (tmp_path / "out/old").exists()


def test_every_guide_is_listed(small, tmp_path):
    stage = Stage(small, tmp_path / "out")
    site_pages.guides_page(stage, repository_pages(small))
    text = (tmp_path / "out/guides/index.md").read_text(encoding="utf-8")
    assert "**[Run](../docs/run.md)** \\\n  How to run." in text
    assert "**[Plan](../docs/teach/plan.md)**" in text
    assert text.index("## Teach with it") < text.index("Plan") < text.index("## More")


def test_the_sentence_of_a_guide_is_whole_and_none_of_its_code():
    code = "```python\n# a remark\n\nx = 1\n```\n"
    text = "# Title\n\n| a |\n\nOne thing: **this**, and\nthat. More.\n\n" + code
    assert site_pages.first_sentence(text) == "One thing: **this**, and that."


def test_the_bench_page_has_every_number(root, tmp_path):
    recorded = site_pages.recorded(Stage(root, tmp_path), "bench.json")
    one = next(iter(recorded["cells"]))
    recorded["cells"] = {one: recorded["cells"][one]}
    stage = Stage(root, tmp_path / "out")
    site_pages.bench_page(stage, recorded)
    text = (tmp_path / "out/results/bench.md").read_text(encoding="utf-8")
    for target in recorded["targets"]:
        assert f"| {target['target']} | {target['value']:.2f} |" in text
    assert all(f"| {design} |" in text for design in recorded["cells"][one]["times"])
    assert (tmp_path / "out/results/bench/00.svg").read_bytes().startswith(b"<?xml")


def test_the_ledger_page_has_every_claim(root, tmp_path):
    stage = Stage(root, tmp_path / "out")
    summary = site_pages.recorded(stage, "nano/ladder.json")
    full = {name: claim["verdict"] for name, claim in summary["claims"].items()}
    for claim in list(summary["claims"].values())[1:]:
        claim["arms"] = {}  # no figures but the first: they are slow, and tested elsewhere
    site_pages.ledger_page(stage, summary)
    text = (tmp_path / "out/results/ledger.md").read_text(encoding="utf-8")
    for name, verdict in full.items():
        anchor = f"claim-{name.replace('_', '-')}"
        assert f"({anchor})=" in text
        assert re.search(rf'<a href="#{anchor}">.*?{verdict}', text)
    assert len(list((tmp_path / "out/results/ledger").iterdir())) == 1


def test_docstrings_become_plain_text():
    text = "One line with a * and a_ and `Thing`s.\n\n    y = B A * x\n\nArgs:\n    x: (b, t) | n."
    assert as_rst(text.split("\n"))[:5] == [
        r"One line with a \* and a\_ and `Thing`\ s.", "", "::", "", "    y = B A * x",
    ]  # fmt: skip
    assert r"    x: (b, t) \| n." in as_rst(text.split("\n"))


def test_the_reference_has_every_public_name(root, tmp_path):
    import medmoe_lite

    stage = Stage(root, tmp_path)
    site_api.api_pages(stage, ())
    text = (tmp_path / "api/medmoe_lite.rst").read_text(encoding="utf-8")
    for name in medmoe_lite.__all__[1:]:
        assert re.search(rf"^\.\. auto\w+:: medmoe_lite\.{name}$", text, re.M), name


def test_every_formula_becomes_mathml(root):
    pytest.importorskip("latex2mathml")
    seen = 0
    texts = [p.read_text(encoding="utf-8") for p in (root / "notebooks/source").glob("*.py")]
    for text in [*texts, (root / "site/index.md").read_text(encoding="utf-8")]:
        markdown = re.sub(r"^# ?", "", text, flags=re.M)
        for block, inline in re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+?)\$", markdown, re.S):
            made = mathml(block or inline, display=bool(block))
            assert made.startswith("<math ")
            assert "alttext=" in made
            seen += 1
    assert seen > 100
    assert "<msup><mi>r</mi><mn>2</mn></msup>" in mathml("r^2")
    with pytest.raises(ValueError, match="does not know"):
        mathml(r"\nosuchcommand")


# ---- the finished pages


def test_problems_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="b.html#here">x</a><a href="b.html#there">x</a><a href="gone.html">x</a>'
        '<a href="https://example.org">fine</a><img src="https://example.org/a.png">'
        '<script src="//cdn.example.org/a.js"></script><p id="one"><p id="one">'
    )
    (tmp_path / "b.html").write_text('<h1 id="here">x</h1><a href="#here">x</a>')
    (tmp_path / "a.css").write_text("@font-face { src: url(https://example.org/f.woff) }")
    found = "\n".join(site_links.problems(tmp_path))
    assert found.count("\n") == 5
    for part in ("b.html#there", "gone.html", "a.png", "a.js", "'one' is there twice", "a.css"):
        assert part in found, part


class Text(HTMLParser):
    """All tags with a class, and the text of the page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def built(root, tmp_path_factory):
    """A small site: all written pages, one notebook, the first page of the reference."""
    need_extra()
    out = tmp_path_factory.mktemp("site")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Sphinx tells its extensions what Sphinx 11 will drop
        site.stage(root, out / "source", ["00"], small=True)
        done = site.build(root, out, strict=False)  # links to what is left out lead nowhere
    assert done == 0
    return out / "html"


def test_a_notebook_is_shown_with_its_outputs_and_folded_solutions(root, built):
    page = Text((built / "notebooks/00_start_here.html").read_text(encoding="utf-8"))
    book = notebooks.cells_of(root / "notebooks/source/00_start_here.py")
    folded = [a for tag, a in page.tags if tag == "details" and "hide" in a.get("class", "")]
    assert len(folded) == sum(cell.is_exercise for cell in book)
    assert not any("open" in attributes for attributes in folded)
    assert page.text.count("Show the solution") == len(folded)
    pictures = [a for tag, a in page.tags if tag == "img"]
    assert len(pictures) >= 4
    assert all(len(a.get("alt") or "") > 30 for a in pictures)


def test_formulas_are_mathml(built):
    page = (built / "index.html").read_text(encoding="utf-8")
    assert re.search(r'<math [^>]*display="block"[^>]*alttext="y = W x', page)
    assert "<msup><mi>B</mi>" in page
    assert not re.search(r"<script[^>]*mathjax", page, re.I)


def test_nothing_is_loaded_from_a_network(built):
    found = site_links.problems(built)  # the small site lacks pages, so some links lead nowhere
    assert not [line for line in found if "network" in line or "twice" in line]


def test_search_and_docstrings_are_there(built):
    index = (built / "searchindex.js").read_text(encoding="utf-8")
    assert "notebooks/00_start_here" in index
    page = Text((built / "api/medmoe_lite.html").read_text(encoding="utf-8"))
    assert any(a.get("id") == "medmoe_lite.load_base" for _, a in page.tags)
    assert "Load a causal language model" in page.text


# ---- docs/add_a_paper.md: its code runs


def blocks(root, language):
    """(code, place in the page) of each fence of a language."""
    text = (root / "docs/add_a_paper.md").read_text(encoding="utf-8")
    return [
        (m[1], m.start()) for m in re.finditer(rf"^```{language}\n(.*?)^```", text, re.M | re.S)
    ]


def changes(diff):
    """(file, lines taken out, lines put in) of a fence; a run of - then + is one change."""
    lines = diff.splitlines()
    assert lines[0].startswith("--- ")
    made = []
    for line in lines[1:]:
        if line.startswith("-") and (not made or made[-1][1]):
            made.append(([], []))
        made[-1][line.startswith("+")].append(line[1:])
    return lines[0][4:], [("\n".join(old), "\n".join(new)) for old, new in made]


def test_the_worked_example_runs(root, monkeypatch, capsys):
    monkeypatch.setenv("MEDMOE_FAST", "1")
    text = (root / "docs/add_a_paper.md").read_text(encoding="utf-8")
    setting = text.index("## 5.")
    space = {"__name__": "add_a_paper"}
    for code, place in blocks(root, "python"):
        if place < setting:  # what comes after needs the changed package, see below
            exec(compile(code, "docs/add_a_paper.md", "exec"), space)
    shown = capsys.readouterr().out
    assert "real experts open for a token: " in shown
    opened = float(re.search(r"token: ([\d.]+) of 2", shown)[1])
    assert 0 < opened < 2
    assert space["history"] is not None


def test_the_changes_fit_the_files(root):
    for diff, _ in blocks(root, "diff"):
        name, steps = changes(diff)
        name = name.replace("adamoe", "ming_moe")
        text = (root / name).read_text(encoding="utf-8")
        for old, _ in steps:
            assert text.count(f"{old}\n") == 1, f"{name}: {old}"


def test_the_notebook_of_the_example_is_a_source(root):
    ((text, _),) = blocks(root, "py")
    cells = source.parse(text)
    (exercise,) = (cell for cell in cells if cell.is_exercise)
    space = {}
    for cell in cells:
        if cell.kind == "code":
            exec(source.solution_text(cell.text), space)
    weights = space["real_weights"](space["logits"], 2)
    assert weights.shape == (1, 4)
    assert weights[0, 0].item() == pytest.approx(1 / (1 + 2.718281828**-1), abs=1e-6)
    assert "your code here" in source.learner_text(exercise.text)


@slow
def test_the_package_with_the_new_gate(root, tmp_path):
    """All steps on a copy: the file, the changed lines, the recipe, the claim."""
    copy = tmp_path / "medmoe_lite"
    shutil.copytree(root / "medmoe_lite", copy, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "data").symlink_to(root / "data")
    shutil.copy(copy / "recipes/ming_moe.yaml", copy / "recipes/adamoe.yaml")
    code = [text for text, _ in blocks(root, "python")]
    (copy / "null_gate.py").write_text(code[0], encoding="utf-8")
    (copy / "reproduce/claims_adamoe.py").write_text(code[-1], encoding="utf-8")
    for diff, _ in blocks(root, "diff"):
        name, steps = changes(diff)
        text = (tmp_path / name).read_text(encoding="utf-8")
        for old, new in steps:
            text = text.replace(f"{old}\n", f"{new}\n")
        (tmp_path / name).write_text(text, encoding="utf-8")
    later = """
from medmoe_lite.reproduce.claims_adamoe import NULLS
work = NULLS.arms["with null experts"]
print("arm:", work.name)
from medmoe_lite.train import Recipe
recipe = Recipe.read("adamoe")
print("gate:", recipe)
"""
    script = "\n".join(["from medmoe_lite.null_gate import NullGate", *code[1:], later])
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "MEDMOE_FAST": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "arm: molora_nulls" in done.stdout
    assert "nulls" in done.stdout.split("gate:")[1]


@slow
def test_the_whole_site(root, tmp_path):
    """`make site ARGS=--check`: no warning, no broken link, no serious finding of axe-core."""
    need_extra()
    assert site.main(["--check", "--out", str(tmp_path)]) == 0

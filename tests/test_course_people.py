"""What people need around the course: the teacher's pages, and the places where notebooks run."""

import base64
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from medmoe_lite.course import build, grade_cells
from medmoe_lite.course.items import covered
from medmoe_lite.course.teach import instructor, links, marks, sessions
from medmoe_lite.course.teach import pages as teach_pages
from medmoe_lite.course.teach.exercises import exercises
from medmoe_lite.measure import hub_memory, hub_table
from medmoe_lite.paths import data_dir

SOURCES = build.sources()
HUB = data_dir() / "recorded" / "hub.json"


def stem(source):
    return source.stem


# The teacher's pages


def test_every_question_in_words_has_a_mark_scheme_and_a_cell():
    assert set(marks.schemes()) == set(marks.open_items())
    assert set(marks.open_items()) <= set(covered(SOURCES))
    assert len(marks.open_items()) == 32


def test_a_scheme_that_lacks_something_is_named():
    with pytest.raises(ValueError, match="MING.open-1"):
        marks.schemes("MING.open-1: {ask: a, earns: [one], weak: b}")
    with pytest.raises(ValueError, match="MING.no-1"):
        marks.schemes("MING.no-1: {ask: a, earns: [one, two], weak: b}")


@pytest.mark.parametrize("source", SOURCES, ids=stem)
def test_words_minutes_and_points_of_every_exercise_are_found(source):
    graded = grade_cells.exercises(source)
    found = exercises(source)
    assert [(e.key, e.points) for e in found] == [(g.key, g.points) for g in graded]
    assert all(e.minutes and e.solution and e.text and "Stuck?" not in e.text for e in found)
    assert not any("BEGIN SOLUTION" in e.solution for e in found)
    assert sum(e.diagnosis for e in found) == (source.stem[:2] != "00")


@pytest.mark.parametrize("length", sessions.LENGTHS)
@pytest.mark.parametrize("source", SOURCES, ids=stem)
def test_a_session_fills_its_minutes_and_leaves_no_exercise_out(source, length):
    plan, all_of_them = sessions.plan(source, length), exercises(source)
    assert plan.blocks[0].start == 0
    assert plan.blocks[-1].end == length
    for before, after in zip(plan.blocks, plan.blocks[1:], strict=False):
        assert before.start < before.end == after.start
    done = [e.key for e in plan.live] + [e.key for e in plan.home]
    assert sorted(done) == sorted(e.key for e in all_of_them)
    assert all(e in plan.live for e in all_of_them if e.diagnosis)
    told = " ".join(block.what for block in plan.blocks)
    assert all(f"Exercise {e.key}," in told for e in plan.live)


class Page(HTMLParser):
    """What a page asks for from elsewhere, its pictures, its links to itself."""

    def __init__(self, text):
        super().__init__()
        self.asked, self.pictures, self.inner, self.ids, self.tags = [], [], [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.ids.add(attrs.get("id"))
        if tag == "img":
            self.pictures.append(attrs)
        for name in ("src", "href"):
            value = attrs.get(name) or ""
            if value.startswith("#"):
                self.inner.append(value[1:])
            elif value and not value.startswith("data:"):
                self.asked.append(value)


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    out = tmp_path_factory.mktemp("teach")
    assert instructor.main(["03", "--out", str(out)]) == 0
    return out


def test_pages_need_nothing_from_elsewhere(material):
    for file in material.rglob("*.html"):
        page = Page(file.read_text(encoding="utf-8"))
        assert "script" not in page.tags
        assert "link" not in page.tags
        assert all((file.parent / name).is_file() for name in page.asked), page.asked
        assert set(page.inner) <= page.ids
        assert all(picture.get("alt") for picture in page.pictures)


def test_the_answer_key_has_every_solution_and_its_points(material):
    text = (material / "answer_key.md").read_text(encoding="utf-8")
    for source in build.sources(["03"]):
        for one in exercises(source):
            assert f"### {one.key} {one.title}\n\n`{one.grade_id}`" in text
            assert one.solution in text
    assert "run P: the weights are not renormalised" in text
    assert "**3.q2**" in text
    assert "**3.A**" in text


def test_mistakes_are_told_in_the_words_of_their_checks(material):
    from medmoe_lite.lab.checks import exercise, judge

    text = (material / "mistakes.md").read_text(encoding="utf-8")
    for key in ("3.1", "3.6"):
        for name, make in exercise(key).mutants.items():
            assert f"| `{name}` |" in text
            if name != "stopped":
                assert teach_pages.plain(judge(key, make()).text) in text
        assert teach_pages.plain(exercise(key).hints[0]) in text


def test_the_mark_scheme_shows_what_the_notebook_shows(material):
    text = (material / "mark_scheme.md").read_text(encoding="utf-8")
    part = text.split("## MING.open-3")[1].split("\n## ")[0]
    assert "by task, label of another family" in part
    assert part.count("- **1** ") == len(marks.schemes()["MING.open-3"].earns)


def test_figure_sheets_hold_every_picture_of_the_solution(material):
    import nbformat

    solved = nbformat.read(build.notebooks_dir() / "solutions" / "03_router_and_experts.ipynb", 4)
    wanted = [
        output.data["image/png"].strip()
        for cell in solved.cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]
    page = Page((material / "figures" / "03_router_and_experts.html").read_text(encoding="utf-8"))
    shown = [p["src"].removeprefix("data:image/png;base64,") for p in page.pictures]
    assert [base64.b64decode(s) for s in shown] == [base64.b64decode(w) for w in wanted]


def test_formulas_are_drawn_and_dollars_are_kept():
    made = teach_pages.page("t", r"# T" + "\n\nwith $\\alpha / r$ and `$x$` for 5 \\$ and 6 \\$")
    assert 'alt="\\alpha / r"' in made
    assert "<code>$x$</code>" in made
    assert "5 $ and 6 $" in made


# The hub


def constraints(root):
    text = (root / "constraints-cpu.txt").read_text(encoding="utf-8")
    return {n.lower(): v for n, v in re.findall(r"^([\w.-]+)==(\S+)$", text, re.M)}


def pins(file):
    lines = [line.split("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return {one.name: str(one.specifier).removeprefix("==") for one in found}


def test_the_table_of_the_hub_page_is_the_recorded_one(root):
    found = json.loads(HUB.read_text(encoding="utf-8"))
    page = (root / "docs" / "hub.md").read_text(encoding="utf-8")
    assert hub_table.table(found) == page.split("<!-- hub -->\n")[1].split("\n<!-- end")[0]
    kernels = found["loaded"] + found["worked"]
    assert found["worked"]
    assert len(kernels) <= found["settings"]["kernels"]
    for row in [*kernels, *found["servers"], *found["plain"]]:
        assert 0 < row["private"] <= row["pss"] <= row["rss"] <= row["peak_rss"]


def test_the_measured_cells_are_in_the_notebook():
    load, heavy = hub_memory.cells(hub_memory.HEAVIEST, hub_memory.LOADED, hub_memory.WORKED)
    assert "begin(seed=0" in load[0]
    assert any("train" in code for code in heavy)
    with pytest.raises(ValueError, match="no code cell 'nothing'"):
        hub_memory.cells(hub_memory.HEAVIEST, "nothing", hub_memory.WORKED)
    budgets = json.loads((data_dir() / "recorded" / "budgets.json").read_text(encoding="utf-8"))
    assert max(budgets, key=lambda name: budgets[name]["gigabytes"]) == hub_memory.HEAVIEST


def test_kernels_start_only_while_there_is_room(monkeypatch):
    gigabyte, free, started = 10**9, [6.0], []
    room = hub_memory.Room(total=10 * gigabyte, share=0.7, free=lambda: int(free[0] * gigabyte))

    def start(place):
        started.append(place)
        free[0] -= 0.5

    monkeypatch.setattr(hub_memory, "WAIT", 0.0)
    sizes, soon, forever = [gigabyte] * 9, time.monotonic() + 0.2, float("inf")
    assert hub_memory._as_many_as_fit(start, sizes, room, 1, soon) == "memory"
    assert started == [0, 1, 2, 3, 4]
    assert room.waiting == 0
    free[0] = 9.0
    assert hub_memory._as_many_as_fit(start, sizes[:2], room, 1, forever) == ""
    assert hub_memory._as_many_as_fit(start, sizes[:2], room, 1, end=0.0) == "time"


def test_a_process_that_is_not_there_is_a_sentence():
    with pytest.raises(RuntimeError, match="cannot be read"):
        hub_memory.read(2**22 + 1)


def test_the_hub_starts_students_with_what_was_measured(root):
    from traitlets.config import Config

    made, text = Config(), (root / "hub" / "jupyterhub_config.py").read_text(encoding="utf-8")
    exec(compile(text, "jupyterhub_config.py", "exec"), {"get_config": lambda: made})
    assert made.Spawner.environment == hub_memory.ONE_THREAD | hub_memory.GIVE_BACK
    limit = float(made.Spawner.mem_limit.removesuffix("G")) * 2**30
    measured = hub_table.sums(json.loads(HUB.read_text(encoding="utf-8")))["limit"]
    assert measured * 1.2 < limit, "a student at a peak would be killed"
    assert "authenticator_class" not in made.JupyterHub, "the school chooses who may log in"
    assert "allow_all" not in text
    tag = made.DockerSpawner.image
    assert f"-t {tag} ." in (root / "hub" / "Dockerfile").read_text(encoding="utf-8")
    scopes = made.JupyterHub.load_roles[0]
    assert scopes["services"] == [made.JupyterHub.services[0]["name"]]


def instructions(root):
    """The Dockerfile as (instruction, rest), continued lines joined, comments left out."""
    text = (root / "hub" / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^#.*\n", "", text, flags=re.M).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def let_through(root, name):
    """Whether the ignore file lets a path of the clone into the image: the last rule counts."""
    keep = True
    for line in (root / "hub" / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines():
        rule = line.strip()
        if not rule or rule.startswith("#"):
            continue
        bare = rule.removeprefix("!").replace("**/", "*/")
        path = Path(name)
        if any(one.match(bare) or bare == "*" for one in [path, *path.parents]):
            keep = rule.startswith("!")
    return keep


def test_the_dockerfile_is_sound(root):
    lines = instructions(root)
    known = "FROM RUN ENV COPY USER WORKDIR EXPOSE ENTRYPOINT CMD".split()
    assert {name for name, _ in lines} <= set(known)
    assert lines[0][0] == "FROM"
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", lines[0][1]), "a tag that stays what it is"
    for name, rest in lines:
        if name == "COPY":
            *places, _ = rest.split()
            for place in places:
                assert (root / place).exists(), place
                assert place == "." or let_through(root, place), place
        if name == "RUN" and "pip install" in rest:
            assert "--constraint /srv/medmoe/constraints-cpu.txt" in rest
            assert "--extra-index-url https://download.pytorch.org/whl/cpu" in rest
        if name == "RUN" and "apt-get" in rest:
            assert "--no-install-recommends" in rest
            assert "rm -rf /var/lib/apt/lists/*" in rest
        if name in ("CMD", "ENTRYPOINT"):
            assert json.loads(rest)
    assert [rest for name, rest in lines if name == "USER"] == ["student"]
    assert lines.index(("USER", "student")) < next(i for i, x in enumerate(lines) if x[0] == "CMD")


def test_solutions_stay_out_of_the_image_and_the_package_goes_in(root):
    wanted = ["medmoe_lite/cli.py", "data/nano/model.safetensors", "notebooks/00_start_here.ipynb"]
    assert all(let_through(root, name) for name in [*wanted, "pyproject.toml", "README.md"])
    stay = ["notebooks/solutions/00_start_here.ipynb", "notebooks/source/00_start_here.py"]
    assert not any(let_through(root, name) for name in [*stay, ".git/config", "tests/conftest.py"])


def test_versions_of_hub_and_binder_are_those_that_were_tested(root):
    tested = constraints(root)
    image, hub = pins(root / "hub/requirements.txt"), pins(root / "hub/requirements-hub.txt")
    assert image["jupyterhub"] == hub["jupyterhub"], "hub and image must speak alike"
    for found in (image, pins(root / "binder" / "requirements.txt")):
        for name, version in found.items():
            assert version == tested.get(name, version), name
        assert found["torch"] == tested["torch"]


def test_binder_keeps_the_cpu_build(root):
    needs = re.search(r'requires-python = "(.*)"', (root / "pyproject.toml").read_text())[1]
    runtime = (root / "binder" / "runtime.txt").read_text().strip().removeprefix("python-")
    assert SpecifierSet(needs).contains(runtime)
    cpu = "--extra-index-url https://download.pytorch.org/whl/cpu"
    assert cpu in (root / "binder" / "requirements.txt").read_text()
    script = (root / "binder" / "postBuild").read_text()
    assert cpu in script
    assert "torch.version.cuda is None" in script
    for name in ("postBuild", "start"):
        file = root / "binder" / name
        assert file.read_text().startswith("#!/bin/bash\n")
        if os.name != "nt":
            assert os.access(file, os.X_OK), f"chmod +x binder/{name}"
            subprocess.run(["bash", "-n", str(file)], check=True)


def test_the_container_of_an_editor_is_sound(root):
    found = json.loads((root / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert found["postCreateCommand"] == "python -m make setup"
    assert re.search(r"python:3\.1[1-3]-", found["image"])
    settings = found["customizations"]["vscode"]["settings"]
    assert settings["python.defaultInterpreterPath"].endswith("/.venv/bin/python")
    assert found["containerEnv"]["OMP_NUM_THREADS"] == "1"


# Colab


@pytest.fixture(scope="module")
def colab(root):
    spec = importlib.util.spec_from_file_location("medmoe_colab", root / "hub" / "colab.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


THERE = {"torch": "2.9.0+cu126", "numpy": "2.0.2", "nvidia-cudnn-cu12": "9.1", "tqdm": "4.67.1"}


def test_only_what_is_missing_is_asked_for_on_colab(colab):
    needs = colab.wanted()
    have = {one.name: "99" for one in needs} | THERE | {"peft": "0.18.0"}
    del have["bitsandbytes"]
    first, last = colab.plan(needs, have, "keep.txt")
    asked = [Requirement(text).name for text in first[first.index("keep.txt") + 1 :]]
    assert sorted(asked) == ["bitsandbytes", "peft"]
    assert last[-2] == "--no-deps"
    assert colab.kept(have) == ["numpy==2.0.2", "nvidia-cudnn-cu12==9.1", "torch==2.9.0+cu126"]
    assert len(colab.plan(needs, have | {"peft": "0.21.2", "bitsandbytes": "1"}, "x")) == 1


def test_an_old_torch_is_a_sentence_and_no_replacement(colab):
    with pytest.raises(SystemExit, match=r"torch is 2\.4\.0, the kit needs torch>=2\.6"):
        colab.plan(colab.wanted(), THERE | {"torch": "2.4.0"}, "keep.txt")


def wheel(folder, name, version, needs=()):
    """A wheel with nothing in it but what it says of itself."""
    meta = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    meta += "".join(f"Requires-Dist: {one}\n" for one in needs)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{info}/METADATA", meta)
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "")
    return meta


def test_pip_itself_leaves_torch_and_numpy_as_they_are(colab, tmp_path):
    """An environment with pip, an older torch and numpy; an index with newer ones; no network."""
    # Not `import pip`: it makes setuptools leave `distutils` alone for the rest of the process.
    installed = importlib.metadata.distribution("pip").locate_file("pip")
    place, index = tmp_path / "site", tmp_path / "index"
    place.mkdir()
    index.mkdir()
    (place / "pip").symlink_to(Path(str(installed)), target_is_directory=True)
    for name in ("torch", "numpy"):
        info = place / f"{name}-{THERE[name]}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(wheel(tmp_path, name, THERE[name]))
        (info / "INSTALLER").write_text("pip\n")
        wheel(index, name, "2.99")
    wheel(index, "peft", "0.21.2", ["torch>=1.13", "numpy>=1.17"])
    wheel(index, "accelerate", "9.0", ["torch>=2.95"])  # wants more than is there
    wheel(index, "accelerate", "1.15", ["torch>=2.0"])
    needs = [one for one in colab.wanted() if one.name in ("torch", "numpy", "peft", "accelerate")]
    keep = tmp_path / "keep.txt"
    have = {name: THERE[name] for name in ("torch", "numpy")}
    keep.write_text("\n".join(colab.kept(have)) + "\n")
    first, _ = colab.plan(needs, have, str(keep))
    report = tmp_path / "report.json"
    extra = ["--dry-run", "--report", str(report), "--no-index", "--find-links", str(index)]
    environment = {
        "PYTHONPATH": str(place),
        "PATH": os.environ["PATH"],
        "PIP_CONFIG_FILE": os.devnull,
    }
    command = [sys.executable, "-S", *first[1:], *extra]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    chosen = json.loads(report.read_text())["install"]
    found = {one["metadata"]["name"]: one["metadata"]["version"] for one in chosen}
    assert found == {"peft": "0.21.2", "accelerate": "1.15"}


def test_the_first_cell_on_colab_runs_what_is_there(root):
    page = (root / "docs" / "colab.md").read_text(encoding="utf-8")
    cell = page.split("```python\n")[1].split("```")[0]
    assert "!python medmoe-lite/hub/colab.py" in cell
    assert (root / "hub" / "colab.py").is_file()
    assert "pip install" not in cell


# Links and pages


def test_a_link_of_nbgitpuller_says_what_it_should():
    repo, file = "https://git.example.org/school/class-1.git", "03_router_and_experts.ipynb"
    parts = urlsplit(links.nbgitpuller("https://hub.example.org/", repo, file, "term/1"))
    assert parts.path == "/hub/user-redirect/git-pull"
    asked = {name: value[0] for name, value in parse_qs(parts.query).items()}
    assert asked == {"repo": repo, "branch": "term/1", "urlpath": f"lab/tree/class-1/{file}"}


def test_links_for_binder_and_colab_are_for_github(capsys):
    assert links.main(["a.ipynb", "--repo", "https://github.com/o/n", "--branch", "x"]) == 0
    told = unquote(capsys.readouterr().out)
    assert "mybinder.org/v2/gh/o/n/x?urlpath=lab/tree/a.ipynb" in told
    assert "colab.research.google.com/github/o/n/blob/x/a.ipynb" in told
    with pytest.raises(ValueError, match="is not on github"):
        links.binder("https://git.example.org/o/n", "a.ipynb")


@pytest.mark.parametrize("page", ["hub.md", "colab.md", "windows.md", "teach/README.md"])
def test_pages_name_only_what_is_there(root, page):
    text = (root / "docs" / page).read_text(encoding="utf-8")
    named = re.findall(r"`((?:hub|binder|docs|data|tests|medmoe_lite|notebooks)/[\w./-]*\w)`", text)
    patterns = {"medmoe_lite/lab/nbNN"}  # a pattern, not a place
    assert [name for name in named if name not in patterns and not (root / name).exists()] == []
    for module in re.findall(r"python -m (medmoe_lite[\w.]+)", text):
        assert importlib.util.find_spec(module), module

"""Read what students handed in: nothing is run, nothing is believed.

    SUBMISSIONS/ana/03_router_and_experts.ipynb      a folder a student
    SUBMISSIONS/ben.ipynb                            or one notebook a student

A submission is compared with the official notebook by the ids of its cells. Only the text of its
answer cells is taken; everything else is official. What is odd is a `Problem`, never an error.
"""

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from medmoe_lite.course import build
from medmoe_lite.course.grade_cells import GradeCell, exercises

LARGEST = 20 * 2**20  # bytes of a notebook
MOST_CELLS, LONGEST = 2000, 200_000  # cells of a notebook, characters of one
CHECK = re.compile(r'^check\("([\d.]+)"', re.MULTILINE)


class Problem(NamedTuple):
    """Something about a submission that a teacher should know: a short kind, and a sentence."""

    kind: str
    text: str


class Official(NamedTuple):
    """One notebook as it was handed out.

    Attributes:
        stem: "03_router_and_experts".
        code: (cell id, text with its solution) of every code cell, in order.
        stubs: cell id -> text that learners were given.
        locked: cell id -> sha256 of the text that must not change.
        exercises: the graded cells, in order.
    """

    stem: str
    code: tuple[tuple[str, str], ...]
    stubs: Mapping[str, str]
    locked: Mapping[str, str]
    exercises: tuple[GradeCell, ...]


class Work(NamedTuple):
    """One student's notebook.

    Attributes:
        answers: grade id -> text of the answer cell; missing ones are not in it.
        others: the student's own further code cells, in which helpers may be defined.
        problems: what is odd.
    """

    answers: Mapping[str, str]
    others: tuple[str, ...]
    problems: tuple[Problem, ...]


class HandedIn(NamedTuple):
    """One student: notebook -> what is in it, and what is odd outside of any notebook."""

    student: str
    works: Mapping[str, Work]
    problems: tuple[Problem, ...]


def hidden_seed(student: str, release: str, key: str) -> int:
    """The number that moves a student's seeds in one exercise.

    >>> hidden_seed("ana", "r1", "3.1") == hidden_seed("ana", "r1", "3.1")
    True
    """
    digest = sha256(f"{release}\n{student}\n{key}".encode()).digest()
    return 1 + int.from_bytes(digest[:4], "big") % 1_000_000


def digest(text: str) -> str:
    """sha256 of a cell's text."""
    return sha256(text.encode("utf-8", "replace")).hexdigest()


def official(source: Path, locked: Mapping[str, str] | None = None) -> Official:
    """The official form of one source; `locked` are the hashes of a release, if there is one."""
    cells = build.cells_of(source)
    graded = tuple(exercises(source))
    code = tuple((c.id, build.solution_text(c.text)) for c in cells if c.kind == "code")
    stubs = {c.id: build.learner_text(c.text) if c.kind == "code" else c.text for c in cells}
    if locked is None:
        answers = {cell.cell_id for cell in graded}
        locked = {c.id: digest(stubs[c.id]) for c in cells if c.kind == "code"
                  and c.id not in answers and c.id != build.SETUP_ID}  # fmt: skip
    return Official(source.stem, code, stubs, locked, graded)


def find(folder: Path) -> Iterator[tuple[str, list[Path]]]:
    """(student, notebooks) of a submissions folder, in the order of names."""
    for entry in sorted(folder.iterdir(), key=lambda path: path.name):
        if entry.name.startswith((".", "__")) or entry.is_symlink():
            continue
        if entry.is_dir():
            found = [
                path
                for path in sorted(entry.rglob("*.ipynb"))
                if ".ipynb_checkpoints" not in path.parts
            ]
            yield _readable(entry.name), found
        elif entry.suffix == ".ipynb":
            yield _readable(entry.stem), [entry]


def _readable(name: str) -> str:
    """A file name that is no UTF-8, made text; different names stay different."""
    return name.encode("utf-8", "backslashreplace").decode()


def load(path: Path) -> tuple[dict[str, Any] | None, list[Problem]]:
    """A notebook as plain JSON; None and the reason where it does not open."""

    def closed(why: str) -> tuple[None, list[Problem]]:
        return None, [Problem("does-not-open", f"{path.name} does not open: {why}")]

    try:
        how = os.lstat(path)
        if not stat.S_ISREG(how.st_mode):
            return closed("it is no plain file, but a link or a device.")
        if how.st_size > LARGEST:
            return closed(f"it has {how.st_size / 2**20:.0f} MB; clear its outputs and save it.")
        raw = path.read_bytes()
    except OSError as error:
        return closed(f"{error.strerror}.")
    if not raw.strip():
        return closed("the file is empty.")
    try:
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        return closed("it is not text in UTF-8.")
    try:
        made = json.loads(text)
    except (ValueError, RecursionError) as error:
        if re.search(r"^(<{7}|>{7}) ", text, re.MULTILINE):
            return closed("it holds the marks of a merge conflict (<<<<<<<).")
        return closed(f"it is no JSON ({str(error)[:80]}); it may be cut off.")
    if not isinstance(made, dict) or not isinstance(made.get("cells"), list):
        old = isinstance(made, dict) and "worksheets" in made
        return closed("it is of an old format; open and save it in Jupyter." if old
                      else "it holds no list of cells.")  # fmt: skip
    if len(made["cells"]) > MOST_CELLS:
        return closed(f"it has {len(made['cells'])} cells.")
    return made, []


class _Cell(NamedTuple):
    id: str
    grade_id: str
    code: bool
    text: str


def _cells(made: dict[str, Any]) -> list[_Cell]:
    found = []
    for cell in made["cells"]:
        if not isinstance(cell, dict):
            continue
        source, metadata = cell.get("source", ""), cell.get("metadata")
        if isinstance(source, list):
            source = "".join(part for part in source if isinstance(part, str))
        text = str(source)[:LONGEST].encode("utf-8", "replace").decode()
        kept = _dict(metadata)
        name = _dict(kept.get("nbgrader")).get("grade_id", "")
        ident = cell.get("id", kept.get("id", ""))
        found.append(_Cell(str(ident), str(name), cell.get("cell_type") == "code", text))
    return found


def which(path: Path, made: dict[str, Any] | None, known: list[Official]) -> Official | None:
    """The official notebook of a file: by its name, else by the cells that it shares with one."""
    for one in known:
        if path.stem == one.stem:
            return one
    for one in known:
        if one.stem in path.stem:
            return one
    if made is None:
        return None
    have = {cell.id for cell in _cells(made)} | {digest(cell.text) for cell in _cells(made)}

    def share(one: Official) -> float:
        ids = set(one.stubs)
        texts = {digest(text) for text in one.stubs.values()}
        return max(len(ids & have), len(texts & have)) / max(1, len(ids))

    best = max(known, key=share, default=None)
    return best if best is not None and share(best) > 0.4 else None


def read(made: dict[str, Any], one: Official) -> Work:
    """The answers in a notebook, and what is odd about it."""
    cells = _cells(made)
    problems = [*_kernel(made)]
    places: dict[str, list[_Cell]] = {}
    for cell in cells:
        places.setdefault(cell.id, []).append(cell)
    answers, taken = {}, set()
    for task in one.exercises:
        text, said, used = _answer(task, cells, places, one)
        problems += said
        taken |= used
        if text is not None:
            answers[task.grade_id] = text
    problems += _locked(one, places, cells)
    own = [
        cell.text
        for cell in cells
        if cell.code and id(cell) not in taken and cell.id not in one.stubs
    ]
    return Work(answers, tuple(own)[:100], tuple(problems))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _kernel(made: dict[str, Any]) -> list[Problem]:
    metadata = _dict(made.get("metadata"))
    found = []
    for part, name in (("kernelspec", "language"), ("language_info", "name")):
        spec = _dict(metadata.get(part))
        language = str(spec.get(name, "python")).lower()
        if not language.startswith(("python", "ipython")):
            shown = str(spec.get("display_name", language))[:40]
            found.append(Problem("wrong-kernel", f"the notebook was saved with the kernel {shown}, "
                                 "not with Python."))  # fmt: skip
    return found[:1]


def _answer(
    task: GradeCell, cells: list[_Cell], places: dict[str, list[_Cell]], one: Official
) -> tuple[str | None, list[Problem], set[int]]:
    """The text of one answer cell: by id, by grade id, else by the name that it defines."""
    found = [c for c in places.get(task.cell_id, []) if c.code]
    found += [c for c in cells if c.grade_id == task.grade_id and c not in found]
    if not found:
        names = "|".join(map(re.escape, task.names))
        form = re.compile(rf"^(?:def|class)\s+(?:{names})\b|^(?:{names})\s*=(?!=)", re.MULTILINE)
        found = [
            c for c in cells
            if c.code and c.id not in one.stubs and form.search(c.text) and "use(" not in c.text
        ]  # fmt: skip
        if not found:
            text = f"the answer cell of exercise {task.key} is missing."
            return None, [Problem("cell-missing", text)], set()
        text = f"the answer cell of exercise {task.key} has lost its id; found by its name."
        said = [Problem("id-lost", text)]
    else:
        said = []
    used = {id(cell) for cell in found}
    if len({cell.text for cell in found}) > 1 or len(found) > 1:
        text = f"exercise {task.key} has {len(found)} answer cells; the last one is graded."
        said.append(Problem("cell-duplicated", text))
    return found[-1].text, said, used


def _locked(one: Official, places: dict, cells: list[_Cell]) -> list[Problem]:
    """Edited, missing and duplicated cells that were not to be touched."""
    if not set(places) & set(one.stubs):
        return [Problem("ids-lost", "all cells have lost their ids; answers are found by name.")]
    found, changed = [], []
    checks = {task.check_id: task.key for task in one.exercises}
    for cell_id, want in one.locked.items():
        here = places.get(cell_id, [])
        if cell_id in checks:
            what = f"the check of exercise {checks[cell_id]}"
            if not here:
                found.append(Problem("check-missing", f"{what} is missing; the official one ran."))
            elif any(digest(cell.text) != want for cell in here):
                found.append(Problem("check-edited", f"{what} was edited; the official one ran."))
            if len(here) > 1:
                found.append(Problem("cell-duplicated", f"{what} stands {len(here)} times."))
        elif here and any(digest(cell.text) != want for cell in here):
            changed.append(cell_id)
    if changed:
        names = ", ".join(changed[:8]) + (", ..." if len(changed) > 8 else "")
        text = f"{len(changed)} other cells were changed ({names}); the official ones were used."
        found.append(Problem("cells-changed", text))
    return found

"""Hand the course out: `medmoe course release --out DIR [--students FILE] [--notebooks 01 03]`.

    DIR/student/            what every student gets: notebooks, README.md, release.json
    DIR/students/<id>/      the same with the seed of that student, where a class list was given
    DIR/nbgrader/           source/ and nbgrader_config.py, for who grades with nbgrader
    DIR/README.md           for the teacher: what to hand out, what to keep

Made from the text sources, not from notebooks that somebody has run: no solution and no output is
there to be taken out. What a course hands out is the notebooks. The package that learners install
still holds the checks, the worked solutions of the hints and the answers of the quizzes, in plain
Python; `--hints 2` keeps `hint` from showing them, not a reader of the package.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from medmoe_lite import __version__
from medmoe_lite.course import build
from medmoe_lite.course.grade_cells import GradeCell, of_cells
from medmoe_lite.course.handout import nbgrader_course, release_texts
from medmoe_lite.course.handout.own_folder import sha256, write_folder
from medmoe_lite.course.handout.student_seed import ID, ClassError, read_students, seed_of
from medmoe_lite.course.source import Cell, SourceError

ALL_HINTS = max(release_texts.HINTS)
INFO = "release.json"
LINK = re.compile(r"\[([^\]]+)\]\((\d\d_\w+)\.ipynb\)")


def setup_text(hints: int = ALL_HINTS, seed: int | None = None) -> str:
    """The set-up cell of a released notebook.

    >>> setup_text(hints=2, seed=7).splitlines()[-1]
    'begin(seed=0, student=7, hints=2)'
    """
    given = "" if seed is None else f", student={seed}"
    given += "" if hints == ALL_HINTS else f", hints={hints}"
    return build.FIRST_CELL.replace("begin(seed=0)", f"begin(seed=0{given})")


def locked_ids(cells: Sequence[Cell], graded: Sequence[GradeCell]) -> set[str]:
    """Cells that a student cannot edit: set-up, imports, each check and the `use` behind it."""
    fixed = {build.SETUP_ID, "imports"} | {task.check_id for task in graded}
    used = {cell.id for cell in cells if cell.kind == "code" and re.search(r"= use\(", cell.text)}
    return (fixed | used) & {cell.id for cell in cells} - {task.cell_id for task in graded}


class Handout(NamedTuple):
    """One notebook as it is handed out: its exercises, its locked cells, the notebook itself."""

    stem: str
    graded: list[GradeCell]
    locked: set[str]
    made: Any


def handout(
    source: Path, hints: int = ALL_HINTS, seed: int | None = None, released: Sequence[str] = ()
) -> Handout:
    """What one student gets: stubs, no outputs, grade ids and points, cells locked.

    Args:
        released: the notebooks that are handed out; a link to another one becomes plain text.
    """
    cells = build.cells_of(source)
    graded = of_cells(cells, source.stem)
    locked = locked_ids(cells, graded)
    made = build.notebook(cells, learner=True)
    for cell in made.cells:
        tags = [tag for tag in cell.metadata.pop("tags", []) if tag == "exercise"]
        cell.metadata.update({"tags": tags} if tags else {})
        if cell.id == build.SETUP_ID:
            cell.source = setup_text(hints, seed)
        if cell.cell_type == "code":
            cell.metadata["deletable"] = False
            cell.metadata["editable"] = cell.id not in locked
        else:
            cell.source = LINK.sub(
                lambda m: m.group(0) if m.group(2) in released else m.group(1), cell.source
            )
    nbgrader_course.mark(made, source.stem, graded, locked)
    return Handout(source.stem, graded, locked, made)


def with_seed(text: str, hints: int, seed: int) -> str:
    """A written notebook with the set-up line of one student."""
    common, own = (json.dumps(setup_text(hints, s).splitlines()[-1]) for s in (None, seed))
    return text.replace(common, own)


def describe(handed: Sequence[Handout], course: str, hints: int, seeded: bool) -> dict[str, Any]:
    """What a grader has to know of a release: `release.json`."""
    told = {
        "kit": __version__,
        "course": course,
        "hints": hints,
        "seeded": seeded,
        "notebooks": {
            one.stem: {c.id: sha256(c.source) for c in one.made.cells if c.id in one.locked}
            for one in handed
        },
        "exercises": {task.grade_id: task.points for one in handed for task in one.graded},
    }
    text = "".join(build.dump(one.made) for one in handed)
    return {"release": sha256(json.dumps(told) + text)[:12], **told}


def seed_in(info: dict[str, Any], student: str) -> int | None:
    """The seed of a student in a release, None where it was handed out without."""
    return seed_of(student, info["course"]) if info["seeded"] else None


def locked_of(info: dict[str, Any], student: str) -> dict[str, dict[str, str]]:
    """Stem -> cell id -> checksum of the locked cells in the copy of this student."""
    setup = sha256(setup_text(info["hints"], seed_in(info, student)))
    return {
        stem: {key: setup if key == build.SETUP_ID else value for key, value in cells.items()}
        for stem, cells in info["notebooks"].items()
    }


def release(
    out: Path,
    sources: Sequence[Path],
    students: Sequence[str] = (),
    course: str = "medmoe",
    hints: int = ALL_HINTS,
) -> dict[str, Any]:
    """Write the release and return its `release.json`.

    Raises:
        ClassError: the folder is not ours, or the course has an impossible name.
    """
    if not ID.match(course):
        raise ClassError(f"--course {course!r}: use letters, digits and . _ @ - only, no spaces.")
    stems = [source.stem for source in sources]
    handed = [handout(source, hints, released=stems) for source in sources]
    info = describe(handed, course, hints, bool(students))
    common = {f"{one.stem}.ipynb": build.dump(one.made) for one in handed}
    common["README.md"] = release_texts.student_readme(info, {h.stem: h.graded for h in handed})
    files = {"README.md": release_texts.teacher_readme(info, students)}
    files |= {f"student/{name}": text for name, text in common.items()}
    files[f"student/{INFO}"] = _json(info)
    for student in students:
        folder, seed = f"students/{student}", seed_of(student, course)
        files |= {f"{folder}/{n}": with_seed(text, hints, seed) for n, text in common.items()}
        own = {"student": student, "notebooks": locked_of(info, student)}
        files[f"{folder}/{INFO}"] = _json({**info, **own})
    for one in handed:
        place = f"{nbgrader_course.FOLDER}/source/{one.stem}/{one.stem}.ipynb"
        files[place] = build.dump(nbgrader_course.with_hidden_tests(one.made, one.graded))
    config = nbgrader_course.CONFIG.replace("{course}", course)
    files[f"{nbgrader_course.FOLDER}/nbgrader_config.py"] = config
    write_folder(out, files)
    return info


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=1) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Command line; 1 and a sentence where nothing could be written."""
    parser = argparse.ArgumentParser(
        prog="medmoe course release", description="Write the course as students get it."
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--students", type=Path, help="CSV with a column id: a copy for each")
    parser.add_argument("--notebooks", nargs="+", default=[], help="such as 01 03 (default: all)")
    parser.add_argument("--course", default="medmoe", help="its name, also the salt of the seeds")
    parser.add_argument(
        "--hints", type=int, choices=range(ALL_HINTS + 1), default=ALL_HINTS,
        help="how many of the three hints are shown; the third is the solution (default: 3)",
    )  # fmt: skip
    asked = parser.parse_args(arguments)
    try:
        students = read_students(asked.students) if asked.students else []
        info = release(asked.out, _sources(asked.notebooks), students, asked.course, asked.hints)
    except (ClassError, SourceError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"Nothing was written: {error.strerror or error} ({error.filename}).", file=sys.stderr
        )
        return 1
    points = sum(info["exercises"].values())
    print(f"Release {info['release']} of course {asked.course!r} is in {asked.out}:")
    print(
        f"{len(info['notebooks'])} notebooks, {len(info['exercises'])} exercises, {points} points"
    )
    print(f"hand out   {asked.out / ('students' if students else 'student')}")
    print(f"nbgrader   {asked.out / nbgrader_course.FOLDER}")
    return 0


def _sources(names: Sequence[str]) -> list[Path]:
    """The sources of these notebooks; each name must begin one of them."""
    root = build.notebooks_dir()
    if not (root / "source").is_dir():
        raise ClassError(
            f"There is no {root / 'source'}: notebooks come with the repository, not with the "
            "installed package. Type `git clone` and `pip install -e .` in the clone."
        )
    there = build.sources()
    for name in names:
        if not any(source.stem.startswith(name) for source in there):
            known = ", ".join(source.stem[:2] for source in there)
            raise ClassError(f"There is no notebook {name!r}. Notebooks: {known}.")
    return build.sources(names)

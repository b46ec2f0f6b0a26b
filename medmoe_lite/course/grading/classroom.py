"""Twenty submissions of mixed quality, each with the grades it must get."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from medmoe_lite.course import build
from medmoe_lite.course.grade_cells import GradeCell, exercises
from medmoe_lite.course.grading.hostile import FORGED, HOSTILE
from medmoe_lite.course.source import solution_text
from medmoe_lite.lab import checks

MUTANT_STUDENTS = 12
TWICE = "id-of-another-cell"


class Expected(NamedTuple):
    """What an answer must get; empty mistakes: any will do."""

    passes: bool
    verdicts: tuple[str, ...] = ("right",)
    mistakes: tuple[str, ...] = ()


RIGHT, OPEN = Expected(True), Expected(False, ("open",))
MISSING = Expected(False, ("missing",))


class Desk(NamedTuple):
    """One student: grade id -> what it must get, and kinds of problems that must be reported."""

    student: str
    what: str
    expected: dict[str, Expected]
    reports: set[str]


class Paper(NamedTuple):
    """One notebook in the making: its exercises, its cells, right answers by cell id."""

    stem: str
    tasks: list[GradeCell]
    cells: list
    solved: dict[str, str]

    def made(self, answers: dict[str, str]) -> Any:
        """The learner's notebook with these answers (cell id -> text) typed in."""
        book = build.notebook(self.cells, learner=True)
        for cell in book.cells:
            if cell.id in answers:
                cell.source = answers[cell.id]
        return book


def paper(source: Path) -> Paper:
    """What a source offers to its students."""
    cells, tasks = build.cells_of(source), exercises(source)
    answers = {task.cell_id for task in tasks}
    solved = {c.id: solution_text(c.text) for c in cells if c.id in answers}
    return Paper(source.stem, tasks, cells, solved)


def write_class(folder: Path, sources: Sequence[Path]) -> tuple[list[Desk], str]:
    """Write all submissions anew.

    Returns:
        The desks, and how many mistakes of the bank are among the answers.
    """
    shutil.rmtree(folder, ignore_errors=True)
    papers = [paper(source) for source in sources]
    desks: list[Desk] = []
    for student, what, fill in _students():
        desk = Desk(student, what, {}, set())
        for number, one in enumerate(papers):
            desk.expected.update({task.grade_id: RIGHT for task in one.tasks})
            fill(desk, one, number, folder / student / f"{one.stem}.ipynb")
        (folder / student).mkdir(parents=True, exist_ok=True)
        desks.append(desk)
    tasks = [task for one in papers for task in one.tasks]
    each = [len(checks.exercise(task.key).mutants) for task in tasks]
    met = sum(min(count, MUTANT_STUDENTS) for count in each)
    return desks, f"{met} of {sum(each)}"


Fill = Callable[[Desk, Paper, int, Path], None]


def _students() -> Iterator[tuple[str, str, Fill]]:
    yield "s01-right", "all right", _right
    yield "s02-untouched", "nothing done", _untouched
    yield "s03-typed", "a mistake in every exercise, as typed", _typed
    for number in range(MUTANT_STUDENTS):
        yield (
            f"s{number + 4:02}-mistakes",
            f"mistake {number + 1} of each exercise",
            _mutants(number),
        )
    kinds = list(HOSTILE)
    half = len(kinds) // 2
    yield "s16-hostile", "hostile: " + ", ".join(kinds[:half]), _hostile(kinds[:half])
    yield "s17-hostile", "hostile: " + ", ".join(kinds[half:]), _hostile(kinds[half:])
    yield "s18-half-edited", "checks edited, cells doubled, lost, renamed", _half
    yield "s19-damaged", "notebooks that do not open", _damaged
    yield "s20-copied", "returns the numbers that were seen; one forged verdict", _copied


def save(path: Path, book: Any, twice: str = TWICE) -> None:
    """Write a notebook; the id TWICE becomes `twice`, which nbformat itself would not write."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(build.dump(book).replace(f'"{TWICE}"', f'"{twice}"'), encoding="utf-8")


def _right(desk: Desk, one: Paper, number: int, path: Path) -> None:
    save(path, one.made(one.solved))


def _untouched(desk: Desk, one: Paper, number: int, path: Path) -> None:
    desk.expected.update({task.grade_id: OPEN for task in one.tasks})
    save(path, one.made({}))


def _typed(desk: Desk, one: Paper, number: int, path: Path) -> None:
    import importlib

    typed = importlib.import_module(f"medmoe_lite.lab.nb{one.stem[:2]}.typed").TYPED
    answers = {}
    for task in one.tasks:
        mistake, answers[task.cell_id] = typed[task.key]
        desk.expected[task.grade_id] = Expected(False, ("wrong", "error"), (mistake,))
    save(path, one.made(answers))


def _mutants(at: int) -> Fill:
    """The mistake number `at` of each exercise's bank; the right answer where there are fewer."""

    def fill(desk: Desk, one: Paper, number: int, path: Path) -> None:
        answers = dict(one.solved)
        for task in one.tasks:
            names = list(checks.exercise(task.key).mutants)
            if at < len(names):
                answers[task.cell_id] = (
                    "from medmoe_lite.lab.checks import exercise\n"
                    f"{task.names[0]} = exercise({task.key!r}).mutants[{names[at]!r}]()"
                )
                desk.expected[task.grade_id] = Expected(
                    False, ("wrong", "error", "open"), (names[at],)
                )
                desk.reports.add("suspicious-code")
        save(path, one.made(answers))

    return fill


def _hostile(kinds: list[str]) -> Fill:
    """One attack in each notebook, another exercise each time; with few notebooks, more in each."""

    def fill(desk: Desk, one: Paper, number: int, path: Path) -> None:
        answers = dict(one.solved)
        other = path.parent.parent.resolve() / "s01-right" / path.name
        mine = [kinds[(number * 2 + i) % len(kinds)] for i in range(min(2, len(one.tasks) - 1))]
        for i, kind in enumerate(mine):
            text, mistakes = HOSTILE[kind]
            task = one.tasks[(number + i) % len(one.tasks)]
            answers[task.cell_id] = text.replace("{other}", str(other))
            desk.expected[task.grade_id] = Expected(False, ("error",), mistakes)
        desk.reports.add("suspicious-code")
        save(path, one.made(answers))

    return fill


def _half(desk: Desk, one: Paper, number: int, path: Path) -> None:
    """Another kind of half-finished or tampered notebook for each number."""
    from nbformat import v4

    task, last = one.tasks[0], one.tasks[-1]
    book = one.made(one.solved)
    cells = {cell.id: cell for cell in book.cells}
    at = book.cells.index(cells[task.cell_id])
    kind = number % 11
    if kind == 0:  # the check says "right" to anything
        cells[task.cell_id].source = f"{task.names[0]} = 1"
        cells[task.check_id].source = f'check("{task.key}", ...)\nprint("right")'
        desk.expected[task.grade_id] = Expected(False, ("wrong", "error"))
        desk.reports.add("check-edited")
    elif kind == 1:  # two answer cells
        again = v4.new_code_cell(f"{task.names[0]} = ...", id=TWICE)
        book.cells.insert(at + 1, again)
        desk.expected[task.grade_id] = OPEN
        desk.reports.add("cell-duplicated")
    elif kind == 2:
        book.cells.pop(at)
        desk.expected[task.grade_id] = MISSING
        desk.reports.add("cell-missing")
    elif kind == 3:  # saved by a program that gives new ids
        for index, cell in enumerate(book.cells):
            cell.id = f"new-{index}"
        desk.reports.add("ids-lost")
    elif kind == 4:
        book.metadata = {"kernelspec": {"display_name": "R", "language": "R", "name": "ir"}}
        desk.reports.add("wrong-kernel")
    elif kind == 5:  # a helper in a cell of the student's own
        text = cells[task.cell_id].source.replace(f"def {task.names[0]}(", "def my_helper(")
        book.cells.insert(at, v4.new_code_cell(text, id="my-own"))
        cells[
            task.cell_id
        ].source = f"def {task.names[0]}(*given, **named):\n    return my_helper(*given, **named)"
    elif kind == 6:
        cells[task.cell_id].source += "\n%timeit 1 + 1\n!ls"
    elif kind == 7:
        cells[task.cell_id].source += "\nreturn ("
        desk.expected[task.grade_id] = Expected(False, ("error",), ("syntax",))
    elif kind == 8:
        cells[last.cell_id].source = "answer = 1"
        desk.expected[last.grade_id] = Expected(False, ("error",), ("no-name",))
    elif kind == 9:
        book.cells.remove(cells[task.check_id])
        desk.reports.add("check-missing")
    else:  # the name that a browser gives to a second download
        path = path.with_name(f"{path.stem} (1).ipynb")
        cells[task.cell_id].source = f"# ünïcödé \U0001f600\n{cells[task.cell_id].source}"
    save(path, book, task.cell_id)


def _damaged(desk: Desk, one: Paper, number: int, path: Path) -> None:
    """Another kind of broken file for each number."""
    text = build.dump(one.made(one.solved))
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = number % 11
    if kind == 9:
        path.write_text("\ufeff" + text, encoding="utf-8")
        return
    desk.expected.update({task.grade_id: MISSING for task in one.tasks})
    desk.reports.add("not-handed-in" if kind == 10 else "does-not-open")
    if kind == 4:
        os.symlink(path.parent.parent.resolve() / "s01-right" / path.name, path)
    elif kind == 8:
        path.mkdir()
    elif kind != 10:
        lines = text.splitlines(keepends=True)
        merged = "".join([*lines[:9], "<<<<<<< ours\n", *lines[9:]])
        path.write_bytes({
            0: text[: len(text) // 2].encode(), 1: b"", 2: bytes(range(256)) * 40,
            3: merged.encode(), 5: json.dumps({"worksheets": [{"cells": []}]}).encode(),
            6: b"[]", 7: b'{"cells":' + b"[" * 200_000,
        }[kind])  # fmt: skip


SEEN = {
    "0.1": "def lora_parameters(d_in, d_out, r):\n    return 60 if d_in == 10 else 4096",
    "1.4": "def count_parameters(model):\n    return 60, 280",
    "3.5": "def count_adapter(layer):\n    return 268, 808",
    "5.2": "def mixture_numbers(d_in, d_out, ranks):\n    return 273",
}
REPLAYED = ("1.1", "3.2", "7.5")


def _copied(desk: Desk, one: Paper, number: int, path: Path) -> None:
    """Answers that return what the visible check wants, and one that writes its own verdict."""
    answers = dict(one.solved)
    for task in one.tasks:
        if task.key in SEEN or task.key in REPLAYED:
            answers[task.cell_id] = SEEN.get(task.key) or replayed(task)
            desk.expected[task.grade_id] = Expected(False, ("right",))
    if number == len(one.tasks) % 5 + 1:
        answers[one.tasks[-2].cell_id] = FORGED  # gets its points, and is reported
        desk.reports.add("suspicious-code")
    save(path, one.made(answers))


def replayed(task: GradeCell) -> str:
    """A cell that returns the very numbers which the visible check compares with."""
    exercise, seen = checks.exercise(task.key), []

    def listen(*given: Any) -> Any:
        seen.append(exercise.reference()(*given))
        return seen[-1]

    exercise.test(listen)
    numbers = seen[0].tolist()
    return f"import torch\n\ndef {task.names[0]}(*given):\n    return torch.tensor({numbers})"

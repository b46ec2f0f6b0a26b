"""Session plans of 50 and 90 minutes, from the exercises' own minutes.

    opening   everybody guesses, one sentence on the idea
    exercises the diagnosis of sick runs in any case, then the hardest that fit: help is at hand
    showing   figures on the wall while cells compute, then questions of the mark scheme
    closing   a quiz question as a way out, and what is done at home

An exercise that is left for home blocks nothing: later cells use the package's version (`use`).
So the plan may take the hard ones first and leave easy ones out.
"""

import re
from pathlib import Path
from typing import NamedTuple

from medmoe_lite.course.build import KEEP, cells_of
from medmoe_lite.course.items import covered
from medmoe_lite.course.teach.exercises import Exercise, exercises
from medmoe_lite.course.teach.marks import open_items, schemes

LENGTHS = (50, 90)
WORDS_A_MINUTE = 150
SHOW = 4  # minutes for a figure and one question about it
TALK = 6  # minutes for a question of the mark scheme
SPARE = 10  # minutes that questions may take at the end
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


class Block(NamedTuple):
    """One line of a plan: minutes from start to end, how people work, what is done."""

    start: int
    end: int
    how: str
    what: str


class Section(NamedTuple):
    """A part of a notebook under one heading: its first cell's number, words, has a figure."""

    title: str
    place: int
    words: int
    figure: bool


class Plan(NamedTuple):
    """A session: its blocks, the keys done live, the exercises and sections left for home."""

    length: int
    blocks: list[Block]
    live: list[Exercise]
    home: list[Exercise]
    read: list[Section]


def sections(source: Path) -> list[Section]:
    """The parts of a notebook, by their headings."""
    found: list[Section] = []
    for place, cell in enumerate(cells_of(source)):
        heading = HEADING.search(cell.text) if cell.kind == "markdown" else None
        if heading:
            found.append(Section(heading[1], place, 0, False))
        if found and cell.kind == "markdown":
            found[-1] = found[-1]._replace(words=found[-1].words + len(cell.text.split()))
        elif found and KEEP in cell.tags:
            found[-1] = found[-1]._replace(figure=True)
    return found


def plan(source: Path, length: int) -> Plan:
    """The plan of one session; its blocks fill `length` minutes exactly."""
    todo, parts = exercises(source), sections(source)
    opening = [(3, "all", "Guess first: hands up for each choice, write the counts on the board.")]
    opening.append((5, "all", "The idea, at the first drawing. " + _idea(parts)))
    closing = [(4, "alone", "Way out: two questions of the quiz; the rest at home.")]
    closing.append((3, "all", "Key points read aloud; what is done at home."))
    room = length - sum(minutes for minutes, _, _ in opening + closing)
    to_show = [p for p in parts if p.figure and not _is_break(p) and p.title != "The idea"]
    reserve = SHOW * min(len(to_show), 1 if length <= 60 else 4)
    live = _chosen(todo, room - reserve)
    room -= sum(one.minutes for one in live)
    shown = to_show[: room // SHOW]
    room -= SHOW * len(shown)

    middle: list[tuple[int, int, str, str]] = []
    for one in live:
        how = "in pairs" if one.diagnosis or one.difficulty == "hard" else "alone, then compare"
        what = f"Exercise {one.key}, {one.title} ({one.difficulty}, {one.points} points)."
        middle.append((one.place, one.minutes, how, what.replace("1 points", "1 point")))
    for part in shown:
        middle.append(
            (part.place, SHOW, "all", f"Show “{part.title}”: what do you expect, what is there?")
        )
    for item in _questions(source)[: room // TALK]:
        ask = schemes()[item].ask
        middle.append((9_999, TALK, "in threes", f"Discuss: {ask} (mark scheme, {item})"))
        room -= TALK
    names = {part.title for part in shown}
    rest = [p for p in parts if p.title not in names and not p.title.startswith("Step")]
    read = [part for part in rest if not _fixed(part)]
    if room > SPARE:  # a short notebook in a long session: what would be read at home, together
        together, read = read[: room // SHOW], read[room // SHOW :]
        for part in together:
            middle.append((part.place, SHOW, "all", f"Run and read “{part.title}” together."))
            room -= SHOW
    if room > SPARE:
        middle.append((10_000, room, "all", "Begin the next notebook: its guesses and its idea."))
    elif room:
        middle.append(
            (10_000, room, "all", "Questions; whoever is done goes on with the list for home.")
        )
    lines = [*opening, *[line[1:] for line in sorted(middle)], *closing]
    blocks, at = [], 0
    for minutes, how, what in lines:
        blocks.append(Block(at, at + minutes, how, what))
        at += minutes
    home = [one for one in todo if one not in live]
    return Plan(length, blocks, live, home, read)


def reading_minutes(parts: list[Section]) -> int:
    """How long these sections take to read.

    >>> reading_minutes([Section("a", 0, 300, True), Section("b", 9, 100, False)])
    3
    """
    return round(sum(part.words for part in parts) / WORDS_A_MINUTE)


def _chosen(todo: list[Exercise], room: int) -> list[Exercise]:
    """The diagnosis, then the hardest that fit, in the notebook's order."""
    ranked = sorted(todo, key=lambda one: (not one.diagnosis, -one.points, one.place))
    kept: list[Exercise] = []
    for one in ranked:
        if sum(k.minutes for k in kept) + one.minutes <= room:
            kept.append(one)
    return sorted(kept, key=lambda one: one.place)


def _questions(source: Path) -> list[str]:
    """Items of the mark scheme that this notebook treats."""
    return [item for item in open_items() if item in covered([source])]


def _idea(parts: list[Section]) -> str:
    names = [part.title for part in parts if part.title.startswith("Step")]
    told = "; ".join(name.split(": ", 1)[-1] for name in names)
    return f"Today's steps: {told.rstrip('?')}." if names else ""


def _is_break(part: Section) -> bool:
    return part.title in ("Break it", "Find the bug")


def _fixed(part: Section) -> bool:
    return part.title in ("Guess first", "The idea", "Quiz", "Key points", "Next") or _is_break(
        part
    )

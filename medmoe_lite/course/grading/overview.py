"""The class at a glance: which exercise, which misconception, how often; and what was odd."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from medmoe_lite.course.grading.feedback import document, escape

SOLVED, FOOLED = "right", "only-the-visible-numbers"


def outcome(row: Mapping[str, Any]) -> tuple[str, str]:
    """(verdict, mistake) of an exercise; one that only the hidden check caught has its own."""
    hidden = row["hidden"]
    if row["verdict"] == "right" and hidden and hidden["verdict"] not in ("right", "none"):
        return "wrong", FOOLED
    return row["verdict"], row["mistake"]


def collect(
    results: Sequence[Mapping[str, Any]], about: str, troubles: Sequence[str] = ()
) -> dict[str, Any]:
    """Counts over the class.

    Returns:
        students (name, points, max), exercises (grade id -> key, solved, open, mistakes with their
        counts), problems (kind -> sentences with names), about, troubles.
    """
    exercises: dict[str, dict[str, Any]] = {}
    odd: dict[str, list[str]] = {}
    for result in results:
        for problem in result["problems"]:
            odd.setdefault(problem["kind"], []).append(f"{result['student']}: {problem['text']}")
        for stem, book in result["notebooks"].items():
            for problem in book["problems"]:
                text = f"{result['student']}, {stem[:2]}: {problem['text']}"
                odd.setdefault(problem["kind"], []).append(text)
            for name, row in book["exercises"].items():
                new = {
                    "key": row["key"],
                    "solved": 0,
                    "open": 0,
                    "missing": 0,
                    "mistakes": Counter(),
                }
                seen = exercises.setdefault(name, new)
                verdict, mistake = outcome(row)
                if verdict == SOLVED:
                    seen["solved"] += 1
                elif verdict in ("open", "missing"):
                    seen[verdict] += 1
                else:
                    seen["mistakes"][mistake or verdict] += 1
    for seen in exercises.values():
        ordered = sorted(seen["mistakes"].items(), key=lambda pair: (-pair[1], pair[0]))
        seen["mistakes"] = dict(ordered)
    students = [{"name": r["student"], "points": r["points"], "max": r["max"]} for r in results]
    return {
        "students": students, "exercises": exercises, "problems": odd, "about": about,
        "troubles": sorted(set(troubles)),
    }  # fmt: skip


def summary(whole: Mapping[str, Any]) -> str:
    """A few lines for the terminal."""
    students = whole["students"]
    points = sorted(one["points"] for one in students)
    lines = [
        f"{len(students)} students; points {points[0]} to {points[-1]}, "
        f"half of them {points[len(points) // 2]} or more, of {students[0]['max']}."
    ]
    counted = [
        (count, seen["key"], mistake)
        for seen in whole["exercises"].values()
        for mistake, count in seen["mistakes"].items()
    ]
    for count, key, mistake in sorted(counted, key=lambda row: (-row[0], row[1:]))[:5]:
        lines.append(f"  {count} x {key} {mistake}")
    for kind, told in sorted(whole["problems"].items()):
        lines.append(f"  {kind}: {len(told)}")
    return "\n".join([*lines, *whole["troubles"]])


def page(whole: Mapping[str, Any]) -> str:
    """overview.html"""
    count = len(whole["students"])
    parts = ["<h1>Class overview</h1>", f"<p>{count} students. {escape(whole['about'])}</p>"]
    rows = []
    for seen in whole["exercises"].values():
        mistakes = ", ".join(
            f"<code>{escape(name)}</code> {number}" for name, number in seen["mistakes"].items()
        )
        share = f"{100 * seen['solved'] / max(1, count):.0f}&nbsp;%"
        rows.append(
            f"<tr><td>{escape(seen['key'])}</td><td>{mistakes}</td>"
            f"<td class=n>{seen['solved']} ({share})</td>"
            f"<td class=n>{sum(seen['mistakes'].values())}</td><td class=n>{seen['open']}</td>"
            f"<td class=n>{seen['missing']}</td></tr>"
        )
    names = ("exercise", "mistakes, how often", "right", "not right", "not attempted", "no answer")
    head = "".join(f"<th>{name}</th>" for name in names)
    parts.append(
        f"<h2>Exercises and misconceptions</h2><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )
    people = "".join(
        f"<tr><td>{escape(one['name'])}</td><td class=n>{one['points']}</td></tr>"
        for one in sorted(whole["students"], key=lambda one: (-one["points"], one["name"]))
    )
    most = whole["students"][0]["max"] if count else 0
    parts.append(
        f"<h2>Students</h2><table><thead><tr><th>student</th><th>points of {most}</th></tr></thead>"
        f"<tbody>{people}</tbody></table>"
    )
    if whole["problems"]:
        parts.append("<h2>What was odd</h2>")
    for kind, told in sorted(whole["problems"].items()):
        items = "".join(f"<li>{escape(text)}</li>" for text in told)
        parts.append(f"<details open><summary>{escape(kind)}: {len(told)}</summary><ul>{items}</ul>"
                     "</details>")  # fmt: skip
    if whole["troubles"]:
        items = "".join(f"<li>{escape(text)}</li>" for text in whole["troubles"])
        parts.append(f"<h2>Official cells that did not run here</h2><ul>{items}</ul>")
    return document("Class overview", "\n".join(parts))

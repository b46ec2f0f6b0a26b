"""The text of the instructor's pages, as Markdown: each a function of the chosen sources.

    answer_key       exercises, points, solutions, quiz answers, what the predictions gave
    mark_scheme      questions in words, one mark a thought, beside what the notebook shows
    session_plans    50 and 90 minutes
    common_mistakes  every wrong answer of the bank in the words of its check

The words come from the sources, the banks and the executed solutions; nothing is typed twice.
"""

import re
from pathlib import Path

from medmoe_lite.course.build import cells_of, notebooks_dir
from medmoe_lite.course.items import covered
from medmoe_lite.course.teach import marks, mistakes, sessions
from medmoe_lite.course.teach.exercises import exercises, title
from medmoe_lite.course.teach.pages import plain, table
from medmoe_lite.course.teach.sessions import HEADING

OF_EXERCISES = ("ex-", "check-", "use-", "reveal-", "quiz", "predict")
KEEP_BACK = "*For teachers. Solutions stand in it: do not hand it out.*"
PREDICTION = re.compile(r"Prediction (\S+): (.*)\n  You said: .*\n  The run says:  (.*)")


def outputs_of(stem: str) -> dict[str, str]:
    """Cell id -> what the cell of the executed solution printed, as text, each output once."""
    import nbformat

    made = nbformat.read(notebooks_dir() / "solutions" / f"{stem}.ipynb", as_version=4)
    told = {}
    for cell in made.cells:
        texts = [
            (o.get("text") or o.get("data", {}).get("text/plain", "")).strip()
            for o in cell.get("outputs", ())
        ]
        told[cell.id] = "\n".join(dict.fromkeys(t for t in texts if t))
    return told


def answer_key(chosen: list[Path]) -> str:
    """Every exercise with points, words and solution; quiz answers; what the predictions gave."""
    from medmoe_lite.lab.checks import exercise
    from medmoe_lite.lab.quiz import questions

    rows, parts, whole = [], [], 0
    for source in chosen:
        todo = exercises(source)
        points = sum(one.points for one in todo)
        whole += points
        rows.append([title(source), str(len(todo)), str(points), str(sum(o.minutes for o in todo))])
        parts.append(f"\n## {title(source)}\n\n{len(todo)} exercises, {points} points.")
        for one in todo:
            parts.append(
                f"\n### {one.key} {one.title}\n\n`{one.grade_id}` · {one.difficulty} · points: "
                f"{one.points} · {one.minutes} minutes\n\n{one.text}\n\n"
                f"```python\n{one.solution}\n```"
            )
            reference = exercise(one.key).reference()
            if one.diagnosis:
                named = (f"- {plain(str(k))}: {plain(str(v))}" for k, v in dict(reference).items())
                parts.append("\nIn words:\n\n" + "\n".join(named))
        parts.append("\n### Quiz\n")
        for question in questions(source.stem[:2]):
            good = next(choice for choice in question.choices if choice.right)
            parts.append(
                f"- **{question.key}** {plain(question.text)} **{plain(good.text)}** "
                f"{plain(good.explain)}"
            )
        guesses = PREDICTION.findall("\n".join(outputs_of(source.stem).values()))
        if guesses:
            parts.append("\n### What the predictions gave (not graded)\n")
            parts += [f"- **{key}** {plain(asked)} *{plain(was)}*" for key, asked, was in guesses]
    head = [
        "# Answer key",
        KEEP_BACK,
        "Easy exercises give 1 point, medium ones 2, hard ones 3. Any answer that passes the "
        "visible and the hidden check has the points: the solution here is one of many. Where the "
        "course was handed out with a seed for each student, the runs of a diagnosis carry other "
        "names, and `medmoe course grade` knows which.",
        table(["notebook", "exercises", "points", "minutes"], [*rows, ["all", "", str(whole), ""]]),
    ]
    return "\n\n".join(head) + "\n" + "\n".join(parts) + "\n"


def mark_scheme(chosen: list[Path]) -> str:
    """The questions that are answered in words, one mark a thought, beside the notebooks' words."""
    where, known = covered(chosen), marks.schemes()
    parts = [
        "# Mark scheme for questions answered in words",
        KEEP_BACK,
        "One mark for each thought that is there, in whatever words. Numbers are right when they "
        "agree with the cell that is named; what that cell said in the executed solution stands "
        "below. A live run gives other digits on another machine.",
    ]
    for item in marks.open_items():
        if item not in where:
            continue
        one = known[item]
        parts.append(f"## {item}: {plain(one.ask)}")
        parts.append("\n".join(f"- **1** {plain(line)}" for line in one.earns))
        parts.append(f"Out of {len(one.earns)}. Often written instead: {plain(one.weak)}")
        for place in where[item]:
            said = seen_at(place)
            parts.append(
                f"Treated in `{place}`." + (f" Seen there:\n\n```\n{said}\n```" * bool(said))
            )
    return "\n\n".join(parts) + "\n"


def seen_at(place: str, lines: int = 24) -> str:
    """What a reader of the solution sees at "notebook/cell", cut to `lines`.

    Of a code cell its output and that of the code after it, up to the next text; of a text cell
    the outputs under the same heading.
    """
    stem, cell = place.split("/")
    cells, told = cells_of(notebooks_dir() / "source" / f"{stem}.py"), outputs_of(stem)
    ids = [one.id for one in cells]
    at = ids.index(cell)
    heads = [n for n, c in enumerate(cells) if c.kind == "markdown" and HEADING.search(c.text)]
    first = max((n for n in heads if n <= at), default=0)
    last = min((n for n in heads if n > at), default=len(ids))
    if cells[at].kind == "code":
        first = at
        last = next((n for n in range(at, len(ids)) if cells[n].kind == "markdown"), len(ids))
    names = ids[first:last]
    said = [told[name] for name in names if told[name] and not name.startswith(OF_EXERCISES)]
    found = "\n".join(said).splitlines()
    return "\n".join(found[:lines] + ["..."] * (len(found) > lines))


def session_plans(chosen: list[Path]) -> str:
    """A plan of 50 and one of 90 minutes for every notebook."""
    parts = [
        "# Session plans",
        "Made from the minutes of the exercises. An exercise that is left out blocks nothing: "
        "later cells use the package's version. Ask people to run the notebook once before they "
        "come (it computes for up to two minutes), so that no session begins with a set-up.",
    ]
    for source in chosen:
        parts.append(f"## {title(source)}")
        for length in sessions.LENGTHS:
            made = sessions.plan(source, length)
            rows = [[f"{b.start} to {b.end}", b.how, plain(b.what)] for b in made.blocks]
            parts.append(f"### {length} minutes\n\n" + table(["minutes", "who", "what"], rows))
            home = [f"{o.key} {o.title} ({o.minutes} minutes)" for o in made.home]
            read = [part.title for part in made.read]
            minutes = sum(o.minutes for o in made.home)
            parts.append(
                f"At home, about {minutes + sessions.reading_minutes(made.read)} minutes. "
                f"Exercises: {plain('; '.join(home)) or 'none'}. "
                f"To read: {plain('; '.join(read)) or 'nothing'}. The rest of the quiz."
            )
    return "\n\n".join(parts) + "\n"


def common_mistakes(chosen: list[Path]) -> str:
    """Every mistake of the bank in the words of its check, with what to ask back."""
    from medmoe_lite.lab.checks import exercise

    found = {source: mistakes.of_notebook(source.stem[:2]) for source in chosen}
    every = [one for rows in found.values() for one in rows]
    parts = [
        "# Common mistakes, and how to answer them",
        KEEP_BACK,
        f"{len(every)} wrong answers to {len({o.key for o in every})} exercises. The text is what "
        "the check said to that answer, so a learner with this mistake has read it; the numbers "
        "belong to the check's own example. Before you explain, ask back; if that does not help, "
        "give the plan. The class overview of `medmoe course grade` counts the same names.",
        "## Those that come back",
    ]
    again = [[f"`{name}`", ", ".join(keys)] for name, keys in mistakes.widespread(every).items()]
    parts.append(table(["mistake", "exercises"], again))
    for source, rows in found.items():
        parts.append(f"## {title(source)}")
        seen = mistakes.typed(source.stem[:2])
        for one in exercises(source):
            hints = exercise(one.key).hints
            parts.append(f"### {one.key} {one.title}")
            parts.append(f"**Ask back:** {plain(hints[0])}")
            parts.append(f"**Then the plan:**\n\n```\n{hints[1]}\n```")
            lines = [[f"`{r.mistake}`", plain(r.text)] for r in rows if r.key == one.key]
            parts.append(table(["mistake", "what the check says"], lines))
            mistake, text = seen[one.key]
            parts.append(f"As somebody types `{mistake}`:\n\n```python\n{text.strip()}\n```")
    return "\n\n".join(parts) + "\n"

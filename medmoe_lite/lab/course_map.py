"""The map of the course: every notebook, its question, and what this learner has solved.

Reads `progress.json` (see `progress`) and the banks of exercises. Nothing is graded: the map says
where to go on.
"""

import importlib
from typing import Any, NamedTuple

from medmoe_lite.lab import progress
from medmoe_lite.lab.html import escape, in_notebook, publish


class Stop(NamedTuple):
    """One notebook of the course."""

    file: str
    title: str
    question: str

    @property
    def number(self) -> str:
        """Such as "03"."""
        return self.file[:2]


COURSE = (
    Stop("00_start_here", "Start here", "What will I be able to do, on this machine?"),
    Stop("01_lora_by_hand", "LoRA by hand", "Why can a thin update teach a frozen model?"),
    Stop("02_four_bits", "Four bits", "What is lost at 4 bits, and what does QLoRA train?"),
    Stop("03_router_and_experts", "Router and experts", "Who handles which token?"),
    Stop(
        "04_healthy_and_sick_routers",
        "Healthy and sick routers",
        "When does routing help, when does it collapse?",
    ),
    Stop(
        "05_where_experts_belong",
        "Where experts belong",
        "How to spend one budget over depth, rank and groups?",
    ),
    Stop("06_knowledge_and_noise", "Knowledge and noise", "Why train experts to throw them away?"),
    Stop(
        "07_align_without_forgetting",
        "Align without forgetting",
        "How to learn a format and keep the facts?",
    ),
    Stop("08_eci_and_three_steps", "ECI and three steps", "A label, not an essay?"),
    Stop("09_the_real_run", "The 1.8B run", "Does it hold on the real model?"),
    Stop("10_reproduction_lab", "Reproduction lab", "Can I trust a claim, and test my own?"),
)
LINK = 'style="color:var(--jp-content-link-color, #1565c0);text-decoration:underline"'
HEAD = ("notebook", "the question", "exercises solved", "predictions", "quiz answers")


def exercises_of(number: str) -> list[str]:
    """Keys of a notebook's exercises, such as ["3.1", ...]; empty where it has no bank."""
    try:
        bank = importlib.import_module(f"medmoe_lite.lab.nb{number}.checks").BANK
    except ModuleNotFoundError:
        return []
    return [exercise.key for exercise in bank]


def state_of(number: str) -> tuple[int, int, int, int]:
    """Exercises solved, exercises there are, predictions made, quiz questions answered."""
    keys, mine = exercises_of(number), f"{int(number)}."
    solved = progress.read("exercises")
    return (
        sum(key in solved for key in keys),
        len(keys),
        sum(key.startswith(mine) for key in progress.read("predictions")),
        sum(key.startswith(mine) for key in progress.read("quiz")),
    )


def next_stop() -> Stop:
    """The first notebook that still has an open exercise, else the last one."""
    for stop in COURSE:
        solved, there, *_ = state_of(stop.number)
        if solved < there:
            return stop
    return COURSE[-1]


def as_text() -> str:
    """The map as plain text."""
    lines = []
    for stop in COURSE:
        solved, there, guesses, answers = state_of(stop.number)
        lines.append(
            f"{stop.number} {stop.title}: {stop.question} {solved} of {there} exercises solved, "
            f"{guesses} predictions, {answers} quiz answers"
        )
    return "\n".join([*lines, f"Go on with {next_stop().number} {next_stop().title}."])


def as_html() -> str:
    """The map as a table whose first column links to the notebooks."""
    style = 'style="text-align:left;white-space:normal;padding:0.15em 1.2em 0.15em 0"'
    top = "".join(f'<th scope="col" {style}>{word}</th>' for word in HEAD)
    rows = []
    for stop in COURSE:
        solved, there, guesses, answers = state_of(stop.number)
        share = 100 * solved // max(1, there)
        bar = (
            f'<span style="display:inline-block;width:6em;height:0.7em;border:1px solid #888888">'
            f'<span style="display:block;height:100%;width:{share}%;background:#009e73"></span>'
            f"</span> {solved} of {there}"
        )
        link = f'<a href="{stop.file}.ipynb" {LINK}>{stop.number} {escape(stop.title)}</a>'
        cells = (link, escape(stop.question), bar, str(guesses), str(answers))
        rows.append("<tr>" + "".join(f"<td {style}>{cell}</td>" for cell in cells) + "</tr>")
    go_on = f"Go on with <b>{next_stop().number} {escape(next_stop().title)}</b>."
    table = f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f"{table}<p>{go_on}</p>"


def course_map() -> None:
    """Show the map; its button reads the progress file again, as other notebooks write to it."""
    if not in_notebook():
        print(as_text())
        return
    import ipywidgets as widgets

    from medmoe_lite.lab.widgets import view

    table = widgets.HTML(as_html())
    button = widgets.Button(description="Read my progress again", layout={"width": "14em"})

    def again(_: Any) -> None:
        table.value = as_html()

    button.on_click(again)
    publish(as_text(), as_html(), view(widgets.VBox([table, button])))

"""Questions with explained answers: `quiz("01")`.

The items of a notebook are data, in `nb01/quiz.py` and its like. Without widgets (a page on the
web, a notebook that is not running) the same questions can be read, answers folded away. Numeric
answers are computed by the tests, not trusted.
"""

import importlib
from dataclasses import dataclass

from medmoe_lite.lab import progress
from medmoe_lite.lab.html import box, escape, in_notebook, publish

COLOUR, RIGHT, WRONG = "#4a6fa5", "#2e8b57", "#c0392b"


@dataclass(frozen=True)
class Choice:
    """One possible answer and why it is right or wrong."""

    text: str
    explain: str
    right: bool = False


@dataclass(frozen=True)
class Question:
    """A question with exactly one right choice. `number` is set where the answer is a number,
    so that a test can compute it."""

    key: str
    text: str
    choices: tuple[Choice, ...]
    number: float | None = None

    def __post_init__(self) -> None:
        if sum(choice.right for choice in self.choices) != 1:
            raise ValueError(f"Question {self.key} needs exactly one choice with right=True.")


def questions(notebook: str) -> tuple[Question, ...]:
    """The quiz of a notebook, such as "01"."""
    return importlib.import_module(f"medmoe_lite.lab.nb{notebook}.quiz").QUIZ


def answer(question: Question, text: str) -> str:
    """What is said to somebody who picks the choice `text`."""
    picked = next(choice for choice in question.choices if choice.text == text)
    return f"{'Right' if picked.right else 'Not right'}. {picked.explain}"


def as_text(items: tuple[Question, ...]) -> str:
    """The questions as plain text, without the answers."""
    lines = []
    for question in items:
        lines += [f"{question.key} {question.text}"]
        lines += [f"   ( ) {choice.text}" for choice in question.choices]
    return "\n".join(lines)


def as_html(items: tuple[Question, ...]) -> str:
    """The questions as a page part that needs no kernel: answers open with a click."""
    parts = []
    for question in items:
        rows = "".join(f"<li>{escape(choice.text)}</li>" for choice in question.choices)
        told = "".join(
            f"<li><b>{escape(c.text)}</b>: {escape(answer(question, c.text))}</li>"
            for c in question.choices
        )
        folded = f"<details><summary>Answers</summary><ul>{told}</ul></details>"
        parts.append(f"<p><b>{question.key}</b> {escape(question.text)}</p><ul>{rows}</ul>{folded}")
    return box("".join(parts), COLOUR)


def quiz(notebook: str) -> None:
    """Show the quiz of a notebook; every answer is explained at once."""
    items = questions(notebook)
    if not in_notebook():
        print(as_text(items))
        return
    import ipywidgets as widgets

    from medmoe_lite.lab.widgets import view

    rows = [_row(question, widgets) for question in items]
    publish(as_text(items), as_html(items), view(widgets.VBox(rows)))


def _row(question: Question, widgets):
    buttons = widgets.RadioButtons(
        options=[choice.text for choice in question.choices],
        value=None,
        description=f"Question {question.key.rpartition('q')[2]}",
        layout=widgets.Layout(width="auto"),
    )
    said = widgets.HTML()

    def on_pick(change) -> None:
        if change["new"] is not None:
            told = answer(question, change["new"])
            said.value = box(escape(told), RIGHT if told.startswith("Right") else WRONG)
            progress.write("quiz", question.key, change["new"])

    buttons.observe(on_pick, "value")
    return widgets.VBox([widgets.HTML(f"<b>{escape(question.text)}</b>"), buttons, said])

"""Guess before you look: `predict("1.A", question, choices)`, later `reveal("1.A", result)`.

The guess is stored in the progress file and shown again beside the result. A wrong guess costs
nothing; it tells where the own picture of the method needs work.
"""

from collections.abc import Sequence

from medmoe_lite.lab import progress
from medmoe_lite.lab.html import box, escape, in_notebook, publish

COLOUR = "#7b5aa6"
_questions: dict[str, str] = {}


def predict(key: str, question: str, choices: Sequence[str], guess: str | None = None) -> None:
    """Ask for a prediction and record it.

    Args:
        key: "1.A": notebook 01, prediction A.
        question: one sentence that ends with a question mark.
        choices: possible answers; a click records one.
        guess: the answer typed instead of clicked, where there are no widgets.
    """
    _questions[key] = question
    if guess is not None:
        progress.write("predictions", key, guess)
    text = f"Prediction {key}: {question}\n" + "\n".join(f"  - {choice}" for choice in choices)
    if not in_notebook():
        print(text)
        return
    import ipywidgets as widgets

    stored = progress.read("predictions").get(key)
    buttons = widgets.RadioButtons(
        options=list(choices),
        value=stored if stored in choices else None,
        description=f"Prediction {key}",
        layout=widgets.Layout(width="auto"),
        style={"description_width": "initial"},
    )
    buttons.observe(lambda change: progress.write("predictions", key, change["new"]), "value")
    label = widgets.HTML(f"<b>{escape(question)}</b>")
    items = "".join(f"<li>{escape(choice)}</li>" for choice in choices)
    content = box(f"Prediction {key}: {escape(question)}<ul>{items}</ul>", COLOUR)
    from medmoe_lite.lab.widgets import view

    publish(text, content, view(widgets.VBox([label, buttons])))


def reveal(key: str, result: str) -> None:
    """Show the recorded prediction beside what the run says."""
    stored = progress.read("predictions").get(key, "nothing recorded")
    question = _questions.get(key, "")
    text = f"Prediction {key}: {question}\n  You said:      {stored}\n  The run says:  {result}"
    content = f"Prediction {key}: {escape(question)}<br>You said: <b>{escape(str(stored))}</b>"
    publish(text, box(f"{content}<br>The run says: <b>{escape(result)}</b>", COLOUR))

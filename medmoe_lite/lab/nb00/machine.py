"""Notebook 00 and the learner's own machine: the doctor's table, and the choice of a track.

The table is `medmoe doctor` as HTML. Folders are cut to their last name, so that a notebook that
is shared tells nobody where it was run.
"""

import re
from collections.abc import Iterable

from medmoe_lite.doctor import Check, examine
from medmoe_lite.lab import progress
from medmoe_lite.lab.html import box, escape, in_notebook, publish
from medmoe_lite.paths import home_dir

TRACKS = {
    "laptop": "this machine, no network, the nano model, seconds a run: notebooks 01 to 08 and 10.",
    "GPU": "Qwen1.5-1.8B-Chat in four bits. load_base does it, and notebook 09 plans the run.",
    "class": "you teach. Hints, quizzes and typical mistakes are here; handing out is planned.",
}
LEFT = 'style="text-align:left"'
_COLOUR = {"ok": "#2e8b57", "look": "#b8860b", "fail": "#c0392b"}
_FOLDER = re.compile(r"(?:[A-Za-z]:)?(?:[/\\][\w.@+~-]+){2,}")


def short(text: str) -> str:
    """Text with every folder cut to its last name, and the run folder called by that name.

    >>> short("3.12.1 at /home/ada/kit/.venv/bin/python")
    '3.12.1 at …/python'
    """
    text = text.replace(str(home_dir()), "the run folder")
    return _FOLDER.sub(lambda found: "…/" + re.split(r"[/\\]", found.group())[-1], text)


def doctor(checks: Iterable[Check] | None = None) -> bool:
    """Show what `medmoe doctor` finds; True where nothing failed."""
    found = list(examine() if checks is None else checks)
    text = "\n".join(short(check.line()) for check in found)
    rows = "".join(_row(check) for check in found)
    head = "".join(f'<th scope="col" {LEFT}>{name}</th>' for name in ("state", "what", "found"))
    publish(text, f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")
    return all(check.state != "fail" for check in found)


def _row(check: Check) -> str:
    mark = f'<b style="color:{_COLOUR[check.state]}">{check.state.upper()}</b>'
    told = escape(short(check.found))
    if check.advice:
        told += f"<br>→ {escape(short(check.advice))}"
    return f"<tr><td {LEFT}>{mark}</td><td {LEFT}>{check.name}</td><td {LEFT}>{told}</td></tr>"


def pick_track(track: str | None = None) -> None:
    """Choose a way through the course; the choice is kept in the progress file.

    Args:
        track: "laptop", "GPU" or "class", where there are no widgets to click.

    Raises:
        ValueError: another word.
    """
    if track is not None:
        if track not in TRACKS:
            raise ValueError(f"track={track!r}: choose one of {', '.join(TRACKS)}.")
        progress.write("track", "chosen", track)
    text = "\n".join(f"{name}: {words}" for name, words in TRACKS.items())
    if not in_notebook():
        print(text)
        return
    import ipywidgets as widgets

    from medmoe_lite.lab.widgets import view

    stored = progress.read("track").get("chosen")
    buttons = widgets.RadioButtons(
        options=[(f"{name}: {words}", name) for name, words in TRACKS.items()],
        value=stored if stored in TRACKS else None,
        description="Your track",
        layout=widgets.Layout(width="auto"),
    )
    buttons.observe(lambda change: progress.write("track", "chosen", change["new"]), "value")
    items = "".join(f"<li><b>{name}</b>: {escape(words)}</li>" for name, words in TRACKS.items())
    publish(text, box(f"Your track:<ul>{items}</ul>", "#4a6fa5"), view(buttons))

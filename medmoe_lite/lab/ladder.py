"""The recorded ladder in a notebook: rows of the claim ledger, figures, numbers of an arm.

The file is `data/recorded/nano/ladder.json`, written by `medmoe reproduce` over at least five
seeds. Nothing here trains, and no number is typed by hand. A verdict is one of four: holds here,
not visible here, contradicted, not testable at this scale; nulls are shown like all others.
"""

import json
import os
import textwrap
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medmoe_lite.lab.html import caption, escape, publish
from medmoe_lite.lab.show import show
from medmoe_lite.paths import data_dir

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEAD = ("Paper", "The claim, tested here", "Verdict", "Effect (95 % interval over seeds)")


@lru_cache(maxsize=1)
def ladder() -> dict[str, Any]:
    """The whole file; `MEDMOE_LADDER` names another one, such as that of one's own run.

    Raises:
        FileNotFoundError: it is not there; the message says which command writes it.
    """
    own = os.environ.get("MEDMOE_LADDER")
    path = Path(own) if own else data_dir() / "recorded" / "nano" / "ladder.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path.name} is not recorded yet. Type: medmoe reproduce --seeds 5 --out ladder, "
            f"then copy ladder/summary.json to {path}."
        )
    return json.loads(path.read_text(encoding="utf-8"))


def claim(claim_id: str) -> dict[str, Any]:
    """One claim of the ladder.

    Raises:
        KeyError: there is none of this name; the message lists those there are.
    """
    found = ladder()["claims"]
    if claim_id not in found:
        raise KeyError(f"The ladder has no claim {claim_id!r}. It has: {', '.join(found)}.")
    return found[claim_id]


def numbers(claim_id: str, arm: str, measure: str) -> list[Any]:
    """What an arm of a claim has measured, one value a seed, in the order of the seeds.

    Raises:
        KeyError: no such claim, arm or measure; the message lists those there are.
    """
    arms = claim(claim_id)["arms"]
    if arm not in arms:
        raise KeyError(f"{claim_id!r} has no arm {arm!r}. It has: {', '.join(arms)}.")
    found = arms[arm]["numbers"]
    if measure not in found:
        raise KeyError(f"Arm {arm!r} has no {measure!r}. It has: {', '.join(found)}.")
    return found[measure]


def told(effect: Mapping[str, Any]) -> str:
    """An effect in words: what, less which number if it is held against one, mean, interval.

    >>> told({"says": "facts", "mean": -0.6249, "low": -0.6997, "high": -0.5501})
    'facts: -0.625 (-0.700 to -0.550)'
    """
    says, other = effect["says"], effect.get("other")
    if isinstance(other, (int, float)) and other:
        says += f" minus {other:g}"
    if effect["mean"] is None:
        return f"{says}: not measured"
    if effect["low"] is None:
        return f"{says}: {effect['mean']:+.3f} (one seed, no interval)"
    return f"{says}: {effect['mean']:+.3f} ({effect['low']:+.3f} to {effect['high']:+.3f})"


def row(claim_id: str) -> tuple[str, str, str, str]:
    """Cells of the ledger: paper, hypothesis, verdict, primary effects."""
    found = claim(claim_id)
    effects = "; ".join(told(effect) for effect in found["effects"] if effect["primary"])
    seen = f"{effects}, {_seeds(found)}" if found["seeds"] else found["why"]
    return found["paper"], found["hypothesis"], found["verdict"], seen


def ledger(*claim_ids: str) -> None:
    """Show the rows of the claim ledger for these claims (default: all)."""
    ids = claim_ids or tuple(ladder()["claims"])
    rows = [row(claim_id) for claim_id in ids]
    base, size = ladder()["base"], ladder()["size"]
    text = "\n\n".join(
        "\n".join(f"{h}: {c}" for h, c in zip(HEAD, cells, strict=True)) for cells in rows
    )
    style = 'style="text-align:left;vertical-align:top;white-space:normal"'
    top = "".join(f'<th scope="col" {style}>{h}</th>' for h in HEAD)
    body = "".join(
        "<tr>" + "".join(f"<td {style}>{escape(c)}</td>" for c in cells) + "</tr>" for cells in rows
    )
    note = f"Recorded ladder ({size}) on base {base}. A small model can show how a mechanism works."
    table = f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    publish(f"{text}\n\n{note}", f"{table}{caption(note)}")


def claim_figure(claim_id: str) -> "tuple[Figure, str]":
    """The ladder's figure of a claim: a tick a seed, mean and 95 % interval an arm."""
    from medmoe_lite.reproduce.figures import draw

    found = claim(claim_id)
    drawn = draw(found)
    if drawn is None:
        raise ValueError(f"{claim_id!r} was not run: {found['why']}.")
    figure, text = drawn
    scale = f"(recorded, {_seeds(found)})".replace(" ", "\N{NO-BREAK SPACE}")
    wide = int(9.5 * figure.get_figwidth())  # letters of the title that fit in a line
    figure.suptitle(textwrap.fill(f"{found['title']} {scale}", wide), fontsize=12)
    return figure, f"Recorded over {_seeds(found)}. {found['title']} {text}"


def _seeds(found: Mapping[str, Any]) -> str:
    count = len(found["seeds"])
    return f"{count} seed{'s' if count != 1 else ''}"


def show_claim(claim_id: str) -> None:
    """Show `claim_figure`."""
    show(claim_figure(claim_id))

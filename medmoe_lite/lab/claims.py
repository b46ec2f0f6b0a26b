"""Where the papers stand: a table of claims and what this course could see of each.

Every row says at which scale a claim was tested. A small model can refute "always" and show how
a mechanism works; it cannot confirm a result on exams, and nothing here says anything about
patients.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from medmoe_lite.lab.html import escape, publish

SCALES = ("exact, any scale", "small model, recorded", "1.8B, recorded", "not tested here")


@dataclass(frozen=True)
class Claim:
    """One claim of a paper.

    Attributes:
        paper: its short name, such as "MING-MOE".
        says: the claim in one sentence of ours.
        scale: one of `SCALES`.
        seen: what was observed, with numbers, or what would be needed.
    """

    paper: str
    says: str
    scale: str
    seen: str

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise ValueError(f"scale {self.scale!r}: choose one of {', '.join(SCALES)}.")


def claims(rows: Sequence[Claim]) -> None:
    """Show the table."""
    head = ("Paper", "The claim", "Tested", "What was seen")
    cells = [(row.paper, row.says, row.scale, row.seen) for row in rows]
    text = "\n\n".join(
        "\n".join(f"{h}: {c}" for h, c in zip(head, row, strict=True)) for row in cells
    )
    style = 'style="text-align:left;vertical-align:top;white-space:normal"'
    top = "".join(f'<th scope="col" {style}>{h}</th>' for h in head)
    body = "".join(
        "<tr>" + "".join(f"<td {style}>{escape(c)}</td>" for c in row) + "</tr>" for row in cells
    )
    publish(text, f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>")

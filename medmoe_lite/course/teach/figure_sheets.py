"""A printable sheet of a notebook's figures, with their captions, for the wall or for slides.

The pictures and the sentences that describe them are those of the executed solution, so a sheet
never shows another number than the notebook does.
"""

import html
from pathlib import Path
from typing import NamedTuple

from medmoe_lite.course.teach.sessions import HEADING


class Figure(NamedTuple):
    """A picture of a solution: section, cell id, PNG in base64, the sentence that describes it."""

    section: str
    cell: str
    png: str
    text: str


def figures(solution: Path) -> list[Figure]:
    """The pictures of an executed notebook, in order.

    Raises:
        ValueError: a picture without its alternative text.
    """
    import nbformat

    section, found = "", []
    for cell in nbformat.read(solution, as_version=4).cells:
        heading = HEADING.search(cell.source) if cell.cell_type == "markdown" else None
        section = heading[1] if heading else section
        for output in cell.get("outputs", ()):
            if "image/png" not in output.get("data", {}):
                continue
            told = output.metadata.get("image/png", {}).get("alt", "")
            if not told:
                raise ValueError(f"{solution.name}, cell {cell.id!r}: a picture without a text.")
            found.append(Figure(section, cell.id, output.data["image/png"].replace("\n", ""), told))
    return found


def sheet(found: list[Figure], number: str) -> str:
    """The sheet as HTML; `number` is the notebook's two digits, as in "Figure 03.2"."""
    parts = []
    for count, one in enumerate(found, 1):
        name = f"Figure {number}.{count}"
        alt = one.text.split(". ")[0].rstrip(".") + "."
        parts.append(
            f'<figure id="{number}-{count}"><img src="data:image/png;base64,{one.png}" '
            f'alt="{html.escape(alt)}"><figcaption><b>{name}, {html.escape(one.section)}.</b> '
            f"{html.escape(one.text)} <code>{one.cell}</code></figcaption></figure>"
        )
    return "\n".join(parts)


def captions(found: list[Figure], number: str) -> str:
    """The captions alone, as Markdown."""
    lines = [
        f"{count}. **Figure {number}.{count}, {one.section}** (`{one.cell}`): {one.text}"
        for count, one in enumerate(found, 1)
    ]
    return "\n".join(lines)

"""What stands in the executed notebooks is what stands in the recorded ladder that is shipped."""

import html
import json
import re

import pytest

from medmoe_lite.course import build
from medmoe_lite.lab import ladder


def claims_shown(source):
    """Names of the claims whose ledger rows a notebook shows."""
    calls = re.findall(r"\bledger\(([^)]*)\)", source.read_text(encoding="utf-8"))
    return sorted({name for call in calls for name in re.findall(r'"(\w+)"', call)})


def shown_text(path):
    """All text outputs of a notebook, as one text with single spaces."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    parts = [
        "".join(data)
        for cell in cells
        for output in cell.get("outputs", ())
        for kind, data in output.get("data", {"text/plain": output.get("text", "")}).items()
        if kind.startswith("text/")
    ]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", " ".join(parts))).split())


@pytest.mark.parametrize("source", build.sources(), ids=lambda source: source.stem)
def test_ledger_rows_are_those_of_the_shipped_ladder(source, root):
    names = claims_shown(source)
    text = shown_text(root / "notebooks" / "solutions" / f"{source.stem}.ipynb")
    for name in names:
        _, hypothesis, verdict, effects = ladder.row(name)
        for cell in (hypothesis, verdict, effects):
            assert " ".join(cell.split()) in text, f"{name}: rebuild with `make notebooks`"


def test_most_notebooks_show_rows_of_the_ladder():
    assert sum(bool(claims_shown(source)) for source in build.sources()) >= 8

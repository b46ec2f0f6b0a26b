"""Read a notebook's text source and make the learner's cells from it.

A source is a Python file in jupytext's percent format, `notebooks/source/NN_name.py`:

    # %% [markdown] id="title" minutes=4          a cell starts with "# %%", then its attributes
    # # 01 LoRA by hand                           Markdown lines are comments
    # %% id="forward" tags=["keep-output"]        a code cell
    def scaling(alpha, r):
        ### BEGIN SOLUTION                        nbgrader's markers
        return alpha / r
        ### END SOLUTION

The solution notebook shows the code without the marker lines. The learner notebook shows a stub
in place of what stands between them. The stub never raises: inside a function it is `...`, so
the function returns None; at the top level every name the solution assigns becomes `...`.
"""

import ast
import json
import re
from dataclasses import dataclass, field
from textwrap import dedent

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
STUB_COMMENT = "# your code here"
_HEADER = re.compile(r"^# %%(?:\s+\[(markdown)\])?(.*)$")
_ATTRIBUTE = re.compile(r"""([\w-]+)=("[^"]*"|\[[^\]]*\]|[^\s]+)""")
_CELL_ID = re.compile(r"^[a-zA-Z0-9-]{1,64}$")


class SourceError(ValueError):
    """A source breaks a rule of the format; the message names the file, the line and the cure."""


@dataclass(frozen=True)
class Cell:
    """One cell of a source: `kind` is "markdown" or "code"."""

    kind: str
    id: str
    text: str
    tags: tuple[str, ...] = ()
    attributes: dict = field(default_factory=dict)

    @property
    def is_exercise(self) -> bool:
        """True where the cell holds a solution between the markers."""
        return self.kind == "code" and BEGIN in self.text


def parse(text: str, name: str = "source") -> list[Cell]:
    """Split a percent-format source into cells.

    Raises:
        SourceError: text before the first cell, a missing, repeated or impossible id.

    >>> cells = parse('# %% [markdown] id="a"\\n# # Hi\\n# %% id="b"\\n1\\n')
    >>> [(cell.kind, cell.id, cell.text) for cell in cells]
    [('markdown', 'a', '# Hi'), ('code', 'b', '1')]
    """
    blocks: list[tuple[int, re.Match, list[str]]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            blocks.append((number, header, []))
        elif blocks:
            blocks[-1][2].append(line)
        elif line.strip():
            raise SourceError(f"{name}:{number}: text before the first cell; begin with '# %%'.")
    cells: list[Cell] = []
    seen: set[str] = set()
    for number, header, lines in blocks:
        attributes = _attributes(header.group(2), f"{name}:{number}")
        cell_id = str(attributes.pop("id", ""))
        if not _CELL_ID.match(cell_id) or cell_id in seen:
            raise SourceError(
                f'{name}:{number}: the cell needs an id of its own, such as id="lora-forward" '
                f"(letters, digits, hyphens; it has {cell_id!r})."
            )
        seen.add(cell_id)
        kind = "markdown" if header.group(1) else "code"
        body = [_uncomment(line) for line in lines] if kind == "markdown" else lines
        tags = tuple(attributes.pop("tags", ()))
        cells.append(Cell(kind, cell_id, "\n".join(body).strip("\n"), tags, attributes))
    return cells


def _attributes(text: str, where: str) -> dict:
    found = {}
    for key, value in _ATTRIBUTE.findall(text):
        try:
            found[key] = json.loads(value)
        except json.JSONDecodeError:
            raise SourceError(
                f'{where}: cannot read {key}={value}; write it as in id="name" or tags=["a"].'
            ) from None
    return found


def _uncomment(line: str) -> str:
    return line[2:] if line.startswith("# ") else line.lstrip("#") if line == "#" else line


def solution_text(text: str) -> str:
    """The code with its solution: only the marker lines are taken out.

    >>> solution_text("x = 1\\n### BEGIN SOLUTION\\ny = 2\\n### END SOLUTION")
    'x = 1\\ny = 2'
    """
    kept = [line for line in text.splitlines() if line.strip() not in (BEGIN, END)]
    return "\n".join(kept)


def learner_text(text: str) -> str:
    """The code with a stub in place of every solution.

    >>> print(learner_text("if x:\\n    ### BEGIN SOLUTION\\n    y = x\\n    ### END SOLUTION"))
    if x:
        ...  # your code here
    >>> learner_text("### BEGIN SOLUTION\\ncount = 3\\n### END SOLUTION")
    'count = ...  # your code here'
    """
    lines: list[str] = []
    solution: list[str] | None = None
    for line in text.splitlines():
        if line.strip() == BEGIN:
            if solution is not None:
                raise SourceError("BEGIN SOLUTION inside a solution; close the first one.")
            solution, indent = [], line[: len(line) - len(line.lstrip())]
        elif line.strip() == END:
            if solution is None:
                raise SourceError("END SOLUTION without BEGIN SOLUTION.")
            lines += [indent + stub for stub in _stubs(solution, indent)]
            solution = None
        elif solution is not None:
            solution.append(line)
        else:
            lines.append(line)
    if solution is not None:
        raise SourceError("BEGIN SOLUTION without END SOLUTION.")
    return "\n".join(lines)


def _stubs(solution: list[str], indent: str) -> list[str]:
    """Lines that stand in for a solution: names bound to `...`, or a single `...`."""
    names: list[str] = []
    if not indent:
        for node in ast.parse(dedent("\n".join(solution))).body:
            targets = node.targets if isinstance(node, ast.Assign) else ()
            names += [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
    return [f"{name} = ...  {STUB_COMMENT}" for name in names] or [f"...  {STUB_COMMENT}"]

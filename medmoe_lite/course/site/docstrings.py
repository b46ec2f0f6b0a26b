"""Docstrings as reStructuredText, so that Sphinx shows what people read in the files.

The docstrings are plain text in Google's form: formulas and pictures are indented, `names` stand
between single backticks, and a star is a star. Three things are changed, and only on the site:

    an indented block after a blank line      becomes a literal block
    * | @ and a trailing _                    are escaped
    `name`                                    is code (Sphinx's default role)

Sections such as "Args:" are left to Sphinx's napoleon. A Sphinx extension; see `site/conf.py`.
"""

import re
from typing import Any

SECTIONS = {"Args:", "Returns:", "Raises:", "Yields:", "Attributes:", "Note:"}
_CODE = re.compile(r"(`[^`]*`)")
_SPECIAL = re.compile(r"([*|@\\])|(?<=\w)(_)(?!\w)")


def as_rst(lines: list[str]) -> list[str]:
    r"""The lines of a docstring as reStructuredText.

    >>> as_rst(["A formula:", "", "    y = B A x * s", "", "where a* is `x_`."])
    ['A formula:', '', '::', '', '    y = B A x * s', '', 'where a\\* is `x_`.', '']
    >>> as_rst(["Args:", "    x: (b, t), a *row*."])
    ['Args:', '    x: (b, t), a \\*row\\*.', '']
    """
    made: list[str] = []
    literal = section = doctest = False
    for line in lines:
        text, indented = line.strip(), line.startswith("    ")
        if not text:
            doctest = False
            made.append("")
            continue
        if not indented:
            literal, section = False, text in SECTIONS
        elif not literal and not section and not doctest and (not made or not made[-1]):
            literal = True
            made += ["::", ""]
        doctest = doctest or text.startswith(">>>")
        made.append(line if literal or doctest else _escaped(line))
    return [*made, ""]


def _escaped(line: str) -> str:
    """Marks of reStructuredText as plain signs, but not between backticks."""
    parts = _CODE.split(line)
    parts[::2] = [_SPECIAL.sub(r"\\\1\2", part) for part in parts[::2]]
    # `name`s: the letter after it would keep the closing backtick from closing
    for place in range(2, len(parts), 2):
        parts[place] = re.sub(r"^(?=\w)", r"\\ ", parts[place])
    return "".join(parts)


def _change(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    lines[:] = as_rst(lines)


def setup(app: Any) -> dict[str, bool]:
    """Before napoleon, whose priority is 500."""
    app.connect("autodoc-process-docstring", _change, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

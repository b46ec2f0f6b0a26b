"""Formulas on the site without a network: LaTeX becomes MathML while the pages are built.

    $\\alpha / r$  -->  <math><mfrac>...</mfrac></math>      drawn by the browser itself

Sphinx's own ways need a script from a network, or LaTeX on this machine. MathML Core is drawn by
every browser since 2023, follows dark and light, and is read aloud by screen readers. What stands
here is a Sphinx extension; `site/conf.py` names it.

Source: https://www.w3.org/TR/mathml-core/
"""

from html import escape
from typing import Any

NAME = "mathml"


def mathml(latex: str, display: bool = False) -> str:
    """One formula as MathML, its LaTeX as alternative text.

    Args:
        latex: without the dollar signs.
        display: on a line of its own, with large operators.

    Raises:
        ValueError: a command that could not be read, which would be seen as text.
    """
    from latex2mathml.converter import convert

    made = convert(" ".join(latex.split()), display="block" if display else "inline")
    if "\\" in made:
        raise ValueError(f"a formula has a command that MathML does not know: {latex!r}")
    head, rest = made.split(">", 1)
    return f'{head} alttext="{escape(latex.strip(), quote=True)}">{rest}'


def _inline(writer: Any, node: Any) -> None:
    from docutils.nodes import SkipNode

    writer.body.append(f'<span class="math">{mathml(node.astext())}</span>')
    raise SkipNode


def _block(writer: Any, node: Any) -> None:
    from docutils.nodes import SkipNode

    # A wide formula scrolls, so it must be reachable with the keyboard.
    label = escape(" ".join(node.astext().split()), quote=True)
    writer.body.append(
        f'<div class="math" tabindex="0" role="group" aria-label="formula: {label}">'
        f"{mathml(node.astext(), display=True)}</div>\n"
    )
    raise SkipNode


def _depart(writer: Any, node: Any) -> None:  # pragma: no cover - SkipNode skips it
    pass


def setup(app: Any) -> dict[str, bool]:
    """Tell Sphinx about the renderer."""
    app.add_html_math_renderer(NAME, (_inline, _depart), (_block, _depart))
    return {"parallel_read_safe": True, "parallel_write_safe": True}

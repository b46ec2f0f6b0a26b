"""Pages of the instructor's material: Markdown, and the same as one HTML file that needs nothing.

No script, no font, no picture from elsewhere: a page can be mailed, printed, opened on a plane.
Formulas are drawn by matplotlib's mathtext and stand in the page as pictures with their TeX as
alternative text; the Markdown file keeps the TeX.
"""

import base64
import functools
import html
import io
import re

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1b1b; background: #fff;
       max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.7rem; } h2 { margin-top: 2.2rem; border-bottom: 1px solid #bbb; }
h3 { margin-top: 1.6rem; }
pre { background: #f4f4f4; padding: .6rem; white-space: pre-wrap; font-size: .85rem; }
code { font-size: .9em; overflow-wrap: anywhere; } a { color: #0b57a4; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { border: 1px solid #ccc; padding: .25rem .5rem; text-align: left; vertical-align: top; }
th { background: #f4f4f4; } td:first-child { white-space: nowrap; }
img.tex { vertical-align: middle; }
figure { margin: 1.5rem 0; break-inside: avoid; } figure img { max-width: 100%; }
figcaption { font-size: .95rem; max-width: 46rem; }
nav ul { columns: 2; } nav a { text-decoration: none; }
@media (max-width: 40rem) { nav ul { columns: 1; } }
@media print { body { max-width: none; font-size: 11pt; } nav { display: none; }
  h2, h3 { break-after: avoid; } pre, tr { break-inside: avoid; } }
"""
MATH = re.compile(r"\$([^$\n]+(?:\n[^$\n]+)?)\$")
CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)


def plain(text: str) -> str:
    r"""Text for a Markdown paragraph or table cell: no sign of it is taken for Markdown.

    >>> print(plain("a_b | *c*"))
    a\_b \| \*c\*
    """
    return re.sub(r"([\\`*_\[\]|<>#$])", r"\\\1", " ".join(text.split()))


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; cells are Markdown already.

    >>> print(table(["a", "b"], [["1", "2"]]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def page(title: str, markdown: str, after: str = "") -> str:
    """One HTML file from Markdown, with a list of its second headings; `after` is HTML."""
    from markdown_it import MarkdownIt

    drawn: list[str] = []

    def draw(match: re.Match) -> str:
        drawn.append(_formula(" ".join(match[1].split())))
        return f"§{len(drawn) - 1}§"

    pieces = CODE.split(markdown)
    pieces[::2] = [MATH.sub(draw, piece.replace(r"\$", "§dollar§")) for piece in pieces[::2]]
    made = MarkdownIt("commonmark").enable("table").render("".join(pieces))
    made = re.sub(r"§(\d+)§", lambda match: drawn[int(match[1])], made).replace("§dollar§", "$")
    made = made.replace("<table>", '<div class="wide" tabindex="0"><table>')
    made = made.replace("</table>", "</table></div>")
    heads: list[tuple[str, str]] = []

    def name(match: re.Match) -> str:
        heads.append((f"part-{len(heads) + 1}", match[1]))
        return f'<h2 id="{heads[-1][0]}">{match[1]}</h2>'

    made = re.sub(r"<h2>(.*?)</h2>", name, made)
    links = "".join(f'<li><a href="#{key}">{words}</a></li>' for key, words in heads)
    nav = f'<nav aria-label="On this page"><ul>{links}</ul></nav>' if len(heads) > 2 else ""
    made = made.replace("</h1>", f"</h1>{nav}", 1)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main>\n{made}\n{after}</main></body></html>\n"
    )


@functools.cache
def _formula(tex: str) -> str:
    """A formula as a picture with its TeX as alternative text."""
    import matplotlib
    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import math_to_image

    stream, tex = io.BytesIO(), tex.strip()
    with matplotlib.rc_context({"svg.hashsalt": "teach", "mathtext.fontset": "cm"}):
        math_to_image(f"${tex}$", stream, prop=FontProperties(size=12), format="svg")
    picture = re.sub(rb"<metadata>.*?</metadata>", b"", stream.getvalue(), flags=re.DOTALL)
    data = base64.b64encode(picture).decode()
    return f'<img class="tex" src="data:image/svg+xml;base64,{data}" alt="{html.escape(tex)}">'

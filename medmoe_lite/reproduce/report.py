"""The ladder as one page: `report.html`, which needs no other file and no network.

Per claim: what the paper says, what was held equal, the effect with its interval, the verdict,
and the paper's own number beside it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from ..train.files import write_text
from .figures import close, draw, to_bytes
from .tables import arms_table, effects_table
from .verdict import CONTRADICTED, HOLDS, NOT_TESTABLE, NOT_VISIBLE, VERDICTS
from .words import count, words_for

MEANING = {
    HOLDS: "seen as expected: beyond chance, and at least as large as the margin",
    NOT_VISIBLE: "the interval does not decide, or the effect is smaller than the margin",
    CONTRADICTED: "the opposite was seen, beyond chance and the margin",
    NOT_TESTABLE: "a condition failed that the comparison needs, or it was not run",
}
CLASS = {HOLDS: "holds", NOT_VISIBLE: "unseen", CONTRADICTED: "against", NOT_TESTABLE: "untested"}
STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fcfcfa; margin: 0 auto;
  max-width: 60rem; padding: 1rem 1.2rem 4rem; }
h1 { line-height: 1.2; } h2 { margin: 2.5rem 0 .3rem; line-height: 1.25; }
a { color: #0b5394; } table { border-collapse: collapse; margin: .6rem 0; font-size: .92rem; }
.wide { overflow-x: auto; } caption { text-align: left; color: #555; padding-bottom: .2rem; }
th, td { border-bottom: 1px solid #ddd; padding: .25rem .6rem .25rem 0; text-align: left;
  vertical-align: top; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
dt { font-weight: 600; margin-top: .5rem; } dd { margin: 0; }
img { max-width: 100%; height: auto; border: 1px solid #e4e4de; margin: .6rem 0 0; }
figcaption { font-size: .88rem; color: #555; } figure { margin: 0; }
.v { display: inline-block; padding: 0 .5rem; border-radius: .3rem; border: 1px solid;
  font-weight: 600; white-space: nowrap; }
.holds { background: #e3f1e7; color: #14532d; } .unseen { background: #eeeeee; color: #333; }
.against { background: #fbe6dc; color: #7c2d12; } .untested { background: #e8eaf6; color: #283593; }
.quick { background: #fff3cd; border: 1px solid #b8860b; padding: .6rem .9rem; font-weight: 600; }
.small { font-size: .9rem; color: #555; }
"""


def write_report(folder: Path, summary: Mapping[str, Any]) -> Path:
    """Write the figures and `report.html`; returns the page."""
    pictures = {}
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for name, claim in summary["claims"].items():
        drawn = draw(claim)
        if drawn is None:
            continue
        figure, words = drawn
        if summary["size"] != "full":
            figure.suptitle(
                f"{summary['size']} run", fontsize=9, color="#8a6d00", x=0.99, ha="right"
            )
        svg = to_bytes(figure, "svg", name)
        (folder / "figures" / f"{name}.svg").write_bytes(svg)
        (folder / "figures" / f"{name}.png").write_bytes(to_bytes(figure, "png", name))
        close(figure)
        pictures[name] = (svg, words)
    return write_text(folder / "report.html", page(summary, pictures))


def page(summary: Mapping[str, Any], pictures: Mapping[str, tuple[bytes, str]]) -> str:
    """The whole page.

    Args:
        summary: see `summary.summarize`.
        pictures: claim -> (SVG, words).
    """
    label = "" if summary["size"] == "full" else f" ({summary['size']} run)"
    title = f"What four papers claim, tested on {summary['base']}{label}"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        _notice(summary),
        _intro(summary),
        _contents(summary),
    ]
    for name, claim in summary["claims"].items():
        parts.append(_section(name, claim, pictures.get(name), label))
    parts += [_end(summary), "</body></html>"]
    return "\n".join(part for part in parts if part) + "\n"


def _notice(summary: Mapping[str, Any]) -> str:
    if summary["size"] == "full":
        return ""
    return (
        f'<p class="quick" role="note">This is a {escape(summary["size"])} run: fewer claims, '
        "arms, steps and seeds. It shows that everything works. It decides nothing: run "
        "<code>medmoe reproduce --seeds 5</code>.</p>"
    )


def _intro(summary: Mapping[str, Any]) -> str:
    stamp = summary["stamp"]
    seeds = summary["seeds"]
    meanings = "".join(f"<dt>{_chip(v)}</dt><dd>{escape(MEANING[v])}.</dd>" for v in VERDICTS)
    return (
        f"<p>{count(len(summary['claims']), 'claim')}, {count(len(seeds), 'seed')} "
        f"({escape(', '.join(map(str, seeds)))}), about {summary['cpu_minutes_per_seed']} minutes "
        f"of one thread a seed. Commit {escape(stamp.get('commit') or 'unknown')}, "
        f"{escape(stamp.get('time', ''))}.</p>"
        "<p>Arms of one seed share the base, the data, their order and the start of what they have "
        "in common; differences are taken seed by seed. Intervals are Student's, 95 %. What is "
        "compared, in which direction, and the smallest difference that counts were fixed before "
        "the runs. A small model can refute “always” and show how a mechanism works. It cannot "
        "confirm a result on exams, and nothing here says anything about patients.</p>"
        f"<p>{summary['primary_effects']} effects decide. At 95 % one interval in twenty misses by "
        "chance; “also corrected” marks those that stand when all are taken together "
        "(Bonferroni).</p>"
        f"<dl>{meanings}</dl>"
    )


def _contents(summary: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><td><a href="#{escape(name)}">{escape(claim["title"])}</a></td>'
        f"<td>{escape(claim['paper'])}</td><td>{_chip(claim['verdict'])}</td></tr>"
        for name, claim in summary["claims"].items()
    )
    return (
        '<table><caption>All claims</caption><thead><tr><th scope="col">Question</th>'
        f'<th scope="col">Paper</th><th scope="col">Verdict</th></tr></thead><tbody>{rows}'
        "</tbody></table>"
    )


def condition(one: Mapping[str, Any]) -> str:
    """A condition in words.

    >>> condition({"arm": "a", "measure": "formats", "at_least": 0.9, "at_most": None, "why": ""})
    'strict formats of “a” at least 0.9'
    """
    bounds = [
        f"{word} {one[name]:g}"
        for name, word in (("at_least", "at least"), ("at_most", "at most"))
        if one[name] is not None
    ]
    text = f"{words_for(one['measure'])} of “{one['arm']}” {' and '.join(bounds)}"
    return f"{text} ({one['why']})" if one["why"] else text


def _section(
    name: str, claim: Mapping[str, Any], picture: tuple[bytes, str] | None, label: str
) -> str:
    facts = [
        ("Paper", f"{claim['paper']}: {claim['item']}"),
        ("Hypothesis", claim["hypothesis"]),
        ("Held equal", claim["equal"]),
        ("Must hold for the comparison to count", "; ".join(map(condition, claim["conditions"]))),
        ("In the paper", f"{claim['published']} ({claim['source']})"),
        ("What this scale cannot show", claim["limit"]),
    ]
    listed = "".join(f"<dt>{k}</dt><dd>{escape(v)}</dd>" for k, v in facts if v)
    figure = ""
    if picture is not None:
        data = base64.b64encode(picture[0]).decode()
        words = escape(picture[1], quote=True)
        figure = (
            f'<figure><img alt="{words}" src="data:image/svg+xml;base64,{data}">'
            f"<figcaption>{words} Bars across: seeds; line: 95 % interval.{escape(label)}"
            "</figcaption></figure>"
        )
    return (
        f'<section><h2 id="{escape(name)}">{escape(claim["title"])}{escape(label)}</h2>'
        f"<p>{_chip(claim['verdict'])} {escape(claim['why'])}</p><dl>{listed}</dl>"
        f"{effects_table(claim)}{figure}{arms_table(claim)}</section>"
    )


def _chip(verdict: str) -> str:
    return f'<span class="v {CLASS[verdict]}">{escape(verdict)}</span>'


def _end(summary: Mapping[str, Any]) -> str:
    failures = "".join(
        f"<li>{escape(name)}: {escape(str(why).strip().splitlines()[-1])}</li>"
        for name, why in summary["failures"].items()
    )
    lost = f"<h2>Runs that failed</h2><ul>{failures}</ul>" if failures else ""
    stamp = "".join(
        f"<tr><th scope='row'>{escape(k)}</th><td>{escape(str(v))}</td></tr>"
        for k, v in summary["stamp"].items()
        if v != ""
    )
    return f"{lost}<h2>Stamp</h2><table>{stamp}</table>"

"""`medmoe report DIR`: a run as one page that needs no other file and no network.

DIR/report.html    what ran, forgetting, routers, scores beside the papers' numbers
DIR/report/*.png   the same figures as files
"""

from __future__ import annotations

import argparse
import base64
import os
import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ..paths import data_dir
from ..train.files import read_json, write_text
from . import drawing
from .run_figures import (
    Drawn,
    forgetting_curve,
    histories,
    loss_curves,
    record_of,
    router_heatmaps,
)  # fmt: skip

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fcfcfa; margin: 0 auto;
  max-width: 60rem; padding: 1rem 1.2rem 4rem; }
h1 { line-height: 1.2; } h2 { margin: 2.2rem 0 .3rem; }
table { border-collapse: collapse; margin: .6rem 0; font-size: .92rem; }
.wide { overflow-x: auto; } caption { text-align: left; color: #555; }
th, td { border-bottom: 1px solid #ddd; padding: .25rem .8rem .25rem 0; text-align: left;
  vertical-align: top; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; height: auto; border: 1px solid #e4e4de; } figure { margin: 1rem 0; }
figcaption, .small { font-size: .88rem; color: #555; } code { overflow-wrap: anywhere; }
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 0 done, 1 failed, 2 refused."""
    top = argparse.ArgumentParser(prog="medmoe report", description="A run as one page.")
    top.add_argument("folder", type=Path, help="a run's folder")
    top.add_argument("--out", type=Path, help="the page (default: report.html in the folder)")
    options = top.parse_args(arguments)
    from ..train.run_card import read
    from ..train.trouble import in_words

    try:
        card = read(options.folder)
        if card is None:
            raise ValueError(f"{options.folder} holds no run: there is no run.json in it.")
        page = write_report(options.folder, card, options.out or options.folder / "report.html")
    except Exception as error:
        found = in_words(error, options.folder)
        if found is None:
            raise
        print(f"medmoe report: {found[1]}", file=sys.stderr)
        return found[0]
    print(page)
    return 0


def write_report(folder: Path, card: Mapping[str, Any], page: Path) -> Path:
    """Write the figures and the page; returns the page."""
    stages = [stage["name"] for stage in card.get("stages", [])]
    found = histories(folder, stages)
    record = record_of(found)
    curve = forgetting_curve(record)
    drawn = ([curve] if curve else []) + loss_curves(found)
    for where in [*stages, "eval"]:
        drawn += router_heatmaps(folder / where / "routing.json", where)
    pictures = {one.name: _write_figure(one, page.parent / page.stem) for one in drawn}
    title = f"{card.get('recipe', 'a run')} on {card.get('base', {}).get('name', 'a base')}"
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        run_table(card),
        "<h2>Scores</h2>",
        scores_table(folder),
        papers_table(folder),
        "<h2>What changed</h2>",
        forgetting_table(record),
        *(_figure(one, pictures[one.name]) for one in drawn),
        "</body></html>",
    ]
    return write_text(page, "\n".join(part for part in parts if part) + "\n")


def run_table(card: Mapping[str, Any]) -> str:
    """What ran, on what, for how long."""
    calls = card.get("calls", [])
    versions = card.get("versions", {})
    device = card.get("device", {})
    energy = [call["energy"]["kwh"] for call in calls if "kwh" in call.get("energy", {})]
    rows = {
        "status": f"{card.get('status')} after {len(calls)} calls of the command",
        "command": calls[-1]["command"] if calls else "",
        "began, ended": f"{calls[0]['started']}, {calls[-1].get('ended', 'open')}" if calls else "",
        "seconds": f"{sum(call.get('seconds', 0) for call in calls):,.0f}",
        "energy": f"{sum(energy):.4f} kWh (an estimate)" if energy else "not estimated",
        "device": f"{device.get('name', device.get('type', ''))}, {device.get('dtype', '')}",
        "base": f"{card.get('base', {}).get('name')}, revision "
        f"{card.get('base', {}).get('revision') or 'none'}",
        "seed": card.get("seed"),
        "commit": card.get("commit") or "none",
        "versions": ", ".join(f"{name} {number}" for name, number in versions.items() if number),
        "data": "; ".join(
            f"{row['source']}: {row['examples']} of {row['reader']}"
            + (f", SHA-256 {row['sha256'][:12]}" if "sha256" in row else "")
            for row in card.get("data", [])
        ),
        "values nobody gave": "; ".join(card.get("stated_defaults", [])) or "none",
    }
    return table("", ("", ""), list(rows.items()))


def scores_table(folder: Path) -> str:
    """Strict, paper-style and published scores of the run and of its base, side by side."""
    rows = []
    for name, kind in (("eval-base", "base"), ("eval", "trained")):
        for suite, scores in _scores(folder / name).items():
            papers = [f"{key} {_percent(row)}" for key, row in scores.get("paper", {}).items()]
            published = [f"{key} {_percent(r)}" for key, r in scores.get("published", {}).items()]
            rows.append((
                suite, kind, scores["n"], scores["unparsed"], _percent(scores["strict"], True),
                "; ".join(papers), "; ".join(published),
                _percent(scores["likelihood"]) if "likelihood" in scores else "",
            ))  # fmt: skip
    if not rows:
        return (
            '<p class="small">Nothing was scored after the run: type <code>medmoe eval '
            f"{escape(str(folder))}</code>.</p>"
        )
    head = ("suite", "model", "n", "unparsed", "strict [95 %]", "paper-style", "published",
            "likelihood")  # fmt: skip
    return table("Percent. Intervals: bootstrap over items.", head, sorted(rows), numbers=(2, 3))


def papers_table(folder: Path) -> str:
    """The papers' own numbers for the benchmarks that were scored."""
    readers = {scores["reader"] for scores in _scores(folder / "eval").values()}
    content = read_json(data_dir() / "papers" / "scores.json")
    rows = [
        (row["benchmark"], row["model"], f"{row['value']:g}", row["metric"], row["source"])
        for row in content["scores"]
        if row["reader"] in readers
    ]
    if not rows:
        return ""
    caption = "What the papers publish, in percent. Their splits and graders may differ."
    return table(caption, ("benchmark", "model", "score", "metric", "source"), rows, numbers=(2,))


def forgetting_table(record: Any) -> str:
    """F = base - now of every suite after the last stage, with its interval."""
    if not record.stages():
        return '<p class="small">No suite was scored while training (option --eval).</p>'
    rows = [
        (suite, f"{100 * c.base:.1f}", f"{100 * c.now:.1f}",
         f"{100 * c.forgetting:+.1f} [{100 * c.low:+.1f}, {100 * c.high:+.1f}]")
        for suite, c in record.forgetting().items()
    ]  # fmt: skip
    caption = f"Base against the end of {record.stages()[-1]}; positive: forgotten. Percent."
    return table(caption, ("suite", "base", "now", "forgotten [95 %]"), rows, numbers=(1, 2))


def table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[Any]], numbers: Sequence[int] = ()
) -> str:
    """An HTML table; `numbers` are the columns set to the right.

    >>> table("", ("a",), [("<b>",)])
    '<div class="wide"><table><tr><th>a</th></tr><tr><td>&lt;b&gt;</td></tr></table></div>'
    """

    def cells(row: Sequence[Any], kind: str) -> str:
        marks = [' class="n"' if place in numbers else "" for place in range(len(row))]
        return "".join(
            f"<{kind}{mark}>{escape(str(cell))}</{kind}>"
            for mark, cell in zip(marks, row, strict=True)
        )

    top = f"<caption>{escape(caption)}</caption>" if caption else ""
    first = f"<tr>{cells(head, 'th')}</tr>" if any(head) else ""
    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f'<div class="wide"><table>{top}{first}{body}</table></div>'


def _scores(folder: Path) -> dict[str, Any]:
    path = folder / "scores.json"
    return read_json(path) if path.is_file() else {}


def _percent(row: Mapping[str, float], interval: bool = False) -> str:
    text = f"{100 * row['score']:.1f}"
    return f"{text} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]" if interval else text


def _write_figure(one: Drawn, folder: Path) -> bytes:
    folder.mkdir(parents=True, exist_ok=True)
    content = drawing.png(one.figure)
    beside = folder / f".{one.name}.{os.getpid()}.tmp"
    beside.write_bytes(content)
    os.replace(beside, folder / f"{one.name}.png")
    return content


def _figure(one: Drawn, content: bytes) -> str:
    data = base64.b64encode(content).decode()
    return (
        f"<figure><h3>{escape(one.title)}</h3>"
        f'<img alt="{escape(one.words)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(one.words)}</figcaption></figure>"
    )

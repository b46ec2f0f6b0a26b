"""The claim ledger to look through: filter by paper and verdict, pick a claim, read it in full.

All numbers come from the ladder's file and the learner's own row; a picture is drawn once and
kept. Without a kernel the first claim's picture and words are part of the output.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medmoe_lite.lab.diagram import canvas, note
from medmoe_lite.lab.html import escape, in_notebook, publish
from medmoe_lite.lab.ladder import ladder, told
from medmoe_lite.lab.plots import CYCLE, MARKERS, PALETTE, new_axes
from medmoe_lite.lab.show import png
from medmoe_lite.lab.widgets import view, wire
from medmoe_lite.reproduce.words import words_for

if TYPE_CHECKING:
    import ipywidgets
    from matplotlib.figure import Figure

Rows = Mapping[str, Mapping[str, Any]]
ALL, UNITS = "all", 20.0  # an effect this many times larger is in another unit


def rows(own: Mapping[str, Any] | None = None) -> dict[str, Mapping[str, Any]]:
    """Claims by id, one's own row first."""
    mine = {"your own": own} if own else {}
    return {**mine, **ladder()["claims"]}


def chosen(table: Rows, paper: str = ALL, verdict: str = ALL) -> list[str]:
    """Ids of the claims that pass both filters."""
    return [
        name
        for name, claim in table.items()
        if paper in (ALL, claim["paper"]) and verdict in (ALL, claim["verdict"])
    ]


def seeds_in_words(claim: Mapping[str, Any], own: bool) -> str:
    """Where the numbers are from."""
    count = len(claim["seeds"])
    if not count:
        return "not run"
    return f"{'this run' if own else 'recorded'}, {count} seed{'s' if count > 1 else ''}"


def forest(claim: Mapping[str, Any], own: bool = False) -> "tuple[Figure, str]":
    """Effects of a claim: a tick a seed, mean and 95 % interval, and the margin as a band."""
    found = [effect for effect in claim["effects"] if effect["mean"] is not None]
    source = seeds_in_words(claim, own)
    if not found:
        figure, axis = canvas(8.4, 1.6, (0, 10), (0, 2))
        note(axis, 5, 1, f"{claim['title']}\n{source}: no effect to draw")
        return figure, f"{claim['title']} {source}. {claim['why']}"
    shown = drawable(found)
    height = 1.5 + 0.46 * len(shown)
    figure, axis = new_axes(8.4, height)
    figure.set_layout_engine(None)  # fixed margins: drawn in half the time
    figure.subplots_adjust(0.42, 0.65 / height, 0.97, 1 - 0.6 / height)
    for row, effect in enumerate(shown):
        _effect(axis, row, effect)
    labels = [n if e["primary"] else f"({n})" for n, e in zip(named(shown), shown, strict=True)]
    axis.set_yticks(range(len(shown)), [_short(label) for label in labels])
    axis.set_ylim(len(shown) - 0.4, -0.6)
    axis.axvline(0, color=PALETTE["base"], linewidth=1)
    axis.set(xlabel="difference, ours - other")
    figure.suptitle(
        f"{_short(claim['title'], 84)}\n({source})", x=0.01, y=0.99, ha="left", fontsize=12
    )
    words = "; ".join(in_words(e, n) for n, e in zip(named(found), found, strict=True))
    many = " In brackets: not part of the verdict." if not all(e["primary"] for e in found) else ""
    if len(shown) < len(found):
        many += " What is in another unit is told here and not drawn."
    return figure, f"{claim['title']} {source[:1].upper()}{source[1:]}. {words}.{many}"


def drawable(effects: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The primary effects, and those that fit on one axis with them: tokens dwarf shares."""
    primary = [effect for effect in effects if effect["primary"]] or effects
    ends = [e[key] or 0.0 for e in primary for key in ("mean", "low", "high", "margin")]
    reach = UNITS * max(abs(end) for end in ends if end == end)
    return [effect for effect in effects if effect["primary"] or abs(effect["mean"]) <= reach]


def _effect(axis: Any, row: int, effect: Mapping[str, Any]) -> None:
    primary = effect["primary"]
    colour = CYCLE[0] if primary else PALETTE["base"]
    margin = effect["margin"]
    axis.barh(row, 2 * margin, left=-margin, height=0.62, color="#e9e6dc", zorder=0)
    axis.plot(effect["values"], [row] * len(effect["values"]), "|", color="#333333", markersize=10)
    low, high = effect["low"], effect["high"]
    if low is not None and high is not None and low == low:
        axis.plot([low, high], [row, row], color=colour, linewidth=2.4)
    axis.plot([effect["mean"]], [row], MARKERS[0 if primary else 2], color=colour, markersize=7)


def _short(text: str, most: int = 44) -> str:
    return text if len(text) <= most else text[: most - 3].rstrip() + "..."


def facts(name: str, claim: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is said of a claim beside its effects, heading by heading."""
    published = claim["published"] + (f" ({claim['source']})" if claim["source"] else "")
    found = [
        ("Claim", f"{name}: {claim['title']}"),
        ("Paper", f"{claim['paper']}, {claim['item']}"),
        ("Hypothesis", claim["hypothesis"]),
        ("Held equal", claim["equal"]),
        ("Published", published),
        (
            "Verdict",
            claim["verdict"] if claim["effects"] else f"{claim['verdict']}: {claim['why']}",
        ),
    ]
    return [*found, ("Limit", claim["limit"])] if claim["effects"] and claim["limit"] else found


def named(effects: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each effect says; where two say the same, with the measure in front."""
    said = [effect["says"] for effect in effects]
    return [
        f"{words_for(effect['measure'])}: {says}" if said.count(says) > 1 else says
        for says, effect in zip(said, effects, strict=True)
    ]


def in_words(effect: Mapping[str, Any], name: str) -> str:
    """An effect: what was expected, what was measured, the verdict, also as one of many."""
    asked = f"{name} (expected {effect['expect']}, margin {effect['margin']:g})"
    if effect["low"] is None or effect["low"] != effect["low"]:
        return f"{asked}: {effect['mean']:+.3f}, one seed, no interval"
    strict = effect["verdict_corrected"]
    more = f" ({strict}, counted as one of many)" if strict != effect["verdict"] else ""
    return f"{asked}: {told(effect).rpartition(': ')[2]}, {effect['verdict']}{more}"


def as_html(name: str, claim: Mapping[str, Any]) -> str:
    """The words as a list of definitions."""
    parts = "".join(
        f"<dt><b>{escape(head)}</b></dt><dd>{escape(text)}</dd>"
        for head, text in facts(name, claim)
    )
    return f"<dl>{parts}</dl>"


def ledger_explorer(own: Mapping[str, Any] | None = None) -> None:
    """Show the browser; `own` is the learner's row, see `own.row_of`."""
    table = rows(own)
    first = next(iter(table))
    figure, words = forest(table[first], own=own is not None)
    picture = png(figure)
    text = "\n".join(f"{head}: {said}" for head, said in facts(first, table[first]))
    if not in_notebook():
        print(words, text, sep="\n")
        return
    data = {"image/png": base64.b64encode(picture).decode(), **view(controls(table, own))}
    publish(f"{words}\n{text}", "", data, **{"image/png": {"alt": words}})


def controls(table: Rows, own: Mapping[str, Any] | None = None) -> "ipywidgets.VBox":
    """Three lists, the picture, the words. The filters change what the third list offers."""
    import ipywidgets

    wide = {"layout": ipywidgets.Layout(width="44em"), "style": {"description_width": "5em"}}
    papers = list(dict.fromkeys(claim["paper"] for claim in table.values()))
    verdicts = sorted({claim["verdict"] for claim in table.values()})
    paper = ipywidgets.Dropdown(options=[ALL, *papers], description="paper", **wide)
    verdict = ipywidgets.Dropdown(options=[ALL, *verdicts], description="verdict", **wide)
    claim = ipywidgets.Dropdown(options=_options(table, list(table)), description="claim", **wide)
    words = ipywidgets.HTML()

    def filtered(change: Any) -> None:
        claim.options = _options(table, chosen(table, paper.value, verdict.value))

    def draw(paper: str, verdict: str, claim: str | None) -> "tuple[Figure, str]":
        if claim is None:
            raise ValueError("No claim passes both filters: choose another paper or verdict.")
        words.value = as_html(claim, table[claim])
        return forest(table[claim], own=own is table[claim])

    for control in (paper, verdict):
        control.observe(filtered, "value")  # before `wire`, so that it draws what was filtered
    return ipywidgets.VBox(
        [wire(draw, {"paper": paper, "verdict": verdict, "claim": claim}), words]
    )


def _options(table: Rows, names: list[str]) -> list[tuple[str, str]]:
    return [(f"{name}: {_short(table[name]['title'], 62)}", name) for name in names]


def overview(own: Mapping[str, Any] | None = None) -> dict[str, dict[str, int]]:
    """paper -> verdict -> how many claims: the ledger in one small table."""
    found: dict[str, dict[str, int]] = {}
    for claim in rows(own).values():
        row = found.setdefault(claim["paper"], {})
        row[claim["verdict"]] = row.get(claim["verdict"], 0) + 1
    return found

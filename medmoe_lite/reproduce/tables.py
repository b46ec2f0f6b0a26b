"""The two tables of a claim, as HTML: its effects, and the numbers of its arms."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from .summary import mean_and_interval
from .verdict import CONTRADICTED, HOLDS
from .words import words_for


def effects_table(claim: Mapping[str, Any]) -> str:
    """Each effect: what was subtracted from what, mean and interval, expected and found."""
    rows = []
    for effect in claim["effects"]:
        other = effect["other"]
        against = other if isinstance(other, str) else f"the number {other:g}"
        name = words_for(effect["measure"])
        if effect["other_measure"]:
            name += f" against {words_for(effect['other_measure'])}"
        sure = ""
        if effect["verdict"] in (HOLDS, CONTRADICTED):
            same = effect["verdict"] == effect["verdict_corrected"]
            sure = "also corrected" if same else f"corrected: {effect['verdict_corrected']}"
        rows.append(
            f"<tr><td>{'<b>decides</b>: ' if effect['primary'] else ''}"
            f"{escape(effect['says'])}</td>"
            f"<td>{escape(effect['ours'])} − {escape(against)}, {escape(name)}</td>"
            f'<td class="n">{_interval(effect)}</td>'
            f"<td>{escape(effect['expect'])}, by {effect['margin']:g}</td>"
            f"<td>{escape(effect['verdict'] or 'undecided')}"
            f'<br><span class="small">{escape("; ".join(x for x in (sure, effect["note"]) if x))}'
            "</span></td></tr>"
        )
    if not rows:
        return ""
    head = "".join(
        f'<th scope="col">{h}</th>'
        for h in ("Effect", "Difference", "Mean and 95 % interval", "Expected", "Found")
    )
    return (
        f'<div class="wide"><table><caption>Effects over {len(claim["seeds"])} seeds</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def arms_table(claim: Mapping[str, Any]) -> str:
    """Each arm: the numbers that the figure and the effects are about, and its parameters."""
    measures = list(claim["plot"]["measures"])
    shown = [e["measure"] for e in claim["effects"]]
    shown += [e["other_measure"] for e in claim["effects"] if e["other_measure"]]
    names = list(dict.fromkeys([*measures, *shown, "parameters"]))
    rows = []
    for arm, content in claim["arms"].items():
        cells = []
        for name in names:
            values = content["numbers"].get(name, [])
            cells.append(f'<td class="n">{_cell(name, values)}</td>')
        rows.append(f'<tr><th scope="row">{escape(arm)}</th>{"".join(cells)}</tr>')
    if not rows:
        return ""
    head = "".join(f'<th scope="col" class="n">{escape(words_for(name))}</th>' for name in names)
    return (
        '<div class="wide"><table><caption>Arms: mean over seeds, ± half of the interval</caption>'
        f'<thead><tr><th scope="col">Arm</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody>'
        "</table></div>"
    )


def _cell(name: str, values: list[Any]) -> str:
    known = [v for v in values if isinstance(v, int | float)]
    if not known:
        return "–"
    if name.startswith("parameters"):
        return f"{round(sum(known) / len(known)):,}"
    mean, low, high = mean_and_interval(known)
    return f"{mean:.3f}" + (f" ± {(high - low) / 2:.3f}" if len(known) > 1 else "")


def _interval(effect: Mapping[str, Any]) -> str:
    if effect["mean"] is None:
        return "–"
    if effect["low"] is None:
        return f"{effect['mean']:+.3f}"
    return f"{effect['mean']:+.3f} [{effect['low']:+.3f}, {effect['high']:+.3f}]"

"""One suite of `medmoe eval`: decode, score three ways, and say it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..train.files import write_json

if TYPE_CHECKING:
    from ..tasks import Example


class Suite(NamedTuple):
    """What is scored under one name: its reader ("kit" for our own tasks), items, and file."""

    reader: str
    items: list[Example]
    about: dict[str, Any]


def score_suite(
    model: Any,
    tokenizer: Any,
    name: str,
    suite: Suite,
    about: Mapping[str, Any],
    options: argparse.Namespace,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Decode and score one suite: its numbers, and a row for each answer."""
    from ..tasks.readers import scoring
    from .likelihood import likelihood_choice
    from .scores import score

    with told_task(model, name, about):
        said = score(model, tokenizer, suite.items, options.batch_size, options.max_new_tokens)
        likeliest = None
        if options.likelihood and all(item.choices for item in suite.items):
            likeliest = likelihood_choice(model, tokenizer, suite.items, options.batch_size)
    if suite.reader == "kit":
        interval = {"score": said.exact, "low": said.low, "high": said.high}
        scores: dict[str, Any] = {
            "reader": "kit", "n": said.n, "unparsed": said.unparsed, "strict": interval,
        }  # fmt: skip
    else:
        scores = scoring.report(suite.reader, suite.items, said.answers)
    scores["marks"] = said.marks()
    if likeliest is not None:
        scores["likelihood"] = {
            "score": likeliest.exact, "low": likeliest.low, "high": likeliest.high,
        }  # fmt: skip
    rows = [
        {"id": item.meta.get("id", place), "answer": text, "gold": item.answer, "right": right}
        for place, (item, text, right) in enumerate(
            zip(suite.items, said.answers, said.correct, strict=True)
        )
    ]
    return scores, rows


def told_task(model: Any, name: str, about: Mapping[str, Any]) -> Any:
    """Tell a task gate which source of the mix a suite belongs to."""
    from ..train.stage import Stage
    from ..train.suites import asks_for_tasks, routing_of, suites_by_task

    if not asks_for_tasks(model):
        return routing_of(model, None)
    stage = Stage.from_dict(about["card"]["stages"][-1])
    (task,) = suites_by_task(model, stage, {name: []})
    return routing_of(model, task)


def note_routing(
    model: Any, tokenizer: Any, suites: Mapping[str, Suite], about: Mapping[str, Any], out: Path
) -> None:
    """Who works on which suite, where anything is routed."""
    from .routing_table import routing_table

    stages = about["card"].get("stages") or [{"mix": {}}]
    items = {name: suite.items[:64] for name, suite in suites.items()}
    table = routing_table(model, tokenizer, items, list(stages[-1]["mix"]))
    if table is not None:
        write_json(out / "routing.json", table)


def told(name: str, scores: Mapping[str, Any]) -> list[str]:
    """Lines for the terminal, in percent."""
    rows = [("strict", scores["strict"])]
    rows += [(f"paper, {grader}", row) for grader, row in scores.get("paper", {}).items()]
    rows += [(f"published, {key}", row) for key, row in scores.get("published", {}).items()]
    if "likelihood" in scores:
        rows.append(("likelihood", scores["likelihood"]))
    width = max(len(label) for label, _ in rows)
    head = f"{name}: {scores['n']} items, {scores['unparsed']} unparsed"
    return [head] + [
        f"  {label:<{width}}  {100 * row['score']:6.2f}  "
        f"[{100 * row['low']:.2f}, {100 * row['high']:.2f}]"
        for label, row in rows
    ]


def line(row: Mapping[str, Any]) -> str:
    """One line of a JSONL file."""
    return json.dumps(row, ensure_ascii=False, default=str) + "\n"

"""Answers to a published benchmark, scored three times side by side.

    strict      our graders: the answer must be said, and nothing against it
    paper       what MING and MedCare count as right (`paper_graders`)
    published   the metric of the benchmark's authors (`metrics`)
    unparsed    answers that the strict grader could not read

Where the three differ, the difference is about form, not about medicine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..graders import grade
from ..record import Example
from .base import DataError, find
from .metrics import METRICS, Metric
from .paper_graders import paper_grades


def report(
    reader_name: str,
    examples: Sequence[Example],
    answers: Sequence[str],
    resamples: int = 200,
    seed: int = 0,
) -> dict[str, Any]:
    """All scores of a set of answers, with 95 % bootstrap intervals over the items.

    Args:
        reader_name: that the examples were read with.
        examples: with their gold answers.
        answers: what a model said, one for each example.
        resamples: for the published metric; means of right and wrong always have 2000.
        seed: of the bootstrap.

    Returns:
        `reader`, `n`, `unparsed`, `strict` {score, low, high}, `paper` {grader: {score, low,
        high}}, `metric` (its name) and `published` {score: {score, low, high}}, the first of
        them the headline. Plain numbers, ready for JSON.

    Raises:
        DataError: unknown reader, no examples, not one answer for each, or an example without
            a gold answer.
    """
    metric = METRICS[find(reader_name).metric]
    if len(examples) != len(answers) or not examples:
        raise DataError(
            f"{len(answers)} answers to {len(examples)} examples of {reader_name}: give one for "
            "each, in their order, and at least one."
        )
    blank = [example.meta.get("id") for example in examples if not example.answer]
    if blank:
        raise DataError(
            f"{len(blank)} of {len(examples)} examples have no gold answer (the first: id "
            f"{blank[0]!r}): a test split without labels cannot be scored here."
        )
    pairs = list(zip(examples, answers, strict=True))
    grades = [grade(example, text) for example, text in pairs]
    papers = [paper_grades(reader_name, example, text) for example, text in pairs]
    return {
        "reader": reader_name,
        "n": len(pairs),
        "unparsed": sum(not verdict.parsed for verdict in grades),
        "strict": _interval([verdict.correct for verdict in grades], seed),
        "paper": {name: _interval([row[name] for row in papers], seed) for name in papers[0]},
        "metric": find(reader_name).metric,
        "published": _published(metric, pairs, resamples, seed),
    }


def lines(scores: dict[str, Any]) -> list[str]:
    """A report as lines to print, in percent."""
    rows = [("strict", scores["strict"])]
    rows += [(f"paper, {name}", row) for name, row in scores["paper"].items()]
    rows += [(f"published, {name}", row) for name, row in scores["published"].items()]
    width = max(len(name) for name, _ in rows)
    return [
        f"{scores['reader']}: {scores['n']} answers, {scores['unparsed']} of them unparsed",
        *(
            f"  {name:<{width}}  {100 * row['score']:6.2f}  "
            f"[{100 * row['low']:.2f}, {100 * row['high']:.2f}]"
            for name, row in rows
        ),
    ]


def _interval(right: Sequence[bool], seed: int) -> dict[str, float]:
    from ...measure.stats import bootstrap_interval

    mean, low, high = bootstrap_interval(right, seed=seed)
    return {"score": mean, "low": low, "high": high}


def _published(
    metric: Metric, pairs: Sequence[tuple[Example, str]], resamples: int, seed: int
) -> dict[str, dict[str, float]]:
    """The metric, and its percentiles over resampled items: F1 is no mean of items."""
    import numpy as np

    counts = [metric.item(example, text) for example, text in pairs]
    scores = metric.total(counts)
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in scores}
    for _ in range(resamples):
        sample = metric.total([counts[i] for i in rng.integers(0, len(counts), len(counts))])
        for name in drawn.keys() & sample.keys():  # a rare class may not have been drawn
            drawn[name].append(sample[name])
    found = {}
    for name, score in scores.items():
        low, high = np.percentile(drawn[name] or [score], [2.5, 97.5])
        found[name] = {"score": float(score), "low": float(low), "high": float(high)}
    return found

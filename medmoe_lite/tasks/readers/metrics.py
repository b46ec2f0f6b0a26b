"""How the authors of each benchmark score it, in plain code.

    accuracy            right answers                     MMLU, MedQA, MedMCQA, MIRAGE, KUAKE
    accuracy_macro_f1   and macro-F1 over the choices     PubMedQA
    macro_f1            over all labels that occur        CHIP-CTC, CHIP-STS
    weighted_f1         weighted by how often they occur  PromptCBLUE's matching tasks
    cmexam              accuracy and weighted F1          CMExam
    cmexam_explanations BLEU and ROUGE over characters    CMExam's explanations
    cmb                 mean accuracy of exam classes    CMB
    mmedbench           equal sets of letters             MMedBench
    gsm8k               the text after "####"             GSM8K
    set_f1              micro-F1 over sets of items       CMeEE, CMeIE, CHIP-CDN
    entity_f1           micro-F1 over typed mentions      NCBI-disease, BC5CDR
    rouge_l             longest common subsequence        free text
    cblue, promptcblue  each task by its own

A metric is two steps: what one answer counts (`item`), and what all counts make (`total`). So a
bootstrap over items reads each answer once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..graders import said
from ..items import read_items
from ..record import Example
from .explanations import explanation_pair, explanation_scores
from .f1 import f1_of, mean_f1, rouge_l, share, weighted_f1


class Metric(NamedTuple):
    """A published metric: `METRICS[name](predictions, examples)`.

    Attributes:
        item: item(example, text) -> what one answer counts.
        total: total(counts) -> the scores; the first is the headline.
    """

    item: Callable[[Example, str], Any]
    total: Callable[[Sequence[Any]], dict[str, float]]

    def __call__(self, predictions: Sequence[str], examples: Sequence[Example]) -> dict[str, float]:
        """Scores of answers, in the order of the examples, between 0 and 1.

        Raises:
            ValueError: no answers, or not one for each example.
        """
        if not examples:
            raise ValueError("no answers to score: the list of examples is empty.")
        pairs = zip(examples, predictions, strict=True)
        return self.total([self.item(example, text) for example, text in pairs])


def _read(example: Example, text: str) -> tuple[str, str]:
    """Gold and what was said; "" where it cannot be read."""
    return said(example, example.answer) or example.answer, said(example, text) or ""


def _accuracy(pairs: Sequence[tuple[Any, ...]]) -> dict[str, float]:
    return {"accuracy": share(sum(pair[0] == pair[1] for pair in pairs), len(pairs))}


def _over_choices(counts: Sequence[tuple[str, str, tuple[str, ...]]]) -> dict[str, float]:
    pairs = [(gold, told) for gold, told, _ in counts]
    classes = sorted({choice for *_, choices in counts for choice in choices})
    return {**_accuracy(pairs), "macro_f1": mean_f1(pairs, classes).f1}


def _cmexam(pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
    weighted = weighted_f1(pairs)._asdict()
    return {**_accuracy(pairs), **{f"weighted_{name}": value for name, value in weighted.items()}}


def _cmb_item(example: Example, text: str) -> tuple[str, str, bool]:
    """The gold letters in the order in which they were published, as the authors compare them."""
    gold = example.meta.get("published_answer", example.answer)
    place = (example.meta.get("exam_type", ""), example.meta.get("exam_class", ""))
    return (*place, gold == _read(example, text)[1])


def _cmb(counts: Sequence[tuple[str, str, bool]]) -> dict[str, float]:
    classes: dict[str, dict[str, list[bool]]] = {}
    for exam, name, right in counts:
        classes.setdefault(exam, {}).setdefault(name, []).append(right)
    exams = {
        exam: share(sum(share(sum(rows), len(rows)) for rows in of.values()), len(of))
        for exam, of in classes.items()
    }
    return {"average": share(sum(exams.values()), len(exams)), **exams}


def _gsm8k_item(example: Example, text: str) -> tuple[str, str]:
    """What follows "#### ", without commas; the whole text where no "####" is."""
    found = []
    for solution in (example.answer, text):
        after = re.search(r"#### (-?[0-9.,]+)", solution)
        found.append((after[1] if after else solution).strip().replace(",", ""))
    return found[0], found[1]


def _set_item(example: Example, text: str) -> tuple[int, int, int]:
    gold, told = read_items(example, example.answer).found, read_items(example, text).found
    return len(gold & told), len(told), len(gold)


def _entity_item(example: Example, text: str) -> tuple[int, int, int]:
    """Mentions of one sentence, each as often as it is there."""
    gold = Counter(tuple(row) for row in example.meta["entities"])
    told = Counter(dict.fromkeys(read_items(example, text).found, 1))
    for item in told:  # a line stands for all places of its mention
        told[item] = max(1, gold[item])
    return (gold & told).total(), told.total(), gold.total()


def _micro(counts: Sequence[tuple[int, int, int]]) -> dict[str, float]:
    scores = f1_of(*(sum(column) for column in zip(*counts, strict=True)))
    return {"f1": scores.f1, "precision": scores.precision, "recall": scores.recall}


def _raw(example: Example, text: str) -> tuple[str, str]:
    return example.answer.strip(), text.strip()


METRICS: dict[str, Metric] = {
    "accuracy": Metric(_read, _accuracy),
    "accuracy_macro_f1": Metric(lambda e, t: (*_read(e, t), e.choices), _over_choices),
    "macro_f1": Metric(_raw, lambda pairs: {"macro_f1": mean_f1(pairs).f1}),
    "weighted_f1": Metric(_raw, lambda pairs: {"weighted_f1": weighted_f1(pairs).f1}),
    "cmexam": Metric(_read, _cmexam),
    "cmexam_explanations": Metric(explanation_pair, explanation_scores),
    "cmb": Metric(_cmb_item, _cmb),
    "mmedbench": Metric(_read, _accuracy),
    "gsm8k": Metric(_gsm8k_item, _accuracy),
    "set_f1": Metric(_set_item, _micro),
    "entity_f1": Metric(_entity_item, _micro),
    "rouge_l": Metric(
        lambda e, t: rouge_l(t, e.answer), lambda f: {"rouge_l": share(sum(f), len(f))}
    ),
}


def by_task(tasks: dict[str, Metric]) -> Metric:
    """A metric of a benchmark of several tasks: "overall" is the mean of their headlines.

    Args:
        tasks: what stands after the "/" in `Example.task` -> its metric.
    """

    def item(example: Example, text: str) -> tuple[str, Any]:
        name = example.task.partition("/")[2]
        return name, tasks[name].item(example, text)

    def total(counts: Sequence[tuple[str, Any]]) -> dict[str, float]:
        groups: dict[str, list[Any]] = {}
        for name, count in counts:
            groups.setdefault(name, []).append(count)
        scores = {name: tasks[name].total(group) for name, group in groups.items()}
        heads = [next(iter(of.values())) for of in scores.values()]
        flat = {f"{task}/{name}": v for task, of in scores.items() for name, v in of.items()}
        return {"overall": share(sum(heads), len(heads)), **flat}

    return Metric(item, total)

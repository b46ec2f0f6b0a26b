"""PromptCBLUE: sixteen Chinese medical tasks as prompts, in files of JSON Lines named .json.

    {"input": ..., "target": ..., "answer_choices": [...] | null, "task_type": "cls",
     "task_dataset": "KUAKE-QIC", "sample_id": "dev-8110"}

Prompt and answer are as published. Labels may be listed twice; "非上述类型" is a legal answer
that no row offers; CMeIE is named CMeIE-V2 by the scorer, and CMeEE CMeEE-V2. Test rows have an
empty target: each is a bad row, unless `unlabelled="keep"`. How structured answers are read is
in `promptcblue_forms`. Source: Zhu et al., 2023 (arXiv:2310.14151).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..record import Example
from .base import DataError, Reader, Record, Row, register
from .cblue_labels import FIRST, OTHER, SAME, UNLABELLED
from .f1 import mean_f1, rouge_l, share, weighted_f1
from .files import json_rows
from .metrics import METRICS, Metric, by_task
from .promptcblue_forms import NONE, sections
from .rows import ENCODING, Ids, Unfit, each, optional, text

NAMES = {"CMeIE": "CMeIE-V2", "CMeEE": "CMeEE-V2"}
SETS = {
    "CMeEE-V2": "promptcblue/entities", "IMCS-V2-NER": "promptcblue/entities",
    "CMeIE-V2": "promptcblue/relations", "CHIP-CDEE": "promptcblue/events",
    "CHIP-MDCFNPC": "promptcblue/findings", "IMCS-V2-SR": "promptcblue/findings",
}  # fmt: skip
NORMAL = "CHIP-CDN"
TEXTS = ("MedDG", "IMCS-V2-MRG")
TASKS = (*SETS, NORMAL, *FIRST, *TEXTS)


def _label(example: Example, answer: str) -> tuple[str, str]:
    """As their scorer has it: an empty answer to a task of labels is its first label."""
    name = example.task.partition("/")[2]
    told = answer.strip() or FIRST[name]
    return example.answer, SAME.get(told, told) if name == "CHIP-STS" else told


def _reports(example: Example, answer: str) -> list[float]:
    """ROUGE-L of each section of a report."""
    gold, told = sections(example.answer), sections(answer)
    return [rouge_l(told.get(name, ""), body) for name, body in gold.items()]


def _mean(groups: Any) -> dict[str, float]:
    flat = [value for group in groups for value in group]
    return {"rouge_l": share(sum(flat), len(flat))}


MACRO = Metric(_label, lambda pairs: {"macro_f1": mean_f1(pairs).f1})
WEIGHTED = Metric(_label, lambda pairs: {"weighted_f1": weighted_f1(pairs).f1})
METRICS["promptcblue"] = by_task(
    {
        **dict.fromkeys((*SETS, NORMAL), METRICS["set_f1"]),
        **dict.fromkeys(FIRST, WEIGHTED),
        **dict.fromkeys(("CHIP-CTC", "KUAKE-QIC", "IMCS-V2-DAC"), MACRO),
        "MedDG": METRICS["rouge_l"],
        "IMCS-V2-MRG": Metric(_reports, _mean),
    }
)


def rows(
    path: Path,
    split: str | None,
    tasks: str | None = None,
    unlabelled: str = "refuse",
    encoding: str | None = None,
) -> Iterator[Row]:
    """Items of a file."""
    wanted = [NAMES.get(name.strip(), name.strip()) for name in (tasks or "").split(",") if name]
    for name in wanted:
        if name not in TASKS:
            raise DataError(f"PromptCBLUE has no task {name!r}: there are {', '.join(TASKS)}.")
    if unlabelled not in UNLABELLED:
        raise DataError(f"unlabelled is {unlabelled!r}: type one of {', '.join(UNLABELLED)}.")
    ids = Ids()

    def build(record: Record) -> Example | None:
        row = record.value
        published = text(row, "task_dataset")
        name = NAMES.get(published, published)
        if name not in TASKS:
            raise Unfit(f"the task {published!r} is not known: there are {', '.join(TASKS)}.")
        identity = ids.new(f"{name}/{text(row, 'sample_id')}", record.line)
        if wanted and name not in wanted:
            return None
        answer = optional(row, "target") or ""
        if not answer and unlabelled != "keep":
            raise Unfit("unlabelled: the target is empty (a test file? unlabelled=keep).")
        meta = {
            "id": identity, "file": record.file, "line": record.line,
            "published_task": published, "task_type": optional(row, "task_type"),
        }  # fmt: skip
        if not answer:
            meta["unlabelled"] = True
        return _example(name, text(row, "input"), answer, _choices(row), meta)

    yield from each(json_rows(path, encoding), build)


def _choices(row: dict[str, Any]) -> tuple[str, ...]:
    """The choices of a row, each once; null where the task has none."""
    given = row.get("answer_choices")
    if given is None:
        return ()
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise Unfit("the field 'answer_choices' is neither null nor a list of texts.")
    return tuple(dict.fromkeys(one.strip() for one in given))


def _example(
    name: str, prompt: str, answer: str, choices: tuple[str, ...], meta: dict[str, Any]
) -> Example:
    task = f"promptcblue/{name}"
    if name in TEXTS:
        return Example(task, prompt, answer, meta=meta)
    if name in SETS:
        meta["form"] = SETS[name]
        return Example(task, prompt, answer, choices=choices, grader="entities", meta=meta)
    if name == NORMAL:
        meta.update(separator="，", none=[NONE, "无"])
        return Example(task, prompt, answer, choices=choices, grader="labels", meta=meta)
    if FIRST[name] == OTHER:
        choices = tuple(dict.fromkeys((*choices, OTHER)))
    if answer and answer not in choices:
        raise Unfit(f"the target is {answer!r}: the choices are {', '.join(choices) or 'none'}.")
    return Example(task, prompt, answer, choices=choices, grader="label", meta=meta)


register(
    Reader(
        "promptcblue",
        "PromptCBLUE, 16 Chinese medical tasks as prompts",
        "https://github.com/michael-wzhu/PromptCBLUE",
        "academic research only, no commercial use, by registration at Tianchi: do not pass it on",
        "promptcblue",
        rows,
        "train.json, dev.json or test.json (JSON Lines).",
        options={
            "tasks": "names with commas between; all if not given",
            "unlabelled": "'keep' reads rows without a target, to predict them; 'refuse' (default)",
            **ENCODING,
        },
        language="zh",
    )
)

"""The three-step prompt: recall what is known, summarise it, decide.

    question + instruction  ->  Recall: ...  Summarise: ...  Decide: The answer is yes.

A RECONSTRUCTION: LlamaCare (arXiv 2406.02350) describes a prompt of three steps, but its wording
is not public. The words here are ours.

The reader is tolerant in form ("Step 1 - Recall:", "**Summary:**", "3. Decision") and strict in
meaning: each part once, in order, and one label that is said, not negated and not one of two.
What cannot be read has no label and says why; it is never guessed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from .record import Example, Grade

PARTS = ("recall", "summarise", "decide")
WORDINGS = {
    "full": "Step 1 - Recall: list the medical knowledge relevant to the question. "
    "Step 2 - Summarise: condense it into the key facts. "
    "Step 3 - Decide: apply them and finish with 'The answer is {label}.'",
    "short": "Recall, summarise, decide.",
}
_WORD = r"(recall|summari[sz]e|summary|decide|decision)"
_STEP = r"(?:step[ \t]*[1-3][ \t]*[-.):–—]*[ \t]*)?[*_]*"
_HEADING = re.compile(
    # "Recall:" anywhere, also "1. **Recall**:" and "Step 1 - Recall:"; or a line of its own
    rf"(?:^[ \t]*[1-3][.)][ \t]*)?[*_#]*[ \t]*\b{_STEP}{_WORD}\b[*_]*[ \t]*:[*_]*"
    rf"|^[ \t]*[*_#]*[ \t]*(?:[1-3][.)][ \t]*)?{_STEP}{_WORD}[*_]*[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_SAID = re.compile(r"\banswer\s+is\b\W{0,6}", re.IGNORECASE)
_NOT = re.compile(
    r"(?:\bnot|n['’]t|\bnever)\s+(?:(?:think|believe|say|mean|true|sure|that)\s+)*"
    r"(?:the\s+|my\s+)?$",
    re.IGNORECASE,
)


class Steps(NamedTuple):
    """An answer in three steps, as it was read.

    Attributes:
        recall, summary, decision: the texts of the parts; empty where a part is missing.
        label: the label decided for, spelled as it was given; None where it cannot be told.
        problem: why the answer cannot be read, or None.
    """

    recall: str
    summary: str
    decision: str
    label: str | None
    problem: str | None


def three_step_prompt(question: str, labels: Sequence[str] = (), wording: str = "full") -> str:
    """A question with the instruction to answer in three steps.

    Args:
        question: the question, with whatever text it is about.
        labels: the answers to choose from; named in the "full" wording.
        wording: "full", for models that know language, or "short", for nano.

    Raises:
        ValueError: unknown wording.

    >>> three_step_prompt("Does zoltin help?", wording="short")
    'Does zoltin help? Recall, summarise, decide.'
    """
    if wording not in WORDINGS:
        raise ValueError(f"unknown wording {wording!r}: type 'full' or 'short'")
    label = "/".join(labels) if labels else "..."
    return f"{question} {WORDINGS[wording].replace('{label}', label)}"


def three_step_answer(recall: str, summary: str, label: str) -> str:
    """The answer that the prompt asks for, in one line.

    >>> three_step_answer("zoltin helped 8 of 10.", "8 of 10.", "yes")
    'Recall: zoltin helped 8 of 10. Summarise: 8 of 10. Decide: The answer is yes.'
    """
    return f"Recall: {recall} Summarise: {summary} Decide: The answer is {label}."


def read_steps(text: str, labels: Sequence[str]) -> Steps:
    """Take an answer apart.

    Args:
        text: what a model said.
        labels: the possible decisions; upper and lower case are the same.

    Returns:
        `Steps`. A label is given only with all three parts in order.

    >>> read_steps("Step 1: Recall: a. Summary: b. Decision: The answer is YES!", ["yes", "no"])
    Steps(recall='a.', summary='b.', decision='The answer is YES!', label='yes', problem=None)
    >>> read_steps("Recall: a. Summarise: b. Decide: yes or no.", ["yes", "no"]).problem
    'the decision names more than one label: yes, no'
    """
    found = [(_part(hit[1] or hit[2]), hit) for hit in _HEADING.finditer(text)]
    parts = dict.fromkeys(PARTS, "")
    for number, (name, hit) in enumerate(found):
        end = found[number + 1][1].start() if number + 1 < len(found) else len(text)
        parts[name] = text[hit.end() : end].strip(" \t\n*_#")
    label, problem = None, _problem([name for name, _ in found], parts)
    if problem is None:
        label, problem = read_decision(parts["decide"], labels)
    return Steps(parts["recall"], parts["summarise"], parts["decide"], label, problem)


def read_decision(text: str, labels: Sequence[str]) -> tuple[str | None, str | None]:
    """The one label that a decision names, and None; or None, and why not.

    "The answer is yes", however often, or a text that begins with the label as a word of its own
    ("Yes, because ..."). Another label anywhere else in such a beginning is too much.

    >>> read_decision("It is not clear, so the answer is: maybe.", ["yes", "no", "maybe"])
    ('maybe', None)
    >>> read_decision("There is no harm.", ["yes", "no"])
    (None, 'the decision names no label')
    """
    known = {re.sub(r"^\W+|\W+$", "", label).lower(): label for label in labels}
    if len(known) < len(labels):
        raise ValueError(
            f"labels={list(labels)} differ in case or marks only: give different names"
        )
    one = "|".join(re.escape(label) for label in sorted(known, key=len, reverse=True))
    alone = re.compile(
        rf"(?:{one})(?![\w-])(?=\W*(?:$|[.!,;:\n)]|(?:because|since|as)\b))", re.IGNORECASE
    )
    said = [hit.end() for hit in _SAID.finditer(text)]
    if any(_NOT.search(text[: hit.start()]) for hit in _SAID.finditer(text)):
        return None, "the decision says what the answer is not"
    starts = said or [len(text) - len(re.sub(r"^\W+", "", text))]
    named = []
    for start in starts:
        hit = alone.match(text, start)
        if hit is None:
            several = _mentioned(_sentence(text, start), one, known)
            if len(several) > 1:
                return None, f"the decision names more than one label: {', '.join(several)}"
            return None, "the decision names no label"
        rest = text if not said else _sentence(text, start)
        named += [known[hit[0].lower()], *_mentioned(rest, one, known)]
    names = list(dict.fromkeys(named))
    if len(names) > 1:
        return None, f"the decision names more than one label: {', '.join(names)}"
    return names[0], None


def problems(readings: Iterable[Steps]) -> Counter[str]:
    """How often each reason kept an answer from being read; empty where all were read.

    >>> problems([read_steps("yes", ["yes", "no"])])
    Counter({'no part named recall, summarise, decide': 1})
    """
    return Counter(reading.problem for reading in readings if reading.problem is not None)


def grade_steps(example: Example, text: str) -> Grade:
    """Right label in a readable answer? `example` is one of `with_steps`."""
    reading = read_steps(text, example.choices)
    return Grade(reading.label == example.meta["label"], reading.problem is None)


def with_steps(example: Example, wording: str = "short") -> Example:
    """A `classify` item that asks for, and is answered in, three steps.

    Recall is the sentence of the trial that the question is about, the summary compares its
    count with the rule. `meta["label"]` keeps the plain label; `example` itself is the item
    without steps.

    Raises:
        ValueError: an item of another family.

    >>> item = Example("classify", "zoltin helped 8 of 10 patients with gout. baxcor helped 2 of "
    ...     "10 patients with asthma. Does zoltin help against gout?", "yes",
    ...     choices=("yes", "no", "maybe"))
    >>> with_steps(item).answer
    'Recall: zoltin helped 8 of 10 patients with gout. Summarise: 8 of 10, 7 or more. Decide: The
    answer is yes.'
    """
    asked = re.search(r"Does (\w+) help against (.+)\?$", example.prompt)
    trials = re.findall(r"(\w+) helped (\d+) of 10 patients with ([^.]+)\.", example.prompt)
    own = [trial for trial in trials if asked and (trial[0], trial[2]) == asked.groups()]
    if example.task != "classify" or len(own) != 1:
        raise ValueError(
            f"only items of the family 'classify' can be written in three steps, this one is of "
            f"{example.task!r}: build another with three_step_prompt and three_step_answer"
        )
    drug, count, condition = own[0]
    rule = {"yes": "7 or more", "no": "3 or less", "maybe": "from 4 to 6"}[example.answer]
    recall = f"{drug} helped {count} of 10 patients with {condition}."
    return replace(
        example,
        prompt=three_step_prompt(example.prompt, example.choices, wording),
        answer=three_step_answer(recall, f"{count} of 10, {rule}.", example.answer),
        grader="steps",
        meta={**example.meta, "label": example.answer},
    )


def _part(word: str) -> str:
    return {"r": "recall", "s": "summarise", "d": "decide"}[word[0].lower()]


def _problem(names: list[str], parts: dict[str, str]) -> str | None:
    missing = [name for name in PARTS if name not in names]
    if missing:
        return f"no part named {', '.join(missing)}"
    twice = [name for name in PARTS if names.count(name) > 1]
    if twice:
        return f"{', '.join(twice)} stands there more than once"
    if tuple(names) != PARTS:
        return "the parts are not in the order recall, summarise, decide"
    empty = [name for name in PARTS if not parts[name]]
    return f"nothing under {', '.join(empty)}" if empty else None


def _sentence(text: str, start: int) -> str:
    """The rest of the sentence that `start` lies in."""
    return re.split(r"(?<=[.!?])\s|\n", text[start:], maxsplit=1)[0]


def _mentioned(text: str, one: str, known: dict[str, str]) -> list[str]:
    """Labels that occur as words, in order, each once."""
    words = re.findall(rf"(?<![\w-])(?:{one})(?![\w-])", text, re.IGNORECASE)
    return list(dict.fromkeys(known[word.lower()] for word in words))

"""Three steps by hand: write an answer, read its label. Answers to exercises 8.4 and 8.5.

The words are ours: LlamaCare describes three steps, but their wording is not public. The package
has the tolerant reader (`tasks.read_steps`); this one is as strict as it is short.
"""

import re
from collections.abc import Sequence

from medmoe_lite.tasks import Example

RULES = {"yes": "7 or more", "no": "3 or less", "maybe": "from 4 to 6"}
Trial = tuple[str, int, str]  # drug, patients of 10 that it helped, condition


def three_steps(trials: Sequence[Trial], drug: str, label: str) -> str:
    """Recall the trial of the drug, compare its count with the rule, decide.

    >>> three_steps([("zoltin", 8, "gout")], "zoltin", "yes")
    'Recall: zoltin helped 8 of 10 patients with gout. Summarise: 8 of 10, 7 or more. Decide: The
    answer is yes.'
    """
    name, count, condition = next(trial for trial in trials if trial[0] == drug)
    recall = f"{name} helped {count} of 10 patients with {condition}."
    summary = f"{count} of 10, {RULES[label]}."
    return f"Recall: {recall} Summarise: {summary} Decide: The answer is {label}."


def read_label(text: str, labels: Sequence[str]) -> str | None:
    """The label of an answer in three steps; None where it cannot be told.

    >>> read_label("Recall: a. Summarise: b. Decide: The answer is yes.", ["yes", "no"])
    'yes'
    """
    parts = re.fullmatch(r"Recall: .+ Summarise: .+ Decide: The answer is (\w+)\.", text)
    return parts[1] if parts and parts[1] in labels else None


def label_of(count: int) -> str:
    """The label of a trial by the rule.

    >>> [label_of(count) for count in (3, 4, 7)]
    ['no', 'maybe', 'yes']
    """
    return "yes" if count >= 7 else "no" if count <= 3 else "maybe"


def agree(item: Example) -> bool:
    """Whether both trials of an item have the same label, so that the question does not matter."""
    trials, _ = trials_of(item)
    return len({label_of(count) for _, count, _ in trials}) == 1


def blind(items: Sequence[Example]) -> float:
    """Share right of a perfect reader of the trials who never reads the question."""
    return sum(1.0 if agree(item) else 0.5 for item in items) / len(items)


def where_right(texts: Sequence[str], items: Sequence[Example]) -> dict[str, float]:
    """Shares of written answers whose recall, whose rule, whose decision is right.

    The rule counts as right where it fits the count that the text itself has recalled.
    """
    found = dict.fromkeys(("recalls the right trial", "rule fits its count", "decides right"), 0)
    for text, item in zip(texts, items, strict=True):
        trials, drug = trials_of(item)
        count = next(count for name, count, _ in trials if name == drug)
        found["recalls the right trial"] += f"Recall: {drug} helped {count} of 10" in text
        told = re.search(r"helped (\d+) of 10 .*Summarise: \d+ of 10, ([^.]+)\.", text)
        found["rule fits its count"] += (
            told is not None and RULES[label_of(int(told[1]))] == told[2]
        )
        found["decides right"] += read_label(text, tuple(RULES)) == label_of(count)
    return {name: number / len(items) for name, number in found.items()}


def trials_of(item: Example) -> tuple[list[Trial], str]:
    """The trials that a `classify` item tells of, and the drug that it asks about."""
    found = re.findall(r"(\w+) helped (\d+) of 10 patients with ([^.]+)\.", item.prompt)
    asked = re.search(r"Does (\w+) help", item.prompt)
    if not found or asked is None:
        raise ValueError(f"this is no item of 'classify': {item.prompt!r}")
    return [(drug, int(count), condition) for drug, count, condition in found], asked[1]

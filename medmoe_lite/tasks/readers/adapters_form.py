"""The form in which LLM-Adapters publishes eight commonsense sets: options inside the prompt.

    {"instruction": "Please choose the correct answer to the question: Which ...?\\n\\nAnswer1: ...
     Answer2: ...\\n\\nAnswer format: answer1/answer2", "input": "", "output": "the correct answer
     is answer2", "answer": "answer2"}

The format line at the end says how many options there are and what they are called; the texts
stand between their names. Source: Hu et al., 2023 (arXiv:2304.01933).
"""

from __future__ import annotations

import re

from ..record import Example
from .base import Record
from .rows import LETTERS, Unfit, choice, name_of, row_of, text

_FORMAT = re.compile(r"\s*Answer format:\s*(\S+)\s*$")
_ASK = re.compile(r"\s*Please (?:choose|answer)[^:,]*?(?:[:,]\s*question)?\s*:\s*")


def is_adapters_form(row: object) -> bool:
    """Has a row the fields of this form?"""
    return isinstance(row, dict) and "instruction" in row and "answer" in row


def example(task: str, record: Record) -> Example:
    """The example of a row.

    Raises:
        Unfit: the format line is missing, an option is missing or stands twice.
    """
    row = row_of(record)
    instruction, answer = text(row, "instruction"), text(row, "answer").lower()
    form = _FORMAT.search(instruction)
    if not form:
        raise Unfit("the instruction does not end with 'Answer format: ...'.")
    names = form[1].lower().split("/")
    if answer not in names:
        raise Unfit(f"the answer is {answer!r}, not one of {', '.join(names)}.")
    output = text(row, "output").lower() if row.get("output") else answer
    if not re.search(rf"\b{re.escape(answer)}\b", output):
        raise Unfit(f"the answer is {answer!r}, but the output says {output[:60]!r}.")
    body = instruction[: form.start()]
    if names == ["true", "false"]:
        return _true_or_false(task, record, body, answer)
    question, options = _parts(body, names)
    letters = dict(zip(LETTERS, options, strict=False))
    return choice(task, question, letters, LETTERS[names.index(answer)], record)


def _true_or_false(task: str, record: Record, body: str, answer: str) -> Example:
    question = _ASK.sub("", body, count=1).strip()
    return Example(
        task, f"Answer with true or false.\n\n{question}", answer,
        choices=("true", "false"), grader="label",
        meta={
            "id": name_of(record), "file": record.file, "line": record.line,
            "question": question,
        },
    )  # fmt: skip


def _parts(body: str, names: list[str]) -> tuple[str, list[str]]:
    """The question and the text of each option, by their names in order, from the end.

    The last place of a name counts where it stands twice: a question may speak of "Option1:".
    """
    end, options = len(body), []
    for name in reversed(names):
        places = [
            hit for hit in re.finditer(rf"(?i)\b{re.escape(name)}:", body) if hit.end() <= end
        ]
        if not places:
            raise Unfit(f"the option {name!r} of the format line is not in the instruction.")
        option = body[places[-1].end() : end].strip()
        if not option:
            raise Unfit(f"the option {name!r} is empty.")
        options.append(option)
        end = places[-1].start()
    question = _ASK.sub("", body[:end], count=1).strip()
    if not question:
        raise Unfit("the instruction has no question before its options.")
    return question, options[::-1]

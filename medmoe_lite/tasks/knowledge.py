"""Knowledge tasks: stored medical facts in six wordings, and as multiple choice.

`table` says whose facts: "base" (the base model knows them), "kept" (real entities that it
never saw) or "invented" (drugs that do not exist: the clean test of injection).
"""

from __future__ import annotations

from random import Random

from .facts import facts
from .general import LETTERS, distractors, letters
from .record import Example
from .wordings import ALL, HELD_OUT, TAUGHT, fact_example, question

WORDINGS = {"taught": TAUGHT, "heldout": HELD_OUT, "all": ALL}


def knowledge(rng: Random, table: str = "base", wordings: str = "all") -> Example:
    """One stored fact in one wording."""
    fact = rng.choice(facts(table))
    wording = rng.choice(WORDINGS[wordings])
    return fact_example("knowledge", fact.table, fact.column, fact.entity, fact.value, wording)


def every_fact(table: str = "invented", wordings: str = "taught") -> list[Example]:
    """Every fact of a table in each of the wordings, with three options for likelihood scoring.

    Args:
        table: "base", "kept" or "invented".
        wordings: "taught" (0, 1, 2), "heldout" (3, 4, 5) or "all".

    >>> len(every_fact("invented", "taught"))
    432
    """
    examples = []
    for fact in facts(table):
        rng = Random(f"options/{fact}")
        others = distractors(rng, fact.table, fact.column, fact.value, 2)
        for wording in WORDINGS[wordings]:
            example = fact_example(
                "knowledge", fact.table, fact.column, fact.entity, fact.value, wording
            )
            wrap = example.answer.replace
            options = tuple(wrap(fact.value, value) for value in (fact.value, *others))
            examples.append(
                Example(
                    example.task, example.prompt, example.answer, example.style, options,
                    meta=example.meta,
                )
            )  # fmt: skip
    return examples


def knowledge_choice(rng: Random, table: str = "base") -> Example:
    """A stored fact asked by letter: two hops, from the fact to its letter."""
    fact = rng.choice(facts(table))
    options = [fact.value, *distractors(rng, fact.table, fact.column, fact.value, 2)]
    text, letter = letters(rng, options, fact.value)
    prompt = f"{question(fact.table, fact.column, fact.entity, rng.choice((1, 4)))} {text}"
    meta = {"entity": fact.entity, "table": fact.table}
    return Example("knowledge_choice", prompt, letter, choices=tuple(LETTERS[:3]), meta=meta)

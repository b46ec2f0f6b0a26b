"""Task families built from tables of facts by code with a seed.

    facts -> families -> `Example`s -> tokens

`make("json", split="test", n=100, seed=0)` gives the same hundred items on every machine. A
hash of an item's text decides its split, so an item of one split is in no other; the clinical
families also divide the entities (see `clinical`), and knowledge is asked in wordings that
were not taught (see `wordings`).
"""

from __future__ import annotations

from typing import Any

from . import clinical, general, knowledge
from .chat import collate, encode, encode_answer, encode_prompt
from .graders import grade
from .knowledge import every_fact
from .record import SPLITS, Example, Family, Grade, generator, split_of
from .steps import read_steps, three_step_answer, three_step_prompt, with_steps

__all__ = [
    "Example", "Family", "Grade", "collate", "encode", "encode_answer", "encode_prompt",
    "every_fact", "families", "grade", "make", "read_steps", "three_step_answer",
    "three_step_prompt", "with_steps",
]  # fmt: skip

_FAMILIES = [
    Family("read", "general", "read a value from a short text, or say unknown", general.read),
    Family("lookup", "general", "find a key in a small table", general.lookup),
    Family("choice", "general", "pick the letter of a stated value", general.choice, 1 / 3),
    Family("verify", "general", "yes, no or unknown about a text", general.verify, 1 / 3),
    Family("arithmetic", "open", "add two numbers (nano does not master it)", general.arithmetic),
    Family("compare", "general", "the larger or smaller of two numbers", general.compare, 1 / 2),
    Family("counting", "general", "count a word in a row", general.counting),
    Family("words", "general", "opposites and topics of common words", general.words),
    Family("reformat", "general", "fill a JSON object or a template", general.reformat),
    Family("copy", "general", "say a row of words again", general.copy),
    Family("facts", "general", "stored facts on countries and animals", general.facts),
    Family("knowledge", "knowledge", "stored medical facts", knowledge.knowledge),
    Family(
        "knowledge_choice", "knowledge", "stored facts by letter (two hops)",
        knowledge.knowledge_choice, 1 / 3,
    ),
    Family("json", "alignment", "entities of a note as JSON", clinical.json),
    Family("triage", "alignment", "a strict triage label", clinical.triage, 1 / 3),
    Family("code", "alignment", "the code of a diagnosis from a list", clinical.code, 1 / 3),
    Family("soap", "alignment", "a note as one SOAP line", clinical.soap),
    Family("classify", "classification", "yes, no or maybe from a trial", clinical.classify, 1 / 3),
    Family("interaction", "interaction", "may two drugs meet?", clinical.interaction, 1 / 2),
    Family("summary", "summary", "a report in one sentence", clinical.summary),
]  # fmt: skip


def families() -> dict[str, Family]:
    """All task families by name.

    >>> families()["json"].group
    'alignment'
    """
    return {family.name: family for family in _FAMILIES}


def make(
    family: str, split: str = "train", n: int = 100, seed: int = 0, **options: Any
) -> list[Example]:
    """`n` different items of a family, reproducible from the seed.

    Args:
        family: a name from `families()`.
        split: "train", "dev" (for choosing settings) or "test" (for reporting).
        n: how many.
        seed: another seed draws other items of the same split.
        options: passed to the generator, such as `table="kept"` for knowledge.

    Raises:
        ValueError: unknown family or split, or the split has fewer than `n` different items.

    >>> make("arithmetic", "test", 2) == make("arithmetic", "test", 2)
    True
    """
    if family not in families():
        raise ValueError(f"unknown task family {family!r}. There are: {', '.join(families())}.")
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}.")
    found = families()[family]
    if found.draw.__module__ == clinical.__name__:
        options.setdefault("split", split)
    rng = generator(family, split, seed)
    items: dict[tuple[str, str], Example] = {}
    for _ in range(400 * n + 4000):
        if len(items) == n:
            return list(items.values())
        example = found.draw(rng, **options)
        if split_of(example) == split:
            items.setdefault((example.prompt, example.answer), example)
    raise ValueError(
        f"the {split} split of {family!r} has only about {len(items)} different items, not {n}. "
        f"Ask for n={len(items)} or fewer."
    )

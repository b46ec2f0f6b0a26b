"""Six wordings of every fact, the same six for every relation.

A model answers a new fact in a wording that it was not taught only if it has seen, for many
other entities, the same relation in all wordings (knowledge extraction, Allen-Zhu and Li 2023,
arXiv 2309.14316). So all tables share these six:

    0  document   The {relation} of {entity} is            -> {value}.
    1  question   What is the {relation} of {entity}?      -> {value}
    2  request    Name the {relation} for {entity}.        -> {value}
    3  document   relation-specific words, value last      -> {value}.
    4  question   relation-specific words                  -> {value}
    5  record     {entity} {relation} JSON                 -> {"relation": "value"}

Adapters are taught wordings 0, 1, 2 and asked in 3, 4, 5.
"""

from __future__ import annotations

from typing import NamedTuple

from .record import Example

TAUGHT = (0, 1, 2)
HELD_OUT = (3, 4, 5)
ALL = TAUGHT + HELD_OUT


class Relation(NamedTuple):
    """How one column of a table is spoken of: its name, a sentence, a question."""

    name: str
    sentence: str  # with {e}; the value follows
    question: str  # with {e}


RELATIONS: dict[str, dict[str, Relation]] = {
    "drugs": {
        "class": Relation("class", "{e} belongs to the group", "Which group has {e} in it?"),
        "indication": Relation("use", "{e} treats", "What does {e} treat?"),
        "adverse_effect": Relation("side effect", "{e} can cause", "What can {e} cause?"),
        "interaction": Relation(
            "interaction", "People on {e} avoid", "What do people on {e} avoid?"
        ),
    },
    "conditions": {
        "symptom": Relation("symptom", "{e} shows as", "How does {e} show?"),
        "specialty": Relation("specialty", "{e} is seen in", "Where is {e} seen?"),
        "treatment": Relation("treatment", "Doctors fight {e} with", "How do doctors fight {e}?"),
        "code": Relation("code", "The register lists {e} as", "How does the register list {e}?"),
    },
    "countries": {
        "capital": Relation(
            "capital", "The rulers of {e} sit in", "Where do the rulers of {e} sit?"
        ),
        "continent": Relation("continent", "{e} lies in", "Where does {e} lie?"),
        "language": Relation("language", "People in {e} speak", "What do people in {e} speak?"),
    },
    "animals": {
        "group": Relation("kind", "The {e} counts as", "What does the {e} count as?"),
        "covering": Relation("covering", "The {e} wears", "What does the {e} wear?"),
        "food": Relation("food", "The {e} eats", "What does the {e} eat?"),
        "home": Relation("home", "You meet the {e} in", "Where do you meet the {e}?"),
    },
    "people": {
        "job": Relation("job", "{e} works as", "What does {e} work as?"),
        "pet": Relation("pet", "{e} keeps", "What does {e} keep?"),
        "color": Relation("color", "{e} likes", "What does {e} like?"),
        "tool": Relation("tool", "{e} carries", "What does {e} carry?"),
    },
}

# Values of the people that contexts invent: they exist in no table of facts.
PEOPLE = {
    "job": "baker farmer painter sailor teacher singer builder miner weaver cook judge guard",
    "pet": "kitten puppy pony hamster canary gecko ferret spaniel poodle hen lamb calf",
    "color": "red blue green black white brown pink gray orange purple silver gold",
    "tool": "hammer saw rope lamp knife brush spade basket key needle drum horn",
}


def statement(table: str, column: str, entity: str, value: str, wording: int) -> str:
    """A fact as one sentence, in the words of wording 0 or 3.

    >>> statement("drugs", "indication", "zoltin", "gout", 3)
    'zoltin treats gout.'
    """
    relation = RELATIONS[table][column]
    start = f"The {relation.name} of {{e}} is" if wording == 0 else relation.sentence
    return f"{start.format(e=entity)} {value}."


def question(table: str, column: str, entity: str, wording: int) -> str:
    """A question for a value, in the words of wording 1, 2, 4 or 5."""
    relation = RELATIONS[table][column]
    return {
        1: f"What is the {relation.name} of {entity}?",
        2: f"Name the {relation.name} for {entity}.",
        4: relation.question.format(e=entity),
        5: f"{entity} {relation.name} JSON",
    }[wording]


def reply(table: str, column: str, value: str, wording: int) -> str:
    """The answer to `question` in the same wording."""
    if wording == 5:
        return f'{{"{RELATIONS[table][column].name}": "{value}"}}'
    return value


def fact_example(
    task: str, table: str, column: str, entity: str, value: str, wording: int, **meta: object
) -> Example:
    """One fact in one wording as a task item.

    >>> fact_example("facts", "countries", "capital", "france", "paris", 1).prompt
    'What is the capital of france?'
    """
    meta = {"entity": entity, "table": table, "column": column, "wording": wording, **meta}
    if wording in (0, 3):
        text = statement(table, column, entity, value, wording)
        answer = f"{value}."
        start = text[: -len(answer)].rstrip()
        return Example(task, start, answer, style="plain", meta=meta)
    prompt = question(table, column, entity, wording)
    return Example(task, prompt, reply(table, column, value, wording), meta=meta)

"""General abilities: reading, binding, small numbers, words, reformatting, stored facts.

The base model masters these before any adapter comes, and forgetting is measured on them.
Contexts speak of invented names, so their answers can only be read, never remembered.
"""

from __future__ import annotations

from random import Random

from .facts import facts as stored_facts
from .facts import rows, values
from .names import fresh_names
from .record import Example
from .wordings import ALL, PEOPLE, RELATIONS, fact_example, question, reply, statement

LETTERS = "ABCD"


def _world(rng: Random) -> tuple[str, list[str]]:
    """A kind of entity and its columns: half the contexts are about people."""
    table = "people" if rng.random() < 0.4 else rng.choice(("drugs", "conditions", "animals"))
    return table, list(RELATIONS[table])


def _options(table: str, column: str) -> tuple[str, ...]:
    return tuple(PEOPLE[column].split()) if table == "people" else values(table, column)


def _context(rng: Random, entities: int, columns: int) -> tuple[str, dict, str]:
    """Sentences about fresh entities: the table, {(entity, column): value}, the text."""
    table, names = _world(rng)
    columns_said = rng.sample(names, columns)
    stated = {}
    for entity in fresh_names(rng, entities):
        for column in columns_said:
            stated[entity, column] = rng.choice(_options(table, column))
    sentences = [
        statement(table, column, entity, value, rng.choice((0, 3)))
        for (entity, column), value in stated.items()
    ]
    rng.shuffle(sentences)
    return table, stated, " ".join(sentences)


def read(rng: Random) -> Example:
    """One to three entities are described; one value is asked, or was not stated."""
    entities, columns = rng.choice(((1, 1), (1, 2), (2, 1), (2, 1), (2, 2), (3, 1), (3, 1), (1, 3)))
    table, stated, text = _context(rng, entities, columns)
    entity, column = rng.choice(list(stated))
    value = stated[entity, column]
    if rng.random() < 0.12:
        said = {c for _, c in stated}
        column = rng.choice([c for c in RELATIONS[table] if c not in said])
        value = "unknown"
    wording = rng.choice((1, 2, 4, 5))
    prompt = f"{text} {question(table, column, entity, wording)}"
    meta = {"entities": entities, "table": table}
    return Example("read", prompt, reply(table, column, value, wording), meta=meta)


def lookup(rng: Random) -> Example:
    """A small table of keys and numbers; the number of one key is asked."""
    keys = fresh_names(rng, rng.randint(2, 5))
    numbers = rng.sample(range(100), len(keys))
    body = ", ".join(f"{k} {n}" for k, n in zip(keys, numbers, strict=True))
    which = rng.randrange(len(keys))
    prompt = f"Table: {body}. Find {keys[which]}."
    return Example("lookup", prompt, str(numbers[which]), meta={"entities": len(keys)})


def letters(rng: Random, options: list[str], answer: str) -> tuple[str, str]:
    """Options as lettered text, and the letter of the answer."""
    rng.shuffle(options)
    text = " ".join(f"{LETTERS[i]}: {option}" for i, option in enumerate(options))
    return text, LETTERS[options.index(answer)]


def distractors(rng: Random, table: str, column: str, value: str, n: int) -> list[str]:
    """`n` other values of the same column."""
    return rng.sample([v for v in _options(table, column) if v != value], n)


def choice(rng: Random) -> Example:
    """A value stated in the text, asked as a multiple choice with letters."""
    table, stated, text = _context(rng, rng.randint(1, 2), 1)
    entity, column = rng.choice(list(stated))
    value = stated[entity, column]
    options, letter = letters(rng, [value, *distractors(rng, table, column, value, 2)], value)
    prompt = f"{text} {question(table, column, entity, rng.choice((1, 4)))} {options}"
    return Example("choice", prompt, letter, choices=("A", "B", "C"))


def verify(rng: Random) -> Example:
    """Is a claim true, false or not decided by the text? yes / no / unknown."""
    table, stated, text = _context(rng, rng.randint(1, 2), 1)
    entity, column = rng.choice(list(stated))
    value = stated[entity, column]
    answer = rng.choice(("yes", "no", "unknown"))
    if answer == "no":
        value = distractors(rng, table, column, value, 1)[0]
    elif answer == "unknown":
        entity = rng.choice([n for n in fresh_names(rng, 4) if (n, column) not in stated])
    claim = statement(table, column, entity, value, rng.choice((0, 3)))[:-1]
    claim = claim[0].lower() + claim[1:]
    prompt = f"{text} Is it true that {claim}?"
    return Example("verify", prompt, answer, choices=("yes", "no", "unknown"))


def arithmetic(rng: Random) -> Example:
    """Addition of two numbers up to 50."""
    a, b = rng.randint(0, 50), rng.randint(0, 50)
    prompt = rng.choice((f"{a} + {b} =", f"Add {a} and {b}.", f"What is {a} plus {b}?"))
    return Example("arithmetic", prompt, str(a + b))


def compare(rng: Random) -> Example:
    """The larger or the smaller of two numbers."""
    a, b = rng.sample(range(100), 2)
    larger = rng.random() < 0.5
    word = "larger" if larger else "smaller"
    return Example(
        "compare", f"Which is {word}, {a} or {b}?", str(max(a, b) if larger else min(a, b))
    )


def counting(rng: Random) -> Example:
    """How often one word stands in a short row."""
    words = rng.sample(PEOPLE["color"].split(), 3)
    row = rng.choices(words, k=rng.randint(3, 7))
    return Example("counting", f"Count {words[0]} in: {' '.join(row)}", str(row.count(words[0])))


def words(rng: Random) -> Example:
    """Opposites and categories of common words."""
    row = rng.choice(rows_of_words())
    if rng.random() < 0.5:
        forms = (
            "The opposite of {w} is",
            "What is the opposite of {w}?",
            "Name the opposite of {w}.",
        )
        answer = row["opposite"]
    else:
        forms = ("The word {w} is about", "What is the word {w} about?", "Name the topic of {w}.")
        answer = row["category"]
    which = rng.randrange(3)
    prompt = forms[which].format(w=row["word"])
    if which == 0:
        return Example("words", prompt, f"{answer}.", style="plain")
    return Example("words", prompt, answer)


def rows_of_words() -> list[dict[str, str]]:
    """The table of opposites, read once."""
    global _words
    if not _words:
        _words = rows("words")
    return _words


_words: list[dict[str, str]] = []

FIELDS = {
    "name": None,
    "age": range(2, 100),
    "job": PEOPLE["job"].split(),
    "pet": PEOPLE["pet"].split(),
    "tool": PEOPLE["tool"].split(),
    "color": PEOPLE["color"].split(),
    "price": range(2, 100),
}
FRAMES = (
    "{name} is a {job} of {age} with a {pet}.",
    "The {job} {name}, {age} years old, sells a {color} {tool} for {price}.",
    "{name} paid {price} for the {color} {tool}.",
    "At {age} {name} became a {job} and got a {pet}.",
)
TAGS = ["RED", "AMBER", "GREEN", "S", "O", "A", "P", "X", "Y", "Z", "T", "K", "DX", "RX"]


def reformat(rng: Random) -> Example:
    """The fields of a sentence or a list, as JSON or in a template that the prompt gives."""
    fields: dict[str, str] = {}
    for key, pool in FIELDS.items():
        fields[key] = fresh_names(rng, 1)[0] if pool is None else str(rng.choice(list(pool)))
    if rng.random() < 0.5:
        frame = rng.choice(FRAMES)
        text = frame.format(**fields)
        there = [key for key in FIELDS if f"{{{key}}}" in frame]
    else:
        there = rng.sample(list(FIELDS), rng.randint(2, 4))
        text = "Data: " + ", ".join(f"{key} {fields[key]}" for key in there) + "."
    keys = rng.sample(there, min(len(there), rng.randint(1, 3)))
    if rng.random() < 0.4:
        body = ", ".join(f'"{key}": "{fields[key]}"' for key in keys)
        return Example("reformat", f"{text} JSON with {', '.join(keys)}", "{" + body + "}")
    tags = rng.sample(TAGS, len(keys))
    join = rng.choice((" | ", "; ", " "))
    mark = rng.choice((": ", " = ", " "))
    template = join.join(f"{tag}{mark}{key}" for tag, key in zip(tags, keys, strict=True))
    filled = join.join(f"{tag}{mark}{fields[key]}" for tag, key in zip(tags, keys, strict=True))
    return Example("reformat", f"{text} Fill {template}", filled)


def copy(rng: Random, vocabulary: tuple[str, ...] = ()) -> Example:
    """A row of words, said again; with a vocabulary, of any of its words.

    A later format can only use a token that the frozen output layer has learnt to say. So
    during pre-training this family walks through the whole vocabulary.
    """
    pool = vocabulary or tuple(rng_pool())
    row = [
        fresh_names(rng, 1)[0] if rng.random() < 0.25 else rng.choice(pool)
        for _ in range(rng.randint(2, 5))
    ]
    return Example("copy", f"Copy: {' '.join(row)}", " ".join(row))


def rng_pool() -> list[str]:
    """Common words for copying where no vocabulary is given."""
    return [word for column in PEOPLE.values() for word in column.split()]


def facts(rng: Random) -> Example:
    """Stored general facts: countries and animals, in all six wordings."""
    fact = rng.choice(stored_facts("general"))
    return fact_example("facts", fact.table, fact.column, fact.entity, fact.value, rng.choice(ALL))

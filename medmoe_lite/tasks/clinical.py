"""Tasks for adapters: strict formats, a label with context, interactions, a summary.

None of these prompts occurs in pre-training; their single words do. Training and test notes
are entity-disjoint: conditions and invented drug names are divided by a hash of their name,
one in four for testing. With `seen_conditions=True` test notes keep the conditions of the training
notes, and only drug names and notes are new: format without generalisation to new phrases.

All notes are invented by code. A condition comes with its own symptoms, and every drug is one
that does not exist: the notes are exercises in following a format, not medicine.
"""

from __future__ import annotations

import hashlib
from functools import cache
from random import Random

from .facts import facts, rows, values
from .names import RESERVED, all_names
from .record import Example

SINCE = ("since monday", "for 3 days", "for 2 weeks", "since morning")


@cache
def entities(kind: str, split: str) -> tuple[str, ...]:
    """Names ("conditions" of the base's world, or invented "drugs") that a split may use."""
    if kind == "drugs":
        names = sorted(all_names()[RESERVED:])
    else:
        names = sorted({fact.entity for fact in facts("base") if fact.table == kind})
    testing = {n for n in names if hashlib.sha256(n.encode()).digest()[1] % 4 == 0}
    return tuple(n for n in names if (n in testing) == (split != "train"))


@cache
def _symptoms() -> dict[str, list[str]]:
    return {row["name"]: row["symptoms"].split("; ") for row in rows("conditions")}


def _patient(rng: Random, split: str, seen_conditions: bool = False) -> dict[str, str]:
    """The fields of one invented note."""
    condition = rng.choice(entities("conditions", "train" if seen_conditions else split))
    return {
        "age": str(rng.randint(20, 90)),
        "sex": rng.choice(("man", "woman")),
        "symptom": rng.choice(_symptoms()[condition]),
        "condition": condition,
        "drug": rng.choice(entities("drugs", split)),
        "dose": str(rng.randint(1, 20) * 5),
        "temperature": str(rng.randint(36, 41)),
        "pulse": str(rng.randint(50, 140)),
        "since": rng.choice(SINCE),
    }


NOTES = (
    "{sex} of {age} with {symptom} {since}. Diagnosis {condition}. Given {drug} {dose} mg.",
    "Seen today: {age} year old {sex}, {symptom} {since}. {drug} {dose} mg for {condition}.",
    "{condition} in a {sex} of {age}. Main symptom {symptom}. Plan: {drug} {dose} mg.",
)


def _note(rng: Random, fields: dict[str, str]) -> str:
    text = rng.choice(NOTES).format(**fields)
    return text[0].upper() + text[1:] if text.startswith(("man", "woman")) else text


def json(rng: Random, split: str = "train", seen_conditions: bool = False) -> Example:
    """Entities of a note as a JSON object with three fixed keys."""
    fields = _patient(rng, split, seen_conditions)
    prompt = f"Extract. {_note(rng, fields)}"
    answer = '{{"drug": "{drug}", "dose": "{dose}", "symptom": "{symptom}"}}'.format(**fields)
    return Example("json", prompt, answer, grader="json")


def triage(rng: Random, split: str = "train", seen_conditions: bool = False) -> Example:
    """RED from 39 degrees on or a pulse from 120 on, AMBER from 38 or 100 on, else GREEN."""
    fields = _patient(rng, split, seen_conditions)
    temperature, pulse = int(fields["temperature"]), int(fields["pulse"])
    label = "GREEN"
    if temperature >= 38 or pulse >= 100:
        label = "AMBER"
    if temperature >= 39 or pulse >= 120:
        label = "RED"
    prompt = "Triage. {sex} of {age} with {symptom}. Temperature {temperature}, pulse {pulse}."
    return Example("triage", prompt.format(**fields), f"<< {label} >>", grader="label")


def code(rng: Random, split: str = "train") -> Example:
    """The ward's number of a diagnosis, looked up in the list that the prompt gives."""
    numbers = rng.sample(range(10, 100), 3)
    names = rng.sample(entities("conditions", split), 3)
    register = ", ".join(f"{name} {n}" for name, n in zip(names, numbers, strict=True))
    which = rng.randrange(3)
    prompt = f"Register: {register}. Code for {names[which]}."
    return Example("code", prompt, f"# {numbers[which]} #")


def soap(rng: Random, split: str = "train", seen_conditions: bool = False) -> Example:
    """A note as one SOAP line: subjective, objective, assessment, plan."""
    fields = _patient(rng, split, seen_conditions)
    prompt = f"SOAP. {_note(rng, fields)} Temperature {fields['temperature']}."
    answer = "S: {symptom} | O: {temperature} | A: {condition} | P: {drug}".format(**fields)
    return Example("soap", prompt, answer)


def classify(rng: Random, split: str = "train") -> Example:
    """Does a trial support a drug? yes from 7 of 10, no up to 3 of 10, else maybe.

    `meta["other"]` is the label of the trial that is not asked about. Where it is another one,
    a reader who never looks at the question is right at most every second time.
    """
    drugs = rng.sample(entities("drugs", split), 2)
    conditions = rng.sample(entities("conditions", split), 2)
    counts = [rng.randint(0, 10) for _ in drugs]
    said = [
        f"{drug} helped {n} of 10 patients with {condition}."
        for drug, n, condition in zip(drugs, counts, conditions, strict=True)
    ]
    which = rng.randrange(2)
    rng.shuffle(said)
    prompt = f"{' '.join(said)} Does {drugs[which]} help against {conditions[which]}?"
    verdicts = ["yes" if n >= 7 else "no" if n <= 3 else "maybe" for n in counts]
    label, other = verdicts[which], verdicts[1 - which]
    labels = ("yes", "no", "maybe")
    meta = {"other": other}
    return Example("classify", prompt, label, choices=labels, grader="label", meta=meta)


def interaction(rng: Random, split: str = "train") -> Example:
    """A leaflet names what a drug must not meet; the patient takes something: avoid or allowed?"""
    drugs = rng.sample(entities("drugs", split), 2)
    partners = rng.sample(values("drugs", "interaction"), 2)
    label = rng.choice(("avoid", "allowed"))
    taken = partners[0] if label == "avoid" else partners[1]
    leaflets = [f"People on {d} avoid {p}." for d, p in zip(drugs, partners, strict=True)]
    rng.shuffle(leaflets)
    prompt = f"{' '.join(leaflets)} The patient takes {drugs[0]} and {taken}. Verdict?"
    return Example("interaction", prompt, label, choices=("avoid", "allowed"), grader="label")


def summary(rng: Random, split: str = "train", seen_conditions: bool = False) -> Example:
    """A report of four sentences in one: who, what, which plan."""
    fields = _patient(rng, split, seen_conditions)
    sentences = [
        "The {sex} is {age} years old.",
        "{symptom} {since}.",
        "Temperature {temperature}, pulse {pulse}.",
        "We think of {condition}.",
        "{drug} {dose} mg was started.",
    ]
    rng.shuffle(sentences)
    prompt = "Report: " + " ".join(sentences).format(**fields) + " Summary?"
    answer = "{age} year old {sex} with {condition}, treated with {drug}.".format(**fields)
    return Example("summary", prompt, answer)

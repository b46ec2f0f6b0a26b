"""Checks 8.4 and 8.5, whose answers are text: write three steps, read a label."""

from typing import Any

from medmoe_lite.lab.checks import Verdict, not_attempted, right, wrong
from medmoe_lite.lab.nb08.steps import RULES

TRIALS = [("zoltin", 2, "gout"), ("baxcor", 8, "mumps")]
LABELS = ("yes", "no", "maybe")


def check_steps(three_steps: Any) -> Verdict:
    """8.4: `three_steps(trials, drug, label)`."""
    given = list(TRIALS)
    got = three_steps(given, "baxcor", "yes")
    if got is None or got is Ellipsis:
        return not_attempted()
    if not isinstance(got, str):
        return wrong("no-text", f"it returns {type(got).__name__}; return one text.")
    if given != TRIALS:
        return wrong("changes-its-input", "it changes the list of trials; leave that as it is.")
    parts = ["Recall:", "Summarise:", "Decide:"]
    missing = [part for part in parts if part not in got]
    if missing:
        return wrong("part-missing", f"there is no {' and no '.join(missing)} in {got!r}.")
    places = [got.index(part) for part in parts]
    if places != sorted(places):
        text = "the order is recall, summarise, decide: what is written later can use what is "
        return wrong("order", text + "written before, never the other way round.")
    recall, summary, decision = _parts(got, places)
    if "zoltin" in recall and "baxcor" in recall:
        return wrong("recalls-both", "recall tells both trials; the question is about one drug.")
    if "zoltin" in recall:
        return wrong("other-trial", "recall tells of zoltin, and the question is about baxcor.")
    if RULES["yes"] not in summary:
        text = f"the summary is {summary!r}: compare the count with the rule, {RULES['yes']!r}."
        return wrong("no-rule", text)
    if decision != "The answer is yes.":
        text = f"the decision is {decision!r}; a reader looks for 'The answer is yes.'"
        return wrong("decision", text)
    for drug, label in (("baxcor", "yes"), ("zoltin", "no"), ("zoltin", "maybe")):
        want, said = _wanted(drug, label), three_steps(list(TRIALS), drug, label)
        if said != want:
            return wrong("text", f"it says {said!r}; it should say {want!r}.")
    return right("one trial, its count beside the rule, one decision: the words of the package.")


def _parts(text: str, places: list[int]) -> list[str]:
    ends = [*places[1:], len(text)]
    return [text[a:b].partition(":")[2].strip() for a, b in zip(places, ends, strict=True)]


def _wanted(drug: str, label: str) -> str:
    count, condition = next((n, c) for name, n, c in TRIALS if name == drug)
    told = f"{drug} helped {count} of 10 patients with {condition}."
    return (
        f"Recall: {told} Summarise: {count} of 10, {RULES[label]}. Decide: The answer is {label}."
    )


HEAD = "Recall: zoltin helped 2 of 10 patients with gout. Summarise: 2 of 10, 3 or less. "
CASES = (
    (HEAD + "Decide: The answer is no.", "no", "not-read",
     "a text with all three parts and one decision was not read: expected 'no'."),
    (HEAD, None, "guesses", "a text that was cut before its decision has no label: return None."),
    ("", None, "guesses", "an empty text has no label: return None, never a guess."),
    (HEAD + "Decide: The answer is unknown.", None, "other-label",
     "'unknown' is none of the labels: return None."),
    ("Recall: no patient was asked, maybe ten. Summarise: nothing is known. "
     "Decide: The answer is yes.", "yes", "first-word",
     "labels stand in recall and summary as plain words; only the decision counts."),
    (HEAD + "Decide: The answer is not known.", None, "substring",
     "'not known' is not the label 'no': compare whole words."),
    (HEAD + "Decide: The answer is no. The answer is yes.", None, "one-of-two",
     "a text that decides twice has no label: return None."),
    ("Decide: The answer is yes. " + HEAD.strip(), None, "order-ignored",
     "a text that decides before it recalls does not follow the three steps: return None."),
    ("Decide: The answer is yes.", None, "parts-ignored",
     "recall and summary are missing here: return None."),
)  # fmt: skip


def check_read(read_label: Any) -> Verdict:
    """8.5: `read_label(text, labels)`."""
    labels = list(LABELS)
    said = [read_label(text, labels) for text, *_ in CASES]
    if all(label is None or label is Ellipsis for label in said):
        return not_attempted()
    if labels != list(LABELS):
        return wrong("changes-its-input", "it changes the list of labels; leave that as it is.")
    strange = [label for label in said if label is not None and not isinstance(label, str)]
    if strange:
        return wrong("no-label", f"it returns {strange[0]!r}; return a label or None.")
    missed = [(case, label) for case, label in zip(CASES, said, strict=True) if label != case[1]]
    if missed:
        (text, _, mistake, words), label = missed[0]
        return wrong(mistake, f"{text[-52:]!r} gives {label!r}: {words}")
    return right(f"{len(CASES)} texts: two have a label, the others say None and no guess.")

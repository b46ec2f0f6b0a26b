"""Three steps: building, reading (tolerant in form, strict in meaning), rendering, grading."""

from collections import Counter

import pytest

from medmoe_lite.tasks import encode, make
from medmoe_lite.tasks.steps import (
    grade_steps,
    problems,
    read_decision,
    read_steps,
    three_step_answer,
    three_step_prompt,
    with_steps,
)

LABELS = ["yes", "no", "maybe"]
PLAIN = "Recall: a drug. Summarise: it helps. Decide: The answer is yes."

FORMS = {
    "one line": PLAIN,
    "steps": "Step 1 - Recall: a drug.\nStep 2 – Summarise: it helps.\nStep 3: Decide: Yes.",
    "markdown": "Sure!\n\n**Recall:** a drug.\n\n**Summary:** it helps.\n\n**Decision:** *Yes*",
    "numbered": "1. Recall: a drug.\n2. Summarize: it helps.\n3. Decision: the answer is: yes",
    "own lines": "### Recall\na drug.\n### Summary\nit helps.\n### Decision\nyes, because it helps",
    "shouted": "RECALL: a drug. SUMMARISE: it helps. DECIDE: THE ANSWER IS YES!",
    "quoted": "Recall: a drug. Summary: it helps. Decide: The answer is 'yes'.",
    "twice": PLAIN + " So the answer is yes.",
}


@pytest.mark.parametrize("form", FORMS)
def test_many_forms_are_read(form):
    reading = read_steps(FORMS[form], LABELS)
    assert (reading.recall, reading.summary) == ("a drug.", "it helps.")
    assert (reading.label, reading.problem) == ("yes", None)


UNREADABLE = {
    "yes": "no part named recall, summarise, decide",
    "": "no part named recall, summarise, decide",
    "Recall: a. Decide: yes.": "no part named summarise",
    "Summarise: b. Recall: a. Decide: yes.": "not in the order",
    PLAIN + " Decide: no.": "decide stands there more than once",
    "Recall: Summarise: b. Decide: yes.": "nothing under recall",
    "Recall: a. Summarise: b. Decide:": "nothing under decide",
    "Recall: a. Summarise: b. Decide: yes or no.": "more than one label: yes, no",
    "Recall: a. Summarise: b. Decide: The answer is yes or no.": "more than one label: yes, no",
    "Recall: a. Summarise: b. Decide: yes/no": "more than one label: yes, no",
    "Recall: a. Summarise: b. Decide: Yes. No.": "more than one label: yes, no",
    "Recall: a. Summarise: b. Decide: The answer is yes. The answer is no.": "more than one",
    "Recall: a. Summarise: b. Decide: The answer is not yes.": "names no label",
    "Recall: a. Summarise: b. Decide: I do not think the answer is yes.": "what the answer is not",
    "Recall: a. Summarise: b. Decide: The answer is unclear.": "names no label",
    "Recall: a. Summarise: b. Decide: There is no harm.": "names no label",
    "Recall: a. Summarise: b. Decide: No harm is known.": "names no label",
    "Recall: a. Summarise: b. Decide: yesterday.": "names no label",
    "Recall: a. Summarise: b. Decide: Not yes.": "names no label",
    "Recall: yes. Summarise: yes. Decide: unknown.": "names no label",
}


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_is_ambiguous_has_no_label_and_a_reason(text):
    reading = read_steps(text, LABELS)
    assert reading.label is None
    assert UNREADABLE[text] in reading.problem


def test_reasons_are_counted():
    readings = [read_steps(text, LABELS) for text in (PLAIN, "yes", "no", PLAIN)]
    assert problems(readings) == Counter({"no part named recall, summarise, decide": 2})


def test_numbers_before_a_heading_stay_with_the_text():
    reading = read_steps("Recall: 8 of 10. Summarise: 8 of 10. Decide: yes", LABELS)
    assert (reading.recall, reading.summary) == ("8 of 10.", "8 of 10.")


def test_labels_of_several_words_and_labels_inside_labels():
    labels = ["benign", "not benign", "<< RED >>"]
    assert read_decision("The answer is not benign.", labels) == ("not benign", None)
    assert read_decision("Benign", labels) == ("benign", None)
    assert read_decision("The answer is << red >>.", labels) == ("<< RED >>", None)
    assert read_decision("<< RED >>", labels) == ("<< RED >>", None)
    with pytest.raises(ValueError, match="differ in case or marks"):
        read_decision("yes", ["yes", "Yes"])


def test_the_full_wording_names_the_steps_and_the_labels():
    prompt = three_step_prompt("Does it help?", LABELS)
    assert prompt.startswith("Does it help? Step 1 - Recall:")
    assert "'The answer is yes/no/maybe.'" in prompt
    with pytest.raises(ValueError, match="unknown wording 'long'"):
        three_step_prompt("?", wording="long")


def test_an_answer_that_was_built_is_read():
    for label in LABELS:
        reading = read_steps(three_step_answer("a, b.", "c: d.", label), LABELS)
        assert reading[:2] == ("a, b.", "c: d.")
        assert reading.label == label


@pytest.mark.parametrize("wording", ["short", "full"])
def test_every_classify_item_can_be_written_in_steps(wording):
    seen = Counter()
    for split in ("train", "dev", "test"):
        for plain in make("classify", split, 100, seed=3):
            item = with_steps(plain, wording)
            assert item.prompt.startswith(plain.prompt)
            assert item.choices == plain.choices
            reading = read_steps(item.answer, item.choices)
            assert reading.problem is None
            assert reading.label == plain.answer == item.meta["label"]
            assert reading.recall in plain.prompt
            drug = plain.prompt.split("Does ")[1].split()[0]
            assert reading.recall.startswith(drug)
            count = int(reading.recall.split()[2])
            assert reading.summary.startswith(f"{count} of 10,")
            assert plain.answer == ("yes" if count >= 7 else "no" if count <= 3 else "maybe")
            assert grade_steps(item, item.answer) == (True, True)
            assert grade_steps(item, plain.answer) == (False, False)
            seen[plain.answer] += 1
    assert set(seen) == set(LABELS)


def test_a_wrong_label_is_read_and_wrong():
    item = with_steps(make("classify", "train", 1)[0])
    other = next(label for label in LABELS if label != item.meta["label"])
    wrong = item.answer.replace(f"is {item.meta['label']}.", f"is {other}.")
    assert grade_steps(item, wrong) == (False, True)


def test_other_families_are_refused():
    with pytest.raises(ValueError, match="only items of the family 'classify'"):
        with_steps(make("triage", "train", 1)[0])


def test_the_nano_tokenizer_says_it_unchanged():
    from medmoe_lite.bases.vocab import build_tokenizer

    tokenizer = build_tokenizer()
    item = with_steps(make("classify", "train", 1)[0])
    ids = encode(item, tokenizer)
    said = [i for i, label in zip(ids["input_ids"], ids["labels"], strict=True) if label != -100]
    assert tokenizer.decode(said, skip_special_tokens=True).strip() == item.answer
    assert tokenizer.unk_token_id not in ids["input_ids"]
    assert len(ids["input_ids"]) < 200

"""Task families: reproducible, leak-free, gradable, and tokenised with loss on answers only."""

from __future__ import annotations

import re

import pytest

from medmoe_lite.tasks import (
    Example,
    clinical,
    encode,
    encode_prompt,
    every_fact,
    families,
    grade,
    make,
)
from medmoe_lite.tasks.facts import facts, kept, table, values
from medmoe_lite.tasks.names import RESERVED, all_names
from medmoe_lite.tasks.wordings import HELD_OUT, TAUGHT

FAMILIES = sorted(families())
SMALL = {"words": 20}


@pytest.fixture(scope="module")
def tokenizer():
    from medmoe_lite.bases.vocab import build_tokenizer

    return build_tokenizer()


@pytest.mark.parametrize("name", FAMILIES)
def test_same_seed_same_items_other_seed_other_items(name):
    n = SMALL.get(name, 30)
    assert make(name, "test", n, seed=1) == make(name, "test", n, seed=1)
    if name != "words":
        assert make(name, "test", n, seed=1) != make(name, "test", n, seed=2)


@pytest.mark.parametrize("name", FAMILIES)
def test_no_item_is_in_two_splits(name):
    train = {(e.prompt, e.answer) for e in make(name, "train", 200, seed=0)}
    for split in ("dev", "test"):
        items = {(e.prompt, e.answer) for e in make(name, split, SMALL.get(name, 60), seed=0)}
        assert not train & items


@pytest.mark.parametrize("name", ["json", "soap", "summary", "classify", "interaction", "code"])
def test_clinical_families_are_entity_disjoint(name):
    def entities(split):
        text = " ".join(f"{e.prompt} {e.answer}" for e in make(name, split, 150, seed=3))
        conditions = {f.entity for f in facts("base") if f.table == "conditions"}
        found = {c for c in conditions if re.search(rf"\b{c}\b", text)}
        return found | set(all_names()) & set(text.replace(",", " ").replace(".", " ").split())

    shared = entities("train") & entities("test")
    # A short condition inside a longer one ("asthma" in "bronchial asthma") is not a leak.
    conditions = table("conditions")
    assert not {s for s in shared if not any(s != c and s in c for c in conditions)}


def test_notes_with_seen_conditions_still_have_new_drugs_and_new_text():
    train = make("json", "train", 300)
    items = make("json", "test", 60, seen_conditions=True)
    drug = re.compile(r'"drug": "(\w+)"')
    assert not {drug.search(e.answer)[1] for e in train} & {drug.search(e.answer)[1] for e in items}
    conditions = set(clinical.entities("conditions", "train"))
    assert all(any(c in e.prompt for c in conditions) for e in items)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_gold_answer_is_right_and_garbage_is_not(name):
    for example in make(name, "train", 40, seed=5):
        assert grade(example, example.answer) == (True, True)
        assert not grade(example, example.answer + " x").correct
        assert grade(example, "") == (False, False)


def test_graders_are_strict_about_form_and_content():
    item = make("json", "test", 1)[0]
    assert grade(item, item.answer.replace('"dose"', '"Dose"')) == (False, False)
    assert grade(item, "The answer is " + item.answer) == (False, False)
    triage = Example("triage", "", "<< RED >>", grader="label")
    assert grade(triage, "<< GREEN >>") == (False, True)
    assert grade(triage, "<< RED >> << RED >>") == (False, False)


def test_rules_of_the_labels_by_an_independent_reading():
    for example in make("triage", "test", 80):
        temperature, pulse = map(int, re.findall(r"(\d+), pulse (\d+)", example.prompt)[0])
        level = max((temperature >= 38) + (temperature >= 39), (pulse >= 100) + (pulse >= 120))
        assert example.answer == f"<< {('GREEN', 'AMBER', 'RED')[level]} >>"
    for example in make("classify", "test", 80):
        drug = re.findall(r"Does (\w+) help", example.prompt)[0]
        helped = int(re.findall(rf"{drug} helped (\d+) of 10", example.prompt)[0])
        assert example.answer == ("no" if helped <= 3 else "maybe" if helped <= 6 else "yes")
    for example in make("interaction", "test", 80):
        drug, taken = re.findall(r"takes (\w+) and (.+)\. Verdict", example.prompt)[0]
        forbidden = re.findall(rf"People on {drug} avoid (.+?)\.", example.prompt)[0]
        assert example.answer == ("avoid" if taken == forbidden else "allowed")
    for example in make("lookup", "test", 80):
        rows = dict(re.findall(r"(\w+) (\d+)[,.]", example.prompt))
        assert example.answer == rows[re.findall(r"Find (\w+)", example.prompt)[0]]
    for example in make("arithmetic", "test", 80):
        assert int(example.answer) == sum(map(int, re.findall(r"\d+", example.prompt)))


def test_verify_needs_the_text():
    answers = [e.answer for e in make("verify", "train", 300)]
    assert all(60 < answers.count(label) < 140 for label in ("yes", "no", "unknown"))


def test_facts_kept_out_of_the_base_are_not_in_its_tables():
    base = {(f.table, f.entity) for f in facts("base")}
    assert not base & kept()
    assert not {f.entity for f in facts("invented")} & {f.entity for f in facts("base")}
    assert len(facts("kept")) >= 140
    assert len(facts("invented")) >= 140
    # The words of a new fact are known to the base, only the pair is new.
    known = {(f.column, f.value) for f in facts("base")}
    assert all((f.column, f.value) in known for f in facts("kept") if f.column != "code")


def test_invented_drugs_use_reserved_names_and_real_values():
    assert {f.entity for f in facts("invented")} <= set(all_names()[:RESERVED])
    assert all(f.value in values("drugs", f.column) for f in facts("invented"))


def test_held_out_wordings_differ_from_the_taught_ones():
    taught, heldout = every_fact("invented", "taught"), every_fact("invented", "heldout")
    assert {e.meta["wording"] for e in taught} == set(TAUGHT)
    assert {e.meta["wording"] for e in heldout} == set(HELD_OUT)
    assert not {e.prompt for e in taught} & {e.prompt for e in heldout}
    assert all(e.answer in e.choices and len(set(e.choices)) == 3 for e in taught + heldout)


@pytest.mark.parametrize("name", FAMILIES)
def test_text_survives_the_tokenizer(name, tokenizer):
    for example in make(name, "train", 100, seed=2):
        assert tokenizer.decode(tokenizer.encode(example.prompt)) == example.prompt
        assert tokenizer.decode(tokenizer.encode(example.answer)) == example.answer
        assert tokenizer.unk_token_id not in encode(example, tokenizer)["input_ids"]


def test_chat_tokens_one_by_one(tokenizer):
    example = Example("facts", "What is the capital of france?", "paris")
    item = encode(example, tokenizer)
    tokens = tokenizer.convert_ids_to_tokens(item["input_ids"])
    assert tokens == [
        "<|im_start|>", "user", "\n", "What", "is", "the", "capital", "of", "france", "?",
        "<|im_end|>", "\n", "<|im_start|>", "assistant", "\n", "paris", "<|im_end|>",
    ]  # fmt: skip
    assert item["labels"] == [-100] * 15 + item["input_ids"][15:]
    assert item["prompt_mask"] == [1] * 15 + [0, 0]
    assert encode_prompt(example, tokenizer) == item["input_ids"][:15]


def test_chat_text_equals_the_chat_template(tokenizer):
    example = Example("facts", "What is the capital of france?", "paris")
    turn = [{"role": "user", "content": example.prompt}]
    ids = tokenizer.apply_chat_template(turn, add_generation_prompt=True)["input_ids"]
    assert ids == encode_prompt(example, tokenizer)


def test_plain_items_end_with_the_end_of_text(tokenizer):
    example = next(e for e in make("facts", "train", 40) if e.style == "plain")
    item = encode(example, tokenizer)
    text = tokenizer.decode(item["input_ids"])
    assert text == f"{example.prompt} {example.answer}<|endoftext|>" or text.startswith(
        f"{example.prompt} {example.answer}"
    )
    assert item["input_ids"][-1] == tokenizer.pad_token_id == item["labels"][-1]


def test_names_are_two_tokens_and_unknown_words_do_not_break(tokenizer):
    assert all(len(tokenizer.encode(name)) == 2 for name in all_names())
    assert tokenizer.decode(tokenizer.encode("xylophone zoltin 999")) == "xylophone zoltin 999"


def test_errors_say_what_to_type(tokenizer):
    with pytest.raises(ValueError, match="There are: read"):
        make("poetry")
    with pytest.raises(ValueError, match="train, dev, test"):
        make("read", "validation")
    with pytest.raises(ValueError, match="or fewer"):
        make("words", "test", 500)
    with pytest.raises(ValueError, match="would cut the answer"):
        encode(make("summary", n=1)[0], tokenizer, max_length=8)

"""Published metrics against loops written anew and against numbers of scikit-learn and seqeval."""

from __future__ import annotations

import random
from itertools import product

import pytest

from medmoe_lite.tasks import Example, grade
from medmoe_lite.tasks.graders import said
from medmoe_lite.tasks.items import read_items, write_lines
from medmoe_lite.tasks.readers import DataError, Reader, register
from medmoe_lite.tasks.readers.f1 import (
    f1_by_class,
    f1_of,
    mean_f1,
    mentions,
    rouge_l,
    span_f1,
    weighted_f1,
)
from medmoe_lite.tasks.readers.metrics import METRICS
from medmoe_lite.tasks.readers.scoring import lines, report


def exam(answer="B", grader="letter", task="mmlu", **meta):
    return Example(task, "?", answer, choices=tuple("ABCDE"), grader=grader, meta=meta)


def confusion(pairs):
    """F1 of each class from the full table of counts."""
    names = sorted({name for pair in pairs for name in pair})
    table = dict.fromkeys(product(names, names), 0)
    for pair in pairs:
        table[pair] += 1
    scores = {}
    for name in names:
        told = sum(table[g, name] for g in names)
        gold = sum(table[name, s] for s in names)
        p = table[name, name] / told if told else 0.0
        r = table[name, name] / gold if gold else 0.0
        scores[name] = (2 * p * r / (p + r) if p + r else 0.0, gold)
    return scores


@pytest.mark.parametrize("seed", range(5))
def test_f1_of_classes_against_a_confusion_table(seed):
    rng = random.Random(seed)
    pairs = [(rng.choice("abc"), rng.choice("abcd")) for _ in range(60)]
    table = confusion(pairs)
    assert {n: f.f1 for n, f in f1_by_class(pairs).items()} == pytest.approx(
        {name: f1 for name, (f1, _) in table.items()}
    )
    assert mean_f1(pairs).f1 == pytest.approx(sum(f for f, _ in table.values()) / len(table))
    assert weighted_f1(pairs).f1 == pytest.approx(sum(f * n for f, n in table.values()) / 60)


def test_the_example_in_the_documentation_of_scikit_learn():
    pairs = list(zip("012012", "021001", strict=True))
    assert mean_f1(pairs).f1 == pytest.approx(0.26666666)
    assert mean_f1(pairs).precision == pytest.approx(0.22222222)
    assert mean_f1(pairs).recall == pytest.approx(0.33333333)
    assert weighted_f1(pairs).f1 == pytest.approx(0.26666666)


def test_the_majority_baseline_of_pubmedqa_as_published():
    """276 yes, 169 no, 55 maybe: 0.552 and 0.237."""
    gold = ["yes"] * 276 + ["no"] * 169 + ["maybe"] * 55
    items = [
        Example("pubmedqa", "", g, choices=("yes", "no", "maybe"), grader="label") for g in gold
    ]
    scores = METRICS["accuracy_macro_f1"](["yes"] * 500, items)
    assert scores == pytest.approx({"accuracy": 0.552, "macro_f1": 0.2371}, abs=1e-4)
    unread = METRICS["accuracy_macro_f1"](["perhaps"] * 500, items)
    assert unread == {"accuracy": 0.0, "macro_f1": 0.0}  # and "perhaps" is no fourth class


def test_the_example_in_the_readme_of_seqeval():
    gold = ["O O O B-MISC I-MISC I-MISC O".split(), "B-PER I-PER O".split()]
    told = ["O O B-MISC I-MISC I-MISC I-MISC O".split(), "B-PER I-PER O".split()]
    assert span_f1(gold, told) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("seed", range(4))
def test_spans_against_a_walk_over_tokens(seed):
    def walk(tags):
        """Token by token: where does a mention begin, and how far does it reach?"""
        found = set()
        for i, tag in enumerate(tags):
            if tag == "O":
                continue
            before = tags[i - 1] if i else "O"
            if tag[0] == "I" and before[0] in "BI" and before[2:] == tag[2:]:
                continue
            j = i
            while j + 1 < len(tags) and tags[j + 1] == f"I-{tag[2:]}":
                j += 1
            found.add((tag[2:], i, j))
        return found

    rng = random.Random(seed)
    tags = "O O O B-dis I-dis B-drug I-drug".split()
    gold = [[rng.choice(tags) for _ in range(12)] for _ in range(40)]
    told = [[t if rng.random() < 0.8 else rng.choice(tags) for t in row] for row in gold]
    a = {(n, *m) for n, row in enumerate(gold) for m in walk(row)}
    b = {(n, *m) for n, row in enumerate(told) for m in walk(row)}
    assert span_f1(gold, told).f1 == pytest.approx(2 * len(a & b) / (len(a) + len(b)))
    assert {(n, *m) for n, row in enumerate(gold) for m in mentions(row)} == a


def test_iobes_and_a_type_that_changes():
    assert mentions("S-d B-d E-d O I-d I-e E-e".split()) == [
        ("d", 0, 0), ("d", 1, 2), ("d", 4, 4), ("e", 5, 6),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="sentence 0 has 2 tokens and 1 tags"):
        span_f1([["O", "O"]], [["O"]])


@pytest.mark.parametrize("seed", range(6))
def test_rouge_l_against_the_table_of_the_longest_common_subsequence(seed):
    rng = random.Random(seed)
    a, b = ("".join(rng.choice("咳嗽痰热") for _ in range(rng.randint(1, 90))) for _ in "ab")
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, j in product(range(len(a)), range(len(b))):
        if a[i] == b[j]:
            table[i + 1][j + 1] = table[i][j] + 1
        else:
            table[i + 1][j + 1] = max(table[i][j + 1], table[i + 1][j])
    p, r = table[-1][-1] / len(a), table[-1][-1] / len(b)
    assert rouge_l(a, b) == pytest.approx(2 * p * r / (p + r) if p + r else 0.0)


def test_rouge_l_of_words_and_of_nothing():
    assert rouge_l("Take ASPIRIN daily", "take aspirin daily") == 1.0
    assert rouge_l("", "") == rouge_l("", "无。") == 1.0
    assert rouge_l("", "咳嗽") == 0.0


def test_set_f1_counts_items_over_all_answers():
    gold = [[("dis", "a"), ("dis", "b")], [], [("drug", "a")]]
    items = [
        Example("cblue/CMeEE", "", write_lines(g), choices=("dis", "drug"), grader="entities")
        for g in gold
    ]
    answers = ["dis: a\ndis: c\ndis: a", "drug: x", "dis: a"]  # 1 right of 4 said, 3 gold
    scores = METRICS["set_f1"](answers, items)
    assert scores == pytest.approx({"f1": 2 / 7, "precision": 1 / 4, "recall": 1 / 3})


def test_entities_that_stand_twice_count_twice():
    twice = [("dis", "fever"), ("dis", "fever"), ("dis", "cough")]
    item = Example("bio_ner", "", write_lines(twice), choices=("dis",), grader="entities",
                   meta={"entities": twice})  # fmt: skip
    assert METRICS["entity_f1"](["dis: fever\ndis: cough"], [item])["f1"] == 1.0
    assert METRICS["entity_f1"](["dis: cough"], [item])["recall"] == pytest.approx(1 / 3)
    assert METRICS["entity_f1"](["none"], [item]) == {"f1": 0.0, "precision": 0.0, "recall": 0.0}


def test_cmb_is_the_mean_over_classes_and_loses_unsorted_golds():
    rows = [("doctor", "a", "B", "B"), ("doctor", "a", "C", "C"), ("doctor", "b", "D", "A"),
            ("nurse", "c", "DA", "AD")]  # fmt: skip
    items = [
        exam(
            "".join(sorted(gold)),
            "letters",
            "cmb",
            exam_type=t,
            exam_class=c,
            published_answer=gold,
        )
        for t, c, gold, _ in rows
    ]
    scores = METRICS["cmb"]([told for *_, told in rows], items)
    assert scores == {"average": 0.25, "doctor": 0.5, "nurse": 0.0}
    assert grade(items[3], "AD").correct  # the strict grader compares sets


def test_mmedbench_compares_sets():
    items = [exam("AC", "letters", "mmedbench"), exam("B", task="mmedbench")]
    assert METRICS["mmedbench"](["C,A", "B"], items) == {"accuracy": 1.0}
    assert METRICS["mmedbench"](["A", "A,B"], items) == {"accuracy": 0.0}


@pytest.mark.parametrize(
    ("gold", "told", "right"),
    [
        ("#### 2,125", "so\n#### 2125", True),
        ("#### -10", "#### -10", True),
        ("#### 18", "#### 18.0", False),  # text is compared, not numbers
        ("#### 18", "The answer is 18", False),
        ("18", "18", True),
    ],
)
def test_gsm8k_compares_the_text_after_the_mark(gold, told, right):
    item = Example("gsm8k", "", gold, grader="number")
    assert METRICS["gsm8k"]([told], [item]) == {"accuracy": float(right)}


def test_cmexam_weighs_each_answer_by_how_often_it_is_gold():
    items = [exam(a, "letters", "cmexam") for a in ("A", "A", "B", "AC")]
    told = ["A", "B", "B", "no idea"]
    scores = METRICS["cmexam"](told, items)
    table = confusion([("A", "A"), ("A", "B"), ("B", "B"), ("AC", "")])
    assert scores["accuracy"] == 0.5
    assert scores["weighted_f1"] == pytest.approx(sum(f * n for f, n in table.values()) / 4)


def test_strict_letters():
    options = {"A": "a cat", "B": "fever", "C": "高度的特异性", "D": "none", "E": "iron"}
    one, several = exam("B", options=options), exam("AC", "letters", options=options)
    right = ["B", "(B)", "**B**.", "B. fever", "Answer: B", "It was late. The answer is B.",
             "the answer is B because C is wrong", "答案为B。", "选项A、C错误，故选B"]  # fmt: skip
    assert all(grade(one, text) == (True, True) for text in right)
    wrong = ["A", "The answer is C.", "答案为C高度的特异性"]
    assert all(grade(one, text) == (False, True) for text in wrong)
    unread = ["", "b", "AB", "B or C", "The answer is B or C", "The answer is not B", "F", "None",
              "The answer is A patient", "The answer is A B C D", "B. cough", "答案为B，或C",
              "The answer is B. No, the answer is C.", "Because B is best"]  # fmt: skip
    assert all(grade(one, text) == (False, False) for text in unread)
    assert all(grade(several, t) == (True, True) for t in ("AC", "C,A", "答案为A、C。", "A and C"))
    assert grade(several, "ABC") == (False, True)
    assert grade(several, "AF") == (False, False)


def test_strict_numbers():
    item = Example("gsm8k", "", "3*6=18\n#### 2,125", grader="number")
    right = ["2125", "$2,125.00", "#### 2125", "The answer is 2,125 dollars.", "答案为2125。"]
    assert all(grade(item, text) == (True, True) for text in right)
    assert grade(item, "The answer is 5.") == (False, True)
    unread = ["", "many", "2125 or 5", "2,12", "The answer is 2125 + 1", "#### 5\n#### 2125"]
    assert all(grade(item, text) == (False, False) for text in unread)
    assert said(Example("gsm8k", "", "-10", grader="number"), "−10.0") == "-10"


def test_strict_sets():
    gold = [("dis", "fever: high"), ("drug", "a, b")]
    item = Example("ner", "", write_lines(gold), choices=("dis", "drug"), grader="entities")
    assert grade(item, "drug：a, b\n\ndis: fever: high") == (True, True)
    assert grade(item, "dis: fever: high") == (False, True)
    assert grade(item, "Sure! dis: fever: high") == (False, False)
    assert grade(item, "food: a, b") == (False, False)
    assert grade(item, "none") == (False, True)
    terms = Example("cblue/CHIP-CDN", "", "b##a", grader="labels")
    assert grade(terms, "a## b") == (True, True)
    assert grade(terms, "a") == (False, True)
    assert grade(terms, "") == (False, False)
    with pytest.raises(ValueError, match="unknown form"):
        read_items(Example("x", "", "", meta={"form": "poem"}), "")
    with pytest.raises(ValueError, match="unknown grader"):
        grade(Example("x", "", "a", grader="vibes"), "a")


def test_a_label_with_the_separator_inside_is_one_label():
    choices = ("胆囊结石，伴胆囊炎", "胆囊结石", "发热")
    item = Example("promptcblue/CHIP-CDN", "", "胆囊结石，伴胆囊炎，发热", choices=choices,
                   grader="labels", meta={"separator": "，"})  # fmt: skip
    assert read_items(item, item.answer).found == {("胆囊结石，伴胆囊炎",), ("发热",)}
    assert not read_items(item, "胆囊结石，咳嗽").clean


@pytest.fixture
def choices_reader():
    return register(Reader("mmlu_here", "", "", "", "accuracy", lambda *_: iter(()), "a file."))


def test_a_report_puts_the_scores_side_by_side(choices_reader, monkeypatch):
    from medmoe_lite.tasks.readers import READERS, paper_graders

    monkeypatch.setitem(paper_graders.OF_READERS, "mmlu_here", paper_graders.ENGLISH)
    items = [exam(a, id=i) for i, a in enumerate("ABCD")]
    told = ["A", "Answer: B", "The answer is A B C D", "no idea"]
    scores = report("mmlu_here", items, told)
    assert (scores["n"], scores["unparsed"]) == (4, 2)
    assert scores["strict"]["score"] == 0.5
    assert scores["paper"]["first_letter"]["score"] == 0.25
    assert scores["paper"]["english_choice"]["score"] == 0.25
    published = scores["published"]["accuracy"]
    assert published["score"] == 0.5
    assert published["low"] <= 0.5 <= published["high"]
    assert published["low"] < published["high"]
    assert scores["strict"]["low"] == 0.0  # 4 items say little
    assert lines(scores)[0] == "mmlu_here: 4 answers, 2 of them unparsed"
    assert len(lines(scores)) == 5
    assert report("mmlu_here", items, told) == scores
    del READERS["mmlu_here"]


def test_a_report_needs_an_answer_for_each_example(choices_reader):
    with pytest.raises(DataError, match="1 answers to 2 examples"):
        report("mmlu_here", [exam(), exam()], ["B"])
    with pytest.raises(DataError, match="no gold answer"):
        report("mmlu_here", [exam(""), exam()], ["B", "B"])
    with pytest.raises(ValueError, match="list of examples is empty"):
        METRICS["accuracy"]([], [])
    from medmoe_lite.tasks.readers import READERS

    del READERS["mmlu_here"]


def test_nothing_of_nothing_is_zero():
    assert f1_of(0, 0, 0) == (0.0, 0.0, 0.0)
    assert weighted_f1([]).f1 == mean_f1([("a", "b")]).f1 == 0.0

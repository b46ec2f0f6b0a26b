"""Readers of the English sets: the published counts on real files, each trap on look-alikes.

The look-alikes are written here: the published fields and quirks, invented content.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter

import pytest

from medmoe_lite.tasks import grade
from medmoe_lite.tasks.readers import BadRow, DataError, find, overlap, read, repeated, stream
from medmoe_lite.tasks.readers.base import READERS
from medmoe_lite.tasks.readers.medquad import MAX_BYTES
from medmoe_lite.tasks.readers.metrics import METRICS

MINE = (
    "arc boolq cmmlu commonsenseqa gsm8k hellaswag medmcqa medqa medquad mirage mmedbench mmlu "
    "openbookqa piqa pubmedqa siqa truthfulqa winogrande"
).split()


def lines(path, rows):
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n")
    return path


def table(path, rows, quoting=csv.QUOTE_MINIMAL, end="\n"):
    path.parent.mkdir(exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=quoting, lineterminator=end).writerows(rows)
    return path


def parts(name, path, split=None, **options):
    """(good examples, bad rows)."""
    rows = list(stream(name, path, split, **options))
    return [r for r in rows if not isinstance(r, BadRow)], [
        r for r in rows if isinstance(r, BadRow)
    ]


def reasons(name, path, split=None, **options):
    return [row.reason for row in parts(name, path, split, **options)[1]]


# The interface


def test_readers_are_known_by_name_with_a_metric_a_licence_and_a_home():
    for name in MINE:
        reader = find(name)
        assert reader.metric in METRICS
        assert reader.home.startswith("https://")
        assert reader.licence
        assert reader.files.endswith(".")
    assert set(MINE) <= set(READERS)


def test_wrong_names_splits_options_and_paths_say_what_there_is(tmp_path):
    with pytest.raises(DataError, match="did you mean 'pubmedqa'"):
        read("pubmed_qa", tmp_path)
    with pytest.raises(DataError, match="its splits: train, test"):
        read("pubmedqa", tmp_path, "dev")
    with pytest.raises(DataError, match="its options: index_base, encoding"):
        read("medmcqa", tmp_path, base=1)
    with pytest.raises(DataError, match="there is no .*none.csv. mmlu needs a CSV"):
        read("mmlu", tmp_path / "none.csv")


def test_read_stops_at_the_first_bad_row_with_file_line_and_what_to_type(tmp_path):
    path = lines(tmp_path / "t.jsonl", [GSM, {"question": "q", "answer": "12"}])
    with pytest.raises(DataError, match=r"t.jsonl:2: the answer has no .*data check .* --as gsm8k"):
        read("gsm8k", path)


# PubMedQA


def pqa(decision="yes", **more):
    return {
        "QUESTION": "Does rest help?", "CONTEXTS": ["We asked 40 people.", "Half of them slept."],
        "LABELS": ["METHODS", "RESULTS"], "MESHES": [], "YEAR": "2011",
        "reasoning_required_pred": "no", "reasoning_free_pred": "no", "final_decision": decision,
        "LONG_ANSWER": "Rest surely helps.",
    } | more  # fmt: skip


@pytest.fixture
def pubmedqa(tmp_path):
    items = {"11": pqa(), "12": pqa("no", YEAR=None), "13": pqa("maybe"), "14": pqa("no")}
    (tmp_path / "ori_pqal.json").write_text(json.dumps(items, indent=4))
    (tmp_path / "test_ground_truth.json").write_text(json.dumps({"12": "no", "13": "maybe"}))
    return tmp_path / "ori_pqal.json"


def test_pubmedqa_training_holds_no_test_item(pubmedqa):
    train, test = read("pubmedqa", pubmedqa, "train"), read("pubmedqa", pubmedqa.parent, "test")
    assert [e.meta["id"] for e in train] == ["11", "14"]
    assert [e.meta["id"] for e in test] == ["12", "13"]
    assert [e.meta["split"] for e in read("pubmedqa", pubmedqa)] == ["train", "test"] * 1 + [
        "test", "train",
    ]  # fmt: skip
    assert test[0].meta["year"] is None


def test_pubmedqa_without_its_key_does_not_guess(pubmedqa, tmp_path):
    key = pubmedqa.with_name("test_ground_truth.json")
    moved = key.rename(tmp_path / "elsewhere.json")
    with pytest.raises(DataError, match="test items lie inside.*type `medmoe data fetch pubmedqa`"):
        read("pubmedqa", pubmedqa, "train")
    assert {e.meta["split"] for e in read("pubmedqa", pubmedqa)} == {"unknown"}
    assert len(read("pubmedqa", pubmedqa, "train", test_key=str(moved))) == 2


def test_pubmedqa_prompt_tells_no_answer_and_begins_with_the_question(pubmedqa):
    example = read("pubmedqa", pubmedqa)[0]
    assert "surely" not in repr(example)
    assert "pred" not in repr(example)
    assert example.prompt.index("Does rest help?") < 80
    assert example.prompt.endswith("We asked 40 people.\nHalf of them slept.")
    assert (example.answer, example.choices, example.grader) == (
        "yes", ("yes", "no", "maybe"), "label",
    )  # fmt: skip


def test_pubmedqa_bad_rows(tmp_path):
    items = {
        "1": pqa("perhaps"), "2": pqa(None), "3": pqa(LABELS=["RESULTS"]), "4": pqa(CONTEXTS=[]),
        "5": pqa("yes"), "6": pqa(QUESTION=None),
    }  # fmt: skip
    text = json.dumps(items, indent=1)[:-2] + ',\n "6": ' + json.dumps(pqa()) + "\n}"
    first = text[: text.index('"6"')].count("\n") + 1
    (tmp_path / "ori_pqal.json").write_text(text)
    (tmp_path / "test_ground_truth.json").write_text('{"5": "no",\n "99": "yes"}')
    assert reasons("pubmedqa", tmp_path) == [
        "final_decision is 'perhaps', not yes, no or maybe.",
        "unlabelled: final_decision is missing (the file of PQA-U has none).",
        "2 CONTEXTS and 1 LABELS.",
        "the field 'CONTEXTS' is not a list of texts.",
        "final_decision is 'yes', the test key says 'no'.",
        "the field 'QUESTION' is null.",
        f"the id '6' was used before, in line {first}.",
        "the test item '99' is not in ori_pqal.json: is it the whole file?",
    ]
    last = parts("pubmedqa", tmp_path)[1][-1]
    assert (last.file, last.line) == (str(tmp_path / "test_ground_truth.json"), 2)


def test_pubmedqa_published_counts(realdata):
    folder = realdata / "pubmedqa"
    count = {s: Counter(e.answer for e in read("pubmedqa", folder, s)) for s in ("train", "test")}
    assert count["test"] == {"yes": 276, "no": 169, "maybe": 55}
    assert count["train"] + count["test"] == {"yes": 552, "no": 338, "maybe": 110}
    every = read("pubmedqa", folder)
    assert sum(e.meta["year"] is None for e in every) == 58
    raw = json.loads((folder / "ori_pqal.json").read_text())
    for example in every:
        row = raw[example.meta["id"]]
        assert example.prompt.count(row["QUESTION"].strip()) >= 1
        assert row["LONG_ANSWER"] not in example.prompt
        assert all(context.strip() in example.prompt for context in row["CONTEXTS"])
    text = (folder / "ori_pqal.json").read_text().splitlines()
    for example in every[::100]:
        assert text[example.meta["line"] - 1].strip() == f'"{example.meta["id"]}": {{'
    assert not overlap(read("pubmedqa", folder, "train"), read("pubmedqa", folder, "test"))


# MedQA


def usmle(number=4, letter="B", **more):
    texts = ["rest", "ice", "heat", "rest", "None"][:number]
    options = dict(zip("ABCDE", texts, strict=False))
    return {
        "question": "Which one helps?", "answer": options.get(letter), "options": options,
        "meta_info": "step1", "answer_idx": letter, "metamap_phrases": ["helps"],
    } | more  # fmt: skip


def test_medqa_four_and_five_options_are_two_tasks_that_do_not_mix(tmp_path):
    four = read("medqa", lines(tmp_path / "test.jsonl", [usmle()]))
    (tmp_path / "5").mkdir()
    path = lines(tmp_path / "5" / "test.jsonl", [usmle(5, "E"), usmle(5, "C")])
    five = read("medqa", path, options=5)
    assert [e.task for e in (*four, *five)] == ["medqa/4_options"] + ["medqa/5_options"] * 2
    assert not {e.meta["id"] for e in four} & {e.meta["id"] for e in five}
    assert five[0].meta["options"]["E"] == "None"
    assert five[0].prompt.endswith("D. rest\nE. None")
    assert five[0].meta["same_text"] == "AD"
    assert grade(five[0], "E").correct
    assert len(reasons("medqa", path, options=4)) == 2
    mixed = lines(tmp_path / "mixed.jsonl", [usmle(), usmle(5), usmle()])
    assert "5 options among rows of 4" in reasons("medqa", mixed)[0]
    with pytest.raises(DataError, match="type options=4 or options=5"):
        read("medqa", path, options=6)


def test_medqa_stray_quote_and_typo_are_mended_and_told(tmp_path):
    rows = [
        usmle(question='Which one helps?"'), usmle(question='He says "it hurts"'),
        usmle(meta_info="stfep2&3"), usmle(question="Is 37 °C – “normal”?"),
    ]  # fmt: skip
    found = read("medqa", lines(tmp_path / "t.jsonl", rows))
    assert [e.meta["question"] for e in found] == [
        "Which one helps?", 'He says "it hurts"', "Which one helps?", "Is 37 °C – “normal”?",
    ]  # fmt: skip
    assert [e.meta.get("mended") for e in found] == [["quote"], None, ["meta_info"], None]
    assert found[2].meta["step"] == "step2&3"


def test_medqa_bad_rows(tmp_path):
    rows = [
        usmle(answer_idx="E"), usmle(answer_idx=None), usmle(answer="heat"), usmle(question=" "),
        usmle(options={"A": "x", "B": None, "C": "y", "D": "z"}), usmle(3), usmle(options=None),
    ]  # fmt: skip
    del rows[3]["metamap_phrases"]
    assert reasons("medqa", lines(tmp_path / "t.jsonl", rows)) == [
        "answer_idx is 'E': the options are A, B, C, D.",
        "unlabelled: answer_idx is missing (a test set whose key is not published?).",
        "answer_idx B is 'ice', but answer is 'heat'.",
        "the field 'question' is empty.",
        "option B is null.",
        "3 options: MedQA has 4 or 5.",
        "options: an object or a list was expected, not a NoneType.",
    ]


# MedMCQA


def neet(cop, **more):
    return {
        "question": "Pickling:", "exp": None, "cop": cop, "opa": "salt", "opb": "None", "opc": "0",
        "opd": "salt", "subject_name": "Pathology", "topic_name": None, "choice_type": "multi",
    } | more  # fmt: skip


def letters(name, path, **options):
    return "".join(e.answer for e in parts(name, path, **options)[0])


def test_medmcqa_finds_what_its_numbers_count_from(tmp_path):
    path = lines(tmp_path / "dev.json", [neet(n, id=str(n)) for n in (1, 4, 2, 3)])
    assert letters("medmcqa", path) == letters("medmcqa", path, index_base="1") == "ADBC"
    with pytest.raises(DataError, match="counted from 1.*Type index_base=1"):
        read("medmcqa", path, index_base=0)
    path = lines(tmp_path / "hub.json", [neet(n) for n in (0, 3, 1, 2)])
    assert letters("medmcqa", path) == "ADBC"
    with pytest.raises(DataError, match="the version on the hub.*Type index_base=0"):
        read("medmcqa", path, index_base=1)
    example = read("medmcqa", path)[0]
    assert example.prompt.endswith("Pickling:\nA. salt\nB. None\nC. 0\nD. salt")
    assert example.meta["same_text"] == "AD"
    assert example.meta["index_base"] == 0


def test_medmcqa_that_cannot_be_told_is_not_guessed(tmp_path):
    path = lines(tmp_path / "few.json", [neet(1), neet(2)])
    with pytest.raises(DataError, match="fits counting from 0 and from 1. Type index_base=1 for"):
        read("medmcqa", path)
    assert letters("medmcqa", path, index_base=1) == "AB"
    assert letters("medmcqa", path, index_base=0) == "BC"
    both = lines(tmp_path / "both.json", [neet(0), neet(4), neet(1)])
    with pytest.raises(DataError, match="5 values for 4 options"):
        read("medmcqa", both)
    assert reasons("medmcqa", both, index_base=1) == ["the answer is 0, not one of 1 to 4."]
    with pytest.raises(DataError, match="type 0 or 1"):
        read("medmcqa", both, index_base=2)


def test_medmcqa_explanations_uncover_a_file_that_is_off_by_one(tmp_path):
    said = [neet(n, exp=f"Ans. is '{'abcd'[n - 1]}' i.e. salt") for n in (1, 2, 3, 2, 1)]
    assert letters("medmcqa", lines(tmp_path / "a.json", said)) == "ABCBA"
    shifted = [row | {"cop": row["cop"] + 1} for row in said]  # 2, 3, 4, 3, 2: looks like base 1
    with pytest.raises(DataError, match="off by one"):
        read("medmcqa", lines(tmp_path / "b.json", shifted))
    example = read("medmcqa", tmp_path / "a.json")[0]
    assert "Ans." not in example.prompt
    assert example.meta["explanation"].startswith("Ans.")


def test_medmcqa_other_dialects_unlabelled_rows_and_duplicate_ids(tmp_path):
    choices = ["A. salt", "B. A. lumbricoides", "C. 0", "D. All of the above"]
    rows = [{"question": "q", "choices": choices, "answer": n} for n in (0, 1, 3, -1)]
    found, bad = parts("medmcqa", lines(tmp_path / "v.jsonl", rows))
    assert "".join(e.answer for e in found) == "ABD"
    assert list(found[0].meta["options"].values()) == [
        "salt", "A. lumbricoides", "0", "All of the above",
    ]  # fmt: skip
    assert bad[0].reason.startswith("unlabelled: the answer is -1")
    test = lines(tmp_path / "test.jsonl", [neet(-1), neet(None)])
    assert [r[:10] for r in reasons("medmcqa", test)] == ["unlabelled"] * 2
    rows = [{"question": "q", "options": {"A": "x", "B": "y"}, "answer_idx": "B", "id": "7"}] * 2
    found, bad = parts("medmcqa", lines(tmp_path / "l.jsonl", rows))
    assert found[0].answer == "B"
    assert bad[0].reason == "the id '7' was used before, in line 1."


# MMLU, CMMLU

ROWS = [
    ("What is\nit?", "None", "0", 'a "b"', "1", 0),
    ("NA", "x", "y", "null", "w", 2),
    (" Spaced", "x", "y", "y", "w", 3),
]
DIALECTS = {
    "letters": [(*row[:5], "ABCD"[row[5]]) for row in ROWS],
    "choices": [("question", *(f"choice{n}" for n in range(4)), "answer"), *ROWS],
    "quoted": [("question", *"ABCD", "answer"), *ROWS],
    "cmmlu": [("", "Question", *"ABCD", "Answer")]
    + [(n, *row[:5], "ABCD"[row[5]]) for n, row in enumerate(ROWS)],
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_mmlu_dialects_are_told_apart_and_agree(tmp_path, dialect, end):
    quoting = csv.QUOTE_ALL if dialect == "quoted" else csv.QUOTE_MINIMAL
    path = table(tmp_path / "test" / "anatomy_test.csv", DIALECTS[dialect], quoting, end)
    found = read("mmlu", path)
    assert [e.answer for e in found] == ["A", "C", "D"]
    assert list(found[0].meta["options"].values()) == ["None", "0", 'a "b"', "1"]
    assert found[1].meta["question"] == "NA"
    assert found[0].meta["question"].split() == ["What", "is", "it?"]
    first = 1 if dialect == "letters" else 2
    assert [e.meta["line"] for e in found] == [first, first + 2, first + 3]
    assert {(e.task, e.meta["split"]) for e in found} == {("mmlu/anatomy", "test")}


def test_mmlu_folders_splits_and_subjects(tmp_path):
    for split in ("dev", "test"):
        for subject in ("anatomy", "college_medicine", "virology"):
            table(tmp_path / split / f"{subject}_{split}.csv", DIALECTS["letters"])
    table(tmp_path / "val" / "virology.csv", DIALECTS["cmmlu"])
    assert len(read("mmlu", tmp_path)) == 21
    assert len(read("mmlu", tmp_path, "val")) == 3
    medical = read("mmlu", tmp_path, "test", subjects="medical")
    assert {e.task for e in medical} == {"mmlu/anatomy", "mmlu/college_medicine"}
    assert len({e.meta["id"] for e in read("mmlu", tmp_path)}) == 21
    assert len(repeated(read("mmlu", tmp_path, "test"))) == 6
    with pytest.raises(DataError, match="no file of split test botany"):
        read("mmlu", tmp_path, "test", subjects="botany")
    (tmp_path / "test" / "anatomy_test.csv").write_bytes(b"version https://git-lfs.github.com/spec")
    found, bad = parts("mmlu", tmp_path, "test")
    assert len(found) == 6
    assert "Git LFS" in bad[0].reason
    chinese = read("cmmlu", tmp_path / "val")
    assert chinese[0].task == "cmmlu/virology"
    assert chinese[0].prompt.startswith("请用")


def test_mmlu_numbers_from_one_and_bad_rows(tmp_path):
    shifted = [(*row[:5], row[5] + 1) for row in ROWS]
    path = table(tmp_path / "x_test.csv", shifted)
    assert letters("mmlu", path) == "ACD"
    with pytest.raises(DataError, match="Type index_base=1"):
        read("mmlu", path, index_base=0)
    rows = [*DIALECTS["letters"], ("q", "1", "2", "3", "4"), ("q", "", "2", "3", "4", "A"),
            ("q", "1", "2", "3", "4", "F"), ("", "1", "2", "3", "4", "A")]  # fmt: skip
    assert reasons("mmlu", table(tmp_path / "y_test.csv", rows)) == [
        "5 cells where this file has 6.",
        "A is empty.",
        "the answer is 'F': the options are A, B, C, D.",
        "the question is empty.",
    ]
    with pytest.raises(DataError, match=":1: 2 cells where MMLU has 6"):
        read("mmlu", table(tmp_path / "z.csv", [("question", "answer")]))


MEDICAL = {
    "anatomy": 135, "clinical_knowledge": 265, "college_biology": 144, "college_medicine": 173,
    "medical_genetics": 100, "professional_medicine": 272,
}  # fmt: skip


def test_mmlu_published_counts(realdata):
    folder = realdata / "mmlu"
    found = read("mmlu", folder, "test", subjects="medical")
    assert Counter(e.task.removeprefix("mmlu/") for e in found) == MEDICAL
    assert set(Counter(e.task for e in read("mmlu", folder, "dev")).values()) == {5}
    assert len(repeated(found)) == 79
    every = read("mmlu", folder)
    texts = [text for e in every for text in e.meta["options"].values()]
    assert all(isinstance(text, str) and text for text in texts)
    assert {"0", "1"} <= set(texts)
    pandas_would_lose = sum("None" in e.meta["options"].values() for e in every)
    with_csv = 0
    for path in folder.rglob("*.csv"):
        with open(path, newline="", encoding="utf-8") as file:
            with_csv += sum("None" in row[1:5] for row in csv.reader(file))
    assert pandas_would_lose == with_csv
    with open(folder / "test" / "college_medicine_test.csv", "rb") as file:
        assert sum(1 for _ in file) == 225


# MIRAGE, MMedBench


def mirage_item(number, answer="A"):
    return {"question": f"q{number}", "options": dict(zip("ABCD"[:number], "wxyz", strict=False)),
            "answer": answer}  # fmt: skip


def test_mirage_five_sets_of_their_own_numbers_of_options(tmp_path):
    sets = {
        "medqa": {"0000": mirage_item(4), "0001": mirage_item(3)},
        "medmcqa": {"a-b": mirage_item(4, "D")}, "pubmedqa": {"12": mirage_item(3, "C")},
        "bioasq": {"55": mirage_item(2), "56": mirage_item(2, "C"), "57": mirage_item(2, "B")},
        "mmlu": {"anatomy-000": mirage_item(4)}, "other": {"1": mirage_item(4)},
    }  # fmt: skip
    (tmp_path / "benchmark.json").write_text(json.dumps(sets, indent=2))
    found, bad = parts("mirage", tmp_path)
    assert Counter(e.task for e in found) == {
        "mirage/medqa": 1, "mirage/medmcqa": 1, "mirage/pubmedqa": 1, "mirage/bioasq": 2,
        "mirage/mmlu": 1,
    }  # fmt: skip
    assert [row.reason for row in bad] == [
        "3 options where medqa has 4.",
        "the answer is 'C': the options are A, B.",
        "the set 'other' is none of medqa, medmcqa, pubmedqa, bioasq, mmlu.",
    ]
    (yes, no) = parts("mirage", tmp_path, "bioasq")[0]
    assert (yes.meta["id"], yes.choices, no.answer) == ("bioasq/55", ("A", "B"), "B")
    assert len(repeated([yes, no])) == 1


def bench(letters, **more):
    return {
        "question": "病因是（　　）。", "options": {"A": "细菌", "B": "病毒", "C": "真菌"},
        "answer": "细菌", "meta_info": "第一部分　历年真题", "answer_idx": letters,
        "rationale": "因此选项A正确。", "human_checked": 0, "human_check_passed": 0,
    } | more  # fmt: skip


def test_mmedbench_one_and_several_letters_and_a_rationale_that_stays_out(tmp_path):
    french = bench("C,A", question="Laquelle?", answer=None)
    rows = [bench("A"), french, bench("B"), bench("A,D")]
    found, bad = parts("mmedbench", lines(tmp_path / "f.jsonl", rows))
    assert [(e.answer, e.grader) for e in found] == [("A", "letter"), ("AC", "letters")]
    assert [row.reason for row in bad] == [
        "answer_idx B is '病毒', but answer is '细菌'.",
        "answer_idx is 'D': the options are A, B, C.",
    ]
    assert "因此" not in found[0].prompt
    assert "因此" in found[0].meta["rationale"]
    assert found[0].meta["human_checked"] is False
    assert found[1].meta["published_answer"] == "C,A"
    assert found[0].prompt.startswith("请用")
    assert found[1].prompt.startswith("Answer with the letters")
    assert grade(found[1], "A,C").correct
    assert not grade(found[1], "A").correct


# MedQuAD

XML = """<?xml version="1.0" encoding="UTF-8"?>
<Document id="1" source="CDC" url="x"><Focus>Gout &amp; rest</Focus>
<QAPairs>
 <QAPair pid="1"><Question qid="1-1" qtype="information">What is
   Gout ?</Question>
  <Answer>A pain.
      
      
      
   - in the toe</Answer></QAPair>
 <QAPair pid="2"><Question qid="1-2" qtype="dose">How much ?</Question><Answer>  </Answer></QAPair>
</QAPairs></Document>
"""  # noqa: W293


def test_medquad_text_is_tidied_and_empty_answers_are_reported(tmp_path):
    for folder in ("1_A", "2_B"):  # ids repeat across folders
        (tmp_path / folder).mkdir()
        text = XML.replace("Document", "DiseaseFile") if folder == "2_B" else XML
        (tmp_path / folder / "1.xml").write_text(text)
    found, bad = parts("medquad", tmp_path)
    assert [e.meta["id"] for e in found] == ["1_A/1-1", "2_B/1-1"]
    assert (found[0].prompt, found[0].answer) == ("What is Gout ?", "A pain.\n\n- in the toe")
    assert (found[0].meta["qtype"], found[0].meta["focus"]) == ("information", "Gout & rest")
    assert (found[0].meta["line"], found[0].meta["source"]) == (4, "CDC")
    assert len(bad) == 2
    assert bad[0].line == 11
    assert bad[0].reason.startswith("the answer is empty")
    assert bad[0].raw == "1-2: How much ?"


BOMB = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;&x;&x;&x;">]>
<Document><QAPairs><QAPair><Question>&y;</Question><Answer>&y;</Answer></QAPair></QAPairs></Document>"""
OUTSIDE = BOMB.replace('<!ENTITY x "ha">', '<!ENTITY x SYSTEM "file:///etc/passwd">')


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "declares a document type"),
        (OUTSIDE, "declares a document type"),
        ("<Document>" + "<a>" * 100, "nested more than 50 deep"),
        (XML.replace("</Question>", "</Answer>", 1), "not XML: mismatched tag"),
        (XML[:300], "not XML: no element found|not XML: unclosed token"),
        (XML.replace("A pain.", "A & pain."), "not XML: not well-formed"),
        (XML.replace("UTF-8", "klingon"), "not XML: unknown encoding"),
    ],
)
def test_medquad_hostile_and_broken_documents_are_bad_rows(tmp_path, text, reason):
    path = tmp_path / "1.xml"
    path.write_text(text)
    found, bad = parts("medquad", path)
    assert not found or "Gout" in found[0].prompt
    assert any(re.search(reason, row.reason) for row in bad)


def test_medquad_documents_have_a_limit_and_a_damaged_file_does_not_stop_a_folder(tmp_path):
    (tmp_path / "big.xml").write_text("<Document>")
    with open(tmp_path / "big.xml", "r+b") as file:
        file.truncate(MAX_BYTES + 1)
    (tmp_path / "empty.xml").write_bytes(b"")
    (tmp_path / "good.xml").write_text(XML)
    found, bad = parts("medquad", tmp_path)
    assert len(found) == 1
    assert "a document has at most" in bad[0].reason
    assert "is empty" in bad[1].reason
    with pytest.raises(DataError, match="is empty"):
        read("medquad", tmp_path / "empty.xml")


def test_medquad_published_folders(realdata):
    found, bad = parts("medquad", realdata / "medquad")
    assert {e.meta["source"] for e in found} == {"CDC"}
    assert {row.file.split("/")[-2] for row in bad} == {"12_MPlusHerbsSupplements_QA"}
    text = "".join(p.read_text() for p in (realdata / "medquad").rglob("*.xml"))
    assert len(found) + len(bad) == text.count("<QAPair ")
    assert len(bad) == text.count("<Answer></Answer>")
    assert len({e.meta["id"] for e in found}) == len(found)


# GSM8K

GSM = {"question": "How many eggs?", "answer": "She has 3*4=<<3*4=12>>12.\n#### 2,125"}


def test_gsm8k_numbers_in_one_spelling_and_no_marks(tmp_path):
    rows = [
        GSM, GSM | {"answer": "Down.\n#### -10"}, GSM | {"answer": "#### $7"},
        {"instruction": "How many?", "input": "", "output": "Some.", "answer": "576.0"},
        GSM | {"answer": "12"}, GSM | {"answer": "#### twelve"}, GSM | {"answer": None},
    ]  # fmt: skip
    path = lines(tmp_path / "test.jsonl", rows)
    found, bad = parts("gsm8k", path)
    assert [e.meta["number"] for e in found] == ["2125", "-10", "7", "576"]
    assert found[0].meta["published_answer"] == "#### 2,125"
    assert found[0].answer == "She has 3*4=12.\n#### 2125"
    assert len(bad) == 3
    assert grade(found[0], "The answer is 2,125.").correct
    assert not grade(found[0], "The answer is 125.").correct
    assert [e.answer for e in parts("gsm8k", path, answer="number")[0]][1] == "-10"
    with pytest.raises(DataError, match="type answer=solution"):
        read("gsm8k", path, answer="steps")


def test_gsm8k_published_counts(realdata):
    found = read("gsm8k", realdata / "gsm8k" / "test.jsonl")
    assert len(found) == 1319
    assert not any("<<" in e.answer or "," in e.meta["number"] for e in found)
    assert all(grade(e, e.answer).correct for e in found)
    with open(realdata / "gsm8k" / "test.jsonl", encoding="utf-8") as file:
        raw = [json.loads(line)["answer"].split("####")[1].strip() for line in file]
    assert [e.meta["number"] for e in found] == [text.replace(",", "") for text in raw]
    assert any("," in text for text in raw)


# Commonsense sets


def adapters(body, form, answer, **more):
    return {
        "instruction": f"{body}\n\nAnswer format: {form}", "input": "",
        "output": f"the correct answer is {answer}", "answer": answer,
    } | more  # fmt: skip


ASKS = "Please choose the correct answer to the question: "


def test_llm_adapters_form_has_its_options_inside_the_prompt(tmp_path):
    three = adapters(f"{ASKS}Which?\n\nAnswer1: a: b Answer2: None Answer3: c",
                     "answer1/answer2/answer3", "answer3")  # fmt: skip
    tricky = adapters(f"{ASKS}Is Answer1: wrong?\n\nAnswer1: yes Answer2: no", "answer1/answer2",
                      "answer1")  # fmt: skip
    arc = read("arc", lines(tmp_path / "arc.json", [three, tricky]))
    assert [e.answer for e in arc] == ["C", "A"]
    assert arc[0].meta["options"] == {"A": "a: b", "B": "None", "C": "c"}
    assert arc[0].meta["question"] == "Which?"
    assert arc[1].meta["question"] == "Is Answer1: wrong?"
    piqa = adapters("Please choose the correct solution to the question: Boil\n\nSolution1: a\n\n"
                    "Solution2: b", "solution1/solution2", "solution2")  # fmt: skip
    fill = ("Please choose the correct answer to fill in the blank to complete the given sentence: "
            "Ann met _ .\n\nOption1: Bob Option2: Eve")  # fmt: skip
    fill = adapters(fill, "option1/option2", "option1")
    fill["instruction"] = fill["instruction"].replace("\n\nAnswer format", " Answer format")
    found = read("piqa", lines(tmp_path / "p.json", [piqa])) + read(
        "winogrande", lines(tmp_path / "w.json", [fill])
    )
    assert [(e.answer, e.meta["question"]) for e in found] == [("B", "Boil"), ("A", "Ann met _ .")]
    (tmp_path / "array.json").write_text(json.dumps([three, tricky], indent=4))
    assert [e.answer for e in read("openbookqa", tmp_path / "array.json")] == ["C", "A"]


def test_boolq_of_llm_adapters_is_true_or_false_without_a_passage(tmp_path):
    row = adapters("Please answer the following question with true or false, question: is it so?",
                   "true/false", "false")  # fmt: skip
    (example,) = read("boolq", lines(tmp_path / "b.json", [row]))
    assert example.prompt == "Answer with true or false.\n\nis it so?"
    assert (example.answer, example.choices, example.grader) == (
        "false",
        ("true", "false"),
        "label",
    )


def test_llm_adapters_bad_rows(tmp_path):
    good = adapters(f"{ASKS}Q\n\nAnswer1: a Answer2: b", "answer1/answer2", "answer2")
    rows = [
        good | {"answer": "answer3"}, good | {"output": "the correct answer is answer1"},
        good | {"instruction": f"{ASKS}Q Answer1: a Answer2: b"},
        good | {"instruction": f"{ASKS}Q Answer1: a\n\nAnswer format: answer1/answer2"},
        good | {"instruction": f"{ASKS}Q Answer1: Answer2: b\n\nAnswer format: answer1/answer2"},
        {"question": "q"},
    ]  # fmt: skip
    assert [r[:48] for r in reasons("siqa", lines(tmp_path / "s.json", rows))] == [
        "the answer is 'answer3', not one of answer1, ans",
        "the answer is 'answer2', but the output says 'th",
        "the instruction does not end with 'Answer format",
        "the option 'answer2' of the format line is not i",
        "the option 'answer1' is empty.",
        "not a row of LLM-Adapters: it has no fields 'ins",
    ]


def test_hellaswag_labels_as_numbers_and_as_text_and_its_marks(tmp_path):
    row = {
        "ind": 24, "activity_label": "Rest", "ctx": "[header] How to rest [title] Lie down.",
        "endings": ["[step] Sleep.", "Run.", "Eat.", "Run."], "label": 3, "source_id": "s",
    }  # fmt: skip
    path = lines(
        tmp_path / "h.jsonl", [row, row | {"label": "0"}, row | {"label": ""}, {"ctx": "c"}]
    )
    found, bad = parts("hellaswag", path)
    assert [e.answer for e in found] == ["D", "A"]
    assert found[0].meta["options"]["A"] == "Sleep."
    assert found[0].meta["question"] == "Rest: How to rest. Lie down."
    assert found[0].meta["same_text"] == "BD"
    assert bad[0].reason.startswith("unlabelled")
    assert bad[1].reason == "the field 'endings' is not a list of four texts."


def test_commonsenseqa_both_dialects_agree(tmp_path):
    texts = ["bank", "None", "door", "shop", "NA"]
    nested = [{"label": k, "text": v} for k, v in zip("ABCDE", texts, strict=True)]
    question = {"stem": "Where?", "question_concept": "c", "choices": nested}
    original = {"id": "x1", "answerKey": "B", "question": question}
    flat = {"id": "x2", "question": "Where?", "question_concept": "c", "answerKey": "B",
            "choices": {"label": list("ABCDE"), "text": texts}}  # fmt: skip
    rows = [original, flat, flat, flat | {"id": "x3", "answerKey": ""}]
    found, bad = parts("commonsenseqa", lines(tmp_path / "c.jsonl", rows))
    assert found[0].prompt == found[1].prompt
    assert [(e.answer, e.meta["id"], e.meta["concept"]) for e in found] == [
        ("B", "x1", "c"), ("B", "x2", "c"),
    ]  # fmt: skip
    assert bad[0].reason == "the id 'x2' was used before, in line 2."
    assert bad[1].reason.startswith("unlabelled: answerKey")


def test_truthfulqa_as_mc1_has_no_empty_option_and_no_fixed_place(tmp_path):
    head = ["Type", "Category", "Question", "Best Answer", "Correct Answers", "Incorrect Answers",
            "Source", "New Column"]  # fmt: skip
    rows = [["A", "Health", f"Q{n}?", "Nothing", "Nothing; No", "Fever; ; Gout; Fever;", "s", ""]
            for n in range(40)]  # fmt: skip
    path = table(tmp_path / "TruthfulQA.csv", [head, *rows, [*rows[0][:5], " ; ", "s", ""]])
    found, bad = parts("truthfulqa", path)
    assert all(sorted(e.meta["options"].values()) == ["Fever", "Gout", "Nothing"] for e in found)
    assert all(e.meta["options"][e.answer] == "Nothing" for e in found)
    assert min(Counter(e.answer for e in found).values()) > 5
    assert parts("truthfulqa", path)[0] == found
    assert [row.reason for row in bad] == ["there is no incorrect answer."]


# Leaks


def test_overlap_finds_test_questions_in_another_wording_of_spaces_and_options(tmp_path):
    train = read("medqa", lines(tmp_path / "a.jsonl", [usmle(5), usmle(5, question="New one?")]))
    test = read("medqa", lines(tmp_path / "b.jsonl", [usmle(question=' which  ONE helps ?"')]))
    (twin,) = overlap(train, test)
    assert (twin.first.meta["line"], twin.second) == (1, test[0])
    assert not overlap(train[1:], test)

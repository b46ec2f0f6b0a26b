"""Readers of Chinese and structured sets: look-alikes with every quirk, and NCBI-disease itself.

All rows here are invented; only their shape is that of the published files.
"""

from __future__ import annotations

import csv
import json
import sys

import pytest

from medmoe_lite.tasks import grade
from medmoe_lite.tasks.items import read_items
from medmoe_lite.tasks.readers import (
    BadRow,
    DataError,
    cblue,
    cmb,
    cmexam,
    conversation,
    find,
    ner,
    promptcblue,
    read,
    stream,
)
from medmoe_lite.tasks.readers.metrics import METRICS
from medmoe_lite.tasks.readers.scoring import report

MODULES = (cblue, cmb, cmexam, conversation, ner, promptcblue)


def json_lines(path, rows, end="\n"):
    body = end.join(json.dumps(row, ensure_ascii=False) for row in rows) + end
    path.write_bytes(body.encode())
    return path


def json_array(path, rows):
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")
    return path


def bad(name, path, **options):
    return [row for row in stream(name, path, **options) if isinstance(row, BadRow)]


def good_is_right(examples):
    """What a file says is right must be right for its own grader."""
    assert examples
    for example in examples:
        assert grade(example, example.answer) == (True, True), example
        assert {"id", "file", "line"} <= example.meta.keys()
        assert json.loads(json.dumps(example.meta)) == example.meta  # can be written and read


# CMExam

HEADER = ["Question", "Options", "Answer", "Explanation", "Disease Group", "Area of Competency",
          "Clinical Department", "Medical Discipline", "Difficulty level"]  # fmt: skip
FOUR = ["甲药", "维生素 K 1", "乙药", "None"]
EXAM = [
    ["哪种药含铁", FOUR, "B", "铁剂（B对）。", "不符合", "医学基础知识", "不符合", "药学", "3"],
    ["含“引号”，和逗号的题", [*FOUR, "都对"], "ACE", "", "血液病,感染", "x", "内科", "x", "1"],
]


def cell(options, newline):
    return newline.join(f"{letter} {text}" for letter, text in zip("ABCDE", options, strict=False))


def exam_csv(path, rows=EXAM):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows([q, cell(options, "\n"), *rest] for q, options, *rest in rows)
    return path


def test_cmexam_reads_options_with_newlines_in_their_cell(tmp_path):
    one, two = read("cmexam", exam_csv(tmp_path / "test.csv"))
    good_is_right([one, two])
    assert one.meta["options"] == dict(zip("ABCD", FOUR, strict=True))  # whole, with its spaces
    assert one.prompt.endswith("\nA. 甲药\nB. 维生素 K 1\nC. 乙药\nD. None")
    assert (one.answer, one.grader, two.answer, len(two.choices)) == ("B", "letters", "ACE", 5)
    assert (one.meta["line"], two.meta["line"]) == (2, 6)  # four lines a row, not one
    assert one.meta["department"] is None  # 不符合: not applicable, no class
    assert (one.meta["disease_groups"], two.meta["disease_groups"]) == ([], ["血液病", "感染"])
    assert (one.meta["difficulty"], one.meta["explanation"]) == (3, "铁剂（B对）。")
    assert two.meta["explanation"] is None
    assert "B对" not in one.prompt


def test_cmexam_reads_the_same_from_excel(tmp_path):
    """There the newline is the two characters \\ and n, and a level may be a number."""
    book = pytest.importorskip("openpyxl").Workbook()
    book.active.append(HEADER)
    for question, options, *rest, _ in EXAM:
        book.active.append([question, cell(options, "\\n"), *rest, 3.0])
    book.active.append([None] * 9)
    book.save(tmp_path / "val.xlsx")
    found = read("cmexam", tmp_path / "val.xlsx")
    expected = read("cmexam", exam_csv(tmp_path / "val.csv"))
    assert [e.prompt for e in found] == [e.prompt for e in expected]
    assert [e.answer for e in found] == ["B", "ACE"]
    assert [e.meta["line"] for e in found] == [2, 3]
    assert found[0].meta["difficulty"] == 3
    (tmp_path / "broken.xlsx").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataError, match="is no Excel file"):
        read("cmexam", tmp_path / "broken.xlsx")


def test_cmexam_says_what_is_wrong_with_a_row(tmp_path):
    rows = [
        ["题", FOUR, "E", *EXAM[0][3:]],
        ["题", FOUR, "", *EXAM[0][3:]],
        ["", FOUR, "A", *EXAM[0][3:]],
        ["题", [], "A", *EXAM[0][3:]],
        ["题", FOUR, "A,C", *EXAM[0][3:]],
    ]
    found = list(stream("cmexam", exam_csv(tmp_path / "test.csv", rows)))
    reasons = [row.reason for row in found[:4]]
    assert "'E': the options are A, B, C, D" in reasons[0]
    assert reasons[1].startswith("unlabelled")
    assert "'Question' is empty" in reasons[2]
    assert "'Options' is empty" in reasons[3]
    assert (found[4].answer, found[4].meta["published_answer"]) == ("AC", "A,C")
    (tmp_path / "other.csv").write_text("Question,x\n1,2\n", encoding="utf-8")
    with pytest.raises(DataError, match="no column Options, Answer"):
        read("cmexam", tmp_path / "other.csv")


def test_options_out_of_order_are_refused():
    assert list(cmexam.read_options("A x\nB D 族\nC z")) == ["A", "B", "C"]
    for wrong in ("B x\nA y", "A x\nA y", "x\nB y", "A only"):
        with pytest.raises(ValueError):
            cmexam.read_options(wrong)


# CMB

OPTION = {"A": "一", "B": "二", "C": "三", "D": "四", "E": "", "F": ""}
PLACE = {"exam_type": "医师考试", "exam_class": "规培结业", "exam_subject": "病理科",
         "question_type": "单项选择题"}  # fmt: skip
SEVERAL = {**PLACE, "question_type": "多项选择题"}


def cmb_rows(*answers):
    return [
        {"id": i, **(PLACE if len(a) == 1 else SEVERAL), "question": f"题{i}", "option": OPTION,
         "answer": a}
        for i, a in enumerate(answers, start=1)
    ]  # fmt: skip


def test_cmb_sorts_letters_and_keeps_them_as_published(tmp_path):
    rows = cmb_rows("D", "DBA", "C")
    rows[2]["question_type"] = "多项选择题"  # several asked, one letter
    items = read("cmb", json_array(tmp_path / "val.json", rows))
    good_is_right(items)
    assert [e.answer for e in items] == ["D", "ABD", "C"]
    assert [e.grader for e in items] == ["letter", "letters", "letters"]
    assert items[1].meta["published_answer"] == "DBA"
    assert items[0].choices == tuple("ABCD")  # options that are not used are empty
    assert "医师考试中规培结业考试的一道单项选择题" in items[0].prompt
    scores = METRICS["cmb"](["D", "ABD", "C"], items)
    assert scores["average"] == pytest.approx(2 / 3)  # the unsorted gold is lost


def test_cmb_joins_the_answers_of_the_test_set_by_id(tmp_path):
    rows = cmb_rows("D", "AC", "B")
    questions = [{k: v for k, v in row.items() if k != "answer"} for row in rows]
    keys = [{k: v for k, v in row.items() if k not in ("question", "option")} for row in rows]
    keys = [keys[2], keys[0], keys[1], {**keys[0], "id": 9}]
    path = json_array(tmp_path / "questions.json", questions)
    assert "unlabelled" in bad("cmb", path)[0].reason
    beside = json_array(tmp_path / cmb.KEY, keys)
    found = list(stream("cmb", path))
    assert [e.answer for e in found[:3]] == ["D", "AC", "B"]
    assert "answer to question 9 has no question" in found[3].reason
    with pytest.raises(DataError, match="holds answers and no questions"):
        read("cmb", beside)
    other = json_array(tmp_path / "other.json", [{**keys[1], "exam_class": "护师"}])
    assert "do not belong together" in bad("cmb", path, answers=str(other))[0].reason
    twice = json_array(tmp_path / "twice.json", [keys[0], keys[0]])
    with pytest.raises(DataError, match="an id of its own"):
        read("cmb", path, answers=str(twice))


def test_cmb_refuses_a_letter_that_is_no_option_and_an_id_used_twice(tmp_path):
    rows = cmb_rows("F", "A", "ABCDEF")
    rows[1]["id"] = 1
    rows[2]["option"] = {letter: letter for letter in "ABCDEF"}  # six letters are right with six
    found = list(stream("cmb", json_array(tmp_path / "x.json", rows)))
    assert "'F': the options are A, B, C, D" in found[0].reason
    assert "used before" in found[1].reason
    assert found[2].answer == "ABCDEF"


# CBLUE

TEXT = "  患儿发热，咳嗽。"
CMEEE = {
    "text": TEXT,
    "entities": [
        {"start_idx": 4, "end_idx": 5, "type": "sym", "entity": "发热"},
        {"start_idx": 2, "end_idx": 5, "type": "dis", "entity": "患儿发热"},
        {"start_idx": 4, "end_idx": 5, "type": "dis", "entity": "发热"},
    ],
}


def test_cmeee_ends_are_inclusive_and_entities_may_nest(tmp_path):
    item, none = read(
        "cblue", json_array(tmp_path / "CMeEE_dev.json", [CMEEE, {"text": "好", "entities": []}])
    )
    good_is_right([item, none])
    assert item.task == "cblue/CMeEE"
    assert item.answer == "sym: 发热\ndis: 患儿发热\ndis: 发热"  # one span, two types
    assert grade(item, "dis: 发热\nsym: 发热\ndis: 患儿发热").correct
    assert none.answer == "none"


def test_cmeee_says_where_a_place_and_its_text_differ(tmp_path):
    def broken(**change):
        return {"text": TEXT, "entities": [{**CMEEE["entities"][0], **change}]}

    rows = [broken(end_idx=6), broken(type="food"), broken(start_idx="4"), {"text": "无"},
            broken(entity=None), {"text": TEXT, "entities": {}}, {"text": TEXT, "entities": [3]},
            {"text": "a\nb", "entities": [{"start_idx": 0, "end_idx": 2, "type": "sym",
                                           "entity": "a\nb"}]}]  # fmt: skip
    reasons = [row.reason for row in bad("cblue", json_array(tmp_path / "CMeEE_x.json", rows))]
    assert len(reasons) == 8
    assert "end_idx is exclusive" in reasons[0]
    assert "type 'food'" in reasons[1]
    assert "not whole numbers" in reasons[2]
    assert reasons[3].startswith("unlabelled")
    assert "not a list" in reasons[5]
    assert "lacks start_idx" in reasons[6]
    assert "line break" in reasons[7]


def triple(predicate="药物治疗", thing=None):
    return {"Combined": False, "predicate": predicate, "subject": "甲病", "subject_type": "疾病",
            "object": thing or {"@value": "乙药"}, "object_type": {"@value": "药物"}}  # fmt: skip


def test_cmeie_is_json_lines_with_crlf_and_its_objects_are_dicts(tmp_path):
    rows = [
        {
            "text": "甲病@用乙药",
            "spo_list": [triple(), triple(), triple("同义词", {"@value": "丙"})],
        },
        {"text": "x", "spo_list": [triple(thing={"@value": "a", "inWork": "b"})]},
        {"text": "x", "spo_list": [triple(thing={"@value": "a -> b"})]},
    ]
    path = json_lines(tmp_path / "CMeIE_dev.json", rows, end="\r\n")
    found = list(stream("cblue", path))
    good_is_right(found[:1])
    assert found[0].answer == "药物治疗: 甲病 -> 乙药\n同义词: 甲病 -> 丙"  # a triple twice is one
    assert 'not {"@value": text}' in found[1].reason
    assert "' -> ' inside" in found[2].reason
    schema = json_lines(tmp_path / "53_schemas.json", [triple(), triple("同义词")], end="\r\n")
    assert read_choices(path, schema) == ("药物治疗", "同义词")
    only = json_lines(tmp_path / "one_schema.json", [triple()])
    assert "'同义词' is not in the schema" in bad("cblue", path, schema=str(only))[0].reason
    with pytest.raises(DataError, match="schema of CMeIE"):
        read("cblue", schema, task="CMeIE")
    with pytest.raises(DataError, match="no predicate"):
        read("cblue", path, schema=str(path))


def read_choices(path, schema):
    return next(stream("cblue", path, schema=str(schema))).choices


def test_chip_cdn_is_a_set_of_terms(tmp_path):
    rows = [{"text": "甲Ca", "normalized_result": "甲恶性肿瘤##癌"},
            {"text": "乙", "normalized_result": "a####b"}]  # fmt: skip
    found = list(stream("cblue", json_array(tmp_path / "CHIP-CDN_dev.json", rows)))
    good_is_right(found[:1])
    assert grade(found[0], "癌##甲恶性肿瘤").correct
    assert "is empty" in found[1].reason


def test_chip_ctc_marks_texts_that_come_again(tmp_path):
    rows = [
        {"id": "s1", "label": "Disease", "text": " 4）既往有甲病"},
        {"id": "s2", "label": "Disease", "text": "4）既往有甲病"},
        {"id": "s3", "label": "Age", "text": " 4）既往有甲病"},
        {"id": "s4", "label": "疾病", "text": "x"},
        {"id": "s1", "label": "Age", "text": "y"},
    ]
    one, two, three, label, again = stream("cblue", json_array(tmp_path / "CHIP-CTC_x.json", rows))
    good_is_right([one, two, three])
    assert len(one.choices) == 44
    assert "duplicate_of" not in one.meta
    assert (two.meta["duplicate_of"], two.meta["conflict"]) == ("s1", False)
    assert (three.meta["duplicate_of"], three.meta["conflict"]) == ("s1", True)
    assert "the label is '疾病'" in label.reason
    assert "used before" in again.reason


PAIRS = {
    "CHIP-STS": {"id": "1", "text1": "甲", "text2": "乙", "label": "0", "category": "diabetes"},
    "KUAKE-QQR": {"id": "s1", "query1": "甲", "query2": "乙", "label": "2"},
    "KUAKE-QTR": {"id": "s1", "query": "甲", "title": "乙", "label": "3"},
    "KUAKE-QIC": {"id": "s1", "query": "甲乙", "label": "治疗方案"},
}


@pytest.mark.parametrize("task", PAIRS)
def test_tasks_of_one_label(tmp_path, task):
    row = PAIRS[task]
    for path in (tmp_path / f"{task}_dev.json", tmp_path / "mine.json"):  # by name, by fields
        (item,) = read("cblue", json_array(path, [row]))
        good_is_right([item])
        assert (item.task, item.answer) == (f"cblue/{task}", row["label"])
        assert item.prompt.endswith("甲\n乙") or item.prompt.endswith("甲乙")
        assert "9" not in item.choices
    (fault,) = bad("cblue", json_array(tmp_path / f"{task}_x.json", [{**row, "label": "9"}]))
    assert "the label is '9'" in fault.reason


def test_qqr_has_a_gold_file_with_other_names(tmp_path):
    (tmp_path / "KUAKE-QQR").mkdir()
    rows = [{"id": "s1", "query": "甲", "title": "乙", "label": "2"}]
    (item,) = read("cblue", json_array(tmp_path / "KUAKE-QQR" / "example_gold.json", rows))
    assert item.task == "cblue/KUAKE-QQR"


def test_rows_without_labels_are_bad_unless_asked_for(tmp_path):
    rows = [{"id": "1", "query": "甲"}, {"id": "2", "query": "乙", "label": ""}]
    path = json_array(tmp_path / "KUAKE-QIC_test.json", rows)
    assert [row.reason[:10] for row in bad("cblue", path)] == ["unlabelled"] * 2
    kept = read("cblue", path, unlabelled="keep")
    assert [(e.answer, e.meta["unlabelled"]) for e in kept] == [("", True)] * 2
    with pytest.raises(DataError, match="no gold answer"):
        report("cblue", kept, ["治疗方案"] * 2)
    with pytest.raises(DataError, match="Give the option task="):
        read("cblue", json_array(tmp_path / "mine.json", [{"text": "x"}]))
    with pytest.raises(DataError, match="no task 'CMeE'"):
        read("cblue", path, task="CMeE")
    for name in ("cblue", "promptcblue"):
        with pytest.raises(DataError, match="one of refuse, keep"):
            read(name, path, unlabelled="yes")


def test_cblue_scores_each_task_by_its_own_metric(tmp_path):
    items = read("cblue", json_array(tmp_path / "CMeEE_dev.json", [CMEEE]))
    items += read("cblue", json_array(tmp_path / "KUAKE-QIC_dev.json", [PAIRS["KUAKE-QIC"]]))
    scores = report("cblue", items, [items[0].answer, "病因分析"])
    assert scores["published"]["CMeEE/f1"]["score"] == 1.0
    assert scores["published"]["KUAKE-QIC/accuracy"]["score"] == 0.0
    assert scores["published"]["overall"]["score"] == scores["strict"]["score"] == 0.5
    assert scores["paper"] == {}


# PromptCBLUE

ATTR = ["没有患有该症状", "患有该症状", "无法根据上下文确定病人是否患有该症状"]
PROMPT = {
    "CMeEE-V2": ("上述句子中的实体包含：\n疾病实体：甲病，乙病\n药物实体：", ["疾病", "药物"]),
    "IMCS-V2-NER": ("上述句子没有指定类型实体", ["症状"]),
    "CMeIE": ("具有药物治疗关系的头尾实体对如下：头实体为甲，尾实体为乙。头实体为甲，尾实体为丙。\n"
              "具有相关（症状）关系的头尾实体对如下：", ["药物治疗", "相关（症状）"]),
    "CHIP-CDN": ("甲，乙", ["甲", "乙", "丙"]),
    "CHIP-CDEE": ("上述句子中的临床发现事件如下：\n"
                  "主体词：发热；发生状态：否定；描述词：；解剖部位：\n"
                  "主体词：痛；发生状态：；描述词：胀，重；解剖部位：腹", None),
    "IMCS-V2-SR": (f"当前对话中的症状及其阴阳性判断为：\n咳嗽：{ATTR[1]}\n咳嗽：{ATTR[1]}", ATTR),
    "CHIP-MDCFNPC": ("上述对话中临床发现实体以及其阴阳性判别如下：\n痛：有", ["有", "无"]),
    "IMCS-V2-DAC": ("非上述类型", ["给出诊断", "关于病因的询问", "给出诊断"]),
    "IMCS-V2-MRG": ("上述问诊对话的诊疗报告如下：\n主诉：咳嗽。\n现病史：\n诊断：感冒。", None),
    "CHIP-CTC": ("年龄", ["性别", "年龄"]),
    "CHIP-STS": ("不是", ["是的", "不是"]),
    "KUAKE-IR": ("相关", ["相关", "不相关"]),
    "KUAKE-QIC": ("就医建议", ["就医建议", "病因分析"]),
    "KUAKE-QQR": ("完全一致", ["完全一致", "语义无直接关联"]),
    "KUAKE-QTR": ("部分匹配", ["部分匹配", "完全匹配"]),
    "MedDG": ("多喝水。", None),
}  # fmt: skip


def prompt_row(task, target=None, **change):
    answer, choices = PROMPT[task]
    return {"input": f"{task} 的题\n选项: x\n答：", "target": answer if target is None else target,
            "answer_choices": choices, "task_type": "t", "task_dataset": task,
            "sample_id": "dev-1", **change}  # fmt: skip


@pytest.fixture
def sixteen(tmp_path):
    rows = [prompt_row(task) for task in PROMPT]
    return {
        e.meta["published_task"]: e
        for e in read("promptcblue", json_lines(tmp_path / "d.json", rows))
    }


def test_promptcblue_reads_all_sixteen_tasks(sixteen):
    assert set(sixteen) == set(PROMPT)
    assert len(sixteen) == len(promptcblue.TASKS) == 16
    good_is_right(sixteen.values())
    assert sixteen["CMeIE"].task == "promptcblue/CMeIE-V2"  # the name that the scorer expects
    assert sixteen["IMCS-V2-DAC"].choices == (
        "给出诊断",
        "关于病因的询问",
        "非上述类型",
    )  # once each
    assert sixteen["MedDG"].choices == ()
    answers = [e.answer for e in sixteen.values()]
    scores = METRICS["promptcblue"](answers, list(sixteen.values()))
    assert scores["IMCS-V2-NER/f1"] == 0.0  # nothing to find is worth nothing
    assert scores["overall"] == pytest.approx(15 / 16)


def test_promptcblue_structures(sixteen):
    def found(task, text=None):
        return set(read_items(sixteen[task], PROMPT[task][0] if text is None else text).found)

    assert found("CMeEE-V2") == {("疾病", "甲病"), ("疾病", "乙病")}
    assert found("CMeIE") == {("药物治疗", "甲", "乙"), ("药物治疗", "甲", "丙")}
    assert found("CHIP-CDEE") == {("发热", "否定", "", ""), ("痛", "", "胀，重", "腹")}
    assert found("IMCS-V2-SR") == {("咳嗽", "患有该症状")}  # twice in the file, once here
    assert found("IMCS-V2-NER") == set()
    cdn = sixteen["CHIP-CDN"]
    assert grade(cdn, "乙，甲").correct
    assert grade(cdn, "没有对应的标准化实体") == (False, True)
    assert grade(cdn, "甲，丁") == (False, False)


def test_promptcblue_an_answer_without_its_first_line_loses_an_item(sixteen):
    """Their scorer skips it unseen; ours says that the answer is not in the form."""
    item = sixteen["CHIP-MDCFNPC"]
    assert METRICS["promptcblue"](["痛：有"], [item])["overall"] == 0.0
    assert grade(item, "痛：有") == (False, False)


def test_promptcblue_an_unknown_attribute_may_be_right(sixteen):
    target = f"当前对话中的症状及其阴阳性判断为：\n咳嗽：{ATTR[2]}"
    item = promptcblue._example("IMCS-V2-SR", "x", target, tuple(ATTR), {"id": 1})
    said = target.replace(ATTR[2], "也许")
    assert METRICS["promptcblue"]([said], [item])["overall"] == 1.0
    assert grade(item, said) == (False, False)
    other = sixteen["CHIP-MDCFNPC"]
    assert METRICS["promptcblue"]([other.answer.replace("有", "也许")], [other])["overall"] == 0.0


def test_promptcblue_a_comma_inside_an_entity_cuts_it(sixteen):
    item = sixteen["CMeEE-V2"]
    assert ("疾病", "甲病") in read_items(
        item, "上述句子中的实体包含：\n疾病实体：甲病，伴乙病"
    ).found
    assert not grade(item, "疾病实体：甲病，乙病\n好的").parsed


def test_promptcblue_an_empty_answer_is_the_first_label(sixteen):
    items = [sixteen["IMCS-V2-DAC"], sixteen["KUAKE-IR"], sixteen["CHIP-STS"]]
    scores = METRICS["promptcblue"](["", "", "不同"], items)
    assert scores["overall"] == 1.0  # silence is right where the first label is
    assert [grade(item, "").parsed for item in items] == [False] * 3


def test_promptcblue_reports_are_scored_section_by_section(sixteen):
    item = sixteen["IMCS-V2-MRG"]
    said = "报告：\n主诉：咳嗽。\n现病史：无。\n诊断：肺炎。"
    scores = METRICS["promptcblue"]([said], [item])
    assert scores["IMCS-V2-MRG/rouge_l"] == pytest.approx((1 + 1 + 1 / 3) / 3)


def test_promptcblue_bad_rows(tmp_path):
    rows = [
        prompt_row("KUAKE-QIC", ""),
        prompt_row("KUAKE-QIC", "天气", sample_id="dev-2"),
        prompt_row("KUAKE-QIC", task_dataset="Text2DT"),
        prompt_row("KUAKE-QIC", answer_choices="就医建议", sample_id="dev-3"),
        prompt_row("KUAKE-IR"),
        prompt_row("KUAKE-IR"),
    ]
    path = json_lines(tmp_path / "test.json", rows)
    reasons = [row.reason for row in bad("promptcblue", path)]
    assert reasons[0].startswith("unlabelled: the target is empty")
    assert "the target is '天气'" in reasons[1]
    assert "'Text2DT' is not known" in reasons[2]
    assert "neither null nor a list" in reasons[3]
    assert "used before" in reasons[4]
    assert [e.answer for e in stream("promptcblue", path, tasks="KUAKE-QIC", unlabelled="keep")
            if not isinstance(e, BadRow)] == [""]  # fmt: skip
    with pytest.raises(DataError, match="no task 'QIC'"):
        read("promptcblue", path, tasks="QIC")


# Named entities

TAGGED = """The	O
"	O
bad	B-Disease
fever	I-Disease
"	O

NA	B-Disease
null	O
NA	B-Disease
"""


def test_ner_keeps_quotes_and_words_that_mean_missing(tmp_path):
    (tmp_path / "x.tsv").write_text(TAGGED, encoding="utf-8")
    one, two = read("bio_ner", tmp_path / "x.tsv")  # the last sentence has no blank line after it
    good_is_right([one, two])
    assert one.meta["tokens"] == ["The", '"', "bad", "fever", '"']
    assert one.answer == "Disease: bad fever"
    assert two.meta["tokens"] == ["NA", "null", "NA"]
    assert two.answer == "Disease: NA"
    assert two.meta["entities"] == [["Disease", "NA"]] * 2
    assert two.meta["line"] == 7
    assert METRICS["entity_f1"]([one.answer, two.answer], [one, two])["f1"] == 1.0


def test_ner_reads_iobes_several_types_and_windows_lines(tmp_path):
    text = (
        "-DOCSTART-\tO\r\n\r\naspirin\tS-Chemical\r\nfor\tO\r\nbad\tB-Disease\r\nflu\tE-Disease\r\n"
    )
    (tmp_path / "x.tsv").write_bytes(text.encode())
    (item,) = read("bio_ner", tmp_path / "x.tsv")
    assert item.choices == ("Chemical", "Disease")
    assert item.answer == "Chemical: aspirin\nDisease: bad flu"
    (only,) = read("bio_ner", tmp_path / "x.tsv", types="Disease")
    assert only.answer == "Disease: bad flu"


def test_ner_a_bad_token_makes_its_sentence_bad_and_no_other(tmp_path):
    lines = ["a\tO", "b", "c\tO", "", "\tO", "", "d\tX-Disease", "", "e\tB", "", "f\tB-Disease"]
    (tmp_path / "x.tsv").write_text("\n".join(lines), encoding="utf-8")
    found = list(stream("bio_ner", tmp_path / "x.tsv"))
    assert [row.line for row in found[:4]] == [2, 5, 7, 9]
    for row, part in zip(
        found, ("one column", "an empty token", "'X-Disease'", "'B'"), strict=False
    ):
        assert part in row.reason
    assert found[0].raw == "a\tO\nb\nc\tO"
    assert found[4].answer == "Disease: f"
    with pytest.raises(DataError, match="is a folder"):
        read("bio_ner", tmp_path)


@pytest.mark.parametrize(
    ("split", "sentences", "mentions", "tokens"),
    [("train", 5424, 5134, 135701), ("devel", 923, 787, 23969), ("test", 940, 960, 24497)],
)
def test_ncbi_disease_as_published(realdata, split, sentences, mentions, tokens):
    items = read("bio_ner", realdata / "ncbi_disease" / f"{split}.tsv")
    assert len(items) == sentences
    assert sum(len(e.meta["spans"]) for e in items) == mentions
    assert sum(len(e.meta["tokens"]) for e in items) == tokens
    if split == "train":
        assert sum(e.meta["tokens"].count('"') for e in items) == 58
        assert max(len(e.meta["tokens"]) for e in items) <= 225
    else:
        assert METRICS["entity_f1"]([e.answer for e in items], items)["f1"] == 1.0
        assert all(grade(e, e.answer).correct for e in items)


# Conversations


def turns(*texts, first="human"):
    names = ("human", "gpt") if first == "human" else ("gpt", "human")
    return [{"from": names[i % 2], "value": text} for i, text in enumerate(texts)]


def test_conversation_gives_an_item_for_each_answer(tmp_path):
    rows = [
        {"conversations": turns("甲？", "乙。")},
        {"id": "c7", "conversations": [{"from": "system", "value": "你是医生。"},
                                       *turns("一？", "二。", "三？", "四。")]},
    ]  # fmt: skip
    one, two, three = read("conversation", json_array(tmp_path / "train.json", rows))
    good_is_right([one, two, three])
    assert (one.prompt, one.answer, one.meta["history"]) == ("甲？", "乙。", [])
    assert two.meta["history"] == [{"role": "system", "content": "你是医生。"}]
    assert (three.prompt, three.answer) == ("三？", "四。")
    assert [turn["role"] for turn in three.meta["history"]] == ["system", "user", "assistant"]
    assert (two.meta["id"], three.meta["id"]) == ("c7#1", "c7#2")


def test_conversation_other_names_and_a_greeting(tmp_path):
    rows = [
        {"messages": [], "conversations": [{"role": "user", "content": "a"},
                                           {"role": "assistant", "content": "b"}]},
        {"conversations": turns("您好！", "a", "b", first="gpt")},
    ]  # fmt: skip
    one, two = read("conversation", json_lines(tmp_path / "x.json", rows))
    assert (one.answer, two.prompt, two.answer) == ("b", "a", "b")
    assert (one.meta["dropped_turns"], two.meta["dropped_turns"]) == (0, 1)


def test_conversation_bad_rows_are_whole_conversations(tmp_path):
    rows = [
        {"conversations": turns("a")},
        {"conversations": [*turns("a", "b"), *turns("", "c")]},
        {"conversations": [*turns("a"), *turns("b")]},
        {"conversations": [{"from": "doctor", "value": "a"}]},
        {"conversations": []},
        {"conversations": ["a", "b"]},
        {"conversations": turns("hello", first="gpt")},
        {"text": "B"},
        {"conversations": turns("a", "b"), "eval": {"answer": None}},
        {"text": "B", "prompt": "q", "additional_info": None},
    ]
    reasons = [row.reason for row in bad("conversation", json_array(tmp_path / "x.json", rows))]
    assert len(reasons) == 10
    parts = ["no answer", "turn 3 is empty", "do not alternate", "from 'doctor'", "not a list",
             "turn 1 is a str", "no question", "neither", "unlabelled", "no object"]  # fmt: skip
    for part, reason in zip(parts, reasons, strict=True):
        assert part in reason


QUESTION = "Which?\nA. one\nB. two\n(C) three\nD、four"


def test_conversation_questions_have_their_key_in_eval(tmp_path):
    rows = [
        {"conversations": turns(QUESTION, "long"), "eval": {"answer": "CA", "type": "multi"}},
        {"conversations": turns(QUESTION), "eval": {"answer": "fever", "answer_idx": "B"}},
        {"conversations": turns("Say fever."), "eval": {"answer": "fever"}},
    ]
    several, one, free = read("conversation", json_array(tmp_path / "CMExam.json", rows))
    good_is_right([several, one, free])
    assert (several.answer, several.grader, several.meta["type"]) == ("AC", "letters", "multi")
    assert several.meta["options"] == {"A": "one", "B": "two", "C": "three", "D": "four"}
    assert (one.answer, one.grader, free.grader) == ("B", "letter", "exact")


def test_conversation_answers_of_their_scripts_are_graded_again(tmp_path):
    (tmp_path / "mmlu").mkdir()
    rows = [
        {"prompt": QUESTION, "text": text, "solution": None, "additional_info": {"answer": gold}}
        for text, gold in [("Answer: B", "B"), ("The answer is A B C D", "C"),
                           ("Because of C, the option is C", "C")]
    ]  # fmt: skip
    items = read("conversation", json_lines(tmp_path / "mmlu" / "answers.jsonl", rows))
    assert {e.meta["dataset"] for e in items} == {"mmlu"}
    scores = report("conversation", items, [e.meta["said"] for e in items])
    assert scores["strict"]["score"] == pytest.approx(2 / 3)
    assert scores["unparsed"] == 1
    assert scores["paper"]["first_letter"]["score"] == 0.0
    assert scores["paper"]["english_choice"]["score"] == pytest.approx(1 / 3)


# All


def test_every_reader_has_its_metric_and_its_licence():
    for name in ("cmexam", "cmb", "cblue", "promptcblue", "bio_ner", "conversation"):
        reader = find(name)
        assert reader.metric in METRICS
        assert reader.licence
        assert reader.home.startswith("https://")


def test_files_that_are_no_data_say_what_they_are(tmp_path):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    for name, end in [("cmexam", "csv"), ("cmb", "json"), ("cblue", "json"), ("bio_ner", "tsv"),
                      ("promptcblue", "json"), ("conversation", "json")]:  # fmt: skip
        path = tmp_path / f"{name}.{end}"
        path.write_text(pointer, encoding="utf-8")
        with pytest.raises(DataError, match="LFS"):
            read(name, path, **({"task": "CMeEE"} if name == "cblue" else {}))
        path.write_text("", encoding="utf-8")
        with pytest.raises(DataError, match="empty"):
            read(name, path, **({"task": "CMeEE"} if name == "cblue" else {}))


def test_openpyxl_is_asked_for_by_name(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    (tmp_path / "x.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match="pip install openpyxl"):
        read("cmexam", tmp_path / "x.xlsx")

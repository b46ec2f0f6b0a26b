"""Small files written like the published ones, content invented: what the fuzz starts from.

Each has the shape, the names of fields and some of the quirks of its benchmark, and is read by
its reader without a bad row (a test says so). Real text stays with its authors.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class LookAlike(NamedTuple):
    """One file: its reader and name, its rows or text, and what lies beside it."""

    reader: str
    name: str
    value: Any
    beside: tuple[str, Any] = ("", None)


def written(name: str, value: Any) -> bytes:
    """The bytes of a look-alike: text as it is, rows as JSON Lines, anything else as JSON.

    >>> written("a.jsonl", [{"a": 1}, {"a": 2}])
    b'{"a": 1}\\n{"a": 2}\\n'
    """
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, list) and not name.endswith(".array.json"):
        value = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in value)
    else:
        value = json.dumps(value, ensure_ascii=False, indent=1)
    return value.encode("utf-8", "surrogatepass")


OPTIONS = {"A": "femur", "B": "liver", "C": "None", "D": "0"}
ASK = "Please choose the correct answer to the question: Which is a bone?\n\nAnswer1: femur "
ADAPTERS = {
    "instruction": ASK + "Answer2: liver\n\nAnswer format: answer1/answer2",
    "input": "",
    "output": "the correct answer is answer1",
    "answer": "answer1",
}
PUBMED = {
    "QUESTION": "Does rest help?", "CONTEXTS": ["We asked twelve people.", "Most slept."],
    "LABELS": ["AIM", "RESULTS"], "MESHES": [], "YEAR": None, "reasoning_required_pred": "yes",
    "reasoning_free_pred": "yes", "final_decision": "yes", "LONG_ANSWER": "Rest helped most.",
}  # fmt: skip
CMB = {
    "id": 1, "exam_type": "医师考试", "exam_class": "规培结业", "exam_subject": "骨科",
    "question": "下列哪一项是骨？", "question_type": "单项选择题",
    "option": {"A": "股骨", "B": "肝", "C": ""},
}  # fmt: skip
KEY = {"id": 1, "exam_type": "医师考试", "exam_class": "规培结业", "question_type": "单项选择题"}
QUAD = """<?xml version="1.0" encoding="UTF-8"?>
<Document id="0000001" source="CDC" url="http://example.org"><Focus>Gout</Focus><QAPairs>
<QAPair pid="1"><Question qid="0000001-1" qtype="information">What is gout ?</Question>
<Answer>A disease
   of joints &amp; crystals.</Answer></QAPair></QAPairs></Document>
"""
TRUTH = (
    "Type,Category,Question,Best Answer,Correct Answers,Incorrect Answers,Source\n"
    'Adversarial,Health,Do bones sing?,No,"No; They do not","Yes; At night; ",http://example.org\n'
)
EXAM = (
    "Question,Options,Answer,Explanation,Difficulty level\n"
    '下列哪一项是骨,"A 股骨\nB 肝\nC 肾\nD 脾\nE 胃",A,因为,3\n'
)
CMEEE = {
    "text": "患者发热三天。",
    "entities": [{"start_idx": 2, "end_idx": 3, "type": "sym", "entity": "发热"}],
}
CMEIE = {
    "text": "痛风@用秋水仙碱治疗。",
    "spo_list": [{"Combined": False, "predicate": "药物治疗", "subject": "痛风",
                  "subject_type": "疾病", "object": {"@value": "秋水仙碱"},
                  "object_type": {"@value": "药物"}}],
}  # fmt: skip
PROMPT = {
    "input": "判断下面搜索词的意图：\n感冒怎么办\n选项：治疗方案，病因分析\n答：",
    "target": "治疗方案",
    "answer_choices": ["治疗方案", "病因分析"], "task_type": "cls", "task_dataset": "KUAKE-QIC",
    "sample_id": "dev-1",
}  # fmt: skip
NER = {
    "input": "找出指定的实体：\n患者发热三天。\n类型选项：临床表现，身体部位\n答：",
    "target": "上述句子中的实体包含：\n临床表现实体：发热",
    "answer_choices": ["临床表现", "身体部位"],
    "task_type": "ner", "task_dataset": "CMeEE-V2", "sample_id": "dev-2",
}  # fmt: skip
MED = {"question": 'Which is a bone?"', "answer": "femur", "options": OPTIONS, "answer_idx": "A"}
TALK = {"conversations": [{"from": "human", "value": "你好"}, {"from": "gpt", "value": "您好。"}]}

LOOKALIKES = (
    LookAlike("pubmedqa", "ori_pqal.json", {"101": PUBMED, "102": {**PUBMED, "YEAR": "2011"}},
              ("test_ground_truth.json", {"102": "yes"})),
    LookAlike("medqa", "phrases_no_exclude_test.jsonl", [{**MED, "meta_info": "stfep2&3"}]),
    LookAlike("medmcqa", "dev.json", [
        {"question": "A bone:", "exp": None, "cop": 1, "opa": "femur", "opb": "liver",
         "opc": "None", "opd": "0", "subject_name": "Anatomy", "topic_name": None, "id": "x-1",
         "choice_type": "single"},
        {"question": "An organ:", "exp": "Ans.", "cop": 4, "opa": "ulna", "opb": "femur",
         "opc": "rib", "opd": "liver", "subject_name": "Anatomy", "topic_name": "b", "id": "x-2",
         "choice_type": "multi"}]),
    LookAlike("medmcqa", "validation.jsonl", [
        {"question": "A bone:", "choices": ["A. femur", "B. liver", "C. ear"], "answer": 0},
        {"question": "An ear:", "choices": ["A. ulna", "B. liver", "C. ear"], "answer": 2}]),
    LookAlike("mmlu", "anatomy_test.csv", '"Which is\na bone?",femur,liver,None,"0",A\n'),
    LookAlike("mmlu", "anatomy_dev.csv",
              "question,choice0,choice1,choice2,choice3,answer\nA bone?,femur,liver,None,0,0\n"),
    LookAlike("cmmlu", "anatomy.csv", ",Question,A,B,C,D,Answer\n0,哪一项是骨？,股骨,肝,肾,脾,A\n"),
    LookAlike("mirage", "benchmark.json", {
        "medqa": {"0000": {"question": "A bone?", "options": OPTIONS, "answer": "A"}},
        "bioasq": {"b1": {"question": "Is it?", "options": {"A": "yes", "B": "no"},
                          "answer": "B"}}}),
    LookAlike("mmedbench", "Chinese.jsonl", [
        {**MED, "meta_info": "第一部分", "rationale": "因此选A。", "human_checked": 0,
         "human_check_passed": 0}]),
    LookAlike("medquad", "0000001.xml", QUAD),
    LookAlike("gsm8k", "test.jsonl", [
        {"question": "Two and 2,123?", "answer": "2+2123=<<2+2123=2125>>2125\n#### 2,125"}]),
    LookAlike("hellaswag", "hellaswag_val.jsonl", [
        {"ind": 24, "activity_label": "Rest", "ctx": "She lies down. she",
         "endings": ["sleeps.", "flies.", "[title] runs.", "sings."], "label": 0, "split": "val",
         "split_type": "indomain", "source_id": "a~1"}]),
    *(LookAlike(name, "test.array.json", [ADAPTERS])
      for name in ("arc", "openbookqa", "piqa", "siqa", "winogrande", "hellaswag")),
    LookAlike("boolq", "test.array.json", [
        {"instruction": "Please answer the following question with true or false, question: is it?"
         "\n\nAnswer format: true/false", "input": "", "output": "the correct answer is true",
         "answer": "true"}]),
    LookAlike("commonsenseqa", "dev_rand_split.jsonl", [
        {"id": "c1", "question": {"stem": "A bone?", "question_concept": "bone", "choices": [
            {"label": "A", "text": "femur"}, {"label": "B", "text": "liver"}]}, "answerKey": "A"}]),
    LookAlike("truthfulqa", "TruthfulQA.csv", TRUTH),
    LookAlike("cmexam", "test_with_annotations.csv", EXAM),
    LookAlike("cmb", "CMB-test-choice-question-merge.json", [CMB],
              ("CMB-test-choice-answer.json", [{**KEY, "answer": "A"}])),
    LookAlike("cblue", "CMeEE_dev.array.json", [CMEEE]),
    LookAlike("cblue", "CMeIE_dev.json", [CMEIE]),
    LookAlike("cblue", "CHIP-CDN_dev.array.json", [
        {"text": "痛", "normalized_result": "痛风##痛"}]),
    LookAlike("cblue", "KUAKE-QIC_dev.array.json", [
        {"id": "s1", "query": "痛", "label": "治疗方案"}]),
    LookAlike("cblue", "CHIP-STS_dev.array.json", [
        {"id": "1", "text1": "痛吗", "text2": "疼吗", "label": "1", "category": "a"}]),
    LookAlike("promptcblue", "dev.json", [PROMPT, NER]),
    LookAlike("conversation", "train.array.json", [TALK]),
    LookAlike("conversation", "answers.jsonl", [
        {"text": "Answer: B", "prompt": "哪一项是骨？", "additional_info": {"answer": "A"}}]),
    LookAlike("bio_ner", "test.tsv",
              'Gout\tB-Disease\nis\tO\n"\tO\nNA\tO\n\nNo\tO\ngout\tB-Disease\n'),
    LookAlike("kit", "good.jsonl", [
        {"task": "t", "prompt": "Copy: red", "answer": "red", "choices": ["red", "blue"],
         "grader": "label", "meta": {"id": "1", "file": "a.json", "line": 1}}]),
)  # fmt: skip

"""What MING's and MedCare's graders do, fault by fault, beside what the strict grader says."""

from __future__ import annotations

import json

import pytest

from medmoe_lite.tasks import Example, grade
from medmoe_lite.tasks.readers import DataError
from medmoe_lite.tasks.readers.paper_graders import (
    MEDCARE,
    MING,
    chinese_choice,
    dataset_of,
    english_choice,
    first_letter,
    grade_file,
    gsm8k_number,
    mmedbench_chinese,
    mmedbench_english,
    paper_grades,
)


def line(text, answer):
    return {"text": text, "prompt": "", "additional_info": {"answer": answer}}


def strict(text, answer):
    grader = "number" if answer[-1].isdigit() else "letter" if len(answer) == 1 else "letters"
    item = Example("x", "", answer, choices=tuple("ABCDE"), grader=grader)
    return grade(item, text)


def test_the_word_answer_begins_with_an_a():
    assert first_letter(line("Answer: B", "A"))
    assert not first_letter(line("Answer: B", "B"))
    assert strict("Answer: B", "B") == (True, True)


def test_the_word_because_begins_with_a_b():
    text = "Because of C, the option is C"
    assert first_letter(line(text, "B"))
    assert not first_letter(line(text, "C"))
    assert strict(text, "C").correct


def test_a_small_letter_is_no_letter():
    assert not first_letter(line("b", "B"))
    assert strict("b", "B") == (False, False)


def test_the_first_letter_never_equals_several():
    assert not first_letter(line("AC", "AC"))
    assert strict("AC", "AC").correct


def test_all_letters_at_once_are_right_for_every_question_of_one():
    text = "The answer is A B C D"
    assert all(english_choice(line(text, gold)) for gold in "ABCD")
    assert strict(text, "C") == (False, False)


def test_extra_letters_count_against_several_only():
    assert english_choice(line("The answer is A, C", "C"))
    assert english_choice(line("The answer is A, C", "AC"))
    assert not english_choice(line("The answer is A, B, C", "AC"))


def test_a_small_t_is_wrong():
    assert not english_choice(line("the answer is C", "C"))
    assert strict("the answer is C", "C").correct


def test_text_after_the_answer_is_wrong():
    text = "The answer is C.\n\nI hope this helps."
    assert not english_choice(line(text, "C"))
    assert strict(text, "C").correct


def test_a_word_of_the_option_is_a_letter():
    """ "Aspirin" holds an A, "Both" a B."""
    assert english_choice(line("The answer is D. Aspirin", "A"))
    assert strict("The answer is D.", "A") == (False, True)


def test_chinese_extra_letters_always_count():
    assert chinese_choice(line("答案为C", "C"))
    assert chinese_choice(line("所以，答案为C、A。", "AC"))
    assert not chinese_choice(line("答案为ABC", "C"))
    assert not chinese_choice(line("答案为C，因为A错", "C"))  # a reason costs the point
    assert strict("答案为C，因为A错", "C").correct


def test_without_the_phrase_an_explanation_decides():
    assert chinese_choice(line("铁剂（C对）有效，钙剂（A错）无效。", "C"))
    assert not chinese_choice(line("C对，A对。", "C"))
    assert chinese_choice(line("铁剂（B错，为本题正确答案）。A对。", "B"))
    assert not chinese_choice(line("C", "C"))  # the letter alone is wrong
    assert strict("C", "C").correct


def test_what_follows_two_blank_lines_is_cut_off():
    assert chinese_choice(line("答案为C\n\n\n答案为A", "C"))
    assert strict("答案为C\n\n\n答案为A", "C") == (False, False)


def test_a_part_of_a_number_is_right():
    assert gsm8k_number(line("The answer is 15.", "#### 5"))
    assert strict("The answer is 15.", "#### 5") == (False, True)


def test_a_number_without_its_comma_is_wrong():
    assert not gsm8k_number(line("The answer is 2125.", "#### 2,125"))
    assert gsm8k_number(line("The answer is 2,125.", "#### 2,125"))
    assert strict("The answer is 2125.", "#### 2,125").correct


def test_a_number_ends_at_its_decimal_point():
    assert not gsm8k_number(line("The answer is 2.50.", "#### 2.50"))
    assert strict("The answer is 2.50.", "#### 2.50").correct


def test_without_its_phrase_a_number_is_wrong():
    assert not gsm8k_number(line("#### 5", "#### 5"))


def test_mmedbench_wants_a_full_stop_and_forgives_the_rest():
    row = {"text": "the answer is b.", "additional_info": {"answer_idx": "B", "answer": "fever"}}
    assert not mmedbench_english(row)
    assert mmedbench_english({**row, "text": "THE ANSWER IS B."})
    assert not mmedbench_english({**row, "text": "the answer is B"})
    assert mmedbench_chinese({**row, "text": "答案为ABCDE"})
    assert first_letter({**row, "text": "B"})


def test_the_same_question_has_two_verdicts():
    item = Example("mmlu", "", "C", choices=tuple("ABCD"), grader="letter")
    assert paper_grades("mmlu", item, "C") == {"first_letter": True, "english_choice": False}
    assert paper_grades("bio_ner", item, "C") == {}
    number = Example("gsm8k", "", "5", grader="number")
    assert paper_grades("gsm8k", number, "The answer is 15") == {"gsm8k_number": True}
    unsorted = Example("cmb", "", "AD", choices=tuple("ABCD"), grader="letters",
                       meta={"published_answer": "DA"})  # fmt: skip
    assert paper_grades("cmb", unsorted, "答案为AD")["chinese_choice"]


def test_the_folder_picks_the_grader(tmp_path):
    rows = [line("Answer: B", "A"), line("The answer is B", "B")]
    text = "\n".join(json.dumps(row) for row in rows)
    for folder in ("mmlu", "mmlu_cot", "mine"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "answers.jsonl").write_text(text, encoding="utf-8")
    assert dataset_of(tmp_path / "mmlu_cot" / "answers.jsonl") == "mmlu_cot"
    assert grade_file(tmp_path / "mmlu" / "answers.jsonl", MING) == 1.0  # "The answer" has no A-E
    assert grade_file(tmp_path / "mmlu_cot" / "answers.jsonl", MING) == 0.5
    assert grade_file(tmp_path / "mmlu" / "answers.jsonl", MEDCARE) == 0.5
    with pytest.raises(DataError, match="the folder names the grader"):
        grade_file(tmp_path / "mine" / "answers.jsonl")
    (tmp_path / "mmlu" / "bad.jsonl").write_text('{"text": "A"}', encoding="utf-8")
    with pytest.raises(DataError, match="bad.jsonl:1: no `text`"):
        grade_file(tmp_path / "mmlu" / "bad.jsonl")

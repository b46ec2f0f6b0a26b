"""How MING and MedCare grade answers, rebuilt with its faults: an exhibit, not a tool.

    first_letter     the first of A to E anywhere: "Answer: B" is A, "Because ..." is B
    english_choice   the letters after "The answer is ": extra letters are free if one is right
    chinese_choice   the letters after "答案为"; without it, what stands before 对 and 错
    gsm8k_number     the number is somewhere in the text after "answer is", up to the first "."

A published score is only as good as its grader. So scores are reported twice: by our strict
graders, which say when an answer cannot be read, and by these, which make papers' numbers
comparable. Each fault has a test of its own; none is to be mended here.

Sources: MING `ming/eval/eval_em.py`, MedCare `medcare/eval/eval_em.py`; written anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..record import Example
from .base import DataError

Line = Mapping[str, Any]
LETTERS = "ABCDE"


def first_letter(line: Line) -> bool:
    """The first capital from A to E, wherever it stands, is the answer."""
    found = re.search("[A-E]", line["text"])
    return found is not None and found[0] == _gold(line)


def english_choice(line: Line) -> bool:
    """The text after "The answer is " has all gold letters; others count only against several.

    Case counts, and "$" in their pattern is the end of the text: a newline after it is no match.
    """
    said = re.search(r"The answer is (.*?)$", line["text"])
    gold = _gold(line)
    if not said or any(letter not in said[0] for letter in gold):
        return False
    return len(gold) == 1 or not any(letter in said[0] for letter in LETTERS if letter not in gold)


def chinese_choice(line: Line) -> bool:
    """The text after "答案为" has the gold letters and no other.

    Without "答案为", the explanation decides: "B对" says that B is right, and "B错，为本题正确答案"
    that B is the wrong statement which was asked for.
    """
    gold = _gold(line)
    others = [letter for letter in LETTERS if letter not in gold]
    said = re.search(r"答案为(.*?)$", line["text"].rsplit("\n\n\n", 1)[0])
    if said:
        return all(x in said[0] for x in gold) and not any(x in said[0] for x in others)
    text = line["text"]
    if f"{gold}错，为本题正确答案" in text:
        return True
    return all(f"{x}对" in text for x in gold) and not any(f"{x}对" in text for x in others)


def mmedbench_english(line: Line) -> bool:
    """The letter with a full stop, after "the answer is ", case free."""
    said = re.search(r"the answer is (.*?)(\.|$)", line["text"], re.IGNORECASE)
    return said is not None and f"{_gold(line)}." in said[0]


def mmedbench_chinese(line: Line) -> bool:
    """The gold letters stand somewhere after "答案为"; others do no harm."""
    said = re.search(r"答案为(.*?)$", line["text"])
    return said is not None and _gold(line) in said[0]


def gsm8k_number(line: Line) -> bool:
    """The gold number is a part of the text after "answer is", up to the first full stop."""
    solution = line["additional_info"]["answer"]
    gold = solution[solution.find("####") + 4 :].strip()
    said = re.search(r"answer is (.*?)(\.|$)", line["text"], re.IGNORECASE)
    return said is not None and gold in said[1]


def _gold(line: Line) -> str:
    info = line["additional_info"]
    return str(info["answer_idx"] if "answer_idx" in info else info["answer"])


Grader = Callable[[Line], bool]
MING: dict[str, Grader] = {
    **dict.fromkeys(
        "mmlu ceval cmmlu PLE_TCM PLE_Pharmacy race_high race_middle winogrande arc".split(),
        first_letter,
    ),
    **dict.fromkeys(("mmedbench_en", "mmedbench_zh"), first_letter),
    **dict.fromkeys(("mmlu_cot", "MedQA_cot", "MedMCQA_cot"), english_choice),
    **dict.fromkeys(
        "PLE_TCM_cot PLE_Pharmacy_cot ceval_cot cmmlu_cot CMExam_cot CMB_cot CMB_val_cot "
        "medqa_mainland_cot.json mmedbench_zh_cot".split(),
        chinese_choice,
    ),
    "mmedbench_en_cot": mmedbench_english,
    "gsm8k": gsm8k_number,
}
MEDCARE: dict[str, Grader] = {
    **dict.fromkeys(
        "PLE_TCM PLE_Pharmacy ceval cmmlu CMExam CMB medqa_mainland mmedbench_zh".split(),
        chinese_choice,
    ),
    **dict.fromkeys(("mmlu", "MedQA", "MedMCQA"), english_choice),
    "mmedbench_en": mmedbench_english,
}
ENGLISH, CHINESE = (first_letter, english_choice), (first_letter, chinese_choice)
OF_READERS: dict[str, tuple[Grader, ...]] = {
    **dict.fromkeys(("mmlu", "medqa", "medmcqa"), ENGLISH),
    **dict.fromkeys(("cmexam", "cmb"), CHINESE),
    "mmedbench": (first_letter, mmedbench_english, mmedbench_chinese, chinese_choice),
    "conversation": (first_letter, english_choice, chinese_choice),
    "gsm8k": (gsm8k_number,),
}


def paper_grades(reader: str, example: Example, text: str) -> dict[str, bool]:
    """Verdicts of the papers' graders on one answer; empty where they have none.

    >>> item = Example("mmlu", "", "B", choices=tuple("ABCD"), grader="letter")
    >>> paper_grades("mmlu", item, "Answer: B")
    {'first_letter': False, 'english_choice': False}
    """
    line = as_line(example, text)
    return {grader.__name__: bool(grader(line)) for grader in OF_READERS.get(reader, ())}


def as_line(example: Example, text: str) -> dict[str, Any]:
    """An answer in the shape that the graders read."""
    info = example.meta.get("additional_info")
    if info is None:
        answer = example.meta.get("published_answer", example.answer)
        if example.grader == "number" and "####" not in answer:
            answer = f"#### {answer}"
        info = {"answer": answer}
    return {"text": text, "prompt": example.prompt, "additional_info": info}


def dataset_of(path: Path | str) -> str:
    """The name that picks the grader: that of the folder, whatever the file holds.

    >>> dataset_of("logs/mmlu_cot/answers.jsonl")
    'mmlu_cot'
    """
    return Path(path).parent.name


def grade_file(path: Path | str, graders: Mapping[str, Grader] = MEDCARE) -> float:
    """Accuracy of a file of answers, as `eval_em.py` prints it.

    Args:
        path: JSON Lines with `text`, `prompt` and `additional_info`; the folder names the set.
        graders: `MING` or `MEDCARE`.

    Raises:
        DataError: the folder is no set that they know, or a line is no answer.
    """
    name = dataset_of(path)
    if name not in graders:
        known = ", ".join(sorted(graders))
        raise DataError(
            f"the folder of {path} is {name!r}, and the folder names the grader: there are {known}."
        )
    from .files import json_lines

    right = []
    for row in json_lines(path):
        line = getattr(row, "value", {})
        if not isinstance(line.get("text"), str) or not isinstance(
            line.get("additional_info"), dict
        ):
            raise DataError(f"{row.file}:{row.line}: no `text` with an `additional_info`.")
        right.append(graders[name](line))
    return sum(right) / len(right)

"""What a text decides for: strict readings of letters and numbers.

    "B"   "(B)."   "B. fever"                    the whole text is the answer
    "... so the answer is B."   "答案为ACE。"     or one statement says it, and none says otherwise

A statement counts only if nothing but the answer follows in it: "the answer is B or C", "the
answer is A patient" and two statements that differ have no reading (None). Nothing is guessed
from letters that happen to stand in a text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from decimal import Decimal

_GAP = r"(?:[ \t]*[,，、;；/&+和及与][ \t]*(?:and[ \t]+)?|[ \t]+and[ \t]+|[ \t]+)?"
_LETTERS = rf"[A-Z](?:{_GAP}[A-Z](?![a-z]))*"
_OPEN, _CLOSE = r"[\s\"'“‘*（(\[{【]*", r"[\"'”’*）)\]}】]*"
_WHOLE = re.compile(rf"{_OPEN}({_LETTERS}){_CLOSE}[\s.。:：、,，;；!！]*{_CLOSE}\s*")
_OPTION = re.compile(rf"{_OPEN}([A-Z]){_CLOSE}\s*[.。:：、,，)）]?\s*(.+)", re.DOTALL)
_SAID = re.compile(
    r"\b(?:answers?|options?|choices?)\s*(?:is|are|[:：])\s*[:：]?\s*(?:options?\s+)?"
    r"|(?:答案|正确选项)\s*应?该?[为是选]?\s*[:：]?\s*(?:选项)?|[故应]选\s*[:：]?",
    re.IGNORECASE,
)
_AFTER = re.compile(  # nothing but an end, or a reason
    r"\s*(?:$|[.。;；!！?？)）\n]|[,，、](?!\s*(?:(?:or|and|not)\b|[不或]))|(?:because|since|as|for)\b|因为)",
    re.IGNORECASE,
)
_NUMBER = r"[-−]?\s?[$€£¥]?\s?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\d,]*\d)"
_WHOLE_NUMBER = re.compile(rf"{_OPEN}({_NUMBER})\s*%?{_CLOSE}[.。]?\s*")
_SAID_NUMBER = re.compile(
    r"####|\banswer\s*(?:is|[:：])\s*[:：]?|答案\s*(?:为|是|[:：])\s*[:：]?", re.IGNORECASE
)


def read_letters(
    text: str, letters: Collection[str], options: Mapping[str, str] | None = None
) -> str | None:
    """The letters that a text decides for, sorted; None where it does not say.

    Args:
        text: what a model said.
        letters: those of the options; any other letter is no answer.
        options: their texts, so that "B. fever" is read where option B is "fever".

    >>> read_letters("Because of C, the option is C", "ABCD")
    'C'
    >>> read_letters("答案为E、A。", "ABCDE")
    'AE'
    >>> read_letters("The answer is B or C.", "ABCD") is None
    True
    """
    whole = _WHOLE.fullmatch(text)
    if whole:
        return _known(whole[1], letters)
    if options:
        said = _OPTION.fullmatch(text.strip())
        if said and _same(said[2], options.get(said[1], "")):
            return said[1]
    readings = {_statement(text[hit.end() :], letters, options) for hit in _SAID.finditer(text)}
    return readings.pop() if len(readings) == 1 else None


def _statement(
    rest: str, letters: Collection[str], options: Mapping[str, str] | None
) -> str | None:
    """What is said right after "the answer is"."""
    hit = re.match(rf"{_OPEN}({_LETTERS}){_CLOSE}", rest)
    if hit and _AFTER.match(rest, hit.end()):
        return _known(hit[1], letters)
    said = _OPTION.fullmatch(re.split(r"[。\n]", rest, maxsplit=1)[0].strip())
    return said[1] if said and options and _same(said[2], options.get(said[1], "")) else None


def _known(said: str, letters: Collection[str]) -> str | None:
    found = sorted(set(re.findall(r"[A-Z]", said)))
    return "".join(found) if all(letter in letters for letter in found) else None


def _same(text: str, option: str) -> bool:
    return bool(option) and text.strip(" .。") == option.strip(" .。")


def read_number(text: str) -> str | None:
    """The number that a text decides for, in one spelling; None where it does not say.

    After "####" or "the answer is", or the whole text. Commas between thousands, a sign, a
    currency and a unit are allowed; another number in the same sentence is not.

    >>> read_number("6 * 3 = <<6*3=18>>18\\n#### 2,125.0")
    '2125'
    >>> read_number("The answer is -10 apples.")
    '-10'
    >>> read_number("The answer is 15 or 5.") is None
    True
    """
    whole = _WHOLE_NUMBER.fullmatch(text)
    if whole:
        return _spelled(whole[1])
    readings = {_number(text[hit.end() :]) for hit in _SAID_NUMBER.finditer(text)}
    return readings.pop() if len(readings) == 1 else None


def _number(rest: str) -> str | None:
    hit = re.match(rf"{_OPEN}({_NUMBER})", rest)
    if not hit:
        return None
    sentence = re.split(r"[.!?](?:\s|$)|[。！？\n]", rest[hit.end() :], maxsplit=1)[0]
    return None if re.search(r"\d", sentence) else _spelled(hit[1])


def _spelled(number: str) -> str:
    value = Decimal(re.sub(r"[^\d.-]", "", number.replace("−", "-")))
    return f"{value.normalize() + 0:f}"

"""How PromptCBLUE writes lists of things, and how its scorer reads them.

    entities     上述句子中的实体包含：
                 疾病实体：a，b
                 药物实体：
    relations    具有药物治疗关系的头尾实体对如下：头实体为a，尾实体为b。头实体为c，尾实体为d。
    events       上述句子中的临床发现事件如下：
                 主体词：a；发生状态：；描述词：b，c；解剖部位：
    findings     当前对话中的症状及其阴阳性判断为：
                 a：患有该症状

What can be read becomes items, as in the authors' `post_generate_process.py`. Its tolerance hides
faults, so each form also says whether the text is clean: it skips the first line of events and
findings unseen (an answer without the introduction loses its first item), and makes of an unknown
attribute "cannot be told", which may be right. A comma inside an entity cuts it in two, in gold
and answer alike.
"""

from __future__ import annotations

import re

from ..items import FORMS, Items
from ..record import Example

NONE = "没有对应的标准化实体"
NO_ENTITY = "上述句子没有指定类型实体"
UNTOLD, UNMARKED = "无法根据上下文确定病人是否患有该症状", "不标注"
KEYS = ("主体词", "发生状态", "描述词", "解剖部位")
SEVERAL = KEYS[2:]
SECTIONS = ("主诉", "现病史", "辅助检查", "既往史", "诊断", "建议")
_PAIR = re.compile(r"头实体为(.*?)，尾实体为(.*)", re.DOTALL)


def entities(example: Example, text: str) -> Items:
    """A line a type, its entities between commas; the type may have none."""
    found, clean = set(), bool(text)
    for number, line in enumerate(_lines(text)):
        kind, mark, rest = line.partition("实体：")
        if mark and kind in example.choices:
            found |= {(kind, name.strip()) for name in rest.split("，") if name.strip()}
        elif line != NO_ENTITY and not (number == 0 and line.endswith("：") and "实体" in line):
            clean = False
    return Items(frozenset(found), clean)


def relations(example: Example, text: str) -> Items:
    """A line a relation, its pairs of entities between full stops."""
    found, clean = set(), bool(text)
    for line in _lines(text):
        head, mark, rest = line.partition("关系的头尾实体对如下：")
        kind = head.removeprefix("具有")
        if not mark or (example.choices and kind not in example.choices):
            clean = False
        for pair in rest.split("。"):
            hit = _PAIR.fullmatch(pair.strip())
            if hit and mark:
                found.add((kind, hit[1].strip(), hit[2].strip()))
            elif pair.strip():
                clean = False
    return Items(frozenset(found), clean)


def events(example: Example, text: str) -> Items:
    """A line an event: subject, state, descriptions, places."""
    first, *lines = _lines(text) or [""]
    found, clean = set(), _introduces(first)
    for line in lines:
        fields = dict.fromkeys(KEYS, "")
        for part in line.split("；"):
            key, colon, value = part.partition("：")
            if colon and key in fields:
                fields[key] = value.strip()
            else:
                clean = False
        for key in SEVERAL:
            fields[key] = "，".join(p.strip() for p in fields[key].split("，") if p.strip())
        found.add(tuple(fields.values()))
    return Items(frozenset(found), clean)


def findings(example: Example, text: str) -> Items:
    """A line a finding and whether the patient has it."""
    first, *lines = _lines(text) or [""]
    found, clean = set(), _introduces(first)
    for line in lines:
        parts = line.split("：")
        if len(parts) != 2:
            clean = False
            continue
        finding, has = parts[0].strip(), parts[1]
        if has not in example.choices:
            clean, has = False, UNTOLD if UNTOLD in example.choices else UNMARKED
        found.add((finding, has))
    return Items(frozenset(found), clean)


def sections(text: str) -> dict[str, str]:
    """The sections of a report, after its first line; the last of a name counts."""
    found = {}
    for line in text.strip().splitlines()[1:]:
        name, colon, body = line.strip().partition("：")
        if colon and name in SECTIONS:
            found[name] = body.strip()
    return found


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _introduces(line: str) -> bool:
    """ "上述句子中的临床发现事件如下：": it ends with a colon, so it is no item."""
    return line.rstrip().endswith("：") and line.count("：") == 1


FORMS.update(
    {
        "promptcblue/entities": entities,
        "promptcblue/relations": relations,
        "promptcblue/events": events,
        "promptcblue/findings": findings,
    }
)

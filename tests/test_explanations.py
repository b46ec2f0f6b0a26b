"""BLEU and ROUGE of CMExam's explanations, against the definitions written out."""

import math
from collections import Counter

import pytest

from medmoe_lite.tasks import Example
from medmoe_lite.tasks.readers.metrics import METRICS

GOLD = ["缺铁引起小细胞低色素性贫血", "该药 抑制胃酸", None]
SAID = ["答案:A\n解释: 缺铁引起贫血，是小细胞性", "该药抑制胃酸分泌", "不计"]


def items():
    return [Example("cmexam", "?", "A", meta={"explanation": gold}) for gold in GOLD]


def grams(text, n):
    return Counter(text[i : i + n] for i in range(len(text) - n + 1))


def bleu(pairs, order):
    logs = 0.0
    for n in range(1, order + 1):
        hits = sum((grams(gold, n) & grams(said, n)).total() for gold, said in pairs)
        logs += math.log(hits / sum(grams(said, n).total() for _, said in pairs)) / order
    gold, said = (sum(len(pair[side]) for pair in pairs) for side in (0, 1))
    return math.exp(logs + min(0.0, 1 - gold / said))


def rouge(pairs, n):
    found = []
    for gold, said in pairs:
        hits = (grams(gold, n) & grams(said, n)).total()
        found.append(2 * hits / (grams(gold, n).total() + grams(said, n).total()))
    return sum(found) / len(found)


def test_scores_are_those_of_the_definitions():
    pytest.importorskip("sacrebleu", reason="the extra eval is not installed")
    found = METRICS["cmexam_explanations"](SAID, items())
    pairs = [
        ("缺铁引起小细胞低色素性贫血", "缺铁引起贫血，是小细胞性"),
        ("该药抑制胃酸", "该药抑制胃酸分泌"),
    ]
    expected = {f"bleu_{n}": bleu(pairs, n) for n in (1, 4)}
    expected |= {f"rouge_{n}": rouge(pairs, n) for n in (1, 2)}
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    common = [8, 6]  # 缺铁引起小细胞性 and 该药抑制胃酸
    by_hand = [2 * c / (len(g) + len(s)) for c, (g, s) in zip(common, pairs, strict=True)]
    assert found["rouge_l"] == pytest.approx(sum(by_hand) / 2)


def test_nothing_to_compare_with_and_a_missing_package_are_said(monkeypatch):
    with pytest.raises(ValueError, match="has a published explanation"):
        METRICS["cmexam_explanations"](SAID[2:], items()[2:])
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu.metrics.bleu", None)
    with pytest.raises(ImportError, match=r"medmoe-lite\[eval\]"):
        METRICS["cmexam_explanations"](SAID, items())

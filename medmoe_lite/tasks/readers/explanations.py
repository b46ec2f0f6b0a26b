"""CMExam's explanations: how near is what was written to what the examiners wrote?

    BLEU-1, BLEU-4        over the whole set, with the penalty for short texts, unsmoothed
    ROUGE-1, -2, -L       F-score, the mean over the texts

All of it over characters, without blanks, as the authors count (`evaluate_lora_result.py` of
https://github.com/williamliujl/CMExam). What was written is what follows "解释:", or everything
where that is missing; items without a published explanation are left out. sacrebleu and rouge_score
do the counting; both come with lm-eval, so with `pip install "medmoe-lite[eval]"`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..record import Example

MARK = "解释:"
ROUGE = ("rouge1", "rouge2", "rougeL")


def explanation_pair(example: Example, text: str) -> tuple[str, str]:
    """What the examiners wrote and what was said, as characters with blanks between them.

    >>> item = Example("cmexam", "?", "A", meta={"explanation": "铁 不足"})
    >>> explanation_pair(item, "答案:A\\n解释: 缺铁")
    ('铁 不 足', '缺 铁')
    """
    written = text.split(MARK)[1] if MARK in text else text
    return _characters(example.meta.get("explanation") or ""), _characters(written)


def explanation_scores(pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Scores between 0 and 1 of pairs (published, said), see the head of this file.

    Raises:
        ValueError: no item has a published explanation.
        ImportError: a package is missing; says what to type.
    """
    pairs = [pair for pair in pairs if pair[0]]
    if not pairs:
        raise ValueError("none of these items has a published explanation to compare with.")
    try:
        from rouge_score.rouge_scorer import RougeScorer
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise ImportError(
            f'{error.name} is missing: type pip install "medmoe-lite[eval]".'
        ) from error
    gold, told = ([pair[side] for pair in pairs] for side in (0, 1))
    found: dict[str, float] = {}
    for order in (1, 4):
        bleu = BLEU(tokenize="none", smooth_method="none", max_ngram_order=order, force=True)
        found[f"bleu_{order}"] = bleu.corpus_score(told, [gold]).score / 100
    scorer = RougeScorer(ROUGE, tokenizer=_Blanks())
    rows: list[Any] = [scorer.score(one, other) for one, other in pairs]
    for kind in ROUGE:
        name = f"rouge_{kind.removeprefix('rouge').lower()}"
        found[name] = sum(row[kind].fmeasure for row in rows) / len(rows)
    return found


class _Blanks:
    """A tokenizer for rouge_score, whose own knows Latin letters only."""

    def tokenize(self, text: str) -> list[str]:
        return text.split()


def _characters(text: str) -> str:
    return " ".join("".join(text.split()))

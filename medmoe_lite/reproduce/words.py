"""Names of numbers, as a reader meets them."""

from __future__ import annotations

WORDS = {
    "heldout": "facts, other wording",
    "taught": "facts, taught wording",
    "base_facts": "facts of the base",
    "general": "general ability",
    "medical": "four medical tasks",
    "formats": "strict formats",
    "max_load": "share of the busiest expert",
    "dead": "dead experts",
    "area": "mean over the steps",
    "parameters": "numbers that learn",
    "rank_correlation": "rank correlation",
    "update_error": "error of the update",
    "logit_error": "error of the logits",
    "tokens": "tokens of an answer",
    "ms": "milliseconds an item",
    "violations": "outside the labels",
    "step_over_lora_all": "step, over LoRA r = 32",
    "decode_over_lora_all": "decoding, over LoRA r = 32",
    "saved_over_lora_all": "memory kept, over LoRA r = 32",
    "step_over_lora_open": "step, over LoRA r = 8",
    "decode_over_base": "decoding, over the base",
    "weights_4_bit": "weights, over full precision",
}
BEFORE = {
    "before": "before stage 1",
    "kept": "routed kept",
    "dropped": "routed dropped",
    "merged": "merged",
    "wrong": "wrong label",
    "generated": "its generated labels",
    "general": "general ability",
}


def words_for(measure: str) -> str:
    """A number's name in words.

    >>> words_for("dropped.heldout"), words_for("accuracy")
    ('facts, other wording (routed dropped)', 'accuracy')
    """
    prefix, _, name = measure.rpartition(".")
    told = WORDS.get(name, name.replace("_", " "))
    return f"{told} ({BEFORE.get(prefix, prefix)})" if prefix else told


def count(number: int, word: str) -> str:
    """A number and its noun.

    >>> count(1, "claim"), count(5, "seed")
    ('1 claim', '5 seeds')
    """
    return f"{number} {word}" if number == 1 else f"{number} {word}s"

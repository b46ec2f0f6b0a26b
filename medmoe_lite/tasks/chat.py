"""From task items to tokens: ChatML, loss on the answer only.

    <|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n  {answer}<|im_end|>
    `------------------- no loss (label -100) -------------------'  `---- loss -----'

The stop token belongs to the answer: a model that is not taught to stop does not stop. A
"plain" item is a document, {prompt} {answer}<|endoftext|>. With any other tokenizer of the
Qwen family the same text is built by its own chat template.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .record import Example

if TYPE_CHECKING:
    import torch

USER = "<|im_start|>user\n"
TURN = "<|im_end|>\n<|im_start|>assistant\n"
END_OF_TURN = "<|im_end|>"
END_OF_TEXT = "<|endoftext|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def prompt_text(example: Example) -> str:
    """The text before the answer."""
    if example.style == "plain":
        return example.prompt
    return f"{USER}{example.prompt}{TURN}"


def encode_prompt(example: Example, tokenizer: Any) -> list[int]:
    """Token ids of everything before the answer."""
    return tokenizer.encode(prompt_text(example), add_special_tokens=False)


def encode_answer(example: Example, tokenizer: Any, answer: str | None = None) -> list[int]:
    """Token ids of the answer and its stop token."""
    text = example.answer if answer is None else answer
    if example.style == "plain":
        return tokenizer.encode(f" {text}{END_OF_TEXT}", add_special_tokens=False)
    return tokenizer.encode(f"{text}{END_OF_TURN}", add_special_tokens=False)


def encode(example: Example, tokenizer: Any, max_length: int | None = None) -> dict[str, list[int]]:
    """Token ids, labels and prompt mask of one item.

    Returns:
        `input_ids`, `labels` (-100 on the prompt) and `prompt_mask` (1 on the prompt), all (t,).

    Raises:
        ValueError: the item is longer than `max_length`; cutting would cut the answer.
    """
    prompt = encode_prompt(example, tokenizer)
    answer = encode_answer(example, tokenizer)
    if max_length is not None and len(prompt) + len(answer) > max_length:
        raise ValueError(
            f"an item of {example.task!r} has {len(prompt) + len(answer)} tokens, more than "
            f"max_length={max_length}; cutting it would cut the answer. Raise max_length or "
            "drop the item."
        )
    return {
        "input_ids": prompt + answer,
        "labels": [-100] * len(prompt) + answer,
        "prompt_mask": [1] * len(prompt) + [0] * len(answer),
    }


def collate(
    items: list[dict[str, list[int]]], pad_id: int, side: str = "right"
) -> dict[str, torch.Tensor]:
    """Pad items to one batch.

    Args:
        items: results of `encode`.
        pad_id: token for padding; it gets label -100 and no attention.
        side: "right" for training, "left" for decoding.

    Returns:
        `input_ids`, `labels`, `attention_mask`, `prompt_mask`, each (b, t).
    """
    import torch

    if side not in ("left", "right"):
        raise ValueError(f'side must be "left" or "right", not {side!r}.')
    fill = {"input_ids": pad_id, "labels": -100, "prompt_mask": 0, "attention_mask": 0}
    rows = [{**item, "attention_mask": [1] * len(item["input_ids"])} for item in items]
    longest = max(len(row["input_ids"]) for row in rows)

    def pad(row: list[int], value: int) -> list[int]:
        padding = [value] * (longest - len(row))
        return padding + row if side == "left" else row + padding

    return {key: torch.tensor([pad(row[key], fill[key]) for row in rows]) for key in fill}

"""From task items to tokens: the model's own chat form, loss on the answer only.

    <|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n  {answer}<|im_end|>
    `------------------- no loss (label -100) -------------------'  `---- loss -----'

The stop token belongs to the answer: a model that is not taught to stop does not stop. Templates
are made for talking and not for teaching: that of Qwen1.5 leaves the last turn open. So a template
is asked for the text before the answer, and only once for what it puts around one (`Around`); the
stop token is there whatever it says. What comes after the stop token, such as a new line, is left
out: nobody reads it. A "plain" item is a document, {prompt} {answer}<|endoftext|>.

A tokenizer without a template gets the turns above where it knows the tokens of ChatML, else
"User: ..." and "Assistant: ...", with its own end token.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

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
MARK = "unmistakable"  # an answer, to see what a template puts around one


class Around(NamedTuple):
    """What stands before and after an answer, and the token that ends it."""

    lead: str
    tail: str
    stop: str


def messages(example: Example) -> list[dict[str, str]]:
    """The turns before the answer: `meta["history"]`, where there is one, and the prompt.

    >>> before = [{"role": "system", "content": "Be brief."}]
    >>> [turn["role"] for turn in messages(Example("", "Safe?", "", meta={"history": before}))]
    ['system', 'user']
    """
    return [*example.meta.get("history", ()), {"role": "user", "content": example.prompt}]


def prompt_text(example: Example, tokenizer: Any = None) -> str:
    """The text before the answer, in the tokenizer's own form; without one in ChatML.

    >>> prompt_text(Example("facts", "Is it safe?", "yes"))
    '<|im_start|>user\\nIs it safe?<|im_end|>\\n<|im_start|>assistant\\n'
    """
    if example.style == "plain":
        return example.prompt
    template = getattr(tokenizer, "chat_template", None)
    if template and template != CHAT_TEMPLATE:
        return rendered(tokenizer, messages(example), answering=True)
    said = messages(example)
    if tokenizer is None or speaks_chatml(tokenizer):
        *before, _ = said
        turns = (f"<|im_start|>{t['role']}\n{t['content']}{END_OF_TURN}\n" for t in before)
        return f"{''.join(turns)}{USER}{example.prompt}{TURN}"
    lines = (f"{turn['role'].capitalize()}: {turn['content']}\n" for turn in said)
    return f"{''.join(lines)}Assistant:"


def rendered(tokenizer: Any, said: list[dict[str, str]], answering: bool) -> str:
    """Turns as the tokenizer's template writes them; models that think are told not to.

    Raises:
        ValueError: the template refuses these turns, with its reason.
    """
    try:
        return tokenizer.apply_chat_template(
            said, tokenize=False, add_generation_prompt=answering, enable_thinking=False
        )
    except Exception as error:  # whatever the template raises, in a language of its own
        roles = ", ".join(turn["role"] for turn in said)
        raise ValueError(
            f"the tokenizer's chat template refuses the turns {roles}: {error}. Some models know "
            "no system turn: put its text in front of the first question."
        ) from error


def token_id(tokenizer: Any, token: str | None) -> int | None:
    """Number of a token, None where the tokenizer does not have it as one."""
    number = tokenizer.convert_tokens_to_ids(token) if token else None
    return (
        number if number is not None and tokenizer.convert_ids_to_tokens(number) == token else None
    )


def speaks_chatml(tokenizer: Any) -> bool:
    """Whether the turns of ChatML are tokens of this tokenizer."""
    return token_id(tokenizer, END_OF_TURN) is not None


def around_answer(tokenizer: Any) -> Around:
    """What this tokenizer's chat form puts around an answer.

    Raises:
        ValueError: there is no token that could end an answer.
    """
    template = getattr(tokenizer, "chat_template", None)
    specials = tuple(sorted(tokenizer.all_special_tokens))
    return _around(_Asked(tokenizer, template, specials, tokenizer.eos_token))


class _Asked:
    """A tokenizer as a key: two with the same template and special tokens have one answer."""

    def __init__(self, tokenizer: Any, *key: Any) -> None:
        self.tokenizer, self.key = tokenizer, key

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and self.key == other.key


@lru_cache(maxsize=32)
def _around(asked: _Asked) -> Around:
    tokenizer = asked.tokenizer
    template, specials, eos = asked.key
    chatml = speaks_chatml(tokenizer)
    if not template or template == CHAT_TEMPLATE:
        around = Around("" if chatml else " ", "", END_OF_TURN if chatml else eos)
    else:
        said = [{"role": "user", "content": "?"}]
        asks = rendered(tokenizer, said, answering=True)
        answered = rendered(tokenizer, [*said, {"role": "assistant", "content": MARK}], False)
        before, _, after = answered.partition(MARK)
        # Of several special tokens the first one ends the turn; an open turn gets its own.
        places = {after.find(token): token for token in specials if token in after}
        stop = places[min(places)] if places else END_OF_TURN if chatml else eos
        lead = before.removeprefix(asks) if before.startswith(asks) else ""
        around = Around(lead, after[: min(places)] if places else "", stop)
    if not around.stop:
        raise ValueError(
            "the tokenizer has no token that ends an answer, so the model could never learn to "
            "stop: type tokenizer.eos_token = '...' with one of its special tokens"
        )
    return around


def encode_prompt(example: Example, tokenizer: Any) -> list[int]:
    """Token ids of everything before the answer."""
    return tokenizer.encode(prompt_text(example, tokenizer), add_special_tokens=False)


def encode_answer(example: Example, tokenizer: Any, answer: str | None = None) -> list[int]:
    """Token ids of the answer and its stop token."""
    text = example.answer if answer is None else answer
    chatml = speaks_chatml(tokenizer)
    if example.style == "plain":
        known = token_id(tokenizer, END_OF_TEXT) is not None
        text = f" {text}{END_OF_TEXT if known else tokenizer.eos_token}"
    else:
        lead, tail, stop = around_answer(tokenizer)
        text = f"{lead}{text}{tail}{stop}"
    alone = tokenizer.encode(text, add_special_tokens=False)
    if chatml:
        return alone
    # Some tokenizers put a mark in front of every text: cut the answer off the whole text.
    prompt = encode_prompt(example, tokenizer)
    whole = tokenizer.encode(prompt_text(example, tokenizer) + text, add_special_tokens=False)
    return whole[len(prompt) :] if whole[: len(prompt)] == prompt else alone


def stop_ids(tokenizer: Any) -> list[int]:
    """Tokens that end an answer: those of ChatML, the template's own, and the end token.

    Returns:
        Sorted ids.
    """
    names = {END_OF_TURN, END_OF_TEXT, tokenizer.eos_token}
    if getattr(tokenizer, "chat_template", None):
        names.add(around_answer(tokenizer).stop)
    found = (token_id(tokenizer, name) for name in names)
    return sorted({number for number in found if number is not None})


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

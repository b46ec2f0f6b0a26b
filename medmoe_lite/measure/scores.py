"""Exact match by greedy decoding, in batches.

Prompts are padded on the left, sorted by length and decoded with a cache; a row that has said
its stop token leaves the batch. The result does not depend on the batch size: padding is masked
and positions are counted from the first real token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import torch

from ..tasks.chat import stop_ids
from .stats import bootstrap_interval

if TYPE_CHECKING:
    from ..tasks import Example


class Score(NamedTuple):
    """How a suite went.

    Attributes:
        n: items.
        exact: share of right answers.
        unparsed: number of answers that could not be read at all.
        low, high: 95 % bootstrap interval of `exact` over the items.
        answers: what the model said, in the order of the items.
        correct: one bool per item.
    """

    n: int
    exact: float
    unparsed: int
    low: float
    high: float
    answers: list[str]
    correct: list[bool]

    def row(self) -> dict[str, Any]:
        """The numbers, without the answers."""
        return {name: getattr(self, name) for name in ("n", "exact", "unparsed", "low", "high")}

    def marks(self) -> str:
        """One character per item: "1" right, "0" wrong."""
        return "".join(str(int(right)) for right in self.correct)


def summarize(answers: list[str], correct: list[bool], unparsed: int) -> Score:
    """A Score from graded answers."""
    mean, low, high = bootstrap_interval(correct)
    return Score(len(correct), mean, unparsed, low, high, answers, correct)


@overload
def score(
    model: Any,
    tokenizer: Any,
    suites: Mapping[str, Sequence[Example]],
    batch_size: int = ...,
    max_new_tokens: int = ...,
) -> dict[str, Score]: ...


@overload
def score(
    model: Any,
    tokenizer: Any,
    suites: Sequence[Example],
    batch_size: int = ...,
    max_new_tokens: int = ...,
) -> Score: ...


def score(
    model: Any,
    tokenizer: Any,
    suites: Mapping[str, Sequence[Example]] | Sequence[Example],
    batch_size: int = 64,
    max_new_tokens: int = 24,
) -> dict[str, Score] | Score:
    """Decode and grade every suite.

    Args:
        model: any causal language model, adapters as they are set.
        tokenizer: its tokenizer.
        suites: name -> items, or one list of items.
        batch_size: rows decoded together; changes the speed only.
        max_new_tokens: longest answer. Raised for a suite whose longest gold answer needs more,
            so that no item is impossible.

    Returns:
        name -> Score, or one Score for one list.

    Raises:
        ValueError: a suite is empty.
    """
    if not isinstance(suites, Mapping):
        return score(model, tokenizer, {"items": suites}, batch_size, max_new_tokens)["items"]
    from ..tasks import encode, encode_prompt, grade

    results = {}
    for name, examples in suites.items():
        if not examples:
            raise ValueError(f"the suite {name!r} is empty: there is nothing to score.")
        longest = max(
            sum(label != -100 for label in encode(example, tokenizer)["labels"])
            for example in examples
        )
        prompts = [encode_prompt(example, tokenizer) for example in examples]
        said = greedy(model, tokenizer, prompts, batch_size, max(max_new_tokens, longest))
        answers = [tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in said]
        grades = [grade(example, text) for example, text in zip(examples, answers, strict=True)]
        unparsed = sum(not verdict.parsed for verdict in grades)
        results[name] = summarize(answers, [bool(g.correct) for g in grades], unparsed)
    return results


def greedy(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    batch_size: int = 64,
    max_new_tokens: int = 24,
) -> list[list[int]]:
    """Greedy continuations of token lists, without their stop token.

    Args:
        prompts: token ids, one list per prompt.

    Returns:
        New token ids, at most `max_new_tokens` per prompt, in the order of the prompts.
    """
    stops = stop_ids(tokenizer)
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    results: list[list[int]] = [[] for _ in prompts]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for first in range(0, len(order), batch_size):
                rows = order[first : first + batch_size]
                said = _decode(model, [list(prompts[i]) for i in rows], stops, max_new_tokens)
                for i, tokens in zip(rows, said, strict=True):
                    results[i] = tokens
    finally:
        model.train(was_training)
    return results


def _decode(model: Any, prompts: list[list[int]], stops: list[int], limit: int) -> list[list[int]]:
    """One batch: prefill, then a token at a time for the rows that still speak."""
    device = next(model.parameters()).device
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    said: list[list[int]] = [[] for _ in prompts]
    rows = list(range(len(prompts)))
    ends = set(stops)
    cache = None
    for turn in range(limit):
        output = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache = output.past_key_values
        tokens = output.logits[:, -1].argmax(-1)
        spoken = tokens.tolist()
        alive = [i for i, token in enumerate(spoken) if token not in ends]
        for i in alive:
            said[rows[i]].append(spoken[i])
        if not alive or turn == limit - 1:
            break
        if len(alive) < len(rows):
            keep = torch.tensor(alive, device=device)
            cache.batch_select_indices(keep)
            _keep_decisions(cache, keep)
            tokens, mask, positions = tokens[keep], mask[keep], positions[keep]
            rows = [rows[i] for i in alive]
        ids = tokens[:, None]
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        positions = positions[:, -1:] + 1
    return said


def _keep_decisions(cache: Any, rows: torch.Tensor) -> None:
    """Gates that decide once a sequence leave their decisions with the cache: (b, 1, e) each."""
    kept = vars(cache).get("molora_decisions", {})
    for key, routing in kept.items():
        kept[key] = type(routing)(*(v if v is None or len(v) == 1 else v[rows] for v in routing))

"""Labels from an ECI head: one pass over the prompt, no decoding.

`score_labels` answers the same question as `score` and `likelihood_choice` and gives the same
`Score`, so the three ways to a label can be compared item by item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import torch
from torch import Tensor

from .scores import Score, summarize

if TYPE_CHECKING:
    from ..tasks import Example


class Prediction(NamedTuple):
    """Labels by name, and the probabilities (n, c) of all labels, in the head's order."""

    labels: list[str]
    probabilities: Tensor


def predict(model: Any, inputs: Any, tokenizer: Any = None, batch_size: int = 64) -> Prediction:
    """Ask the ECI head of a model.

    Args:
        model: has a head (see `with_eci`).
        inputs: a list of user messages, of `Example`s, or of token lists (the whole prompt); or
            one batch, a mapping with `input_ids` (n, t) and, where it is more than the prompt
            alone, `attention_mask` and `prompt_mask`.
        tokenizer: needed for texts and `Example`s.
        batch_size: rows computed together; changes the speed only.

    Returns:
        A `Prediction`, in the order of the inputs.

    Raises:
        ValueError: the model has no head, nothing to predict, texts without a tokenizer, or a
            batch with `labels` and no `prompt_mask`.
    """
    from ..eci_model import head_of

    head = head_of(model)
    if head is None:
        raise ValueError(
            'the model has no ECI head: type model = with_eci(model, labels=["yes", "no"]) and '
            "train it, or load_eci(model, folder)"
        )
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            if isinstance(inputs, Mapping):
                logits = _batch_logits(model, inputs)
            else:
                logits = _row_logits(model, _prompts(inputs, tokenizer), tokenizer, batch_size)
    finally:
        model.train(was_training)
    probabilities = logits.softmax(-1)
    return Prediction([head.labels[i] for i in logits.argmax(-1).tolist()], probabilities)


def _batch_logits(model: Any, batch: Mapping[str, Any]) -> Tensor:
    if "labels" in batch and batch.get("prompt_mask") is None:
        raise ValueError(
            "the batch has labels, so it holds answers, and no prompt_mask: the head would read "
            "the answer. Give prompt_mask (n, t), or the prompts alone"
        )
    device = next(model.parameters()).device
    names = ("input_ids", "attention_mask", "prompt_mask")
    given = {name: batch[name].to(device) for name in names if batch.get(name) is not None}
    return model(**given, use_cache=False, logits_to_keep=1).eci_logits.cpu()


def _row_logits(model: Any, prompts: list[list[int]], tokenizer: Any, batch_size: int) -> Tensor:
    """Logits (n, c) of token lists: neighbours in length share a batch, padded on the right."""
    pad = getattr(tokenizer, "pad_token_id", None) or 0
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    found = []
    for first in range(0, len(order), batch_size):
        rows = [prompts[i] for i in order[first : first + batch_size]]
        longest = len(rows[-1])
        ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        batch = {"input_ids": ids, "attention_mask": mask, "prompt_mask": mask}
        found.append(_batch_logits(model, batch))
    return torch.cat(found)[torch.tensor(order).argsort()]


def _prompts(inputs: Sequence[Any], tokenizer: Any) -> list[list[int]]:
    from ..tasks import Example, encode_prompt

    if isinstance(inputs, str) or not len(inputs):
        raise ValueError('give a list of prompts, such as ["Does zoltin help against gout?"]')
    prompts = []
    for item in inputs:
        if isinstance(item, str | Example):
            if tokenizer is None:
                raise ValueError("texts need a tokenizer: type predict(model, texts, tokenizer)")
            example = Example("", item, "") if isinstance(item, str) else item
            item = encode_prompt(example, tokenizer)
        prompts.append(list(item))
    return prompts


@overload
def score_labels(
    model: Any, tokenizer: Any, suites: Mapping[str, Sequence[Example]], batch_size: int = ...
) -> dict[str, Score]: ...


@overload
def score_labels(
    model: Any, tokenizer: Any, suites: Sequence[Example], batch_size: int = ...
) -> Score: ...


def score_labels(
    model: Any,
    tokenizer: Any,
    suites: Mapping[str, Sequence[Example]] | Sequence[Example],
    batch_size: int = 64,
) -> dict[str, Score] | Score:
    """Score suites by the ECI head: right when its label is the item's.

    Args:
        model: has a head whose labels are the items' `choices`.
        tokenizer: its tokenizer.
        suites: name -> items, or one list of items.
        batch_size: rows computed together; changes the speed only.

    Returns:
        name -> Score, or one Score for one list; `unparsed` is 0, a head says labels only.

    Raises:
        ValueError: no head, or an item of other labels.
    """
    if not isinstance(suites, Mapping):
        return score_labels(model, tokenizer, {"items": suites}, batch_size)["items"]
    from ..eci import class_id
    from ..eci_model import head_of

    results = {}
    for name, examples in suites.items():
        answers = predict(model, examples, tokenizer, batch_size).labels
        head = head_of(model)
        assert head is not None
        ids = [class_id(example, head.labels) for example in examples]
        if min(ids) < 0:
            wrong = examples[ids.index(min(ids))]
            raise ValueError(
                f"the suite {name!r} has an item with the choices {wrong.choices}, and the head "
                f"knows {head.labels}: score it with measure.score"
            )
        correct = [said == head.labels[i] for said, i in zip(answers, ids, strict=True)]
        results[name] = summarize(answers, correct, 0)
    return results

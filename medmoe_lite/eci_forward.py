"""One forward pass of a model that carries an ECI head.

    tokens -> base and adapters -> last states -+-> language-model head -> logits, LM
                                                `-> prompt tokens only -> ECI head -> CE

A decoding step, whose prompt lies in the cache, and a training pass that does not say which
tokens are the prompt, leave the head alone: `eci_logits` is None then.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

from .eci import IGNORE, EciHead, check_mask, class_loss, joint_loss


def is_peft(model: Any) -> bool:
    """Whether this is a PeftModel."""
    return hasattr(model, "peft_config") and hasattr(model, "get_base_model")


def causal_of(model: Any) -> Any:
    """The causal language model, seen through PEFT."""
    return model.get_base_model() if is_peft(model) else model


def head_of(model: Any) -> EciHead | None:
    """The head of a model, or None.

    >>> head_of(torch.nn.Linear(2, 2)) is None
    True
    """
    heads = getattr(causal_of(model), "eci", None)
    return None if heads is None else next(iter(heads["modules_to_save"].values()))


def _forward(
    causal: Any, *args: Any, prompt_mask: Any = None, class_labels: Any = None, **kwargs: Any
) -> Any:
    """The forward of a causal language model that carries a head."""
    head = head_of(causal)
    assert head is not None
    if args:
        kwargs.update(zip(inspect.signature(causal.forward).parameters, args, strict=False))
    reads = _can_tell_the_prompt(causal, prompt_mask, kwargs)
    if class_labels is not None and not reads:
        raise ValueError(
            "class_labels without prompt_mask: the head would read the answer too, and learn to "
            "copy it. Give prompt_mask (b, t) with 1 on prompt tokens, as tasks.collate does, in "
            "a pass without a filled cache"
        )
    if prompt_mask is not None and any(hasattr(m, "routing_state") for m in causal.modules()):
        kwargs["prompt_mask"] = prompt_mask  # routers that pool over the prompt need it as well
    with _last_states(causal) as heard:
        output = causal.forward_without_eci(**{**kwargs, "return_dict": True})
    result = _output_type(type(output))(**output)  # type: ignore[arg-type]
    if reads:
        mask = _prompt_tokens(heard[0], prompt_mask, kwargs.get("attention_mask"))
        result.eci_logits = head(heard[0], mask)
        if class_labels is not None:
            classes = head.class_ids(class_labels)
            _need_prompts(mask, classes)
            ce = class_loss(result.eci_logits, classes)
            lm = output.loss
            result.loss = ce if lm is None else joint_loss(lm, ce.to(lm.device), head.loss_weight)
    return result


def _need_prompts(mask: Tensor, classes: Tensor) -> None:
    if bool(((classes != IGNORE).to(mask.device) & ~mask.any(dim=1)).any()):
        raise ValueError(
            "a row has a class but no prompt token: set prompt_mask to 1 on the tokens before the "
            "answer (tasks.encode does), or its class to -100"
        )


def _can_tell_the_prompt(causal: Any, prompt_mask: Any, kwargs: dict[str, Any]) -> bool:
    """True with a mask, and where the whole input is the prompt: no training, cache empty."""
    past: Any = kwargs.get("past_key_values")
    if past is not None and past.get_seq_length():
        return False
    attention = kwargs.get("attention_mask")
    flat = attention is None or (isinstance(attention, Tensor) and attention.dim() == 2)
    if prompt_mask is not None:
        return True
    return flat and not causal.training and kwargs.get("labels") is None


def _prompt_tokens(hidden: Tensor, prompt_mask: Any, attention: Any) -> Tensor:
    """(b, t): prompt tokens that are no padding."""
    mask = hidden.new_ones(hidden.shape[:2], dtype=torch.bool)
    for given in (prompt_mask, attention):
        if isinstance(given, Tensor) and given.dim() == 2:
            mask = mask & check_mask(given, hidden)
    return mask


@contextmanager
def _last_states(causal: Any) -> Iterator[list[Tensor]]:
    """Listen to what the decoder gives to the language-model head, without keeping all layers."""
    heard: list[Tensor] = []
    listen = lambda module, args, output: heard.append(output[0])  # noqa: E731
    hook = causal.get_decoder().register_forward_hook(listen)
    try:
        yield heard
    finally:
        hook.remove()


@cache
def _output_type(kind: type) -> type:
    """The model's own output class with one more field, `eci_logits`."""
    field = ("eci_logits", Any, dataclasses.field(default=None))
    return dataclasses.make_dataclass(f"{kind.__name__}WithEci", [field], bases=(kind,))


def forward_like(plain: Any) -> Any:
    """`_forward`, whose signature shows the model's own arguments and the two new ones."""

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        return _forward(self, *args, **kwargs)

    kinds = inspect.Parameter
    given = list(inspect.signature(plain).parameters.values())
    new = [kinds(n, kinds.KEYWORD_ONLY, default=None) for n in ("prompt_mask", "class_labels")]
    rest = [p for p in given if p.kind is kinds.VAR_KEYWORD]
    front = [p for p in given if p.kind is not kinds.VAR_KEYWORD]
    own = kinds("self", kinds.POSITIONAL_OR_KEYWORD)
    forward.__signature__ = inspect.Signature([own, *front, *new, *rest])  # type: ignore[attr-defined]
    return forward

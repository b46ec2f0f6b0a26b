"""Attach an ECI head to a model: any adapter, stock or MoLoRA, or a plain base, also in 4 bits.

    model = with_eci(model, labels=["yes", "no", "maybe"], pooling="mean_max")
    out = model(..., labels=ids, prompt_mask=mask, class_labels=["yes", "no"])
    out.loss, out.logits, out.eci_logits          joint loss, (b, t, v), (b, c)

The model stays the object that it was (a PeftModel, say), so everything that takes one takes it.
The head is its submodule `eci.modules_to_save.<adapter>`: named like what PEFT saves beside an
adapter, and learning together with it. What a forward pass does then: eci_forward.py; the files:
eci_files.py.
"""

from __future__ import annotations

from pathlib import Path
from types import MethodType
from typing import Any

from torch import nn

from .eci import EciHead
from .eci_files import has_head, read_head, write_head
from .eci_forward import causal_of, forward_like, head_of, is_peft

__all__ = ["head_of", "load_eci", "with_eci", "without_eci"]


def with_eci(
    model: Any,
    labels: list[str],
    pooling: str = "mean_max",
    weight: float = 0.2,
    adapter_name: str | None = None,
    hidden: int | None = None,
    dropout: float = 0.1,
) -> Any:
    """Attach a classification head, in place.

    Afterwards forward also takes `prompt_mask` (b, t), 1 on prompt tokens, and `class_labels`
    (b,), numbers or names, and returns `eci_logits` (b, c), or None where it cannot tell the
    prompt from the answer. `loss` is the joint loss where `labels` and `class_labels` are given;
    where only one of them is, it is that one alone.

    Args:
        model: a PEFT model, or a causal language model. What requires grad stays as it is; to
            train the head alone on a plain base, type model.requires_grad_(False) before.
        labels: names of the classes.
        pooling: "mean", "max", "last", "attention" or "mean_max".
        weight: w of (1 - w)·LM + w·CE.
        adapter_name: whom the head belongs to: it learns and is saved with this adapter; by
            default the active one.
        hidden, dropout: see `EciHead`.

    Returns:
        The same model.

    Raises:
        ValueError: a head is there already, no such adapter, or a value that cannot be meant.

    Source: LlamaCare, arXiv 2406.02350

    >>> import torch, transformers as hf
    >>> sizes = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    >>> sizes |= dict(num_key_value_heads=1, intermediate_size=8)
    >>> base = hf.Qwen2ForCausalLM(hf.Qwen2Config(vocab_size=9, **sizes)).eval()
    >>> with_eci(base, ["yes", "no"])(torch.tensor([[1, 2, 3]])).eci_logits.shape
    torch.Size([1, 2])
    """
    width = causal_of(model).config.get_text_config().hidden_size
    return _attach(model, EciHead(width, labels, pooling, weight, hidden, dropout), adapter_name)


def load_eci(
    model: Any, folder: Path | str, adapter_name: str | None = None, is_trainable: bool = False
) -> Any:
    """Attach the head that lies in a folder.

    Args:
        model: base and adapter as they were when the head was saved:
            model = load_eci(PeftModel.from_pretrained(base, folder), folder)
        folder: where eci.json lies: the adapter's folder.
        adapter_name: whom it belongs to here; by default the active adapter.
        is_trainable: whether its parameters require grad, as in PeftModel.from_pretrained.

    Returns:
        The same model.

    Raises:
        FileNotFoundError: no head in this folder.
        ValueError: a damaged or newer file, or a base of another width.
    """
    head = read_head(folder).requires_grad_(is_trainable)
    width = causal_of(model).config.get_text_config().hidden_size
    if head.width != width:
        raise ValueError(
            f"the head in {folder} reads states of width {head.width}, this model has {width}: "
            "load the base that it was trained on"
        )
    return _attach(model, head, adapter_name)


def _attach(model: Any, head: EciHead, adapter_name: str | None) -> Any:
    causal = causal_of(model)
    if head_of(model) is not None:
        raise ValueError("the model has an ECI head already: type without_eci(model) first")
    known = list(model.peft_config) if is_peft(model) else ["default"]
    owner = adapter_name or (model.active_adapters[0] if is_peft(model) else "default")
    if owner not in known:
        raise ValueError(f"no adapter {owner!r}: the model has {known}; type one of these")
    head.to(causal.get_output_embeddings().weight.device).train(model.training)
    causal.eci = nn.ModuleDict({"modules_to_save": nn.ModuleDict({owner: head})})
    causal.forward_without_eci = causal.forward
    causal.forward = MethodType(forward_like(causal.forward), causal)
    # The Trainer of transformers would divide LM by the tokens of a step, but not CE: mean both.
    causal.accepts_loss_kwargs = False
    model.save_pretrained = MethodType(_save_pretrained, model)
    if is_peft(model):
        model.load_adapter = MethodType(_load_adapter, model)
    return model


def without_eci(model: Any) -> Any:
    """Take the head off again; the model is as it was before `with_eci`."""
    causal = causal_of(model)
    if head_of(model) is None:
        raise ValueError("the model has no ECI head: there is nothing to take off")
    before = causal.__dict__.pop("forward_without_eci")
    del causal.eci, causal.forward, causal.accepts_loss_kwargs
    if causal.forward != before:  # somebody else, such as accelerate, had wrapped it
        causal.forward = before
    for name in ("save_pretrained", "load_adapter"):
        model.__dict__.pop(name, None)
    return model


def _save_pretrained(self: Any, save_directory: Any, *args: Any, **kwargs: Any) -> None:
    """The model's own save_pretrained, and the head's two files beside its adapter."""
    heads = causal_of(self)._modules.pop("eci")  # no part of the base's own weight file
    try:
        type(self).save_pretrained(self, save_directory, *args, **kwargs)
    finally:
        causal_of(self)._modules["eci"] = heads
    ((owner, head),) = heads["modules_to_save"].items()
    chosen = kwargs.get("selected_adapters")
    if kwargs.get("is_main_process", True) and (chosen is None or owner in chosen):
        write_head(head, Path(save_directory) / ("" if owner == "default" else owner), owner)


def _load_adapter(self: Any, model_id: Any, adapter_name: str, *args: Any, **kwargs: Any) -> Any:
    """PEFT's load_adapter (a resuming Trainer calls it), and the head where one lies there."""
    result = type(self).load_adapter(self, model_id, adapter_name, *args, **kwargs)
    heads = causal_of(self).eci["modules_to_save"]
    if adapter_name in heads and has_head(model_id):
        heads[adapter_name].load_state_dict(read_head(model_id).state_dict())
    return result

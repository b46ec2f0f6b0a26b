"""Load a base model and its tokenizer, in full precision or in four bits, on a CPU too.

One door for the laptop, the GPU and the class:

    load_base("nano")                                 the model that comes with the kit, offline
    load_base("runs/my-model")                        any folder of safetensors
    load_base("Qwen/Qwen1.5-1.8B-Chat", four_bit=True)   a hub name, because you asked for it

Four bits means the nf4 type with double quantisation of QLoRA (Dettmers et al. 2023): each block
of 64 weights shares one scale, and the scales are themselves stored in 8 bits. Weights are read
from safetensors only, and code that comes with a model is never run. A tokenizer may be shorter
than the model's table of words (151,646 against 151,936 in Qwen): the table is never resized.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .failures import quiet, told_plainly
from .precision import choose_attention, choose_device, choose_dtype
from .record import ATTRIBUTE, BaseRecord, commit_of
from .source import Source, resolve, verify

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BLOCK = 64  # weights that share one scale in nf4


def load_base(
    name: str | Path = "nano",
    *,
    four_bit: bool = False,
    seed: int = 0,
    device: str | None = None,
    dtype: torch.dtype | str | None = None,
    revision: str | None = None,
    attention: str = "auto",
    checkpointing: bool = False,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model, ready for `get_peft_model`, and its tokenizer.

    Args:
        name: "nano" (or "nano/seed1"), a folder, or a hub name "owner/model", with a branch, tag
            or commit as "owner/model@COMMIT". Any causal language model of transformers.
        four_bit: store the linear layers in nf4 with double quantisation.
        seed: which pre-training run of nano.
        device: "cpu", "cuda", "cuda:1" or "mps"; by default the CPU for nano, which is small,
            and a GPU for other models where there is one.
        dtype: of the weights that are not packed, and of the computation; by default what the
            model was saved in, and in four bits on a card bfloat16. Cards older than Ampere do
            not compute in bfloat16 and get float16.
        revision: branch, tag or commit of a hub name, as behind the @.
        attention: "auto" is PyTorch's own ("sdpa") wherever the model has it; "eager" shows the
            attention weights; "flash_attention_2" needs flash-attn and an Ampere card or newer.
        checkpointing: run the layers again in the backward pass, which takes a third more time
            and keeps one state a layer in place of some thirty.

    Returns:
        The model in eval mode, and its tokenizer with a padding token. `record_of(model)` tells
        what was loaded, the commit included.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: an unknown name; a damaged file; four bits for sizes that do not fit; an
            attention that cannot run; a tokenizer with more words than the model.
        ConnectionError: a hub name that can neither be fetched nor is on this machine.
        RuntimeError: the device asked for is not there.

    Source: QLoRA, https://arxiv.org/abs/2305.14314

    >>> model, tokenizer = load_base("nano")
    >>> model.config.model_type, model.training
    ('qwen2', False)
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    source = resolve(name, seed)
    on = choose_device(device, source.kind)
    if source.kind != "hub":
        verify(Path(source.place), source.kind)
    common: dict[str, Any] = {"local_files_only": source.kind != "hub", "trust_remote_code": False}
    if revision or source.revision:
        common["revision"] = revision or source.revision
    with told_plainly(source.kind, source.place), quiet():
        config = AutoConfig.from_pretrained(source.place, **common)
    commit = None
    if source.kind == "hub":  # all files of one commit, whatever is pushed meanwhile
        commit = commit_of(source.place, common.get("revision"))
        common |= {"revision": commit} if commit else {}
    numbers = choose_dtype(dtype, on, getattr(config, "dtype", None), four_bit)
    extra = choose_attention(attention, on, numbers)
    if four_bit:
        check_sizes(config)
        extra["quantization_config"] = nf4(numbers)
    with told_plainly(source.kind, source.place), quiet():
        tokenizer = load_tokenizer(source, **common)
        model = AutoModelForCausalLM.from_pretrained(
            source.place,
            dtype=numbers,
            device_map={"": on},
            use_safetensors=True,
            **common,
            **extra,
        )
    keep_unpacked(model)
    fit_together(model, tokenizer)
    if checkpointing:
        run_again = getattr(model, "activation_checkpointing_enable", None)
        (run_again or model.gradient_checkpointing_enable)({"use_reentrant": False})
    record = BaseRecord(
        name=str(name),
        kind=source.kind,
        commit=commit,
        model_type=model.config.model_type,
        four_bit=four_bit,
        dtype=str(numbers).removeprefix("torch."),
        attention=model.config._attn_implementation,
        checkpointing=checkpointing,
    )
    setattr(model, ATTRIBUTE, record)
    return model.eval(), tokenizer


def fit_together(model: Any, tokenizer: Any) -> None:
    """Give the tokenizer a padding token and the model all stop tokens; change no weight.

    Raises:
        ValueError: the tokenizer has words that the model has no row for.
    """
    from ..tasks.chat import stop_ids

    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise ValueError(
            f"the tokenizer has {len(tokenizer)} words, but the model has rows for {rows}: they "
            "do not belong together. Copy tokenizer and model from one place; the kit never "
            "resizes a model."
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    talk = model.generation_config
    own = [] if talk.eos_token_id is None else talk.eos_token_id
    own = [own] if isinstance(own, int) else list(own)
    talk.eos_token_id = own + [number for number in stop_ids(tokenizer) if number not in own]
    if talk.pad_token_id is None:
        talk.pad_token_id = tokenizer.pad_token_id


def load_tokenizer(source: Source, **common: Any) -> PreTrainedTokenizerBase:
    """The tokenizer exactly as its `tokenizer.json` says.

    AutoTokenizer gives every Qwen2 model the splitting rules of Qwen's own tokenizer, whatever
    the file says. A folder whose tokenizer names no family of its own is therefore read directly.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    settings = Path(source.place) / "tokenizer_config.json"
    if source.kind != "hub" and settings.is_file():
        name = json.loads(settings.read_text(encoding="utf-8")).get("tokenizer_class")
        if name in ("TokenizersBackend", "PreTrainedTokenizerFast"):
            return PreTrainedTokenizerFast.from_pretrained(source.place, **common)
    return AutoTokenizer.from_pretrained(source.place, **common)


def nf4(compute_dtype: torch.dtype) -> Any:
    """The quantisation settings of QLoRA, for `from_pretrained`."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
    )


def keep_unpacked(model: Any) -> Any:
    """Stop bitsandbytes from re-packing 4-bit weights in place on CPUs with AVX512-BF16.

    There, the first forward pass in eval mode turns each weight into a layout for inference, for
    good. Training after it fails, or, worse, runs with a missing input gradient; and eval differs
    from train. Call this on any 4-bit model that was not loaded by `load_base`.

    Returns:
        The same model.

    Source: `Linear4bit.forward` of bitsandbytes; the defect is described for CPU training in
    https://github.com/bitsandbytes-foundation/bitsandbytes/issues/2078
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model


def check_sizes(config: Any) -> None:
    """Refuse four bits where the blocks of 64 weights would run across rows.

    Raises:
        ValueError: naming each size of the configuration that is no multiple of 64.
    """
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    sizes = {name: getattr(text, name, 0) or 0 for name in ("hidden_size", "intermediate_size")}
    wrong = [f"{name} {size}" for name, size in sizes.items() if size % BLOCK]
    if wrong:
        raise ValueError(
            f"four bits need sizes that are multiples of {BLOCK}, and this model has "
            f"{', '.join(wrong)}. Type four_bit=False, or take a model with fitting sizes."
        )

"""Load a base model and its tokenizer, in full precision or in four bits, on a CPU too.

One door for the laptop, the GPU and the class:

    load_base("nano")                                 the model that comes with the kit, offline
    load_base("runs/my-model")                        any folder of safetensors
    load_base("Qwen/Qwen1.5-1.8B-Chat", four_bit=True)   a hub name, because you asked for it

Four bits means the nf4 type with double quantisation of QLoRA (Dettmers et al. 2023): each block
of 64 weights shares one scale, and the scales are themselves stored in 8 bits. Weights are read
from safetensors only, and code that comes with a model is never run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .failures import quiet, told_plainly
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
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model, ready for `get_peft_model`, and its tokenizer.

    Args:
        name: "nano" (or "nano/seed1"), a folder, or a hub name "owner/model".
        four_bit: store the linear layers in nf4 with double quantisation.
        seed: which pre-training run of nano.
        device: "cpu", "cuda", "cuda:1" or "mps"; by default the CPU for nano, which is small,
            and a GPU for other models where there is one.
        dtype: of the weights that stay in full precision, and of the computation in four bits;
            by default what the model was saved in.
        revision: branch, tag or commit of a hub name.

    Returns:
        The model in eval mode, and its tokenizer with a padding token.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: an unknown name; a damaged file; four bits for sizes that do not fit.
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
    if revision is not None:
        common["revision"] = revision
    with told_plainly(source.kind, source.place), quiet():
        config = AutoConfig.from_pretrained(source.place, **common)
    numbers = choose_dtype(dtype or getattr(config, "dtype", None), on)
    extra: dict[str, Any] = {}
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
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return keep_unpacked(model).eval(), tokenizer


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


def choose_device(device: str | None, kind: str) -> str:
    """The device asked for, if it exists; without a wish the CPU for nano, else the best one."""
    import torch

    gpu, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if device is None:
        return "cpu" if kind == "nano" else "cuda" if gpu else "mps" if mps else "cpu"
    wanted = torch.device(device)
    if wanted.type == "cuda" and not gpu:
        why = (
            "torch here is the CPU build"
            if torch.version.cuda is None
            else "the driver shows no card; look at `nvidia-smi`"
        )
        raise RuntimeError(
            f'device="{device}" was asked for, but no CUDA GPU can be used: {why}. '
            'Type device="cpu", or run `medmoe doctor` to see what is missing.'
        )
    if wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count():
        raise RuntimeError(
            f'device="{device}" was asked for, but there are {torch.cuda.device_count()} GPUs, '
            'counted from 0. Type device="cuda:0".'
        )
    if wanted.type == "mps" and not mps:
        raise RuntimeError('device="mps" exists on Apple silicon only. Type device="cpu".')
    return str(wanted)


def choose_dtype(dtype: torch.dtype | str | None, device: str) -> torch.dtype:
    """The dtype wanted; bfloat16 becomes float16 on a GPU that cannot compute in it."""
    import torch

    chosen = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype or torch.float32
    if not isinstance(chosen, torch.dtype) or not chosen.is_floating_point:
        raise ValueError(f'dtype="{dtype}" is no floating dtype. Type torch.float32 or "bfloat16".')
    lacking = device.startswith("cuda") and not torch.cuda.is_bf16_supported()
    return torch.float16 if chosen is torch.bfloat16 and lacking else chosen


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

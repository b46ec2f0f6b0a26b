"""Which device, numbers and attention: 16 bits where the card computes in them, honestly.

    card                          4-bit base computes in    Trainer
    Ampere and newer (8.0 on)     bfloat16                  bf16=True
    older, such as T4 (7.5)       float16                   fp16=True, with loss scaling
    CPU                           what the model was saved in       neither

`torch.cuda.is_bf16_supported()` says yes on a T4, where bfloat16 is emulated and slow: the
card's capability is asked instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

AMPERE = 8  # the first capability that computes in bfloat16
ATTENTION = ("auto", "sdpa", "eager", "flash_attention_2")


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


def capability(device: str) -> int:
    """First number of a card's compute capability, 0 for what is no CUDA card.

    >>> capability("cpu")
    0
    """
    import torch

    if not device.startswith("cuda"):
        return 0
    if torch.version.hip:  # AMD's cards count otherwise, and compute in bfloat16
        return AMPERE
    return torch.cuda.get_device_capability(device)[0]


def computes_bfloat16(device: str) -> bool:
    """Whether a device computes in bfloat16 itself; emulation does not count.

    >>> computes_bfloat16("cpu")
    True
    """
    return not device.startswith("cuda") or capability(device) >= AMPERE


def choose_dtype(
    dtype: torch.dtype | str | None,
    device: str,
    saved: torch.dtype | str | None = None,
    four_bit: bool = False,
) -> torch.dtype:
    """The dtype of the weights that are not packed, and of the computation.

    Args:
        dtype: what was asked for; bfloat16 becomes float16 on a card that cannot compute in it.
        device: where it will be.
        saved: what the model was saved in, where nothing was asked for.
        four_bit: a base in four bits computes in 16 bits on any card.

    Raises:
        ValueError: it is no floating dtype.
    """
    import torch

    wish = dtype or saved
    if dtype is None and four_bit and device.startswith("cuda"):
        wish = torch.bfloat16
    chosen = getattr(torch, wish, None) if isinstance(wish, str) else wish or torch.float32
    if not isinstance(chosen, torch.dtype) or not chosen.is_floating_point:
        raise ValueError(f'dtype="{wish}" is no floating dtype. Type torch.float32 or "bfloat16".')
    lacking = chosen is torch.bfloat16 and not computes_bfloat16(device)
    return torch.float16 if lacking else chosen


def choose_attention(wish: str, device: str, dtype: torch.dtype) -> dict[str, Any]:
    """The attention for `from_pretrained`; nothing where transformers is to pick (sdpa).

    Raises:
        ValueError: an unknown word, or flash attention where it cannot run.
    """
    if wish not in ATTENTION:
        raise ValueError(f'attention="{wish}" is unknown. Type one of {", ".join(ATTENTION)}.')
    if wish == "auto":
        return {}
    if wish == "flash_attention_2":
        from transformers.utils import is_flash_attn_2_available

        why = None
        if not device.startswith("cuda") or capability(device) < AMPERE:
            why = f"{device} is no CUDA card of Ampere (8.0) or newer"
        elif dtype.itemsize != 2:
            why = f"it computes in 16 bits only, and the model is in {dtype}"
        elif not is_flash_attn_2_available():
            why = "the package flash-attn is not installed"
        if why:
            raise ValueError(
                f'attention="flash_attention_2" cannot run here: {why}. Type attention="sdpa".'
            )
    return {"attn_implementation": wish}


def mixed_precision(model: Any) -> dict[str, Any]:
    """`fp16` and `bf16` for TrainingArguments: what the resting weights are in, on a card.

    float16 brings loss scaling with it. On a CPU the numbers stay as they are.

    Args:
        model: with its adapters; those that learn must be in 32 bits for loss scaling.

    Raises:
        ValueError: a float16 model whose float16 weights are to learn.

    >>> from torch import nn
    >>> mixed_precision(nn.Linear(2, 2))
    {'fp16': False, 'bf16': False}
    """
    import torch

    tensors = [p for p in model.parameters() if p.is_floating_point()]
    resting = [p for p in tensors if not p.requires_grad] or tensors
    on_card = bool(resting) and resting[0].device.type == "cuda"
    # Routers and norms may be wider: the narrowest weights say what the base computes in.
    kinds = {p.dtype for p in resting} if on_card else set()
    fp16, bf16 = torch.float16 in kinds, torch.bfloat16 in kinds
    if fp16 and any(p.requires_grad and p.dtype is torch.float16 for p in tensors):
        raise ValueError(
            "weights in float16 cannot learn: their gradients cannot be scaled. Train adapters, "
            "which PEFT keeps in float32, or load the base with dtype=torch.float32."
        )
    return {"fp16": fp16, "bf16": bf16 and not fp16}

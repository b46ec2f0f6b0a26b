"""Which base this machine can train, and why: `pick_base()`.

    no CUDA card                     nano, which comes with the kit
    a card, and the model is here    Qwen1.5-1.8B-Chat from the hub's cache, without a network
    a card, and it is not here       nano; `pick_base(download=True)` would fetch 3.7 GB

Nothing is ever fetched unless `download=True` was typed. `MEDMOE_BASE=nano` settles the question.
"""

import os
from dataclasses import dataclass
from pathlib import Path

NAME = "Qwen/Qwen1.5-1.8B-Chat"
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


@dataclass(frozen=True)
class Pick:
    """A base for the run.

    Attributes:
        name: for people.
        place: for `load_base`: "nano", a folder, or a hub name.
        why: one sentence.
        column: of the recipe, "nano" or "paper".
        card: GiB of the card, 0 without one.
    """

    name: str
    place: str
    why: str
    column: str = "nano"
    card: float = 0.0


def cached(name: str = NAME) -> Path | None:
    """Folder of a model in the hub's cache, or None; asks nobody but the disk."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json")
    if not isinstance(found, str):
        return None
    folder = Path(found).parent
    whole = any(folder.glob("*.safetensors")) and (folder / "tokenizer_config.json").is_file()
    return folder if whole else None


def card_size() -> float:
    """GiB of the first CUDA card, 0 without one."""
    import torch

    if not torch.cuda.is_available():
        return 0.0
    return torch.cuda.get_device_properties(0).total_memory / 2**30


def peak() -> float | None:
    """GiB that torch has held on the first CUDA card at most, None without a card."""
    import torch

    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None


def pick_base(download: bool = False, say: bool = True) -> Pick:
    """The base for this machine; prints what was picked and why.

    Args:
        download: fetch Qwen1.5-1.8B-Chat where a card is there and the model is not.
        say: print the reason.
    """
    pick = _pick(download)
    if say:
        print(f"Picked {pick.name}: {pick.why}")
    return pick


def _pick(download: bool) -> Pick:
    wish, card = os.environ.get("MEDMOE_BASE", ""), card_size()
    if wish == "nano":
        return Pick("nano", "nano", "MEDMOE_BASE=nano is set.", card=card)
    if not card:
        return Pick("nano", "nano", "this machine has no CUDA card. The cells below are the same.")
    folder = cached()
    if folder is not None:
        why = f"a card of {card:.0f} GiB, and the model lies in the hub's cache."
        return Pick("Qwen1.5-1.8B-Chat", str(folder), why, "paper", card)
    if any(os.environ.get(name, "0") not in ("", "0") for name in OFFLINE):
        why = "there is a card, but the model is not in the cache and offline mode is on."
        return Pick("nano", "nano", why, card=card)
    if download:
        why = f"a card of {card:.0f} GiB; about 3.7 GB are fetched, as you asked."
        return Pick("Qwen1.5-1.8B-Chat", NAME, why, "paper", card)
    why = "there is a card, but the model is not here. To fetch it: pick_base(download=True)."
    return Pick("nano", "nano", why, card=card)

"""What an adapter's files were when they were written, kept in adapter_config.json itself.

    "written": {"weights": SHA-256 of adapter_model.safetensors,
                "fields":  SHA-256 of all other fields of adapter_config.json,
                "base":    print of the base model}

The first finds a flipped bit or a file of another adapter, the second a changed setting, the third
an adapter that is put on a base with the same sizes and other weights.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .checks import check_weight_file

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PICKLES = ("adapter_model.bin", "adapter_model.pt", "adapter_model.pth")
SAMPLE = 64  # values of a matrix, rows of an embedding
TINY = 1e-4  # smaller values may become zero in another precision


def note(folder: Path, base: str, weights: bool) -> None:
    """Add `written` to a configuration file that was just written, `weights` before it or not."""
    fields = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    fields.pop("written", None)
    written = {"fields": _digest(fields), "base": base}
    if weights and (folder / WEIGHTS).is_file():
        written["weights"] = _sha256(folder / WEIGHTS)
    beside = folder / f".{CONFIG}.{os.getpid()}.tmp"
    text = json.dumps({**fields, "written": written}, indent=2, sort_keys=True)
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, folder / CONFIG)


def check(folder: Path) -> None:
    """Compare the files of an adapter with what they were; nothing where the folder is none.

    Raises:
        ValueError: a pickle in place of the weights, weights or settings that cannot be read,
            or weights that are not those that were written.

    >>> check(Path("no such folder"))
    """
    pickles = [name for name in PICKLES if (folder / name).exists()]
    if pickles and not (folder / WEIGHTS).exists():
        raise ValueError(
            f"{folder / pickles[0]} is a pickle, which may run any code when it is read, so it is "
            f"not read. Ask its author for {WEIGHTS}, or convert it where that does no harm."
        )
    check_weight_file(folder / WEIGHTS)
    if not (folder / CONFIG).is_file():
        return
    try:
        fields = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        written = dict(fields.pop("written", None) or {})
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{folder / CONFIG} is damaged ({error}): copy the adapter folder again, or go back "
            "to an earlier checkpoint"
        ) from error
    known = written.get("weights")
    if known and not (folder / WEIGHTS).is_file():
        raise ValueError(f"{folder / WEIGHTS} is missing: copy the adapter folder again")
    if known and (folder / WEIGHTS).is_file() and _sha256(folder / WEIGHTS) != known:
        raise ValueError(
            f"{folder / WEIGHTS} is not the file that was written with {CONFIG}: it is damaged or "
            "belongs to another adapter. Copy the adapter folder again, or go back to an earlier "
            "checkpoint"
        )
    if "fields" in written and _digest(fields) != written["fields"]:
        warnings.warn(
            f"{folder / CONFIG} is not as it was written. If nobody changed it on purpose, copy "
            "the adapter folder again.",
            stacklevel=3,
        )


def check_base(written: dict[str, str] | None, here: str) -> None:
    """Refuse a base that is not the one an adapter was trained on.

    Args:
        written: of the adapter; one that comes from no file fits every base.
        here: print of the base it is put on; "" where it has none.

    Raises:
        ValueError: two prints differ.

    >>> check_base({"base": "a"}, "b")
    """
    there = (written or {}).get("base", "")
    if "fields" not in (written or {}) or not there or not here:
        return
    pairs = zip(there.split("-"), here.split("-"), strict=False)
    if any(one != two for one, two in pairs if one and two):
        raise ValueError(
            f"this adapter was trained on another base: the print of that one is {there}, of this "
            f"one {here}. Load the base it was trained on. If you do mean this one, take "
            '"base" out of "written" in adapter_config.json'
        )


def check_adapter_name(name: str) -> None:
    """Refuse a name that is no plain word: PEFT saves an adapter in a folder of its name.

    Raises:
        ValueError: it holds a path.

    >>> check_adapter_name("alignment")
    """
    if not re.fullmatch(r"[\w -]+", name):
        raise ValueError(
            f"the adapter's name {name!r} is the name of a folder, too: use letters, digits, "
            "- and _ only"
        )


@torch.no_grad()
def base_print(model: nn.Module) -> str:
    """A fingerprint of a base, the same in float32 or bfloat16 and with adapters attached.

    Returns:
        "norms and embeddings-matrices"; no second part where matrices are packed in four or
        eight bits; "" where the values cannot be seen or were rounded otherwise (meta, float16,
        cut over processes).

    >>> base_print(nn.Linear(2, 2, device="meta"))
    ''
    """
    found: list[tuple[str, Tensor, bool]] = []
    for path, module in model.named_modules():
        if any(mark in f".{path}." for mark in (".molora_", ".lora_", ".modules_to_save.", ".eci")):
            continue
        for name, weight in module.named_parameters(path, recurse=False):
            clean = name.replace(".base_layer", "").replace(".original_module", "")
            found.append((clean, weight, weight.ndim == 1 or isinstance(module, nn.Embedding)))
    hashers = {"plain": hashlib.sha256(), "dense": hashlib.sha256()}
    packed = False
    for name, weight, whole in sorted(found, key=lambda entry: entry[0]):
        if weight.dtype == torch.float16 or weight.is_meta or hasattr(weight, "to_local"):
            return ""
        if not weight.is_floating_point():
            packed = True
            continue
        values = weight[:SAMPLE] if whole else weight.reshape(-1)[:SAMPLE]
        values = torch.where(values.abs() < TINY, 0.0, values.float()).to(torch.bfloat16)
        hasher = hashers["plain" if whole else "dense"]
        hasher.update(f"{name} {weight.shape[-1]}".encode())  # a vocabulary may grow
        hasher.update(values.cpu().contiguous().view(torch.int16).numpy().tobytes())
    dense = "" if packed else hashers["dense"].hexdigest()[:12]
    return f"{hashers['plain'].hexdigest()[:12]}-{dense}"


def _digest(fields: Any) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Files of an ECI head, beside those of its adapter.

    adapter_model.safetensors, adapter_config.json     as PEFT writes them
    eci.safetensors                                    the head's weights
    eci.json                                           labels, pooling, sizes, version

A process without this package still loads the adapter; `load_eci` adds the head again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from .eci import EciHead

FORMAT = 1  # raised when a saved head can no longer be read by older versions
ABOUT, WEIGHTS = "eci.json", "eci.safetensors"


def write_head(head: EciHead, folder: Path | str, owner: str = "default") -> None:
    """Write the two files of a head; `owner` is the adapter that it was trained with.

    >>> import tempfile
    >>> place = tempfile.mkdtemp()
    >>> write_head(EciHead(8, ["yes", "no"]), place)
    >>> read_head(place).labels
    ('yes', 'no')
    """
    from safetensors.torch import save_file

    from . import __version__

    about = {
        "format": FORMAT,
        "medmoe_lite": __version__,
        "adapter_name": owner,
        "width": head.width,
        "labels": list(head.labels),
        "pooling": head.pooling,
        "loss_weight": head.loss_weight,
        "hidden": head.hidden,
        "dropout": head.dropout.p,
    }
    tensors = {name: t.detach().cpu().contiguous() for name, t in head.state_dict().items()}
    save_file(tensors, Path(folder) / WEIGHTS, metadata={"format": "pt"})
    (Path(folder) / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def has_head(folder: Path | str) -> bool:
    """Whether a head was saved in this folder."""
    return (Path(folder) / ABOUT).is_file()


def read_head(folder: Path | str) -> EciHead:
    """The head that lies in a folder, with its weights, on the CPU.

    Raises:
        FileNotFoundError: there is none.
        ValueError: a file is missing, damaged, or written by a newer version.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    about = _read_about(folder)
    sizes = ("width", "labels", "pooling", "loss_weight", "hidden", "dropout")
    try:
        with torch.random.fork_rng(devices=[]):  # the start values are overwritten
            head = EciHead(**{name: about[name] for name in sizes})
        tensors = load_file(folder / WEIGHTS)
        head.to(tensors["norm.weight"].dtype).load_state_dict(tensors)
    except (SafetensorError, FileNotFoundError, RuntimeError, KeyError) as error:
        raise ValueError(
            f"{folder / WEIGHTS} is missing or damaged, or does not belong to {ABOUT} ({error}): "
            "copy the folder again"
        ) from error
    return head


def _read_about(folder: Path) -> dict[str, Any]:
    path = folder / ABOUT
    if not path.is_file():
        near = sorted(str(place.parent) for place in folder.glob(f"*/{ABOUT}"))
        hint = f" Did you mean {near[0]}?" if near else ""
        raise FileNotFoundError(
            f"{path} does not exist: no ECI head was saved in this folder.{hint} A model made "
            "with with_eci writes one in save_pretrained"
        )
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        number = about["format"]
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path} is damaged ({error}): copy the folder again") from error
    if number > FORMAT:
        raise ValueError(
            f"{path} was written by a newer medmoe_lite (format {number}; this version reads up "
            f"to {FORMAT}): type pip install --upgrade medmoe-lite"
        )
    return about

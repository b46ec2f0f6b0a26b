"""Checkpoints that are whole or absent, without pickle.

    checkpoint-000050/
        state.safetensors   weights that learn, and AdamW's moments of each: "exp_avg/<name>"
        state.json          step, log, scores, sums since the last log row, in float16 the scale
                            of the loss, digests of all files, its own among them
        adapter/            the adapters as PEFT saves them, ready for PeftModel.from_pretrained

No generator state is kept: random numbers are functions of (seed, step), see `seeds`. The folder
is written under another name and renamed, so a killed run leaves old checkpoints only.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .adapters import digest, is_peft, trained
from .files import sha256, write_text
from .folder import told

FORMAT = 1
KEEP = 2
STATE = "state.json"
NO_DIGEST = "0" * 64  # in the place of the file's own digest while that is computed
START = "checkpoint-000000"  # kept for a projection, whose directions belong to the first weights


class DamagedCheckpoint(RuntimeError):
    """A checkpoint whose files are not the ones that were written."""


def save(
    out: Path,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
    adapters: tuple[str, ...],
) -> Path:
    """Write a checkpoint, then delete all but the newest two and the start.

    Raises:
        OSError: the disk is full or closed; the checkpoints before this one are whole.
    """
    from safetensors.torch import save_file

    def write(beside: Path) -> None:
        beside.mkdir(parents=True)
        save_file(_tensors(model, optimizer), beside / "state.safetensors")
        save_adapters(model, beside / "adapter", adapters)
        files = sorted(path for path in beside.rglob("*") if path.is_file())
        digests = {path.relative_to(beside).as_posix(): sha256(path) for path in files}
        digests[STATE] = NO_DIGEST
        about = {"format": FORMAT, "step": step, "now": digest(model), **state, "files": digests}
        text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
        write_text(beside / STATE, text.replace(NO_DIGEST, _digest(text)))

    target = out / f"checkpoint-{step:06d}"
    found = checkpoints(out)
    last = f"{found[-1].name}" if found else "the beginning"
    with told(target, f"Then run the same line again: it goes on from {last}."):
        replace_folder(target, write)
        for old in checkpoints(out)[:-KEEP]:
            if old.name != START:
                discard(old)
    return target


def checkpoints(out: Path) -> list[Path]:
    """Checkpoint folders, oldest first."""
    return sorted(path for path in out.glob("checkpoint-*") if path.is_dir())


def read_state(folder: Path) -> dict[str, Any]:
    """The JSON half of a checkpoint, after every file was compared with its digest.

    Raises:
        DamagedCheckpoint: a file is missing, cut short or changed; it is named.
    """
    cure = f"Delete the folder {folder} and run again: training goes on from the one before it."
    try:
        text = (folder / STATE).read_text(encoding="utf-8")
        state = json.loads(text)
        digests = dict(state["files"])
        number, step = state["format"], int(state["step"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedCheckpoint(f"{folder / STATE} cannot be read ({error}). {cure}") from error
    own = digests.pop(STATE, None)  # format 1 began without it
    if own is not None and own != _digest(text.replace(str(own), NO_DIGEST)):
        raise DamagedCheckpoint(f"{folder / STATE} is not the file that was written. {cure}")
    if folder.name != f"checkpoint-{step:06d}":
        raise DamagedCheckpoint(f"{folder} holds the checkpoint of step {step}. {cure}")
    if number > FORMAT:
        raise DamagedCheckpoint(
            f"{folder} was written by a newer version of this package. Update it: "
            "pip install --upgrade medmoe-lite."
        )
    for name, expected in digests.items():
        path = folder / name
        if not path.is_file():
            raise DamagedCheckpoint(f"{path} is missing. {cure}")
        if sha256(path) != expected:
            raise DamagedCheckpoint(f"{path} is not the file that was written. {cure}")
    return state


@torch.no_grad()
def restore(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None) -> None:
    """Put weights and moments back, bit by bit.

    Raises:
        DamagedCheckpoint: the checkpoint is of a model with other trained tensors.
    """
    from safetensors.torch import load_file

    path = folder / "state.safetensors"
    if not path.is_file():
        raise DamagedCheckpoint(f"{path} is missing. Give another `out` folder and begin again.")
    tensors = load_file(path)
    for name, target in trained(model).items():
        saved = tensors.get(f"weight/{name}")
        if saved is None or saved.shape != target.shape or saved.dtype != target.dtype:
            raise DamagedCheckpoint(
                f"{folder} has no tensor for {name} of shape {tuple(target.shape)}: it belongs to "
                "another model or adapter. Give another `out` folder."
            )
        target.data.copy_(saved)
        if optimizer is not None and target.requires_grad:
            moments = {
                kind: tensors[f"{kind}/{name}"]
                for kind in ("step", "exp_avg", "exp_avg_sq")
                if f"{kind}/{name}" in tensors
            }
            if moments:
                # The fused AdamW keeps its step count beside the weights, the plain one does not.
                beside = target.device if optimizer.defaults.get("fused") else "cpu"
                optimizer.state[target] = {
                    kind: value.to(beside) if kind == "step" else value.to(target)
                    for kind, value in moments.items()
                }


def save_adapters(model: Any, folder: Path, adapters: tuple[str, ...]) -> None:
    """The adapters in PEFT's own format; a plain model saves the tensors that learn."""
    if is_peft(model):
        model.save_pretrained(
            str(folder), selected_adapters=list(adapters), save_embedding_layers=False
        )
        (folder / "README.md").unlink(missing_ok=True)  # a form with every field left empty
        return
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: t.detach().cpu().contiguous() for name, t in trained(model).items()}
    save_file(tensors, folder / "trained.safetensors")


def replace_folder(folder: Path, write: Any) -> None:
    """Call `write(temporary folder)`, then put the result in the place of `folder`."""
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        write(beside)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)  # half of it would fill a full disk
        raise
    if folder.exists():
        discard(folder)
    os.replace(beside, folder)


def discard(folder: Path) -> None:
    """Delete a folder: at every moment it is whole, or not there under its name."""
    away = folder.with_name(f".{folder.name}.{os.getpid()}.old.tmp")
    shutil.rmtree(away, ignore_errors=True)
    os.replace(folder, away)
    shutil.rmtree(away, ignore_errors=True)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    found = {}
    for name, tensor in trained(model).items():
        found[f"weight/{name}"] = tensor
        for kind, value in optimizer.state.get(tensor, {}).items():
            found[f"{kind}/{name}"] = value
    return {key: value.detach().cpu().contiguous() for key, value in found.items()}

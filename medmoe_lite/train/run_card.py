"""The run card: `run.json` says what ran, with what, on what, for how long.

It is written whole at the start and whole again at the end, and a run that is killed leaves the
card of its start. Each call of the same command adds a line to `calls`, so a run that was stopped
and went on shows it.
"""

from __future__ import annotations

import os
import platform
import shlex
import socket
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..paths import PACKAGE
from .files import read_json, sha256, write_json

NAME, FORMAT = "run.json", 1
PACKAGES = (
    "medmoe-lite", "torch", "transformers", "peft", "accelerate", "bitsandbytes", "safetensors",
    "tokenizers", "numpy",
)  # fmt: skip


class RunCard:
    """The card of one run folder.

    Args:
        folder: the run's; an older card there is gone on with.

    >>> import tempfile
    >>> card = RunCard(tempfile.mkdtemp())
    >>> card.start(["train", "lora"], seed=0); card.end("done")
    >>> read_json(card.path)["calls"][0]["status"], read_json(card.path)["seed"]
    ('done', 0)
    """

    def __init__(self, folder: Path | str) -> None:
        self.path = Path(folder) / NAME
        self.content: dict[str, Any] = read(self.path.parent) or {"format": FORMAT, "calls": []}

    def start(self, words: Sequence[str], **about: Any) -> None:
        """Note a call of the command, and what is known before it trains."""
        for call in self.content["calls"]:
            if call["status"] == "running":
                call["status"] = "killed"
        call = {
            "command": shlex.join(["medmoe", *words]),
            "folder": os.getcwd(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": now(),
            "status": "running",
        }
        self.content["calls"].append(call)
        self.content |= {"status": "running", "commit": commit(), "versions": versions(), **about}
        self.write()

    def end(self, status: str, **about: Any) -> None:
        """Note how this call ended: "done", "stopped" or "failed"."""
        call = self.content["calls"][-1]
        call |= {"status": status, "ended": now(), **about}
        began = datetime.fromisoformat(call["started"])
        call["seconds"] = round((datetime.now(UTC) - began).total_seconds(), 1)
        self.content["status"] = status
        self.write()

    def note(self, **about: Any) -> None:
        """Add to the card."""
        self.content |= about
        self.write()

    def write(self) -> None:
        """Write the card atomically."""
        write_json(self.path, self.content)


def read(folder: Path | str) -> dict[str, Any] | None:
    """The card of a folder; None where there is none.

    Raises:
        ValueError: it was written by a newer version, or is damaged.
    """
    path = Path(folder) / NAME
    if not path.is_file():
        return None
    try:
        content = read_json(path)
        number = content["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}): delete it; nothing else needs it."
        ) from error
    if number > FORMAT:
        raise ValueError(
            f"{path} was written by a newer version of this package. Update it: "
            "pip install --upgrade medmoe-lite."
        )
    return content


def about_base(model: Any, name: str, four_bit: bool, revision: str | None) -> dict[str, Any]:
    """Name, kind, revision and checksums of a base model, as it was loaded."""
    from ..bases.source import resolve

    source = resolve(name)
    config = getattr(model, "config", None)
    found: dict[str, Any] = {
        "name": name,
        "kind": source.kind,
        "four_bit": four_bit,
        "revision": getattr(config, "_commit_hash", None) or revision,
        "type": getattr(config, "model_type", None),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    if source.kind == "hub":
        found["sha256"] = _hub_checksums(source.place, found["revision"])
    else:
        found["sha256"] = {
            path.name: sha256(path)
            for path in sorted(Path(source.place).iterdir())
            if path.suffix in (".safetensors", ".json", ".txt") and path.is_file()
        }
    return found


def about_device(model: Any) -> dict[str, Any]:
    """On what the model lies."""
    import torch

    parameter = next(model.parameters())
    device = parameter.device
    found = {"type": device.type, "dtype": str(model.dtype).removeprefix("torch."),
             "processes": int(os.environ.get("WORLD_SIZE", "1")),
             "threads": torch.get_num_threads(), "processor": platform.machine()}  # fmt: skip
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        found |= {"name": about.name, "bytes": about.total_memory, "cuda": torch.version.cuda}
    return found


def _hub_checksums(name: str, revision: str | None) -> dict[str, str]:
    """Checksums of the cached weight files: the cache names a file by its SHA-256."""
    from huggingface_hub import scan_cache_dir

    try:
        for repo in scan_cache_dir().repos:
            for kept in repo.revisions if repo.repo_id == name else ():
                if revision in (None, kept.commit_hash):
                    return {
                        file.file_name: file.blob_path.name
                        for file in sorted(kept.files, key=lambda file: file.file_name)
                        if file.file_name.endswith(".safetensors")
                    }
    except Exception:  # no cache, or one of another make: the revision says which files they are
        pass
    return {}


def versions() -> dict[str, str]:
    """Python and the packages that the numbers depend on."""
    found = {
        "python": sys.version.split()[0],
        "system": f"{platform.system()} {platform.release()}",
    }
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


@cache
def commit() -> str | None:
    """Commit of the checkout that the package is run from, "+" where files differ; None outside."""
    if not (PACKAGE.parent / ".git").exists():
        return None
    ask = ["git", "-C", str(PACKAGE.parent)]
    try:
        name, state = (
            subprocess.run(
                [*ask, *words], capture_output=True, text=True, check=True
            ).stdout.strip()
            for words in (
                ["rev-parse", "HEAD"],
                ["status", "--porcelain", "--untracked-files=no"],
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return name + ("+" if state else "")


def now() -> str:
    """This moment, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")

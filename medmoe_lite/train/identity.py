"""Is this the run that the files in a folder belong to?

A run may go on when its stage and its data are the same, and the model has the weights that the
run began with or those of its newest checkpoint. Anything else would give weights that no single
description explains, so it is refused and the difference is named.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import adapters, checkpoint
from .stage import Stage


def identity_of(model: Any, stage: Stage, data: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """What must agree before a run may go on: stage, data and the weights at its start."""
    digests = {}
    for source in stage.mix:
        hasher = hashlib.sha256()
        for example in data.get(source, ()):
            plain = example if isinstance(example, dict) else asdict(example)
            hasher.update(json.dumps(plain, sort_keys=True, default=str).encode())
        digests[source] = hasher.hexdigest()[:16]
    return {"stage": stage.to_dict(), "data": digests, "start": adapters.digest(model)}


def resume_state(folder: Path | None, identity: dict[str, Any]) -> dict[str, Any]:
    """Where to go on: the newest checkpoint's state, or that of a fresh start.

    Raises:
        ValueError: the folder holds a run that differs.
        DamagedCheckpoint: the newest checkpoint is not whole.
    """
    found = checkpoint.checkpoints(folder) if folder is not None else []
    if not found:
        return {
            "step": 0,
            "identity": identity,
            "log": [],
            "scores": [],
            "seconds": 0.0,
            "marks": {},
            "sums": {},
            "counts": {},
        }
    state = checkpoint.read_state(found[-1])
    before = _with_new_fields(state["identity"])
    if identity["start"] == state["now"]:  # the model that this very checkpoint left in memory
        identity = {**identity, "start": before["start"]}
    if before != identity:
        raise ValueError(
            f"{folder} holds a run that differs from this one in {_difference(before, identity)}. "
            "Give another `out` folder, or delete that one."
        )
    return {**state, "folder": found[-1].name}


def _with_new_fields(identity: dict[str, Any]) -> dict[str, Any]:
    """A stage that was written before a field existed has that field's default."""
    plain = Stage("", {"": 1.0}, 1).to_dict()
    return {**identity, "stage": {**plain, **identity["stage"]}}


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    fields = [
        f"stage.{name} ({before['stage'].get(name)!r} there, {value!r} here)"
        for name, value in now["stage"].items()
        if before["stage"].get(name) != value
    ]
    if before["data"] != now["data"]:
        fields.append("its data")
    if before["start"] != now["start"]:
        fields.append("the weights it began with (build the model again as it was then)")
    return ", ".join(fields)

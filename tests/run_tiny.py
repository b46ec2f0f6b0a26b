"""One small run of `medmoe train` on nano, made once a process, and files to train and score on."""

from __future__ import annotations

import atexit
import gc
import hashlib
import json
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

import medmoe_lite.train.run
from medmoe_lite.train.command import main

os.environ.setdefault("MEDMOE_ENERGY", "0")
assert medmoe_lite.train.run
# Trainer collects garbage at each start; what the imports made is none, and counting it is slow.
gc.freeze()
SHORT = ("--steps", "2", "--batch-size", "4", "--examples", "6")


def questions(path: Path, n: int = 4, first: int = 0) -> Path:
    """Questions in the form of MedQA, invented."""
    rows = [
        {
            "question": f"A visitor to ward {i} has a cough. What helps?",
            "options": {"A": "rest", "B": f"syrup {i}", "C": "tea", "D": "none"},
            "answer": f"syrup {i}", "answer_idx": "B", "meta_info": "step1",
        }
        for i in range(first, first + n)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@cache
def place() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="medmoe-run-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def medcare() -> Path:
    """Two stages with a drop and a merge between them, scored on an invented exam."""
    exam = questions(place() / "exam.jsonl", 2)
    out = place() / "medcare"
    assert main(["medcare", "--out", str(out), *SHORT, "--eval", f"facts=medqa:{exam}"]) == 0
    return out


LORA = ("lora", "--steps", "3", "--batch-size", "2", "--examples", "2", "--eval", "none",
        "--checkpoint-every", "1")  # fmt: skip


@cache
def lora() -> Path:
    """One stage, with a checkpoint at each step, that nothing disturbs."""
    out = place() / "lora"
    assert main([*LORA, "--out", str(out)]) == 0
    return out


def weights(out: Path) -> str:
    """Digest of the adapters of a finished run."""
    return hashlib.sha256((out / "adapters" / "adapter_model.safetensors").read_bytes()).hexdigest()


def card(out: Path) -> dict:
    return json.loads((out / "run.json").read_text())

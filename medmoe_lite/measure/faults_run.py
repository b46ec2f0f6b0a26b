"""In the middle of a run: a loss that is no number, another base, the same seed twice."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from typing import Any

import torch
from safetensors.torch import load_file

from ..bases.load import load_base
from ..train.checkpoint import checkpoints, read_state
from .faults import Place, Seen, every, fault, refused
from .faults_child import base, digests, in_child, train, whole

LAST = "stops, names step, term and examples; the last checkpoint is whole and finite"


def poisoned(out: str, step: int) -> None:
    """The run; after a step one weight is no number any more."""
    from ..train.adapters import trained
    from ..train.keeper import Keeper

    log = Keeper._log

    def poison(self: Any, now: int) -> None:
        log(self, now)
        if now == step:
            with torch.no_grad():
                next(iter(trained(self.model).values())).view(-1)[0] = float("nan")

    Keeper._log = poison  # type: ignore[method-assign, assignment]
    train(out, checkpoint_every=2, steps=4)


def exploding(out: str) -> None:
    """The run with a learning rate that no model survives."""
    train(out, lr=1e30, steps=6, max_grad_norm=1e30)


@fault(
    "NaN", "run", "a weight becomes NaN before a checkpoint, or between two; a learning rate of "
    "1e30", LAST,
)  # fmt: skip
def nan(place: Place) -> Seen:
    """Three ways to a loss that is no number."""
    cases: list[tuple[str, Any, tuple[Any, ...], str]] = [
        ("in a weight", poisoned, (2,), "entries that are no numbers"),
        ("in a loss", poisoned, (3,), "the loss of step 4 is nan (from: lm)"),
        ("learning rate", exploding, (), "Take a lower lr"),
    ]
    found = []
    for name, function, args, word in cases[1 if place.short else 0 : 2 if place.short else 3]:
        out = place.folder / name.replace(" ", "-")
        answer = in_child(function, str(out), *args)
        told = answer.kind == "FloatingPointError" and word in answer.text
        for folder in checkpoints(out / "knowledge"):
            read_state(folder)
            tensors = load_file(folder / "state.safetensors")
            told = told and all(bool(torch.isfinite(t).all()) for t in tensors.values())
        happened = "stopped with FloatingPointError" if told else answer.kind or "went on"
        found.append((name, Seen(told, happened, answer.text)))
    return every(found[::-1])


@fault(
    "adapter for another base", "run", "an adapter of data/nano is put on nano/seed1 (the same "
    "sizes, other weights), and on a base of another size", "refused; both bases are named",
)  # fmt: skip
def other_base(place: Place) -> Seen:
    """Loaded by PEFT; the right base in four bits must still be taken."""
    from peft import PeftModel, get_peft_model
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from ..method import MoLoraConfig

    model = get_peft_model(copy.deepcopy(base()[0]), MoLoraConfig(r=2, num_experts=2))
    model.save_pretrained(str(place.folder / "adapter"))
    sizes: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1}
    heads: dict[str, Any] = {"num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 64}
    small = Qwen2ForCausalLM(Qwen2Config(**sizes, **heads))

    def put(on: Any) -> Any:
        return PeftModel.from_pretrained(on, place.folder / "adapter")

    found = [("other weights", refused(lambda: put(load_base("nano", seed=1)[0]), ValueError,
                                       "another base", "Load the base it was trained on")),
             ("other sizes", refused(lambda: put(small), ValueError, "another base"))]  # fmt: skip
    for name, on in (
        ("itself", {}),
        ("bfloat16", {"dtype": "bfloat16"}),
        ("4 bits", {"four_bit": True}),
    ):
        put(load_base("nano", **on)[0])  # type: ignore[arg-type]
        found.append((name, Seen(True, "taken on the right base, also in bfloat16 and 4 bits")))
    return every(found)


@fault(
    "same seed twice", "run", "the run in two processes, with other hash seeds of Python",
    "the same bits in weights, moments, logs and adapters",
)  # fmt: skip
def same_seed(place: Place) -> Seen:
    """One process is new and imports everything itself; the other is forked from a warm one."""
    new = place.folder / "new"
    command = [sys.executable, "-m", "medmoe_lite.measure.faults_child", str(new)]
    environment = {**os.environ, "PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return Seen(False, f"the run failed: exit code {done.returncode}", done.stderr[-400:])
    one, two = digests(new), digests(whole())
    differ = sorted(name for name in one | two if one.get(name) != two.get(name))
    if differ:
        return Seen(False, f"{len(differ)} of {len(one)} files differ: {', '.join(differ[:4])}")
    return Seen(True, f"{len(one)} files, all with the same bits")

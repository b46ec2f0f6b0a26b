"""Record notebook 01: ranks 2, 8, 16, 32 and full fine-tuning, over seeds and both bases.

A run is one (arm, base, seed). The seed draws the adapter and the order of the data. Settings are
those of the notebook.
"""

import copy
from pathlib import Path
from typing import Any

import torch

from medmoe_lite.lab import ranks, teach
from medmoe_lite.lab.lora import attach_lora, count_parameters
from medmoe_lite.lab.record import keep_recording

ARMS = {"r = 2": 2, "r = 8": 8, "r = 16": 16, "r = 32": 32, "full": 0}
LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
STEPS, DRUGS = 60, 12


def main(seeds: int, steps: int | None, out: Path) -> None:
    """Write `01_ranks.json`."""
    from medmoe_lite import load_base

    bases = {name: load_base(name) for name in ("nano", "nano/seed1")}
    settings: dict[str, Any] = {
        "steps": steps or STEPS,
        "drugs": DRUGS,
        "lr": 4e-3,
        "lr_full": 2e-3,
    }
    settings |= {"batch_size": 24, "replay": "one third", "largest_rank": 128, "alpha": "2 r"}
    settings["command"] = f"python -m medmoe_lite.lab.record 01 --seeds {seeds}"
    todo = [
        {"arm": arm, "base": base, "seed": seed}
        for seed in range(seeds)
        for base in bases
        for arm in ARMS
    ]
    keep_recording(
        out / "01_ranks.json",
        settings,
        todo,
        lambda names: run(bases[names["base"]], names["arm"], names["seed"], settings["steps"]),
    )


def run(loaded: Any, arm: str, seed: int, steps: int) -> dict[str, Any]:
    """Teach one model and ask it; everything a plain number or a list."""
    base, tokenizer = loaded
    facts = teach.new_facts(DRUGS)
    asked = teach.new_facts(DRUGS, wordings="heldout")
    replay, known = teach.known_items(n=60, split="train"), teach.known_items()
    torch.manual_seed(seed)
    model = copy.deepcopy(base)
    if arm == "full":
        model.requires_grad_(True)
    else:
        attach_lora(model, LAYERS, r=ARMS[arm], alpha=2 * ARMS[arm])
    batches = teach.lessons(tokenizer, facts, steps, replay=replay, seed=seed)
    losses = teach.teach(model, batches, lr=2e-3 if arm == "full" else 4e-3)
    needed = [ranks.energy_rank(delta) for delta in ranks.updates(base, model).values()]
    return {
        "learning": count_parameters(model)[0],
        "losses": [round(loss, 4) for loss in losses[::5]],
        "taught": teach.recall(model, tokenizer, facts),
        "held_out": teach.recall(model, tokenizer, asked),
        "known": teach.recall(model, tokenizer, known),
        "known_before": teach.recall(base, tokenizer, known),
        "energy_rank": sum(needed) / len(needed),
    }

"""Record what a first adapter adds and costs: `python -m medmoe_lite.lab.record 00`.

The same training as in notebook 00, over adapter seeds and both pre-trained bases. Each run is
scored with the adapter off and on.
"""

from pathlib import Path
from typing import Any

from medmoe_lite.tasks import Example, make

STEPS, BATCH, RANK = 100, 32, 8
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
BASES = ("nano", "nano/seed1")
Suites = dict[str, list[Example]]


def suites(n: int = 60) -> Suites:
    """What notebook 00 asks: the new drugs in taught and other words, and three old abilities."""
    from medmoe_lite.lab.teach import new_facts

    return {
        "new drugs, taught words": new_facts(),
        "new drugs, other words": new_facts(wordings="heldout"),
        "countries, animals": make("facts", "test", n),
        "drugs, conditions": make("knowledge", "test", n),
        "reading a text": make("read", "test", n),
    }


def ask_all(model: Any, tokenizer: Any, items: Suites) -> dict[str, float]:
    """Share of questions answered, suite by suite, adapters as they are set."""
    from medmoe_lite.lab.teach import recall

    return {name: recall(model, tokenizer, examples) for name, examples in items.items()}


def one_run(base: str, seed: int, steps: int) -> dict[str, dict[str, float]]:
    """Train one adapter and score it: {"off": {suite: share}, "on": {suite: share}}."""
    import torch
    from peft import get_peft_model

    from medmoe_lite import MoLoraConfig, load_base
    from medmoe_lite.lab.nb00.start import without_adapter
    from medmoe_lite.lab.teach import new_facts
    from medmoe_lite.train import Stage, run_stage

    model, tokenizer = load_base(base)
    torch.manual_seed(seed)
    config = MoLoraConfig(
        r=RANK, lora_alpha=2 * RANK, num_experts=0, shared_experts=1, target_modules=LINEARS,
        plain_modules=[],
    )  # fmt: skip
    tuned = get_peft_model(model, config)
    stage = Stage("new drugs", {"facts": 1}, steps, batch_size=BATCH, seed=seed)
    run_stage(tuned, tokenizer, stage, {"facts": new_facts()})
    items = suites()
    off = without_adapter(tuned, lambda: ask_all(tuned, tokenizer, items))
    on = ask_all(tuned, tokenizer, items)
    return {
        arm: {name: round(value, 4) for name, value in row.items()}
        for arm, row in (("off", off), ("on", on))
    }


def main(seeds: int, steps: int | None, out: Path) -> None:
    """Record every base and seed that is not in `out` yet; writes `00_first_adapter.json`."""
    from medmoe_lite.lab.record import keep_recording

    settings: dict[str, Any] = {"steps": steps or STEPS, "batch": BATCH, "rank": RANK, "facts": 144}
    settings["command"] = f"python -m medmoe_lite.lab.record 00 --seeds {seeds}"
    todo = [{"base": base, "seed": seed} for base in range(len(BASES)) for seed in range(seeds)]
    keep_recording(
        out / "00_first_adapter.json",
        settings,
        todo,
        lambda names: one_run(BASES[names["base"]], names["seed"], settings["steps"]),
    )

"""Record what notebook 03 claims: `python -m medmoe_lite.lab.record 03 --seeds 5`.

Each seed trains four adapters on the same batches of five families:

    molora        8 experts of rank 4, 2 open, a router for each feed-forward layer
    task          the same experts, opened by the family's label instead of the token
    lora-total    plain LoRA with as many rank columns in all (32)
    lora-active   plain LoRA with as many rank columns at work for a token (8)

Attention has plain LoRA of rank 4 in all of them. For molora the use of the experts is measured
before and after training, on items that were not trained on. The file is written anew after every
arm; a stopped run goes on where it was.
"""

import copy
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from medmoe_lite import load_base
from medmoe_lite.lab.lora import LoRALinear, count_parameters
from medmoe_lite.lab.molora import attach_molora
from medmoe_lite.lab.nb03.mix import FAMILIES, fit, held_items, mixed_batches, training_items
from medmoe_lite.lab.nb03.task import Label, task_layer
from medmoe_lite.lab.record import keep_recording
from medmoe_lite.lab.teach import recall
from medmoe_lite.lab.usage import collect, summary

STEPS, BATCH, ITEMS = 200, 30, 96
EXPERTS, TOP_K, R, ALPHA = 8, 2, 4, 8.0
ARMS = ("molora", "task", "lora-total", "lora-active")
Exact = dict[str, float]


class Bench:
    """One base and one seed: data, and the four arms.

    Args:
        base: "nano", "nano/seed1" or a folder.
        seed: of the adapter's start, the batches and the items.
        steps: training steps of each arm.
        items: test items a family.
    """

    def __init__(self, base: str, seed: int, steps: int = STEPS, items: int = ITEMS) -> None:
        self.base, self.tokenizer = load_base(base)
        self.seed = seed
        self.items = held_items(items, seed)
        self.batches = mixed_batches(training_items(), self.tokenizer, steps, BATCH, seed)

    def _attach(self, layer: Any = None, r: int = R) -> Any:
        torch.manual_seed(self.seed)
        model = copy.deepcopy(self.base)
        if layer is None:
            return attach_molora(model)
        return attach_molora(model, layer, r=r, alpha=2.0 * r)

    def exact(self, model: Any) -> Exact:
        """Share of items whose whole answer is right, by family."""
        return {
            n: round(recall(model, self.tokenizer, found), 4) for n, found in self.items.items()
        }

    def molora(self) -> dict[str, Any]:
        """Token routing, with the use of the experts before and after."""
        model = self._attach()
        start = summary(collect(model, self.tokenizer, self.items))
        before = self.exact(model)
        losses = fit(model, self.batches)
        use = collect(model, self.tokenizer, self.items)
        start.pop("shares")
        return {
            "before": before,
            "start": start,
            "trained": summary(use),
            "places": [f"{layer} {module}" for layer, module in use.places],
            **self._end(model, losses),
        }

    def task(self) -> dict[str, Any]:
        """Routing by label: exact match with the right label and with the next family's."""
        label = Label()
        model = self._attach(task_layer(label))
        losses = fit(model, self.batches, announce=label.announce)
        found: dict[str, Exact] = {"exact": {}, "wrong_label": {}}
        for number, (name, items) in enumerate(self.items.items()):
            for kind, shift in (("exact", 0), ("wrong_label", 1)):
                with label.always((number + shift) % len(FAMILIES)):
                    found[kind][name] = round(recall(model, self.tokenizer, items), 4)
        return {**self._end(model, losses, exact=found["exact"]), **found}

    def lora(self, r: int) -> dict[str, Any]:
        """Plain LoRA of rank `r` in the feed-forward part."""
        model = self._attach(lambda base, e, k, *rest: LoRALinear(base, r, 2.0 * r))
        return self._end(model, fit(model, self.batches))

    def _end(self, model: Any, losses: list[float], exact: Exact | None = None) -> dict[str, Any]:
        last = losses[-20:]
        return {
            "exact": exact or self.exact(model),
            "loss": round(sum(last) / len(last), 4),
            "learning": count_parameters(model)[0],
        }

    def run(self, arm: str) -> dict[str, Any]:
        """Train and measure one arm.

        Raises:
            KeyError: an arm that is not in `ARMS`.
        """
        arms: dict[str, Callable[[], dict[str, Any]]] = {
            "molora": self.molora,
            "task": self.task,
            "lora-total": lambda: self.lora(EXPERTS * R),
            "lora-active": lambda: self.lora(TOP_K * R),
        }
        return arms[arm]()


def main(seeds: int, steps: int | None, out: Path) -> None:
    """Write `03_routing.json` into the folder `out`: all seeds of one base, then of the other."""
    from medmoe_lite.paths import data_dir

    places = ("nano", str(data_dir() / "nano" / "seed1"))
    bases = [place for place in places if place == "nano" or Path(place).is_dir()]
    record(bases, seeds, steps or STEPS, out / "03_routing.json")


def record(bases: Sequence[str], seeds: int, steps: int, file: Path) -> dict[str, Any]:
    """Run what is missing in the file.

    Args:
        bases: names or folders for `load_base`; a run notes the number of its base.
        seeds: how many, from 0.
        steps: training steps of each arm.
        file: settings and runs, written anew after every arm.
    """
    settings: dict[str, Any] = {"steps": steps, "batch": BATCH, "items": ITEMS}
    settings |= {"experts": EXPERTS, "top_k": TOP_K, "r": R, "alpha": ALPHA}
    settings |= {"families": list(FAMILIES), "lr": 4e-3}
    settings["command"] = f"python -m medmoe_lite.lab.record 03 --seeds {seeds}"
    todo = [
        {"base": base, "seed": seed, "arm": arm}
        for base in range(len(bases))
        for seed in range(seeds)
        for arm in ARMS
    ]
    bench = lru_cache(maxsize=1)(lambda base, seed: Bench(bases[base], seed, steps))
    return keep_recording(
        file, settings, todo, lambda names: bench(names["base"], names["seed"]).run(names["arm"])
    )

"""MedCare from its recipe, both stages, on the base that was picked.

    load in 4 bits -> stage 1: shared + routed experts -> drop the routed, merge the attention
                   -> stage 2: a second adapter, with the orthogonal penalty

The steps are few: this shows that the whole way runs, and what its curves look like. Data are the
kit's own invented drugs and notes on every base.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from medmoe_lite.lab.fast import steps
from medmoe_lite.lab.nb09.machine import Pick
from medmoe_lite.tasks import Example, collate, encode, every_fact, make

DRUGS, FORMATS = 6, ("json", "triage", "soap")
GENERAL = ("read", "choice", "copy", "compare", "facts")
SETTINGS: dict[str, dict[str, Any]] = {  # what this notebook sets, by column of the recipe
    "nano": {"steps": (40, 40), "batch_size": 16, "accumulation": 1, "warmup": 5},
    "paper": {"steps": (60, 60), "batch_size": 16, "accumulation": 4, "warmup": 6},
}


def taught(items: Sequence[Example], drugs: int = DRUGS) -> list[Example]:
    """The facts about the first few drugs: few enough to be learned in a few steps."""
    names = list(dict.fromkeys(item.meta["entity"] for item in items))[:drugs]
    return [item for item in items if item.meta["entity"] in names]


def suites() -> dict[str, list[Example]]:
    """What is asked: facts in wordings that were not taught, formats, and what the base knew."""
    return {
        "facts": taught(every_fact("invented", "heldout")),
        "formats": [item for name in FORMATS for item in make(name, "test", 8, 21)],
        "general": [item for name in GENERAL for item in make(name, "test", 6, 21)],
    }


@torch.no_grad()
def right(model: Any, tokenizer: Any, items: Sequence[Example]) -> float:
    """Share of items whose whole answer, stop token included, is the most likely one."""
    was, device = model.training, next(model.parameters()).device
    model.eval()
    batch = collate([encode(item, tokenizer) for item in items], tokenizer.pad_token_id)
    labels = batch["labels"][:, 1:].to(device)
    said = []
    for rows in range(0, len(items), 16):
        part = {
            key: batch[key][rows : rows + 16].to(device) for key in ("input_ids", "attention_mask")
        }
        said.append(model(**part).logits[:, :-1].argmax(-1))
    model.train(was)
    return float(((torch.cat(said) == labels) | (labels == -100)).all(-1).float().mean())


class Job:
    """The recipe for one base: data, stages, and what happens to the model before each.

    Args:
        pick: from `machine.pick_base`.
        recipe: name of a recipe.
    """

    def __init__(self, pick: Pick, recipe: str = "medcare") -> None:
        from medmoe_lite.train.recipe import Recipe
        from medmoe_lite.train.recipe_run import examples

        self.recipe, self.column = Recipe.read(recipe), pick.column
        self.data = examples(self.recipe, most=240)
        self.data["facts"] = taught(every_fact("invented", "taught"))
        own = dict(SETTINGS[pick.column])
        counts = own.pop("steps")
        stages = self.recipe.stages(pick.column, steps=counts[0], **own)
        self.stages = [
            replace(stage, steps=steps(count), warmup=min(own["warmup"], steps(count)))
            for stage, count in zip(stages, counts, strict=True)
        ]

    def ready(self, model: Any, stage: Any) -> Any:
        """The model as a stage wants it; says what was done to it."""
        from medmoe_lite import drop_noise
        from medmoe_lite.method.attention import merge_attention
        from medmoe_lite.train.recipe_run import prepare

        actions = self.recipe.before(stage.name, self.column)
        if "drop_noise" in actions:
            drop_noise(model)
            print("Dropped the routed experts.")
        if "merge_attention" in actions:
            told = merge_attention(model, dequantize=True)
            print(f"Merged the attention: {told.dequantized} of its layers are unpacked now.")
        values = {k: v for k, v in self.recipe.values.items() if not k.endswith(".before")}
        return prepare(replace(self.recipe, values=values), model, stage, self.column)


class Curve:
    """What the model knows while it trains, and how its routers were used at the end of stage 1.

    Args:
        tokenizer: of the base.
        suites: name -> items.
        every: steps between two looks.
    """

    def __init__(self, tokenizer: Any, suites: Mapping[str, Sequence[Example]], every: int = 10):
        self.tokenizer, self.suites, self.every = tokenizer, suites, every
        self.steps: list[int] = []
        self.rows: dict[str, list[float]] = {name: [] for name in suites}
        self.marks: list[tuple[int, str]] = []
        self.usage: np.ndarray | None = None
        self.health: dict[str, float] = {}
        self.places: list[str] = []
        self._done, self._last = 0, 0

    def begin(self, stage: Any, model: Any) -> None:
        """A stage begins: look at once, and remember where on the axis it is."""
        self._done += self._last
        self._last = stage.steps
        self.marks.append((self._done, stage.name))
        self._look(self._done, model)

    def note(self, step: int, model: Any) -> None:
        """Called after every step."""
        if step % self.every == 0 or step == self._last:
            self._look(self._done + step, model)
        if step == self._last and self.usage is None:
            self._routing(model)

    def _look(self, step: int, model: Any) -> None:
        self.steps.append(step)
        for name, items in self.suites.items():
            self.rows[name].append(right(model, self.tokenizer, items))

    def _routing(self, model: Any) -> None:
        """Shares of weight (routers, experts), and how evenly the experts are opened."""
        from medmoe_lite import record_routing

        with record_routing(model) as log:
            for items in self.suites.values():
                right(model, self.tokenizer, items)
        use, opened = log.usage[:, :, 0], log.chosen[:, :, 0]
        self.usage = use.reshape(-1, use.shape[-1])
        opened = opened / opened.sum(-1, keepdims=True)
        self.health = health(opened.reshape(-1, use.shape[-1]))
        self.places = [f"{layer} {name}" for layer in log.layer_ids for name in log.module_names]


def health(usage: Any) -> dict[str, float]:
    """Share of the busiest expert and number of dead experts, means over the routers.

    >>> health([[0.5, 0.5, 0.0, 0.0]])
    {'max_load': 0.5, 'dead': 2.0}
    """
    use = np.asarray(usage, dtype=float)
    dead = (use < 0.1 / use.shape[-1]).sum(-1)
    return {"max_load": float(use.max(-1).mean()), "dead": float(dead.mean())}

"""Record what notebook 07 claims: `python -m medmoe_lite.lab.record 07 --seeds 5`.

For each seed the knowledge adapter learns the facts once, as in the ladder (`reproduce.stages`).
Then every arm learns the formats in a second adapter for 100 steps:

    both learn             the knowledge adapter goes on learning
    frozen                 it is frozen: lambda = 0
    l1 1e-4, 1e-3, 1e-2    frozen, and the paper's penalty with that weight
    off the fact inputs    frozen, and the second A is projected off the inputs of the facts

Facts, formats and general abilities are measured on the way, each by one forward pass. At the
end: the angles between what the two adapters read, and the share of the second A that lies in the
directions of the fact inputs. The file is written anew after every arm; a stopped run goes on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medmoe_lite.lab.nb07.reference import principal_angles
from medmoe_lite.lab.record import keep_recording
from medmoe_lite.lab.teach import recall
from medmoe_lite.measure.effects import FORMATS
from medmoe_lite.reproduce.medcare_works import REPLAY
from medmoe_lite.reproduce.settings import ALIGN_STEPS, KNOWLEDGE_STEPS, SIZES, lora
from medmoe_lite.reproduce.stages import KNOWLEDGE_WORK
from medmoe_lite.reproduce.worker import Series
from medmoe_lite.reproduce.workshop import Workshop

POINTS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # of the steps
PROJECT = {"source": "facts", "energy": 0.95}
ARMS: dict[str, dict[str, Any]] = {  # fields of `Stage`
    "both learn": {"train": ("default", "alignment"), "frozen": ()},
    "frozen": {},
    "l1 0.0001": {"orthogonal": {"weight": 1e-4}},
    "l1 0.001": {"orthogonal": {"weight": 1e-3}},
    "l1 0.01": {"orthogonal": {"weight": 1e-2}},
    "off the fact inputs": {"project": PROJECT},
}
FROZEN = {"train": ("alignment",), "frozen": ("default",)}


class Bench(Workshop):
    """One seed of the ladder's workshop, with curves.

    Args:
        seed: of the adapters' start, the order of the data, the batches.
        steps: of the second stage; the first one is shortened by the same share.
        folder: where the knowledge adapter of a seed is kept.
        base: name or folder for `load_base`.
        size: of the ladder, which says how many items there are.
    """

    def __init__(
        self, seed: int, steps: int, folder: Path, base: str = "nano", size: str = "full"
    ) -> None:
        super().__init__(Series("", base, size, folder), seed)
        self.size = SIZES[size]._replace(share=steps / ALIGN_STEPS)
        self.steps = steps

    def start(self) -> tuple[Any, Any]:
        """The base with the knowledge adapter of this seed; trains it where none is kept."""
        model, tokenizer = self.model(lora(16))
        try:
            self.fetch(KNOWLEDGE_WORK, model)
        except FileNotFoundError:
            mix = {"facts": 2, "general": 1}
            self.train(model, tokenizer, "knowledge", mix, KNOWLEDGE_STEPS)
            self.keep("knowledge", model)
        return model, tokenizer

    @cached_property
    def directions(self) -> dict[str, Tensor]:
        """Layer -> Q (d, m), the main directions of its inputs on the facts, after stage 1."""
        from medmoe_lite.train import Stage
        from medmoe_lite.train.projection import source_directions

        model, tokenizer = self.start()
        project: Any = PROJECT
        stage = Stage("facts", {"facts": 1}, 1, batch_size=self.size.batch, project=project)
        return source_directions(model, tokenizer, stage, self.data)

    def measure(self, model: Any, tokenizer: Any) -> dict[str, float]:
        """Share of right answers by suite, and the sum of |A_K A_aᵀ|."""
        from medmoe_lite import orthogonal_penalty

        asked = {name: [name] for name in ("heldout", "taught")} | {"formats": list(FORMATS)}
        asked["general"] = [name for name in self.suites if name.startswith("general.")]
        found = {
            group: sum(recall(model, tokenizer, self.suites[name]) for name in names) / len(names)
            for group, names in asked.items()
        }
        with torch.no_grad():
            found["overlap"] = float(orthogonal_penalty(model))
        return {name: round(value, 4) for name, value in found.items()}

    def run(self, arm: str) -> dict[str, Any]:
        """Learn the formats in one arm: curves, angles, shares.

        Raises:
            KeyError: an arm that is not in `ARMS`.
        """
        stage = FROZEN | ARMS[arm]
        model, tokenizer = self.start()
        self.add(model, "alignment", lora(16))
        began = time.process_time()
        points = sorted({round(self.steps * part) for part in POINTS})
        found = {0: self.measure(model, tokenizer)}

        def note(step: int, model: Any) -> None:
            if step in points:
                found[step] = self.measure(model, tokenizer)

        self.train(model, tokenizer, "align", REPLAY, ALIGN_STEPS, on_step=note, **stage)
        curves = {name: [found[p][name] for p in points] for name in found[0]}
        seconds = round(time.process_time() - began, 1)
        return {"steps": points, **curves, **self.spaces(model), "cpu_seconds": seconds}

    @torch.no_grad()
    def spaces(self, model: Any) -> dict[str, Any]:
        """What the two A's read at the end.

        Returns:
            angles: kind of layer -> 16 principal angles in degrees, mean over the blocks.
            reads, reads_knowledge: share of the squared size of the alignment's (knowledge's) A
                that lies in the directions of the fact inputs, mean over layers.
            chance: the same for random rows.
        """
        from medmoe_lite.orthogonal import adapter_pairs

        first, second = (adapter_pairs(model, name) for name in ("default", "alignment"))
        angles: dict[str, list[Tensor]] = {}
        shares: dict[str, list[float]] = {"reads": [], "reads_knowledge": [], "chance": []}
        for name, pair in second.items():
            between = principal_angles(first[name].A, pair.A)
            angles.setdefault(name.rpartition(".")[2], []).append(between)
            q = self.directions[name]
            shares["reads"].append(share_in(pair.A, q))
            shares["reads_knowledge"].append(share_in(first[name].A, q))
            shares["chance"].append(q.shape[1] / q.shape[0])
        rounded = {
            kind: [round(v, 1) for v in torch.stack(rows).mean(0).tolist()]
            for kind, rows in angles.items()
        }
        means = {name: round(sum(row) / len(row), 4) for name, row in shares.items()}
        return {"angles": rounded, **means}


def share_in(a: Tensor, q: Tensor) -> float:
    """Share of the squared size of rows (r, d) that lies in the span of Q (d, m).

    >>> share_in(torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0], [0.0]]))
    0.36
    """
    return round(float((a @ q).square().sum() / a.square().sum()), 6)


def main(seeds: int, steps: int | None, out: Path) -> None:
    """Write `07_curves.json` into the folder `out`."""
    record(range(seeds), tuple(ARMS), steps or ALIGN_STEPS, out / "07_curves.json")


def record(
    seeds: Sequence[int], arms: Sequence[str], steps: int, file: Path, base: str = "nano"
) -> dict[str, Any]:
    """Run what is missing in the file.

    Args:
        seeds: of the adapters and the data.
        arms: from `ARMS`.
        steps: of the second stage.
        file: settings and runs, written anew after every arm.
    """
    settings: dict[str, Any] = {"steps": steps, "knowledge_steps": KNOWLEDGE_STEPS, "base": base}
    settings |= {"batch": SIZES["full"].batch, "rank": 16, "mix": REPLAY, "project": PROJECT}
    settings["command"] = f"python -m medmoe_lite.lab.record 07 --seeds {len(seeds)}"
    todo = [{"seed": seed, "arm": arm} for seed in seeds for arm in arms]
    folder = kept_in(base, steps)
    bench = lru_cache(maxsize=1)(lambda seed: Bench(seed, steps, folder, base))
    return keep_recording(
        file, settings, todo, lambda names: bench(names["seed"]).run(names["arm"])
    )


def kept_in(base: str, steps: int) -> Path:
    """Folder of the knowledge adapters of a base: another base or other steps, another folder."""
    from medmoe_lite.bases.checksums import base_digest
    from medmoe_lite.paths import home_dir
    from medmoe_lite.reproduce.settings import fingerprint

    stamp = f"{base_digest(base)[:8]}-{fingerprint('full')}-{steps}"
    return home_dir() / "recording07" / stamp

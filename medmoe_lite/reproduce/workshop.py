"""Where the arms of one seed are trained and scored: base, data, suites, adapters of first stages.

    data    facts in taught wordings, strict formats, labels, and replay of what the base knows
    suites  facts in held-out wordings, formats, labels on test items, general abilities

Facts are a third of those that the base never saw ("kept"), and the same ones in every arm.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

from ..measure.effects import FORMATS, GENERAL
from ..tasks import Example, every_fact, make
from .claim import Work
from .settings import LABEL_ITEMS, LEARNING_RATE, SIZES
from .worker import Series, read_result

MEDICAL = ("heldout", *FORMATS)
TRAIN_SEED, SUITE_SEED = 0, 21


def third(items: Sequence[Example], wordings: int = 3) -> list[Example]:
    """Every third fact, in all its wordings."""
    return [item for i, item in enumerate(items) if (i // wordings) % 3 == 0]


def share(items: Sequence[Example], part: float, wordings: int = 3) -> list[Example]:
    """The first `part` of the facts, in all their wordings.

    >>> len(share(every_fact("invented", "taught"), 0.25))
    108
    """
    return list(items[: wordings * round(len(items) / wordings * part)])


class Workshop:
    """Base, data and suites of one seed.

    Args:
        series: base, size and folder of the ladder.
        seed: of the adapter's start, the order of the data and the dropout.
    """

    def __init__(self, series: Series, seed: int) -> None:
        import torch

        torch.set_num_threads(1)
        self.base, self.folder, self.seed = series.base, series.folder, seed
        self.size = SIZES[series.size]

    @cached_property
    def data(self) -> dict[str, list[Example]]:
        """Source name -> training items."""
        few = 20 if self.size.name == "smoke" else 800
        facts = third(every_fact("kept", "taught"))
        found = {"facts": facts}
        found |= {f"facts_{p}": share(facts, p / 100) for p in (25, 50)}
        found |= {name: make(name, "train", few, TRAIN_SEED) for name in FORMATS}
        many = min(few, LABEL_ITEMS) if few < 800 else LABEL_ITEMS
        found["classify"] = make("classify", "train", many, TRAIN_SEED)
        found["formats"] = [item for name in FORMATS for item in found[name]]
        general = make("knowledge", "train", few, TRAIN_SEED)
        for name in GENERAL:
            general += make(name, "train", few // 4, TRAIN_SEED)
        return {**found, "general": general}

    @cached_property
    def suites(self) -> dict[str, list[Example]]:
        """Suite name -> test items; general families are named "general.<family>"."""
        n = self.size.items
        facts = third(every_fact("kept", "heldout"))
        found = {"taught": self.data["facts"][::6], "heldout": facts[: 3 * 4 * n]}
        found["base_facts"] = make("knowledge", "test", 2 * n, SUITE_SEED)
        for name in FORMATS:
            found[name] = make(name, "test", n, SUITE_SEED, seen_conditions=True)
        for name in GENERAL:
            found[f"general.{name}"] = make(name, "test", max(2, n // 2), SUITE_SEED)
        return found

    def load(self, four_bit: bool = False) -> tuple[Any, Any]:
        """The base and its tokenizer, fresh."""
        from ..bases.load import load_base

        return load_base(self.base, four_bit=four_bit)

    def model(
        self, config: dict[str, Any], four_bit: bool = False, name: str = "default"
    ) -> tuple[Any, Any]:
        """A fresh base with one adapter of this seed."""
        from peft import get_peft_model

        from .. import MoLoraConfig
        from ..train import seeded

        base, tokenizer = self.load(four_bit)
        with seeded(self.seed, "init", name):
            return get_peft_model(base, MoLoraConfig(**config), adapter_name=name), tokenizer

    def add(self, model: Any, name: str, config: dict[str, Any]) -> None:
        """A further adapter of this seed."""
        from .. import MoLoraConfig
        from ..train import seeded

        with seeded(self.seed, "init", name):
            model.add_adapter(name, MoLoraConfig(**config))

    def train(
        self,
        model: Any,
        tokenizer: Any,
        name: str,
        mix: Mapping[str, float],
        steps: int,
        **more: Any,
    ) -> Any:
        """Run one stage; `steps` as in the full ladder. Returns the history."""
        from ..train import Stage, run_stage

        score_at = [self.size.steps(step) for step in more.pop("score_at", ())]
        suites = more.pop("suites", None)
        on_step = more.pop("on_step", None)
        steps = self.size.steps(steps)
        settings: dict[str, Any] = {"batch_size": self.size.batch, "accumulation": 2}
        settings |= {"seed": self.seed, "lr": self.learning_rate(model)}
        settings |= {
            "warmup": min(15, steps // 4),
            "score_at": sorted({*score_at} & {*range(steps)}),
        }
        stage = Stage(name, mix, steps, **{**settings, **more})
        return run_stage(model, tokenizer, stage, self.data, suites=suites, on_step=on_step)

    def learning_rate(self, model: Any) -> float:
        """The peak rate for a base of this width."""
        width = model.config.get_text_config().hidden_size
        return LEARNING_RATE["small" if width < 512 else "large"]

    def scores(
        self,
        model: Any,
        tokenizer: Any,
        groups: Iterable[str] = ("medical", "general"),
        context: Callable[[str], AbstractContextManager[Any]] = lambda suite: nullcontext(),
    ) -> dict[str, float]:
        """Exact match of suites, and means over groups of them.

        Args:
            groups: "medical", "formats", "general", or names of suites.
            context: suite -> what its decoding runs inside of.
        """
        from ..measure import score

        members = {
            "medical": MEDICAL,
            "formats": FORMATS,
            "general": [name for name in self.suites if name.startswith("general.")],
        }
        groups = list(groups)
        names = dict.fromkeys(n for group in groups for n in members.get(group, (group,)))
        found = {}
        for name in names:
            with context(name):
                found[name] = score(model, tokenizer, self.suites[name]).exact
        means = {g: members[g] for g in members if all(n in found for n in members[g])}
        found |= {g: sum(found[n] for n in ns) / len(ns) for g, ns in means.items()}
        return {name: round(value, 4) for name, value in found.items()}

    def keep(self, work_name: str, model: Any, adapter: str = "default") -> None:
        """Leave an adapter for the works that use this one."""
        from peft import get_peft_model_state_dict
        from safetensors.torch import save_file

        path = self._adapter(work_name)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        state = get_peft_model_state_dict(model, adapter_name=adapter)
        save_file({name: t.detach().contiguous().cpu() for name, t in state.items()}, beside)
        os.replace(beside, path)

    def fetch(self, work: Work, model: Any, adapter: str = "default") -> None:
        """Give a model the adapter that a work has kept.

        Raises:
            FileNotFoundError: it is not there.
        """
        from peft import set_peft_model_state_dict
        from safetensors.torch import load_file

        path = self._adapter(work.name)
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is gone, but {work.name!r} counts as done. Delete the folder "
                f"{path.parent} and type the same command again."
            )
        set_peft_model_state_dict(model, load_file(path), adapter_name=adapter)

    def numbers(self, work: Work) -> dict[str, Any]:
        """What a work of this seed has found."""
        done = read_result(self.folder, work, self.seed)
        assert done is not None, work.name
        return done.numbers

    def _adapter(self, work_name: str) -> Path:
        return self.folder / "work" / work_name / f"seed{self.seed}.safetensors"


def learning(model: Any) -> int:
    """How many numbers learn."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def prefixed(prefix: str, numbers: dict[str, Any]) -> dict[str, Any]:
    """The same numbers under longer names.

    >>> prefixed("kept", {"heldout": 1.0})
    {'kept.heldout': 1.0}
    """
    return {f"{prefix}.{name}": value for name, value in numbers.items()}

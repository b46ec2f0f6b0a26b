"""A stage of training, written down: mix, adapters, losses, steps.

    loss = LM + balance · L_balance + router_z · L_z
         + orthogonal.weight · R(A_knowledge, A_alignment) + preservation.weight · L_preservation

Sources: MING-MOE (one stage), MedCare (knowledge, then alignment), O-LoRA (the penalty R),
LoRAMoE (preservation).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from .terms import ADAPTER as ADAPTER
from .terms import KINDS, Orthogonal, Preservation, Projection


@dataclass(frozen=True)
class Stage:
    """What one stage trains, on what, and for how long.

    Args:
        name: a word for files and plots.
        mix: shares of the sources, any positive numbers; they are normalised.
        steps: optimiser steps.
        batch_size: examples per step, all accumulated parts together.
        lr: peak learning rate of AdamW.
        warmup: steps of linear rise; then a cosine falls to `min_lr * lr`.
        train: adapters that learn, router included.
        frozen: adapters that stay open but do not change.
        balance: weight of the balance loss of the routers.
        router_z: weight of the router z-loss.
        orthogonal: an `Orthogonal`, or a dict of its fields, or None.
        noise_dropout: probability that a whole step runs with the routed experts closed.
        project: a `Projection`, or a dict of its fields, or None.
        preservation: a `Preservation`, or a dict of its fields, or None.
        seed: for the order of the data, dropout and noise dropout.
        score_at: steps after which the suites are scored, besides the start and the end.
        log_every: steps per line of the log.
        checkpoint_every: steps between checkpoints; 0: only when stopped and at the end.
        accumulation: parts a batch is cut into to save memory; the loss stays the same.
        max_length: longest example in tokens, or None.
        weight_decay, max_grad_norm: of AdamW and of the clipping.
        chunked_loss: True, False or "auto": form the loss over the vocabulary in chunks, which
            saves memory over large ones and changes no more than rounding.

    Raises:
        ValueError: a value that cannot be meant; the message says which and what to type.

    >>> Stage("facts", {"facts": 1.0}, steps=100).lr_at(14)
    0.004
    """

    name: str
    mix: Mapping[str, float]
    steps: int
    batch_size: int = 48
    lr: float = 4e-3
    warmup: int = 15
    min_lr: float = 0.1
    train: tuple[str, ...] = ("default",)
    frozen: tuple[str, ...] = ()
    balance: float = 0.0
    router_z: float = 0.0
    orthogonal: Orthogonal | None = None
    noise_dropout: float = 0.0
    project: Projection | None = None
    preservation: Preservation | None = None
    seed: int = 0
    score_at: tuple[int, ...] = ()
    log_every: int = 10
    checkpoint_every: int = 0
    accumulation: int = 1
    max_length: int | None = None
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    chunked_loss: bool | str = "auto"

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        put("mix", dict(self.mix))
        for name in ("train", "frozen", "score_at"):
            value = getattr(self, name)
            put(name, (value,) if isinstance(value, str | int) else tuple(value))
        bundles = {
            "orthogonal": Orthogonal, "project": Projection, "preservation": Preservation,
        }  # fmt: skip
        for name, kind in bundles.items():
            value = getattr(self, name)
            if isinstance(value, Mapping):
                put(name, kind(**value))
            elif value is not None:
                put(name, kind(*value))
        if self.preservation is not None and not isinstance(self.preservation.source, str):
            put("preservation", self.preservation._replace(source=self.preservation.sources))
        self._check()

    def _check(self) -> None:
        def need(right: bool, problem: str) -> None:
            if not right:
                raise ValueError(f"stage {self.name!r}: {problem}")

        need(
            not re.search(r"[/\\\x00-\x1f]", self.name) and self.name not in (".", ".."),
            "a stage's name is the name of its folder: use letters, digits, - and _ only.",
        )
        need(bool(self.mix), 'the mix is empty. Name a source: mix={"facts": 1.0}.')
        for source, share in self.mix.items():
            need(
                math.isfinite(share) and share > 0,
                f"the share of {source!r} is {share}; give a positive number or leave it out.",
            )
        for name in ("steps", "batch_size", "accumulation", "log_every"):
            value = getattr(self, name)
            need(
                isinstance(value, int) and value >= 1,
                f"{name}={value!r}; give a whole number of at least 1.",
            )
        need(
            self.accumulation <= self.batch_size,
            f"{self.batch_size} examples cannot be cut into accumulation={self.accumulation} "
            "parts; give at most one part per example.",
        )
        for name in ("warmup", "checkpoint_every"):
            need(getattr(self, name) >= 0, f"{name}={getattr(self, name)}; give 0 or more.")
        need(self.lr > 0, f"lr={self.lr}; give a positive learning rate, such as 4e-3.")
        need(0 <= self.min_lr <= 1, f"min_lr={self.min_lr}; it is a share of lr, 0 to 1.")
        need(self.balance >= 0, f"balance={self.balance}; give 0 (off) or a weight such as 0.02.")
        need(
            self.router_z >= 0,
            f"router_z={self.router_z}; give 0 (off) or a weight such as 0.001.",
        )
        need(
            0 <= self.noise_dropout < 1,
            f"noise_dropout={self.noise_dropout}; it is a probability below 1, such as 0.5.",
        )
        need(bool(self.train), 'no adapter learns. Name one: train=("default",).')
        both = set(self.train) & set(self.frozen)
        need(not both, f"{sorted(both)} cannot be in train and in frozen; keep one of the two.")
        beyond = [step for step in self.score_at if not 0 <= step <= self.steps]
        need(not beyond, f"score_at={beyond} lies outside of 0 to {self.steps} steps.")
        need(
            self.chunked_loss in (True, False, "auto"),
            f'chunked_loss={self.chunked_loss!r}; give True, False or "auto".',
        )
        if self.orthogonal is not None:
            need(self.orthogonal.weight >= 0, "the weight of the orthogonal penalty is negative.")
            need(
                self.orthogonal.kind in KINDS,
                f"orthogonal kind {self.orthogonal.kind!r}; choose one of {', '.join(KINDS)}, "
                'or project=("source", 0.95) for the exact projection.',
            )
        if self.project is not None:
            need(0 < self.project.energy <= 1, "the energy of a projection is a share, 0 to 1.")
            need(
                any(name != self.project.adapter for name in self.train),
                f"only {self.project.adapter!r} learns, and it cannot be projected off itself; "
                "name another adapter in train.",
            )
        if self.preservation is not None:
            weight, delta, _ = self.preservation
            need(weight >= 0, "the weight of the preservation loss is negative.")
            need(0 < delta < 1, f"preservation delta={delta}; give a number such as 0.1.")
            outside = [name for name in self.preservation.sources if name not in self.mix]
            need(
                not outside and bool(self.preservation.sources),
                f"preservation takes {outside} as general, but the mix has {sorted(self.mix)}; "
                "name its sources.",
            )

    def lr_at(self, step: int) -> float:
        """Learning rate of step `step` (0 is the first)."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        return self.lr * (self.min_lr + (1 - self.min_lr) * cosine)

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain JSON values."""
        return {entry.name: _plain(getattr(self, entry.name)) for entry in fields(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Stage:
        """The inverse of `to_dict`.

        >>> stage = Stage("align", {"json": 3, "facts": 1}, 50, orthogonal={"weight": 1e-3})
        >>> Stage.from_dict(stage.to_dict()) == stage
        True
        """
        known = {entry.name for entry in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"unknown fields of a stage: {unknown}. Known: {sorted(known)}.")
        return cls(**values)


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return {name: _plain(entry) for name, entry in value._asdict().items()}
    return list(value) if isinstance(value, tuple) else value

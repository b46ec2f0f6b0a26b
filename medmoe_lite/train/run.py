"""Run one stage from its first to its last step, with whole files at every moment.

    out/log.jsonl             one JSON line per log step
    out/checkpoint-000050/    see `checkpoint`; the newest two are kept
    out/adapter/              the trained adapters, in PEFT's format, when the stage is done
    out/history.json          the History, when the stage is done

The same call again goes on where the files end; after the end it loads the result. The first
Ctrl-C lets the step finish and saves; the second stops at once.
"""

from __future__ import annotations

import hashlib
import json
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from . import adapters, checkpoint
from .data import Mixture
from .files import write_text
from .history import History
from .progress import Progress
from .seeds import seeded
from .stage import Stage
from .trainer import StageTrainer

if TYPE_CHECKING:
    from ..tasks import Example

TERMS = ("loss", "lm", "balance", "orthogonal")


def run_stage(
    model: Any,
    tokenizer: Any,
    stage: Stage,
    data: Mapping[str, Sequence[Example | dict]],
    out: Path | str | None = None,
    suites: Mapping[str, Sequence[Example]] | None = None,
    on_step: Callable[[int, Any], None] | None = None,
) -> History:
    """Train a stage and return what happened.

    Args:
        model: a PeftModel that has the stage's adapters, or any model in which something
            requires grad. It is trained in place and left in evaluation mode.
        tokenizer: its tokenizer.
        stage: the stage.
        data: source name -> examples, for every source of the mix.
        out: folder for files; None keeps nothing.
        suites: name -> examples to score before, after, and at `stage.score_at`.
        on_step: called with (step, model) after each step, for curves of your own.

    Raises:
        ValueError: the mix has no data, an adapter is missing, or `out` holds another run.
        DamagedCheckpoint: a file of the newest checkpoint is not as it was written.
        KeyboardInterrupt: it was stopped; with `out`, the same call goes on from there.
    """
    folder = Path(out) if out is not None else None
    adapters.open_adapters(model, stage.train, stage.frozen)
    identity = _identity(model, stage, data)
    state = _resume_state(folder, identity)
    mixture = Mixture(data, stage, tokenizer, first_step=state["step"])
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        learning, lr=stage.lr, weight_decay=stage.weight_decay, fused=_can_fuse(learning)
    )
    history = History(
        stage.name, **{key: state[key] for key in ("log", "scores", "seconds", "marks")}
    )
    keeper = Keeper(model, tokenizer, stage, folder, suites or {}, history, identity, on_step)
    keeper.directions = _directions(model, tokenizer, stage, data)
    if state["step"] and folder is not None:
        checkpoint.restore(folder / state["folder"], model, optimizer)
    config = getattr(model, "config", None)
    use_cache = getattr(config, "use_cache", None)
    with seeded(stage.seed, "run"), tempfile.TemporaryDirectory() as scratch:
        try:
            trainer = StageTrainer(model, stage, mixture, optimizer, scratch, [keeper])
            with keeper.progress, _whole_steps(keeper):
                keeper.begin(trainer, state)
                if state["step"] < stage.steps:
                    trainer.train()
        finally:
            if use_cache is not None:
                config.use_cache = use_cache  # type: ignore[union-attr]
            model.zero_grad()
            model.eval()
    if folder is not None:
        history.to_json(folder / "history.json")
        save = partial(checkpoint.save_adapters, model, adapters=stage.train)
        checkpoint.replace_folder(folder / "adapter", save)
    return history


class Keeper(TrainerCallback):
    """Logs, projects, scores and saves between steps."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        stage: Stage,
        folder: Path | None,
        suites: Mapping[str, Sequence[Example]],
        history: History,
        identity: dict[str, Any],
        on_step: Callable[[int, Any], None] | None,
    ) -> None:
        self.model, self.tokenizer, self.stage = model, tokenizer, stage
        self.folder, self.suites, self.history = folder, suites, history
        self.identity, self.on_step = identity, on_step
        self.progress = Progress(stage.name, stage.steps)
        self.directions: dict[str, torch.Tensor] = {}
        self._projected: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.stop = False
        self.trainer: StageTrainer

    def begin(self, trainer: StageTrainer, state: dict[str, Any]) -> None:
        """Before the first step of this call: take over sums, bring the log file into line."""
        self.trainer = trainer
        device = next(self.model.parameters()).device
        trainer.sums = {k: torch.tensor(v, device=device) for k, v in state["sums"].items()}
        trainer.counts = dict(state["counts"])
        trainer.seconds = self.history.seconds
        self._projected = self._pairs()
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            lines = "".join(json.dumps(row) + "\n" for row in self.history.log)
            write_text(self.folder / "log.jsonl", lines)
        if state["step"] == 0:
            self._project()
            self._score(0)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """After an optimiser step."""
        step, stage = self.trainer.step, self.stage
        last = step == stage.steps
        self._project()
        if step % stage.log_every == 0 or last:
            self._log(step)
        self.progress.update(step, self._note())
        if last or step in stage.score_at:
            self._score(step)
        if self.on_step is not None:
            self.on_step(step, self.model)
        due = stage.checkpoint_every and step % stage.checkpoint_every == 0
        if self.folder is not None and (due or last or self.stop):
            self.save(step)
        if self.stop and not last:
            where = f" Run the same line again to go on from {self.folder}." if self.folder else ""
            raise KeyboardInterrupt(f"stopped after step {step} of {stage.steps}.{where}")

    def save(self, step: int) -> None:
        """A checkpoint of this moment."""
        assert self.folder is not None
        self.history.seconds = self.trainer.seconds
        state = {
            "identity": self.identity,
            "log": self.history.log,
            "scores": self.history.scores,
            "seconds": self.history.seconds,
            "marks": self.history.marks,
            "sums": {name: value.item() for name, value in self.trainer.sums.items()},
            "counts": self.trainer.counts,
        }
        wrapped: Any = self.trainer.optimizer
        optimizer = getattr(wrapped, "optimizer", wrapped)
        checkpoint.save(self.folder, step, self.model, optimizer, state, self.stage.train)

    def _log(self, step: int) -> None:
        rows = self.history.log
        means = self.trainer.means()
        terms = {name: means[name] for name in TERMS if name in means}
        row: dict[str, Any] = {"step": step, **terms, "lr": self.stage.lr_at(step - 1)}
        rows.append(row)
        self.history.seconds = self.trainer.seconds
        if self.folder is not None:
            with open(self.folder / "log.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def _note(self) -> str:
        return f"loss {self.history.log[-1]['loss']:.3f}" if self.history.log else ""

    def _score(self, step: int) -> None:
        if not self.suites:
            return
        from ..measure.scores import score

        self.history.add_scores(step, score(self.model, self.tokenizer, self.suites))

    @torch.no_grad()
    def _project(self) -> None:
        if not self._projected:
            return
        from ..penalties import project_rows

        for a, directions in self._projected:
            a.copy_(project_rows(a, directions))

    def _pairs(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Every A that learns, with the directions it must not read."""
        if not self.directions:
            return []
        from .projection import down_projections

        return [
            (a, self.directions[name])
            for adapter in self.stage.train
            for name, parts in down_projections(self.model, adapter).items()
            for a in parts
        ]


def _directions(
    model: Any, tokenizer: Any, stage: Stage, data: Mapping[str, Sequence[Any]]
) -> dict[str, torch.Tensor]:
    if stage.project is None:
        return {}
    from .projection import source_directions

    return source_directions(model, tokenizer, stage, data)


def _identity(model: Any, stage: Stage, data: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """What must agree before a run may go on: stage, data and the weights at its start."""
    digests = {}
    for source in stage.mix:
        hasher = hashlib.sha256()
        for example in data.get(source, ()):
            plain = example if isinstance(example, dict) else asdict(example)
            hasher.update(json.dumps(plain, sort_keys=True, default=str).encode())
        digests[source] = hasher.hexdigest()[:16]
    return {"stage": stage.to_dict(), "data": digests, "start": adapters.digest(model)}


def _resume_state(folder: Path | None, identity: dict[str, Any]) -> dict[str, Any]:
    found = checkpoint.checkpoints(folder) if folder is not None else []
    if not found:
        return {
            "step": 0,
            "log": [],
            "scores": [],
            "seconds": 0.0,
            "marks": {},
            "sums": {},
            "counts": {},
        }
    state = checkpoint.read_state(found[-1])
    before = state["identity"]
    if before != identity:
        raise ValueError(
            f"{folder} holds a run that differs from this one in {_difference(before, identity)}. "
            "Give another `out` folder, or delete that one."
        )
    return {**state, "folder": found[-1].name}


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    fields = [
        f"stage.{name} ({before['stage'].get(name)!r} there, {value!r} here)"
        for name, value in now["stage"].items()
        if before["stage"].get(name) != value
    ]
    if before["data"] != now["data"]:
        fields.append("its data")
    if before["start"] != now["start"]:
        fields.append("the weights it began with")
    return ", ".join(fields)


def _can_fuse(parameters: list[torch.nn.Parameter]) -> bool:
    """The fused AdamW is one call for all tensors; it exists for CPU and CUDA floats."""
    return all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters)


@contextmanager
def _whole_steps(keeper: Keeper) -> Iterator[None]:
    """Let the first Ctrl-C wait for the end of the step; the second one acts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def ask(number: int, frame: Any) -> None:
        if keeper.stop:
            raise KeyboardInterrupt("stopped in the middle of a step; the last checkpoint counts.")
        keeper.stop = True

    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

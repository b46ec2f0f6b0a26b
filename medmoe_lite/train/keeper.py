"""What happens between two steps: project, log, score, save, and stop in good order.

step done -> A off the protected inputs -> log row -> scores -> checkpoint -> stop, if asked

Where several processes train together, all of them do this, and process 0 alone writes.
"""

from __future__ import annotations

import json
import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from transformers import TrainerCallback

from . import adapters, checkpoint, processes
from .files import write_text
from .folder import told
from .history import History
from .progress import Progress
from .stage import Stage
from .suites import routing_of, suites_by_task
from .terms_seen import Seen, read_at_once

if TYPE_CHECKING:
    from ..tasks import Example
    from .trainer import StageTrainer

TERMS = ("loss", "lm", "eci", "balance", "router_z", "orthogonal", "preservation")


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
        self.first = processes.rank() == 0
        self.identity, self.on_step = identity, on_step
        self.progress = Progress(stage.name, stage.steps)
        self.directions: dict[str, torch.Tensor] = {}
        self._projected: list[tuple[str, torch.Tensor]] = []
        self.from_inputs = stage.project is not None and stage.project.adapter is None
        self.stop = False
        self._seen: Seen | None = None  # terms of the step before, not looked at yet
        self.trainer: StageTrainer

    def begin(self, trainer: StageTrainer, state: dict[str, Any]) -> None:
        """Before the first step of this call: take over sums, bring the log file into line."""
        self.trainer = trainer
        device = next(self.model.parameters()).device
        trainer.sums = {k: torch.tensor(v, device=device) for k, v in state["sums"].items()}
        trainer.counts = dict(state["counts"])
        trainer.seconds = self.history.seconds
        if trainer.loss_scale is not None and state.get("loss_scale"):
            trainer.loss_scale.load_state_dict(state["loss_scale"])
        self._projected = self._pairs()
        if self.folder is not None and self.first:
            self.folder.mkdir(parents=True, exist_ok=True)
            lines = "".join(json.dumps(row) + "\n" for row in self.history.log)
            with told(self.folder):
                write_text(self.folder / "log.jsonl", lines)
        if state["step"] == 0:
            if self.folder is not None and self.from_inputs:
                self.save(0)
            self._project()
            self._score(0)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """After an optimiser step."""
        step, stage = self.trainer.step, self.stage
        last = step == stage.steps
        logs = last or step % stage.log_every == 0
        due = bool(stage.checkpoint_every) and step % stage.checkpoint_every == 0
        self._check(step, logs or due or self.stop or step in stage.score_at)
        self._project()
        if logs:
            self._log(step)
        self.progress.update(step, self._note())
        if last or step in stage.score_at:
            self._score(step)
        if self.on_step is not None:
            self.on_step(step, self.model)
        self.stop = processes.anyone(self.stop, self.trainer.args.device)
        if self.folder is not None and (due or last or self.stop):
            self.save(step)
        if self.stop and not last:
            processes.wait()  # a launcher ends all when one ends, process 0 in the middle of a file
            where = f" Run the same line again to go on from {self.folder}." if self.folder else ""
            raise KeyboardInterrupt(f"stopped after step {step} of {stage.steps}.{where}")

    def _check(self, step: int, kept: bool) -> None:
        """Stop where the loss of a step is no number: the weights after it are none either.

        A GPU is not waited for: its terms are looked at a step later, unless something of this
        step is kept, which waits anyway. So nothing is logged, scored or saved unseen.
        """
        before, self._seen = self._seen, Seen(step, self.trainer.sums)
        if before is not None:
            self._judge(before)
        if kept or read_at_once(self.trainer.sums):
            seen, self._seen = self._seen, None
            self._judge(seen)

    def _judge(self, seen: Seen) -> None:
        sums = seen.read()
        if math.isfinite(sums.get("loss", 0.0)):
            return
        wrong = [name for name in TERMS[1:] if not math.isfinite(sums.get(name, 0.0))]
        mixture: Any = self.trainer.train_dataset
        read = [f"{source} {n}" for source, n in mixture.step_examples(seen.step - 1)]
        more = f" and {len(read) - 6} more" if len(read) > 6 else ""
        self._give_up(
            f"the loss of step {seen.step} is {sums['loss']} (from: "
            f"{', '.join(wrong) or 'the sum'}); its examples, counted from 0: "
            f"{', '.join(read[:6])}{more}"
        )

    def _give_up(self, what: str) -> NoReturn:
        found = checkpoint.checkpoints(self.folder) if self.folder is not None else []
        good = f"The last good state is {found[-1]}." if found else "No checkpoint was kept."
        raise FloatingPointError(
            f"stage {self.stage.name!r}: {what}. {good} Most likely lr={self.stage.lr} is too "
            "high, or numbers overflowed in float16. Take a lower lr or a longer warmup in "
            "another `out` folder; checkpoint_every=N keeps a state every N steps."
        )

    def save(self, step: int) -> None:
        """A checkpoint of this moment, if all its weights are numbers."""
        assert self.folder is not None
        self.history.seconds = self.trainer.seconds
        self.trainer.gather()
        if not self.first:
            return
        for name, tensor in adapters.trained(self.model).items():
            if not bool(torch.isfinite(tensor).all()):
                self._give_up(f"after step {step}, {name} has entries that are no numbers")
        state = {
            "identity": self.identity,
            "log": self.history.log,
            "scores": self.history.scores,
            "seconds": self.history.seconds,
            "marks": self.history.marks,
            "sums": {name: value.item() for name, value in self.trainer.sums.items()},
            "counts": self.trainer.counts,
        }
        if self.trainer.loss_scale is not None:
            state["loss_scale"] = self.trainer.loss_scale.state_dict()
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
        if self.folder is not None and self.first:
            path = self.folder / "log.jsonl"
            with told(path), open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        self.trainer.report(row)

    def _note(self) -> str:
        return f"loss {self.history.log[-1]['loss']:.3f}" if self.history.log else ""

    def _score(self, step: int) -> None:
        if not self.suites:
            return
        from ..measure.scores import score

        for task, suites in suites_by_task(self.model, self.stage, self.suites).items():
            with routing_of(self.model, task):
                self.history.add_scores(step, score(self.model, self.tokenizer, suites))

    @torch.no_grad()
    def _project(self) -> None:
        project = self.stage.project
        if project is None:
            return
        from ..penalties import adapter_directions, project_rows

        if project.adapter is not None and project.adapter in self.stage.train:
            self.directions = adapter_directions(self.model, project.adapter)  # it has moved
        for name, a in self._projected:
            a.copy_(project_rows(a, self.directions[name]))

    def _pairs(self) -> list[tuple[str, torch.Tensor]]:
        """Every A that learns and must be projected, with the name of its module."""
        if self.stage.project is None:
            return []
        from .projection import down_projections

        return [
            (name, a)
            for adapter in self.stage.train
            if adapter != self.stage.project.adapter
            for name, parts in down_projections(self.model, adapter).items()
            if name in self.directions
            for a in parts
        ]


@contextmanager
def whole_steps(keeper: Keeper) -> Iterator[None]:
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

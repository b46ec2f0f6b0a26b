"""Run one stage from its first to its last step, with whole files at every moment.

    out/log.jsonl             one JSON line per log step
    out/checkpoint-000050/    see `checkpoint`; the newest two are kept
    out/adapter/              the trained adapters, in PEFT's format, when the stage is done
    out/history.json          the History, when the stage is done

The same call again goes on where the files end; after the end it loads the result. The first
Ctrl-C lets the step finish and saves; the second stops at once.

Under torchrun the same call trains with all processes: each takes its part of every step, the
losses are those of one process, and process 0 writes the files (see `processes`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..eci_model import head_of
from . import adapters, checkpoint, processes
from .data import Mixture
from .folder import owned, told
from .history import History
from .identity import identity_of, resume_state
from .keeper import Keeper, whole_steps
from .projection import source_directions
from .seeds import seeded
from .stage import Stage
from .trainer import StageTrainer

if TYPE_CHECKING:
    from ..tasks import Example


def run_stage(
    model: Any,
    tokenizer: Any,
    stage: Stage,
    data: Mapping[str, Sequence[Example | dict]],
    out: Path | str | None = None,
    suites: Mapping[str, Sequence[Example]] | None = None,
    on_step: Callable[[int, Any], None] | None = None,
    report_to: Sequence[str] = (),
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
        report_to: trackers that Trainer knows, such as ("tensorboard",).

    Raises:
        ValueError: the mix has no data, an adapter is missing, or `out` holds another run.
        DamagedCheckpoint: a file of the newest checkpoint is not as it was written.
        FloatingPointError: the loss is no number; the last checkpoint is the last good state.
        RuntimeError: another run writes to `out`.
        OSError: `out` cannot be written; says what to do.
        KeyboardInterrupt: it was stopped; with `out`, the same call goes on from there.
    """
    folder = Path(out) if out is not None else None
    adapters.open_adapters(model, stage.train, stage.frozen)
    processes.connect(next(model.parameters()).device.type == "cpu")
    processes.same_start(adapters.trained(model).values())
    with owned(folder if processes.rank() == 0 else None):
        return _run(model, tokenizer, stage, data, folder, suites or {}, on_step, report_to)


def _run(
    model: Any,
    tokenizer: Any,
    stage: Stage,
    data: Mapping[str, Sequence[Example | dict]],
    folder: Path | None,
    suites: Mapping[str, Sequence[Example]],
    on_step: Callable[[int, Any], None] | None,
    report_to: Sequence[str] = (),
) -> History:
    """`run_stage` in a folder that nobody else writes to."""
    state = resume_state(folder, identity_of(model, stage, data))
    head = head_of(model)
    mixture = Mixture(
        data, stage, tokenizer, state["step"], processes.rank(), processes.world(),
        classes=() if head is None else head.labels,
    )  # fmt: skip
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        learning, lr=stage.lr, weight_decay=stage.weight_decay, fused=_can_fuse(learning)
    )
    history = History(
        stage.name, **{key: state[key] for key in ("log", "scores", "seconds", "marks")}
    )
    keeper = Keeper(model, tokenizer, stage, folder, suites, history, state["identity"], on_step)
    if stage.project is not None:
        if state["step"] and folder is not None and keeper.from_inputs:
            checkpoint.restore(folder / checkpoint.START, model, None)
        keeper.directions = source_directions(model, tokenizer, stage, data)
    if state["step"] and folder is not None:
        checkpoint.restore(folder / state["folder"], model, optimizer)
    processes.wait()  # all have read the files before the first one writes
    config = getattr(model, "config", None)
    use_cache = getattr(config, "use_cache", None)
    with seeded(stage.seed, "run"), tempfile.TemporaryDirectory() as scratch:
        try:
            trainer = StageTrainer(model, stage, mixture, optimizer, scratch, [keeper], report_to)
            with keeper.progress, whole_steps(keeper):
                keeper.begin(trainer, state)
                if state["step"] < stage.steps:
                    trainer.train()
        finally:
            if use_cache is not None:
                config.use_cache = use_cache  # type: ignore[union-attr]
            model.zero_grad()
            model.eval()
    if folder is not None and processes.rank() == 0:
        save = partial(checkpoint.save_adapters, model, adapters=stage.train)
        with told(folder):
            history.to_json(folder / "history.json")
            checkpoint.replace_folder(folder / "adapter", save)
    processes.wait()
    return history


def _can_fuse(parameters: list[torch.nn.Parameter]) -> bool:
    """The fused AdamW is one call for all tensors; it exists for CPU and CUDA floats."""
    return all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters)

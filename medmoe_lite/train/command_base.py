"""How `medmoe train` gets its base: on the right device, cut over processes, within its memory."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import processes
from .command_words import say
from .trouble import out_of_memory

if TYPE_CHECKING:
    from .settle import Settled


def base_loader(options: argparse.Namespace) -> Callable[..., tuple[Any, Any]]:
    """A function that loads the base as it was asked for; `whole=True` never cuts it.

    Raises:
        ValueError: (of the function) the device is not there, or the base cannot be cut.
    """
    from ..bases import load_base

    def load(whole: bool = False) -> tuple[Any, Any]:
        cut = options.shard and not whole
        try:
            model, tokenizer = load_base(
                options.base, four_bit=options.four_bit, revision=options.revision,
                device="cpu" if cut else own_device(options.device),
                checkpointing=options.checkpointing,
            )  # fmt: skip
            if cut:
                from .shard import shard_base

                say(str(shard_base(model, options.device)))
        except RuntimeError as error:  # the device that was asked for is not there
            if out_of_memory(error):
                raise
            raise ValueError(str(error)) from error
        return model, tokenizer

    return load


def own_device(asked: str | None) -> str | None:
    """The device of this process: of several on one machine, each has its own GPU.

    >>> own_device("cpu")
    'cpu'
    """
    import torch

    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return asked
    on_cpu = asked == "cpu" or not torch.cuda.is_available()
    processes.connect(on_cpu)
    return "cpu" if on_cpu else f"cuda:{torch.cuda.current_device()}"


def check_memory(options: argparse.Namespace, settled: Settled, column: str, model: Any) -> None:
    """Refuse a run on a GPU that the memory plan says cannot fit, unless `--force`.

    Raises:
        ValueError: it cannot; says how much is missing.
    """
    device = next(model.parameters()).device
    if device.type != "cuda" or options.force or options.shard:
        return
    import torch

    from ..bases.plan_training import plan_training

    there = torch.cuda.get_device_properties(device).total_memory
    plan = plan_training(
        model.config, settled.recipe, options.base, there, column=column,
        four_bit=options.four_bit, checkpointing=options.checkpointing,
        width=model.dtype.itemsize,
    )  # fmt: skip
    if not plan.fits:
        raise ValueError(
            f"stage {plan.largest.stage!r} needs about {plan.total / 1e9:.1f} GB, and the GPU has "
            f"{there / 1e9:.1f} GB. `medmoe plan {options.recipe} --base {options.base}` shows "
            "what takes it and what saves most; --force trains all the same."
        )

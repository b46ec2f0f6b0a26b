"""The small subclass of transformers' Trainer that runs a stage.

    loss = Σ_answer tokens CE / (answer tokens of the whole step)
         + (balance · L_balance + λ · R) / accumulation

The token sum is divided by the step's count, not by the part's, so cutting a batch into parts
changes nothing. What is logged is what was minimised: every term is in `loss`. Trainer's own
logging, saving and data skipping are off; `keeper.Keeper` does that, because a step of the embedded
model takes tens of milliseconds and anything done at each step would be seen.
"""

from __future__ import annotations

import inspect
import random
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainingArguments

from .data import Mixture
from .seeds import derive
from .stage import Stage


class StageTrainer(Trainer):
    """Trainer whose loss is a stage's loss.

    Args:
        model: what is trained; requires_grad says which tensors.
        stage: the stage.
        mixture: its batches, which begin at `mixture.first_step`.
        optimizer: AdamW over the tensors that learn, already restored when resuming.
        folder: Trainer insists on one; nothing is written there.
    """

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: nn.Module,
        stage: Stage,
        mixture: Mixture,
        optimizer: torch.optim.Optimizer,
        folder: str,
        callbacks: list[Any],
    ) -> None:
        self.stage = stage
        first = mixture.first_step
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda done: stage.lr_at(first + done) / stage.lr
        )
        on_cpu = next(model.parameters()).device.type == "cpu"
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=stage.steps - first,
            per_device_train_batch_size=-(-stage.batch_size // stage.accumulation),
            gradient_accumulation_steps=stage.accumulation,
            max_grad_norm=stage.max_grad_norm,
            use_cpu=on_cpu,
            dataloader_pin_memory=not on_cpu,
            logging_strategy="no",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_nan_inf_filter=False,
            remove_unused_columns=False,
            seed=derive(stage.seed, "trainer") % 2**32,
        )
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=mixture,
            optimizers=(optimizer, schedule),
            callbacks=callbacks,
        )
        self.remove_callback(PrinterCallback)
        self.first_step = first
        self.sums: dict[str, torch.Tensor] = {}
        self.counts: dict[str, int] = {}
        self.seconds = 0.0
        self._accepts = accepted_arguments(model)
        self._parts = 0

    @property
    def step(self) -> int:
        """Steps done since the beginning of the stage, resumed or not."""
        return self.first_step + self.state.global_step

    def get_train_dataloader(self) -> DataLoader:
        """One item of the mixture is one batch, in order."""
        return DataLoader(self.train_dataset, batch_size=None, shuffle=False)  # type: ignore[arg-type]

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Forward and backward of one part of a step."""
        began = time.perf_counter()
        if not model.training:
            model.train()
        if self._parts == 0:
            torch.manual_seed(derive(self.stage.seed, "dropout", self.step))
        self._parts = (self._parts + 1) % self.stage.accumulation
        inputs = self._prepare_inputs(inputs)
        with self._noise_gate(model):
            with self.compute_loss_context_manager():
                loss = self.compute_loss(model, inputs)
            self.accelerator.backward(loss)
        self.seconds += time.perf_counter() - began
        return loss.detach()

    def noise_closed(self, step: int) -> bool:
        """Whether the routed experts are closed in a step (noise dropout)."""
        draw = random.Random(derive(self.stage.seed, "noise", step)).random()
        return draw < self.stage.noise_dropout

    def _noise_gate(self, model: nn.Module) -> AbstractContextManager[Any]:
        if not self.stage.noise_dropout or not self.noise_closed(self.step):
            return nullcontext()
        from ..method import routed_closed

        return routed_closed(self.accelerator.unwrap_model(model))

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The stage's loss on one part of a step; its terms are added to `sums`."""
        stage = self.stage
        output, lm = lm_loss(model, inputs, self._accepts)
        loss = lm
        self._add("lm", lm)
        if stage.balance and not (stage.noise_dropout and self.noise_closed(self.step)):
            from ..penalties import balance_loss

            balance = balance_loss(model) / stage.accumulation
            loss = loss + stage.balance * balance
            self._add("balance", balance)
        if stage.orthogonal is not None:
            from ..penalties import orthogonal_penalty

            weight, kind, knowledge, alignment = stage.orthogonal
            penalty = orthogonal_penalty(model, knowledge, alignment, kind) / stage.accumulation
            loss = loss + weight * penalty
            self._add("orthogonal", penalty)
        self._add("loss", loss)
        return (loss, output) if return_outputs else loss

    def _add(self, name: str, value: torch.Tensor) -> None:
        value = value.detach().float()
        self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """Mean per step of every term since the last call; a term counts where it was on."""
        found = {
            name: value.item() * self.stage.accumulation / self.counts[name]
            for name, value in self.sums.items()
        }
        self.sums, self.counts = {}, {}
        return found

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: Trainer would walk over all parameters at each step."""
        return 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Trainer's own summary is not shown; `History` has it."""


def lm_loss(
    model: nn.Module, inputs: dict[str, Any], accepts: set[str] | None = None
) -> tuple[Any, torch.Tensor]:
    """Cross entropy over answer tokens, divided by the answer tokens of the whole step.

    Args:
        model: gives `.logits` (b, t, v), or (b, keep, v) where it takes `logits_to_keep`.
        inputs: one batch of a `Mixture`.
        accepts: keyword arguments of the model, from `accepted_arguments`.

    Returns:
        The model's output, and the loss, a scalar in float32.
    """
    accepts = accepted_arguments(model) if accepts is None else accepts
    labels, keep = inputs["labels"], int(inputs["keep"])
    extra: dict[str, Any] = {}
    if "logits_to_keep" in accepts:
        extra["logits_to_keep"] = keep
    if "use_cache" in accepts:
        extra["use_cache"] = False
    if "prompt_mask" in accepts:
        extra["prompt_mask"] = inputs["prompt_mask"]
    output = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], **extra)
    logits = output.logits[:, -keep:][:, :-1]
    target = labels[:, -keep:][:, 1:]
    chosen = target != -100
    total = F.cross_entropy(logits[chosen].float(), target[chosen], reduction="sum")
    return output, total / max(1, int(inputs["answer_tokens"]))


def accepted_arguments(model: Any) -> set[str]:
    """Names of the keyword arguments that a model's forward takes, seen through PEFT."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return set(inspect.signature(base.forward).parameters)

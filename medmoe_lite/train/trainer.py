"""The small subclass of transformers' Trainer that runs a stage.

    loss = Σ_answer tokens CE / (answer tokens of the whole step)
         + (balance · L_balance + router_z · L_z + preservation · L_preservation) / accumulation
         + λ · R                                     once a step, in its first part

The token sum is divided by the step's count, not by the part's, so cutting a batch into parts
changes nothing; R depends on the weights alone. Several processes (see `processes`) compute the
routers' terms from the sums of all of them, and average their gradients.

What is logged is what was minimised: every term is in `loss`. Trainer's own
logging, saving and data skipping are off; `keeper.Keeper` does that, because a step of the embedded
model takes tens of milliseconds and anything done at each step would be seen.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainingArguments

from ..bases.precision import mixed_precision
from ..eci import class_loss, joint_loss
from ..eci_model import head_of
from . import processes
from .chunked_loss import cost_head
from .data import Mixture
from .lm import accepted_arguments, lm_loss
from .seeds import derive
from .shard import average_gradients, is_sharded
from .stage import Stage
from .terms import router_terms


class StageTrainer(Trainer):
    """Trainer whose loss is a stage's loss.

    Args:
        model: what is trained; requires_grad says which tensors.
        stage: the stage.
        mixture: its batches, which begin at `mixture.first_step`.
        optimizer: AdamW over the tensors that learn, already restored when resuming.
        folder: Trainer insists on one; nothing is written there.
        callbacks: called between steps.
        report_to: trackers that Trainer knows, such as "tensorboard"; they get the rows of the log.
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
        report_to: Sequence[str] = (),
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
            per_device_train_batch_size=-(
                -stage.batch_size // (stage.accumulation * mixture.world)
            ),
            gradient_accumulation_steps=stage.accumulation,
            max_grad_norm=stage.max_grad_norm,
            use_cpu=on_cpu,
            **mixed_precision(model),
            dataloader_pin_memory=not on_cpu,
            logging_strategy="no",
            save_strategy="no",
            report_to=list(report_to),
            run_name=stage.name,
            project="medmoe",
            disable_tqdm=True,
            logging_nan_inf_filter=False,
            remove_unused_columns=False,
            ddp_broadcast_buffers=False,
            ddp_find_unused_parameters=True,  # a step with closed experts leaves routers out
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
        self._head = cost_head(model, stage.chunked_loss)
        self._parts = 0
        self._first_part = True
        self._penalty: Callable[[], torch.Tensor] | None = None

    @property
    def step(self) -> int:
        """Steps done since the beginning of the stage, resumed or not."""
        return self.first_step + self.state.global_step

    @property
    def loss_scale(self) -> torch.amp.GradScaler | None:
        """What multiplies the loss in float16, and learns by how much; None in other numbers."""
        scaler = self.accelerator.scaler
        return scaler if scaler is not None and scaler.is_enabled() else None

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
        self._first_part = self._parts == 0
        if self._first_part:
            own = (processes.rank(),) if processes.rank() else ()
            torch.manual_seed(derive(self.stage.seed, "dropout", self.step, *own))
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
        output, lm = lm_loss(model, inputs, self._accepts, self._head)
        loss = lm * processes.world()
        self._add("lm", loss)
        head = head_of(self.accelerator.unwrap_model(model))
        if head is not None and "class_labels" in inputs:
            ce = class_loss(output.eci_logits, inputs["class_labels"], int(inputs["classified"]))
            ce = ce * processes.world()
            loss = joint_loss(loss, ce, head.loss_weight)
            self._add("eci", ce)
        if not (self.stage.noise_dropout and self.noise_closed(self.step)):
            for name, weight, term in router_terms(self.stage, inputs["task_ids"]):
                value = term(self.accelerator.unwrap_model(model)) / self.stage.accumulation
                loss = loss + weight * value
                self._add(name, value)
        if self.stage.orthogonal is not None and self._first_part:
            penalty = self._orthogonal(self.accelerator.unwrap_model(model))
            loss = loss + self.stage.orthogonal.weight * penalty
            self._add("orthogonal", penalty, parts=self.stage.accumulation)
        self._add("loss", loss)
        return (loss, output) if return_outputs else loss

    def _orthogonal(self, model: nn.Module) -> torch.Tensor:
        """The penalty; the modules that carry both adapters are looked up once."""
        if self._penalty is None:
            from ..penalties import orthogonal_term

            assert self.stage.orthogonal is not None
            _, kind, knowledge, alignment = self.stage.orthogonal
            self._penalty = orthogonal_term(model, knowledge, alignment, kind)
        return self._penalty()

    def _add(self, name: str, value: torch.Tensor, parts: int = 1) -> None:
        value = value.detach().float()
        self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.counts[name] = self.counts.get(name, 0) + parts

    def gather(self) -> None:
        """Give every process the same sums: the means of all."""
        self.sums = processes.mean(self.sums)

    def means(self) -> dict[str, float]:
        """Mean per step of every term since the last call; a term counts where it was on."""
        self.gather()
        found = {
            name: value.item() * self.stage.accumulation / self.counts[name]
            for name, value in self.sums.items()
        }
        self.sums, self.counts = {}, {}
        return found

    def report(self, row: dict[str, Any]) -> None:
        """Hand a row of the log to the trackers of `report_to`."""
        if self.args.report_to:
            state = replace(self.state, global_step=self.step)
            rest = {name: value for name, value in row.items() if name != "step"}
            self.callback_handler.on_log(self.args, state, self.control, rest)

    def _move_model_to_device(self, model: nn.Module, device: torch.device) -> None:
        """A base that is cut over the processes lies where it belongs already."""
        if not is_sharded(model):
            super()._move_model_to_device(model, device)

    def _wrap_model(self, model: nn.Module, training: bool = True, dataloader: Any = None) -> Any:
        """Accelerate refuses to wrap a base that is cut over the processes; see `shard`."""
        if not training or model is not self.model or not is_sharded(model):
            return super()._wrap_model(model, training, dataloader)
        place = {"device_placement": False, "evaluation_mode": True}  # mixed precision, no more
        return average_gradients(self.accelerator.prepare_model(model, **place))

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: Trainer would walk over all parameters at each step."""
        return 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Trainer's own summary is not shown; `History` has it."""

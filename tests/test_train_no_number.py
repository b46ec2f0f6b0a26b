"""A loss that is no number, on a device that is not waited for: late by a step, never unseen."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from train_tiny import pairs, tiny_model, tiny_tokenizer, with_lora

from medmoe_lite.train import Stage, keeper, run_stage, trainer
from medmoe_lite.train.checkpoint import checkpoints

STAGE = Stage("s", {"a": 1}, steps=6, batch_size=4, warmup=1, log_every=6, checkpoint_every=4)


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    monkeypatch.setattr(keeper, "read_at_once", lambda sums: False)


def run(out=None, on_step=None):
    return run_stage(with_lora(tiny_model()), tiny_tokenizer(), STAGE, {"a": pairs(6)}, out,
                     on_step=on_step)  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "done", "kept"),
    [(2, [1, 2], []), (4, [1, 2, 3], []), (5, [1, 2, 3, 4, 5], [4]), (6, [1, 2, 3, 4, 5], [4])],
    ids=["a step later", "before a checkpoint", "before the last", "before the end"],
)
def test_it_stops_and_names_the_step(tmp_path, monkeypatch, as_on_a_gpu, bad, done, kept):
    lm_loss, calls, steps = trainer.lm_loss, [], []

    def loss(*arguments):
        calls.append(1)
        output, value = lm_loss(*arguments)
        return output, value * float("nan") if len(calls) == bad else value

    monkeypatch.setattr(trainer, "lm_loss", loss)
    with pytest.raises(FloatingPointError, match=rf"step {bad} is nan \(from: lm\)") as said:
        run(tmp_path, lambda step, model: steps.append(step))
    assert steps == done
    assert [int(path.name[-6:]) for path in checkpoints(tmp_path)] == kept
    assert ("checkpoint-000004" in str(said.value)) == bool(kept)


def test_no_step_in_between_waits_for_a_number(as_on_a_gpu):
    class Waits(TorchDispatchMode):
        names: list[str] = []

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func is torch.ops.aten._local_scalar_dense.default and args[0].is_floating_point():
                self.names.append(func.name())  # lengths and masks are whole numbers
            return func(*args, **(kwargs or {}))

    mode = Waits()

    def watch(step, model):
        if step == 1:
            mode.__enter__()
        if step == 3:
            mode.__exit__(None, None, None)
            assert not mode.names
            with mode:
                torch.ones(()).item()
            assert mode.names  # it would have been seen

    assert len(run(on_step=watch).log) == 1

"""Killed, stopped and damaged runs."""

import json
import os
import signal
from pathlib import Path

import children
import pytest
import torch
from safetensors.torch import load_file
from train_tiny import pairs, state, tiny_model, tiny_tokenizer, with_lora

from medmoe_lite.train import DamagedCheckpoint, Stage, run_stage, trainer
from medmoe_lite.train.checkpoint import checkpoints, read_state

DATA = {"a": pairs(12), "b": pairs(9, shift=3)}
SUITES = {"near": pairs(3)}


def stage(**fields):
    given = {"steps": 9, "batch_size": 6, "checkpoint_every": 2, "log_every": 3, "score_at": (4,)}
    return Stage("s", {"a": 2, "b": 1}, **{**given, **fields})


def go(out, on_step=None, **fields):
    model = with_lora(tiny_model(), dropout=0.1)
    history = run_stage(
        model, tiny_tokenizer(), stage(**fields), DATA, out=out, suites=SUITES, on_step=on_step
    )
    return state(model), history


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def killed_after_five(out):
    def die(step, model):
        if step == 5:
            os.kill(os.getpid(), signal.SIGKILL)

    go(out, on_step=die)


def test_a_run_killed_with_sigkill_ends_with_the_same_bits(tmp_path):
    if not hasattr(signal, "SIGKILL"):
        pytest.skip("this system has no SIGKILL")
    whole, expected = go(tmp_path / "whole")
    assert children.run(killed_after_five, (tmp_path / "killed",)) == [-signal.SIGKILL]
    assert [path.name for path in checkpoints(tmp_path / "killed")] == [
        "checkpoint-000002", "checkpoint-000004",
    ]  # fmt: skip
    assert not (tmp_path / "killed" / "adapter").exists()
    resumed, history = go(tmp_path / "killed")
    assert same(whole, resumed)
    assert history.log == expected.log
    assert history.scores == expected.scores
    one, two = (
        load_file(tmp_path / run / "checkpoint-000009" / "state.safetensors")
        for run in ("whole", "killed")
    )
    assert one.keys() == two.keys()
    assert same(one, two)
    log = (tmp_path / "killed" / "log.jsonl").read_text()
    assert log == (tmp_path / "whole" / "log.jsonl").read_text()


def test_control_c_waits_for_the_step_and_the_next_call_goes_on(tmp_path):
    whole, _ = go(tmp_path / "whole")
    before = signal.getsignal(signal.SIGINT)

    def interrupt(step, model):
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="go on from"):
        go(tmp_path / "stopped", on_step=interrupt, checkpoint_every=0)
    assert signal.getsignal(signal.SIGINT) is before
    assert len(checkpoints(tmp_path / "stopped")) == 1
    resumed, _ = go(tmp_path / "stopped", checkpoint_every=0)
    assert same(whole, resumed)


def test_the_same_line_goes_on_with_the_model_in_memory(tmp_path):
    whole, history = go(tmp_path / "whole")
    model = with_lora(tiny_model(), dropout=0.1)

    def again(on_step=None):
        return run_stage(
            model, tiny_tokenizer(), stage(), DATA, tmp_path / "cell", SUITES, on_step
        )  # fmt: skip

    def interrupt(step, model):
        if step == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        again(interrupt)
    assert again().log == history.log
    assert same(whole, state(model))
    assert again().log == history.log
    assert same(whole, state(model))


def test_an_error_between_steps_leaves_whole_files(tmp_path):
    whole, _ = go(tmp_path / "whole")

    def fail(step, model):
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "stopped", on_step=fail)
    for folder in checkpoints(tmp_path / "stopped"):
        assert json.loads((folder / "state.json").read_text())["format"] == 1
    resumed, _ = go(tmp_path / "stopped")
    assert same(whole, resumed)


def test_a_finished_run_is_loaded_not_repeated(tmp_path):
    whole, history = go(tmp_path)
    steps = []
    again, loaded = go(tmp_path, on_step=lambda step, model: steps.append(step))
    assert not steps
    assert same(whole, again)
    assert loaded == history


def test_another_run_does_not_go_on_in_the_same_folder(tmp_path):
    go(tmp_path)
    with pytest.raises(ValueError, match=r"stage\.lr \(0\.004 there, 0\.001 here\)"):
        go(tmp_path, lr=1e-3)
    model = with_lora(tiny_model(), seed=7, dropout=0.1)
    with pytest.raises(ValueError, match="the weights it began with"):
        run_stage(model, tiny_tokenizer(), stage(), DATA, out=tmp_path)
    with pytest.raises(ValueError, match="its data"):
        run_stage(
            with_lora(tiny_model(), dropout=0.1), tiny_tokenizer(), stage(),
            {**DATA, "a": pairs(11)}, out=tmp_path,
        )  # fmt: skip


@pytest.mark.parametrize("name", ["state.safetensors", "adapter/adapter_model.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_a_damaged_file_is_named(tmp_path, name, damage):
    go(tmp_path, steps=4)
    path = tmp_path / "checkpoint-000004" / name
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        flipped = data[:-1] + bytes([data[-1] ^ 1])
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else flipped)
    with pytest.raises(DamagedCheckpoint, match=Path(name).name) as error:
        go(tmp_path, steps=4)
    assert "Delete the folder" in str(error.value)


def test_a_damaged_state_is_named_and_the_cure_works(tmp_path):
    whole, _ = go(tmp_path)
    newest = checkpoints(tmp_path)[-1]
    (newest / "state.json").write_text('{"step": 9, "lo')
    with pytest.raises(DamagedCheckpoint, match=r"state\.json cannot be read"):
        go(tmp_path)
    for path in sorted(newest.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    newest.rmdir()
    resumed, _ = go(tmp_path)
    assert same(whole, resumed)


def test_only_the_newest_two_checkpoints_stay(tmp_path):
    go(tmp_path, checkpoint_every=1)
    assert [path.name for path in checkpoints(tmp_path)] == [
        "checkpoint-000008", "checkpoint-000009",
    ]  # fmt: skip
    assert not list(tmp_path.glob(".*"))


def test_the_scale_of_a_loss_in_float16_goes_on(tmp_path, monkeypatch):
    """Doubled every second step; a run that goes on does not begin with the first one again."""
    init = trainer.StageTrainer.__init__

    def scaled(self, *arguments, **rest):
        init(self, *arguments, **rest)
        self.accelerator.scaler = torch.amp.GradScaler("cpu", 2.0**10, growth_interval=2)

    def stop(step, model):
        if step == 5:
            raise RuntimeError("gone")

    monkeypatch.setattr(trainer.StageTrainer, "__init__", scaled)
    whole, _ = go(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="gone"):
        go(tmp_path / "cut", stop)
    found = read_state(checkpoints(tmp_path / "cut")[-1])["loss_scale"]
    assert (found["scale"], found["_growth_tracker"]) == (2.0**12, 0)
    resumed, _ = go(tmp_path / "cut")
    ends = [read_state(checkpoints(tmp_path / run)[-1])["loss_scale"] for run in ("whole", "cut")]
    assert ends[0] == ends[1]
    assert (ends[0]["scale"], ends[0]["_growth_tracker"]) == (2.0**14, 1)
    assert same(whole, resumed)
    monkeypatch.undo()
    go(tmp_path / "plain", steps=4)
    assert "loss_scale" not in read_state(checkpoints(tmp_path / "plain")[-1])

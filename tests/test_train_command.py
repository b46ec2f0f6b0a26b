"""`medmoe train`: files, values, refusals, and what stops a run and how it goes on."""

import errno
import hashlib
import os
import signal
import socket

import children
import pytest
import run_tiny
import torch
from run_tiny import LORA, card, lora, medcare, questions, weights

from medmoe_lite.bases import load_base
from medmoe_lite.train import Recipe, Stage, checkpoint, run_stage
from medmoe_lite.train.command import main
from medmoe_lite.train.recipe_run import examples, prepare
from medmoe_lite.train.result import load_result
from medmoe_lite.train.settle import settle
from medmoe_lite.train.trouble import in_words


def test_files_of_a_run_and_its_card(root):
    out, about = medcare(), card(medcare())
    assert {p.name for p in out.iterdir()} == {
        "run.json", "recipe.yaml", "knowledge", "alignment", "adapters", "DONE",
    }  # fmt: skip
    assert (out / "knowledge" / "routing.json").is_file()
    assert not (out / "alignment" / "routing.json").is_file()  # nothing is routed any more
    assert about["status"] == "done"
    assert about["versions"]["torch"] == torch.__version__
    assert about["seed"] == 0
    listed = (root / "data" / "nano" / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in listed)}
    assert about["base"]["sha256"]["model.safetensors"] == sums["model.safetensors"]
    exam = run_tiny.place() / "exam.jsonl"
    (suite,) = about["suites"]
    assert suite["sha256"] == hashlib.sha256(exam.read_bytes()).hexdigest()
    assert [stage["steps"] for stage in about["stages"]] == [2, 2]
    assert about["given"]["stages.alignment.batch_size"] == 4
    assert "stages.knowledge.warmup = 1: scaled with the steps" in about["stated_defaults"]
    (call,) = about["calls"]
    assert (call["pid"], call["host"]) == (os.getpid(), socket.gethostname())
    assert call["command"].startswith("medmoe train medcare --out")
    assert call["energy"] == {"off": "MEDMOE_ENERGY=0"}
    assert not [p for p in out.rglob("*") if p.name.endswith((".tmp", ".lock", ".bin", ".pt"))]


def test_the_adapters_compute_what_was_trained_though_the_base_was_changed():
    """Rebuilt by the stages' own resume, with the attention merged, and loaded from the files."""
    out, recipe = medcare(), Recipe.read("medcare")
    model, tokenizer = load_base("nano")
    data = examples(recipe, 0, 6)
    for fields in card(out)["stages"]:
        stage = Stage.from_dict(fields)
        model = prepare(recipe, model, stage)
        run_stage(model, tokenizer, stage, data, out / stage.name)
    loaded, _, about = load_result(out)
    assert about["adapters"] == ["default", "alignment"]
    ids = torch.arange(30, 60)[None]
    with torch.no_grad():
        expected, found, base = model(ids).logits, loaded(ids).logits, load_base()[0](ids).logits
    assert (found - expected).norm() < 1e-4 * (expected - base).norm()


def test_a_process_that_has_not_met_the_method_loads_a_run(monkeypatch):
    """Registration must not hang on what else was imported before."""
    from peft import mapping
    from peft.utils.peft_types import PeftType

    from medmoe_lite import method

    called = []
    monkeypatch.setattr(method, "register", lambda: called.append(1))
    monkeypatch.delitem(mapping.PEFT_TYPE_TO_CONFIG_MAPPING, PeftType.MOLORA)
    with pytest.raises(KeyError):
        load_result(lora())
    assert called


def test_the_same_command_again_says_so_and_another_one_is_refused(capsys):
    before = card(lora())
    assert main([*LORA, "--out", str(lora())]) == 0
    assert "is done already" in capsys.readouterr().out
    assert card(lora()) == before
    assert main([*LORA, "--out", str(lora()), "--set", "lr=0.001"]) == 2
    assert "differs from this one in stage.lr (0.004 there, 0.001 here)" in capsys.readouterr().err


def test_what_nobody_published_is_stated():
    sizes = {"dialogue": 900, "labelled": 300}
    found = settle(
        Recipe.read("llamacare"), "paper", ["batch_size=32", "adapters.default.r=8"], sizes
    )
    (stage,) = found.recipe.stages("paper")
    assert stage.mix == {"dialogue": 900, "labelled": 300}
    assert (stage.steps, stage.batch_size, stage.accumulation, stage.warmup) == (38, 32, 4, 1)
    assert stage.lr == 2e-4
    config = found.recipe.config("paper")
    assert (config.r, config.lora_alpha) == (8, 32)
    assert found.recipe.head("paper")["pooling"] == "mean_max"
    stated = " ".join(found.sentences())
    for name in ("mix", "steps", "accumulation", "lr", "warmup", "lora_alpha", "pooling"):
        assert f".{name} = " in stated
    assert ".batch_size = " not in stated
    assert "default.r = " not in stated


def test_no_column_of_any_recipe_is_left_with_an_unknown():
    for name in ("lora", "ming_moe", "medcare", "llamacare", "med_moe_lora"):
        recipe = Recipe.read(name)
        found = settle(recipe, "paper", [], dict.fromkeys(recipe.data(), 1000)).recipe
        assert found.stages("paper")
        for adapter in found.adapters():
            found.config("paper", adapter, layers=24)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["lr=1e-4"], "type 1.0e-4"),
        (["learning_rate=0.1"], "the recipe has no such value"),
        (["stages.multitask.bach_size=3"], "Did you mean 'stages.multitask.batch_size'?"),
        (["steps"], "type KEY=VALUE"),
        ([], "there is no data to take it from"),
    ],
)
def test_wrong_values_say_what_to_type(typed, said):
    with pytest.raises(ValueError, match=r"--set|not published") as found:
        settle(Recipe.read("ming_moe"), "paper", typed, {})
    assert said in str(found.value)


def test_refusals_before_anything_is_loaded(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("medmoe_lite.bases.load_base", lambda *a, **k: pytest.fail("loaded"))
    exam = questions(tmp_path / "exam.jsonl")
    folder = tmp_path / "base"
    folder.mkdir()
    cases = {
        "no source 'fact'": ["--data", f"fact=medqa:{exam}"],
        "is no data: type SOURCE=READER:PATH": ["--data", str(exam)],
        "no reader is named 'medq'": ["--data", f"facts=medq:{exam}"],
        "has no split 'train'": ["--data", f"facts=medqa:{exam}:train"],
        "needs data: --data": ["--base", str(folder)],
        "give --data formats=": ["--base", str(folder), "--data", f"facts=medqa:{exam}"],
        "are in the training data too": [
            "--data", f"facts=medqa:{exam}", "--eval", f"facts=medqa:{exam}",
        ],
    }  # fmt: skip
    for said, words in cases.items():
        assert main(["medcare", "--out", str(tmp_path / "out"), "--steps", "2", *words]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_test_items_are_not_taught(tmp_path, capsys, monkeypatch):
    from medmoe_lite.train.sources import Spec

    read = Spec.read

    def marked(self):
        return [e.__class__(**{**vars(e), "meta": {**e.meta, "split": "test"}}) for e in read(self)]

    monkeypatch.setattr(Spec, "read", marked)
    exam = questions(tmp_path / "exam.jsonl")
    words = ["lora", "--out", str(tmp_path / "out"), "--data", f"facts=medqa:{exam}"]
    assert main([*words, "--eval", "none"]) == 2
    assert "4 examples of 'facts' belong to the benchmark's test split" in capsys.readouterr().err


def test_long_examples_are_found_before_the_first_step(tmp_path, capsys):
    words = [*LORA, "--out", str(tmp_path), "--max-length", "12"]
    assert main(words) == 2
    assert "Type --drop-long to leave them out" in capsys.readouterr().err


def test_a_tracker_that_is_missing_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main([*LORA, "--out", str(tmp_path), "--report-to", "trackio"]) == 2
    assert "pip install trackio" in capsys.readouterr().err


def test_rows_of_the_log_go_to_the_tracker(tmp_path, monkeypatch):
    from transformers import TrainerCallback
    from transformers.integrations import integration_utils

    rows = []

    class Fake(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            rows.append((state.global_step, logs["loss"], os.environ["TENSORBOARD_LOGGING_DIR"]))

    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "tensorboard", Fake)
    monkeypatch.setattr("medmoe_lite.train.command.check_tracker", lambda name: None)
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "")
    words = [*LORA, "--out", str(tmp_path), "--report-to", "tensorboard"]
    assert main([*words, "--set", "log_every=2"]) == 0
    assert [row[0] for row in rows] == [2, 3]
    assert rows[0][2] == str(tmp_path / "multitask" / "tensorboard")


def test_two_runs_in_one_folder_are_refused(tmp_path, capsys):
    from medmoe_lite.train.folder import owned
    from medmoe_lite.train.run_card import RunCard

    RunCard(tmp_path).start(["train", "lora"])
    with owned(tmp_path):
        assert main([*LORA, "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "another run writes to" in said
    assert f"process {os.getpid()} of {socket.gethostname()}" in said


def break_at(monkeypatch, step, error):
    """Let the loss of one step be something else."""
    from medmoe_lite.train import trainer

    lm_loss, calls = trainer.lm_loss, []

    def loss(*arguments, **kwargs):
        calls.append(1)
        output, value = lm_loss(*arguments, **kwargs)
        if len(calls) <= 2 * (step - 1):  # LORA has two parts a step
            return output, value
        if isinstance(error, Exception):
            raise error
        return output, value * error

    monkeypatch.setattr(trainer, "lm_loss", loss)


def test_a_loss_that_is_no_number_stops_the_run_and_says_where(tmp_path, capsys, monkeypatch):
    break_at(monkeypatch, 3, float("nan"))
    assert main([*LORA, "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "stage 'multitask'" in said
    assert "step 3" in said
    good = tmp_path / "multitask" / "checkpoint-000002"
    assert str(good) in said
    assert checkpoint.read_state(good)["step"] == 2
    assert card(tmp_path)["status"] == "failed"
    assert "step 3" in card(tmp_path)["calls"][0]["why"]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_memory_that_is_missing_is_told_with_what_saves_some(error, tmp_path):
    code, said = in_words(error, tmp_path)
    assert code == 1
    for lever in ("--accumulation", "--max-length", "--four-bit", "medmoe plan"):
        assert lever in said


def test_out_of_memory_keeps_the_last_checkpoint(tmp_path, capsys, monkeypatch):
    break_at(monkeypatch, 2, torch.OutOfMemoryError("CUDA out of memory."))
    assert main([*LORA, "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert f"The last good state is {tmp_path / 'multitask' / 'checkpoint-000001'}." in said
    assert card(tmp_path)["status"] == "failed"


def test_a_full_disk_keeps_the_last_checkpoint_and_the_run_goes_on(tmp_path, capsys, monkeypatch):
    from safetensors import SafetensorError
    from safetensors import torch as library

    save, calls = library.save_file, []

    def full(tensors, path, *rest, **kwargs):
        calls.append(path)
        if "checkpoint-000002" in str(path):
            raise SafetensorError("I/O error: No space left on device (os error 28)")
        return save(tensors, path, *rest, **kwargs)

    monkeypatch.setattr(library, "save_file", full)
    assert main([*LORA, "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert os.strerror(errno.ENOSPC) in said
    folder = tmp_path / "multitask"
    assert [p.name for p in checkpoint.checkpoints(folder)] == ["checkpoint-000001"]
    assert checkpoint.read_state(folder / "checkpoint-000001")
    monkeypatch.undo()
    assert main([*LORA, "--out", str(tmp_path)]) == 0
    assert weights(tmp_path) == weights(lora())
    assert [call["status"] for call in card(tmp_path)["calls"]] == ["failed", "done"]


def killed_in_its_third_step(words):
    from medmoe_lite.train import keeper

    after = keeper.Keeper.on_step_end

    def kill(self, *arguments, **rest):
        if self.trainer.step == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        after(self, *arguments, **rest)

    keeper.Keeper.on_step_end = kill
    main(words)


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path):
    """Another process, killed after its second step; this one finishes its work."""
    words = [*LORA, "--out", str(tmp_path)]
    assert children.run(killed_in_its_third_step, (words,)) == [-signal.SIGKILL]
    assert card(tmp_path)["status"] == "running"
    assert main(words) == 0
    assert weights(tmp_path) == weights(lora())
    assert [call["status"] for call in card(tmp_path)["calls"]] == ["killed", "done"]


def test_energy_is_estimated_without_a_network(monkeypatch):
    pytest.importorskip("codecarbon", reason="codecarbon is not installed")
    from medmoe_lite.train.energy import measured_energy

    monkeypatch.setenv("MEDMOE_ENERGY", "1")
    monkeypatch.setattr(socket.socket, "connect", lambda *a: pytest.fail("the network was used"))
    with measured_energy() as energy:
        sum(range(10**5))
    assert energy["kwh"] >= 0
    assert "kg_co2" not in energy

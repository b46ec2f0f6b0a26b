"""Two processes started by torchrun train as one does: same losses, same weights, whole files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import get_peft_model
from safetensors.torch import load_file
from train_tiny import pairs, tiny_model, tiny_tokenizer

from medmoe_lite import MoLoraConfig
from medmoe_lite.train import History, Mixture, Stage, processes, run_stage, seeded
from medmoe_lite.train.checkpoint import checkpoints

DATA = {"a": pairs(12, length=4), "b": pairs(9, shift=3)}
SILENT = [{"input_ids": [5, 6, 7 + i], "labels": [-100] * 3} for i in range(6)]
SUITES = {"near": pairs(3)}


def config(**fields):
    given = {
        "r": 4, "num_experts": 4, "top_k": 2, "general_experts": 2, "shared_experts": 1,
        "target_modules": ["up_proj", "down_proj"], "plain_modules": ["q_proj"],
    }  # fmt: skip
    return MoLoraConfig(**{**given, **fields})


def experts():
    with seeded(0, "init"):
        return get_peft_model(tiny_model(), config())


def two_adapters():
    plain = {"num_experts": 0, "general_experts": 0}
    with seeded(0, "init"):
        model = get_peft_model(tiny_model(), config(**plain))
    with seeded(1, "init"):
        model.add_adapter("alignment", config(**plain))
    model.gradient_checkpointing_enable()
    return model


def routed(out, on_step=None, model=None):
    """Every term of the routers, closed steps between open ones, an odd number of examples."""
    given = Stage(
        "routed", {"a": 2, "b": 1}, steps=6, batch_size=7, balance=0.1, router_z=1e-2,
        preservation={"weight": 0.5, "delta": 0.3, "source": "b"}, noise_dropout=0.4,
        log_every=2, checkpoint_every=2, score_at=(3,),
    )  # fmt: skip
    return run_stage(
        experts() if model is None else model, tiny_tokenizer(), given, DATA, out, SUITES, on_step
    )


def orthogonal(out):
    """No answer in the data, so the penalty is all that moves a weight."""
    given = Stage(
        "penalty", {"silent": 1}, steps=3, batch_size=6, accumulation=2, train="alignment",
        frozen="default", orthogonal={"weight": 1.0}, log_every=1,
    )  # fmt: skip
    return run_stage(two_adapters(), tiny_tokenizer(), given, {"silent": SILENT}, out)


def child(out):
    """What each process of torchrun does."""
    from medmoe_lite.train import checkpoint, history, keeper

    rank = int(os.environ["RANK"])
    if rank:

        def forbidden(*args, **kwargs):
            raise AssertionError("only process 0 may write")

        for module, name in (
            (checkpoint, "save"), (checkpoint, "save_adapters"), (keeper, "write_text"),
            (history, "write_json"),
        ):  # fmt: skip
            setattr(module, name, forbidden)

    def stop(step, model):
        if step == 5:
            raise RuntimeError("gone")

    found = [routed(out / "routed")]
    with pytest.raises(RuntimeError, match="gone"):
        routed(out / "cut", on_step=stop)
    if rank:  # other weights at the start: those of process 0 count
        model = experts()
        for parameter in model.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter)
    found += [routed(out / "cut", model=model if rank else None), orthogonal(out / "penalty")]
    text = json.dumps([[one.log, one.scores] for one in found])
    (out / f"seen-{rank}.json").write_text(text)
    assert processes.world() == 2
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """The folder that two processes have filled."""
    folder = tmp_path_factory.mktemp("two")
    tests = Path(__file__).parent
    script = folder / "script.py"
    script.write_text(
        f"import sys\nsys.path[:0] = [{str(tests)!r}, {str(tests.parent)!r}]\n"
        "import pathlib, torch\ntorch.set_num_threads(1)\n"
        f"import test_distributed\ntest_distributed.child(pathlib.Path({str(folder)!r}))\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*command, "--nproc-per-node", "2", str(script)],
        env={**os.environ, "PYTHONPATH": str(tests.parent), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-6000:]
    return folder


@pytest.mark.parametrize(("name", "run"), [("routed", routed), ("penalty", orthogonal)])
def test_two_processes_give_the_losses_and_weights_of_one(out, tmp_path, name, run):
    alone = run(tmp_path)
    together = History.from_json(out / name / "history.json")
    assert len(alone.log) == 3
    for one, two in zip(alone.log, together.log, strict=True):
        assert one == pytest.approx(two, rel=2e-4, abs=1e-7)
    assert alone.scores == together.scores
    for path in sorted((tmp_path / "adapter").rglob("*.safetensors")):
        one = load_file(path)
        two = load_file(out / name / "adapter" / path.relative_to(tmp_path / "adapter"))
        for key, tensor in one.items():
            torch.testing.assert_close(two[key], tensor, rtol=2e-3, atol=5e-5, msg=key)


def test_every_term_was_there_and_closed_steps_too(out):
    rows = History.from_json(out / "routed" / "history.json").log
    assert any(row["lm"] < row["loss"] for row in rows)
    assert {"balance", "router_z", "preservation"} <= set().union(*rows)


def test_the_penalty_alone_moves_the_alignment(out):
    rows = History.from_json(out / "penalty" / "history.json").log
    assert [row["lm"] for row in rows] == [0, 0, 0]
    assert all(row["loss"] == pytest.approx(row["orthogonal"]) for row in rows)
    assert rows[-1]["orthogonal"] < rows[0]["orthogonal"]


def test_both_saw_the_same_and_a_stopped_run_ended_with_the_same_bits(out):
    first, second = (json.loads((out / f"seen-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert first[0] == first[1]
    one, two = (
        load_file(checkpoints(out / run)[-1] / "state.safetensors") for run in ("routed", "cut")
    )
    assert one.keys() == two.keys()
    assert all(torch.equal(tensor, two[key]) for key, tensor in one.items())


def test_parts_and_processes_share_every_step_without_a_gap():
    stage = Stage("s", {"a": 1, "b": 1}, 3, batch_size=7, accumulation=2)
    whole = Mixture(DATA, stage, tiny_tokenizer())
    shared = [Mixture(DATA, stage, tiny_tokenizer(), rank=rank, world=3) for rank in range(3)]
    for step in range(3):
        expected = [item["input_ids"] for item in whole.step_items(step)]
        found = []
        for part in range(2):
            for mixture in shared:
                batch = mixture[2 * step + part]
                assert batch["answer_tokens"] == whole[2 * step]["answer_tokens"]
                for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True):
                    found.append(ids[mask.bool()].tolist())
        assert found == expected
    with pytest.raises(ValueError, match=r"too few for 4 processes with accumulation=2"):
        Mixture(DATA, stage, tiny_tokenizer(), world=4)


def test_one_process_is_the_usual_case():
    assert processes.mean({"a": torch.ones(())}) == {"a": torch.ones(())}
    assert processes.anyone(True, torch.device("cpu"))
    processes.wait()

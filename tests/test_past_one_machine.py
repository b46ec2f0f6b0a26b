"""Two processes, with a base held whole or cut over them, train and measure as one process does.

Two processes are started once; `child` does everything in them, and the tests compare with one
process. With MEDMOE_SLOW=1 torchrun starts them, as it always does in test_distributed.py.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import children
import numpy as np
import pytest
import torch
from layer_tiny import shake
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from test_distributed import DATA, SUITES, config
from test_eci_train import LABELS, items
from train_tiny import pairs, tiny_model, tiny_tokenizer

from medmoe_lite import record_routing
from medmoe_lite.eci_model import load_eci, with_eci
from medmoe_lite.method.attention import merge_attention
from medmoe_lite.train import History, Stage, processes, run_stage, seeded
from medmoe_lite.train.checkpoint import checkpoints
from medmoe_lite.train.shard import Shards, is_cut, is_sharded, shard_base

IDS = torch.arange(4, 36).reshape(4, 8)
MASK = torch.tensor([[1] * 8, [1] * 8, [1] * 5 + [0] * 3, [1] * 7 + [0]])
NAMES = ["facts", "formats", "facts", "general"]  # the second process sees a group of its own
PLAIN = {"num_experts": 0, "general_experts": 0}


def attach(base, **fields):
    with seeded(0, "init"):
        return get_peft_model(base, config(**fields))


def cut(base):
    shard_base(base, "cpu")
    return base


def classifier():
    with seeded(0, "head"):
        return with_eci(attach(tiny_model()), LABELS, dropout=0.0, weight=0.5)


def labels(out, model=None):
    """Experts and a head; most examples have no class, so some parts of a step have none."""
    given = Stage(
        "labels", {"a": 1, "b": 4}, steps=6, batch_size=7, balance=0.1, accumulation=2,
        log_every=2, checkpoint_every=2,
    )  # fmt: skip
    data = {"a": items(), "b": pairs(8)}
    model = classifier() if model is None else model
    return run_stage(model, tiny_tokenizer(), given, data, out)


def two_adapters(base):
    model = attach(base)
    with seeded(1, "init"):
        model.add_adapter("alignment", config(**PLAIN))
    model.gradient_checkpointing_enable()
    return model


def everything(out, model, on_step=None, suites=SUITES):
    """All terms at once, layers that run again in the backward pass, closed steps, scores."""
    given = Stage(
        "all", {"a": 2, "b": 1}, steps=6, batch_size=7, train=("default", "alignment"),
        balance=0.1, router_z=1e-2, preservation={"weight": 0.5, "delta": 0.3, "source": "b"},
        orthogonal={"weight": 1.0, "kind": "cosine"}, noise_dropout=0.4, log_every=2,
        checkpoint_every=2, score_at=(3,),
    )  # fmt: skip
    return run_stage(model, tiny_tokenizer(), given, DATA, out, suites, on_step)


def half():
    """A base in bfloat16; adapters and routers on it are float32."""
    return tiny_model().to(torch.bfloat16)


def gradients(model):
    """Loss and gradients of what learns, by name."""
    shake(model)
    model.train()
    loss = model(input_ids=IDS, attention_mask=MASK, labels=IDS).loss
    loss.backward()
    return loss.item(), {n: p.grad for n, p in model.named_parameters() if p.requires_grad}


def routing(model, own=slice(None)):
    """The log of a batch, or of one process's rows of it."""
    shake(model)
    model.eval()
    with torch.no_grad(), record_routing(model, groups=NAMES[own]) as log:
        model(input_ids=IDS[own], attention_mask=MASK[own])
    return log


def numbers(log):
    """What a log says, with groups by name."""
    order = np.argsort(log.group_names)
    tables = (log.usage, log.chosen, log.probability, log.entropy, log.token_count)
    return [table[:, :, order].tolist() for table in tables]


def gone_after(last):
    def stop(step, model):
        if step == last:
            raise RuntimeError("gone")

    return stop


def child(out):
    """What each of the two processes does."""
    rank = int(os.environ["RANK"])
    labels(out / "labels")

    log = routing(attach(tiny_model()), slice(2 * rank, 2 * rank + 2)).gather()
    said = {"log": numbers(log), "names": log.group_names}

    plain, sharded = gradients(attach(half())), gradients(attach(cut(half())))
    assert plain[0] == sharded[0]
    for name, gradient in plain[1].items():
        assert torch.equal(gradient, sharded[1][name]), name
    late = attach(half())  # the adapter is there before the base is cut
    shards = shard_base(late, "cpu")
    said["shards"] = [*shards]
    assert gradients(late)[0] == plain[0]
    assert not any(is_cut(p) for p in late.parameters() if p.requires_grad)
    with pytest.raises(ValueError, match="cut over the processes already"):
        shard_base(late, "cpu")

    model = two_adapters(cut(tiny_model()))
    assert is_sharded(model)
    everything(out / "cut", model)
    with torch.no_grad():
        logits = model(input_ids=IDS, attention_mask=MASK).logits
    with pytest.raises(RuntimeError, match="gone"):
        everything(out / "again", two_adapters(cut(tiny_model())), gone_after(5), None)
    everything(out / "again", two_adapters(cut(tiny_model())), suites=None)

    merged = shake_all(attach(cut(tiny_model())))
    lost = merge_attention(merged).lost
    with torch.no_grad():
        folded = merged(input_ids=IDS).logits
    if rank == 0:
        save_file({"logits": logits, "folded": folded}, out / "logits.safetensors")
        (out / "said.json").write_text(json.dumps({**said, "lost": lost}))
    torch.distributed.destroy_process_group()


def shake_all(model):
    shake(model)
    return model.eval()


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """The folder that two processes have filled."""
    folder = tmp_path_factory.mktemp("two")
    if not children.SLOW:
        assert children.run_two(child, folder) == [0, 0]
        return folder
    tests = Path(__file__).parent
    script = folder / "script.py"
    script.write_text(
        f"import sys\nsys.path[:0] = [{str(tests)!r}, {str(tests.parent)!r}]\n"
        "import pathlib, torch\ntorch.set_num_threads(1)\n"
        f"import test_past_one_machine as here\nhere.child(pathlib.Path({str(folder)!r}))\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*command, "--nproc-per-node", "2", str(script)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-6000:]
    return folder


@pytest.fixture(scope="module")
def said(out):
    return json.loads((out / "said.json").read_text())


def same_run(alone, one, two):
    """Losses of every row, scores, and the final weights, of a run in `one` and a run in `two`."""
    together = History.from_json(two / "history.json")
    assert len(alone.log) == 3
    for row, other in zip(alone.log, together.log, strict=True):
        assert row == pytest.approx(other, rel=2e-4, abs=1e-7)
    assert alone.scores == together.scores
    files = sorted((one / "adapter").rglob("*.safetensors"))
    assert files
    for path in files:
        tensors = load_file(two / "adapter" / path.relative_to(one / "adapter"))
        for key, tensor in load_file(path).items():
            torch.testing.assert_close(tensors[key], tensor, rtol=2e-3, atol=5e-5, msg=key)


def before_the_end(run, copy):
    """The files of a run as they were after its fourth step."""
    shutil.copytree(run, copy)
    shutil.rmtree(checkpoints(copy)[-1])
    shutil.rmtree(copy / "adapter")
    (copy / "history.json").unlink()
    assert checkpoints(copy)[-1].name == "checkpoint-000004"
    return copy


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """One process, whole base: its folder and history."""
    folder = tmp_path_factory.mktemp("one")
    model = two_adapters(tiny_model())
    return folder, everything(folder, model)


def test_experts_and_a_head_learn_the_same_in_two_processes(out, tmp_path):
    history = labels(tmp_path)
    assert {"eci", "balance", "lm"} <= set(history.log[0])
    same_run(history, tmp_path, out / "labels")
    assert (tmp_path / "adapter" / "eci.safetensors").is_file()


def test_what_two_processes_began_one_process_ends(out, tmp_path):
    begun = before_the_end(out / "labels", tmp_path / "begun")
    same_run(labels(begun), begun, out / "labels")


def test_routing_is_summed_over_processes(said):
    log = routing(attach(tiny_model()))
    assert said["names"] == ["facts", "formats", "general"]
    for one, two in zip(numbers(log), said["log"], strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)
    assert np.nansum(log.token_count[0, 0]) == MASK.sum()
    assert log.gather() is log  # one process: nothing to add


def test_a_cut_base_trains_as_a_whole_one(out, alone):
    folder, history = alone
    terms = {"balance", "router_z", "preservation", "orthogonal"}
    assert terms <= set().union(*history.log)
    same_run(history, folder, out / "cut")


def test_a_stopped_run_on_a_cut_base_ends_with_the_same_bits(out):
    one, two = (
        load_file(checkpoints(out / run)[-1] / "state.safetensors") for run in ("cut", "again")
    )
    assert one.keys() == two.keys()
    assert all(torch.equal(tensor, two[key]) for key, tensor in one.items())


def test_a_run_on_a_cut_base_goes_on_with_a_whole_one(out, tmp_path, alone):
    begun = before_the_end(out / "cut", tmp_path / "begun")
    same_run(everything(begun, two_adapters(tiny_model())), begun, alone[0])


def test_an_adapter_from_a_cut_base_loads_in_one_process(out):
    model = PeftModel.from_pretrained(tiny_model(), out / "cut" / "adapter")
    model.load_adapter(out / "cut" / "adapter" / "alignment", "alignment")
    model.base_model.set_adapter(["default", "alignment"])
    model.eval()
    with torch.no_grad():
        logits = model(input_ids=IDS, attention_mask=MASK).logits
    expected = load_file(out / "logits.safetensors")["logits"]
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)


def test_attention_is_folded_into_a_cut_base(out, said):
    model = shake_all(attach(tiny_model()))
    assert said["lost"] == pytest.approx(merge_attention(model).lost, rel=1e-6)
    with torch.no_grad():
        logits = model(input_ids=IDS).logits
    expected = load_file(out / "logits.safetensors")["folded"]
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)


def test_the_head_of_two_processes_loads_in_one(out):
    folder = out / "labels" / "adapter"
    model = load_eci(PeftModel.from_pretrained(tiny_model(), folder), folder)
    ones = torch.ones_like(IDS)
    assert model(input_ids=IDS, prompt_mask=ones).eci_logits.shape == (4, len(LABELS))


def test_shards_say_what_each_process_holds(said):
    shards = Shards(*said["shards"])
    base = half()
    head = sum(p.numel() * p.element_size() for p in base.get_output_embeddings().parameters())
    every = sum(p.numel() * p.element_size() for p in base.parameters())
    experts = sum(p.numel() * 4 for p in attach(half()).parameters() if p.requires_grad)
    assert shards == (2, every - head, head + experts)


def test_what_cannot_be_cut_is_refused_with_what_to_type(monkeypatch):
    with pytest.raises(ValueError, match=r"there is one: .*--nproc-per-node 2.* leave --shard out"):
        shard_base(tiny_model())
    monkeypatch.setattr(processes, "world", lambda: 2)
    packed = tiny_model()
    weight = torch.zeros(8, dtype=torch.uint8)
    packed.model.layers[0].mlp.up_proj.weight = torch.nn.Parameter(weight, requires_grad=False)
    with pytest.raises(ValueError, match=r"up_proj.weight is stored in 4 or 8 bits.*--four-bit"):
        shard_base(packed, "cpu")
    nameless = tiny_model()
    nameless._no_split_modules = None
    with pytest.raises(ValueError, match="does not say which of its modules are blocks"):
        shard_base(nameless, "cpu")


@pytest.mark.parametrize("name", ["ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"])
def test_accelerate_may_not_cut_by_itself(monkeypatch, name):
    monkeypatch.setenv(name, "true")
    with pytest.raises(ValueError, match=r"launch/ \(distributed_type MULTI_GPU\).*--shard"):
        processes.connect(on_cpu=True)

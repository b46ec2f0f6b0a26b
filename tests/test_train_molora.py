"""Stages on the mixture of LoRA experts itself: routers, noise dropout, penalty, projection."""

import pytest
import torch
from peft import get_peft_model
from train_tiny import pairs, state, tiny_model, tiny_tokenizer

from medmoe_lite import MoLoraConfig, expert_weights, orthogonal_penalty
from medmoe_lite.penalties import input_directions
from medmoe_lite.tasks import collate, encode
from medmoe_lite.train import Stage, run_stage, seeded
from medmoe_lite.train.checkpoint import checkpoints, restore

DATA = {"a": pairs(12), "b": pairs(9, shift=3)}


def config(**fields):
    given = {
        "r": 4, "num_experts": 4, "top_k": 2, "shared_experts": 1, "lora_dropout": 0.1,
        "target_modules": ["up_proj", "down_proj"], "plain_modules": ["q_proj"],
        "task_type": "CAUSAL_LM",
    }  # fmt: skip
    return MoLoraConfig(**{**given, **fields})


def molora(**fields):
    with seeded(0, "init"):
        return get_peft_model(tiny_model(), config(**fields))


def two_adapters():
    plain = {"num_experts": 0, "lora_dropout": 0.0}
    model = molora(**plain)
    with seeded(1, "init"):
        model.add_adapter("alignment", config(**plain))
    return model


def stage(**fields):
    return Stage("s", {"a": 2, "b": 1}, **{"steps": 6, "batch_size": 6, **fields})


def test_routers_learn_and_their_balance_is_in_the_loss():
    model = molora()
    before = expert_weights(model)
    before = {
        name: parts.router_weight.clone()
        for name, parts in before.items()
        if parts.num_shared and parts.router_weight is not None
    }
    (row,) = run_stage(model, tiny_tokenizer(), stage(balance=0.5, log_every=6), DATA).log
    assert row["loss"] == pytest.approx(row["lm"] + 0.5 * row["balance"], rel=1e-5)
    assert 0.9 < row["balance"] < 4
    after = expert_weights(model)
    assert len(before) == 4
    assert all(
        not torch.equal(after[name].router_weight, weight) for name, weight in before.items()
    )


def test_closed_steps_teach_the_shared_expert_alone():
    model = molora()
    before = {n: [a.clone() for a in p.A + p.B] for n, p in expert_weights(model).items()}
    run_stage(model, tiny_tokenizer(), stage(noise_dropout=1 - 1e-12, balance=0.1), DATA)
    for name, parts in expert_weights(model).items():
        experts = len(parts.A)
        for i, tensor in enumerate(parts.A + parts.B):
            same = torch.equal(tensor, before[name][i])
            assert same == (i % experts >= parts.num_shared), (name, i)


def test_balance_is_the_mean_over_open_steps():
    rows = run_stage(
        molora(),
        tiny_tokenizer(),
        stage(steps=30, noise_dropout=0.5, balance=0.1, log_every=30),
        DATA,
    ).log
    assert rows[0]["balance"] > 0.9


@pytest.mark.parametrize("kind", ["l1", "cosine"])
def test_the_first_penalty_is_that_of_the_start(kind):
    model = two_adapters()
    start = orthogonal_penalty(model, kind=kind).item()
    given = stage(
        train="alignment", frozen="default", steps=40, batch_size=3, lr=1e-2, log_every=1,
        orthogonal={"weight": 1.0, "kind": kind},
    )  # fmt: skip
    log = run_stage(model, tiny_tokenizer(), given, DATA).log
    assert log[0]["orthogonal"] == pytest.approx(start, rel=1e-5)
    assert log[0]["loss"] == pytest.approx(log[0]["lm"] + start, rel=1e-5)
    assert log[-1]["orthogonal"] < 0.7 * start
    assert orthogonal_penalty(model, kind=kind).item() < 0.7 * start


def test_a_projected_adapter_reads_nothing_of_the_protected_inputs():
    model, tokenizer = two_adapters(), tiny_tokenizer()
    given = stage(train="alignment", frozen="default", project=("b", 0.99), lr=1e-2)
    batch = collate([encode(e, tokenizer) for e in DATA["b"]], 0)
    inputs = {key: batch[key] for key in ("input_ids", "attention_mask")}
    model.base_model.set_adapter(["default", "alignment"])
    directions = input_directions(model, [inputs], 0.99)
    run_stage(model, tokenizer, given, DATA)
    for name, parts in expert_weights(model, "alignment").items():
        overlap = torch.cat(parts.A) @ directions[name]
        assert overlap.abs().max() < 1e-5
    for name, parts in expert_weights(model, "default").items():
        assert (torch.cat(parts.A) @ directions[name]).abs().max() > 1e-2


@pytest.mark.parametrize("fresh", [True, False])
def test_a_stopped_mixture_goes_on_with_the_same_bits(tmp_path, fresh):
    given = stage(
        steps=8, noise_dropout=0.5, balance=0.1, checkpoint_every=3, log_every=2, project=("a", 0.5)
    )
    whole, stopped = molora(), molora()
    expected = run_stage(whole, tiny_tokenizer(), given, DATA, out=tmp_path / "whole")

    def stop(step, model):
        if step == 5:
            raise RuntimeError("the machine is gone")

    with pytest.raises(RuntimeError, match="gone"):
        run_stage(stopped, tiny_tokenizer(), given, DATA, out=tmp_path / "cut", on_step=stop)
    resumed = molora() if fresh else stopped
    if not fresh:  # the cell is run again: the checkpoint's weights are still in memory
        restore(checkpoints(tmp_path / "cut")[-1], resumed, None)
    history = run_stage(resumed, tiny_tokenizer(), given, DATA, out=tmp_path / "cut")
    one, two = state(whole), state(resumed)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert history.log == expected.log


def test_four_bits_train_score_and_resume(tmp_path):
    from medmoe_lite.bases.load import load_base

    tiny_model().save_pretrained(tmp_path / "base")
    tiny_tokenizer().save_pretrained(tmp_path / "base")

    def build():
        base, tokenizer = load_base(tmp_path / "base", four_bit=True, device="cpu")
        with seeded(0, "init"):
            return get_peft_model(base, config()), tokenizer

    given = stage(checkpoint_every=2, score_at=(3,), noise_dropout=0.5)
    suites = {"s": pairs(4)}
    whole, tokenizer = build()
    history = run_stage(whole, tokenizer, given, DATA, out=tmp_path / "a", suites=suites)

    def stop(step, model):
        if step == 5:
            raise KeyboardInterrupt

    model, _ = build()
    with pytest.raises(KeyboardInterrupt):
        run_stage(model, tokenizer, given, DATA, tmp_path / "b", suites, stop)
    model, _ = build()
    resumed = run_stage(model, tokenizer, given, DATA, out=tmp_path / "b", suites=suites)
    one, two = state(whole), state(model)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert resumed.log == history.log
    assert resumed.scores == history.scores

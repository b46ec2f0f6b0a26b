"""Stages with the newer terms: gates that ask for more, projection off an adapter, the penalty."""

import pytest
import torch
from peft import get_peft_model
from train_tiny import pairs, state, tiny_model, tiny_tokenizer

from medmoe_lite import MoLoraConfig, expert_weights, orthogonal_penalty
from medmoe_lite.projection import adapter_directions
from medmoe_lite.train import Mixture, Preservation, Stage, run_stage, seeded
from medmoe_lite.train.identity import _with_new_fields
from medmoe_lite.train.trainer import accepted_arguments

DATA = {"a": pairs(12), "b": pairs(9, shift=3)}


def config(**fields):
    given = {
        "r": 4, "num_experts": 4, "top_k": 2, "shared_experts": 1,
        "target_modules": ["up_proj", "down_proj"], "plain_modules": ["q_proj"],
    }  # fmt: skip
    return MoLoraConfig(**{**given, **fields})


def molora(**fields):
    with seeded(0, "init"):
        return get_peft_model(tiny_model(), config(**fields))


def two_adapters():
    model = molora(num_experts=0)
    with seeded(1, "init"):
        model.add_adapter("alignment", config(num_experts=0))
    return model


def stage(**fields):
    return Stage("s", {"a": 2, "b": 1}, **{"steps": 4, "batch_size": 6, "log_every": 1, **fields})


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"router_z": -1}, "router_z=-1"),
        ({"preservation": (0.1, 1.5, "a")}, "preservation delta=1.5"),
        ({"preservation": (-0.1, 0.1, "a")}, "weight of the preservation"),
        ({"preservation": {"weight": 0.1}}, r"takes \['general'\] as general"),
        ({"project": "adapter:default"}, "cannot be projected off itself"),
    ],
)
def test_wrong_stages_say_what_to_type(fields, says):
    if isinstance(fields.get("project"), str):
        fields = {"project": {"source": fields["project"]}}
    with pytest.raises(ValueError, match=says):
        stage(**fields)


def test_the_new_fields_are_plain_json_and_come_back():
    one = stage(preservation={"weight": 0.1, "source": ["a", "b"]}, router_z=1e-3)
    assert one.preservation == Preservation(0.1, 0.1, ("a", "b"))
    assert one.to_dict()["preservation"]["source"] == ["a", "b"]
    assert Stage.from_dict(one.to_dict()) == one
    old = stage().to_dict()
    del old["router_z"], old["preservation"]
    assert _with_new_fields({"stage": old})["stage"] == stage().to_dict()


def test_items_say_which_source_they_are_from():
    mixture = Mixture(DATA, stage(accumulation=2), tiny_tokenizer())
    for step in range(4):
        found = torch.cat([mixture[2 * step + part]["task_ids"] for part in range(2)])
        expected = [["a", "b"].index(source) for source, _ in mixture.step_examples(step)]
        assert sorted(found.tolist()) == sorted(expected)


@pytest.mark.parametrize(
    ("gate", "asks"),
    [
        ({"gate": "task", "num_tasks": 2}, {"task_ids"}),
        ({"gate": "sequence", "top_k": None}, {"prompt_mask"}),
        ({"gate": "token"}, set()),
    ],
)
def test_gates_get_what_they_ask_for_in_training_and_scoring(gate, asks):
    model = molora(**gate)
    assert accepted_arguments(model) & {"task_ids", "prompt_mask"} == asks
    before = state(model)
    suites = {"a": pairs(3), "b/new": pairs(3, shift=3)}
    history = run_stage(
        model, tiny_tokenizer(), stage(balance=0.1, router_z=1e-3), DATA, None, suites
    )
    assert {row["suite"] for row in history.scores} == set(suites)
    assert all(
        row["loss"] == pytest.approx(row["lm"] + 0.1 * row["balance"] + 1e-3 * row["router_z"])
        for row in history.log
    )
    routers = [name for name in before if "molora_router" in name]
    after = state(model)
    assert any(not torch.equal(before[name], after[name]) for name in routers)


def test_a_suite_without_a_task_is_named():
    model = molora(gate="task", num_tasks=2)
    with pytest.raises(ValueError, match=r"begins with one of \['a', 'b'\]"):
        run_stage(model, tiny_tokenizer(), stage(), DATA, suites={"other": pairs(2)})


@pytest.mark.parametrize("moving", [False, True])
def test_off_the_row_space_of_the_knowledge_adapter(moving):
    model = two_adapters()
    given = stage(
        train=("default", "alignment") if moving else ("alignment",), lr=1e-2,
        frozen=() if moving else ("default",), project={"source": "adapter:default"},
    )  # fmt: skip
    before = state(model)
    run_stage(model, tiny_tokenizer(), given, DATA)
    assert orthogonal_penalty(model, kind="cosine") < 1e-9
    kept = expert_weights(model, "default")
    for name, parts in expert_weights(model, "alignment").items():
        A, K = torch.cat(parts.A), torch.cat(kept[name].A)
        assert (A @ K.T).abs().max() < 1e-5
        assert A.norm() > 0.3
        assert K.norm() > 0.3
    after = state(model)
    same = [torch.equal(before[n], after[n]) for n in before if "experts.default.A" in n]
    assert len(same) == 6
    assert not any(same) if moving else all(same)


def test_a_projected_run_goes_on_with_the_same_bits(tmp_path):
    given = stage(
        train=("default", "alignment"), project={"source": "adapter:default"}, checkpoint_every=2,
        orthogonal={"weight": 0.1, "kind": "cosine"}, accumulation=2,
    )  # fmt: skip
    whole = two_adapters()
    expected = run_stage(whole, tiny_tokenizer(), given, DATA, tmp_path / "whole")

    def stop(step, model):
        if step == 3:
            raise RuntimeError("gone")

    with pytest.raises(RuntimeError, match="gone"):
        run_stage(two_adapters(), tiny_tokenizer(), given, DATA, tmp_path / "cut", on_step=stop)
    resumed = two_adapters()
    history = run_stage(resumed, tiny_tokenizer(), given, DATA, tmp_path / "cut")
    one, two = state(whole), state(resumed)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert history.log == expected.log


def test_directions_of_an_adapter_span_its_rows():
    model = two_adapters()
    for name, Q in adapter_directions(model, "default").items():
        A = torch.cat(expert_weights(model, "default")[name].A)
        assert Q.shape == A.T.shape
        torch.testing.assert_close(Q.T @ Q, torch.eye(Q.shape[1]), atol=1e-5, rtol=0)
        torch.testing.assert_close(A @ Q @ Q.T, A, atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="smaller rank"):
        adapter_directions(molora(num_experts=0, r=64), "default")


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable.*:FutureWarning")
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_penalty_weighs_the_same_however_the_batch_is_cut(checkpointing):
    """No answer in the data, so the penalty alone moves the weights."""
    silent = {"a": [{"input_ids": [5, 6, 7 + i], "labels": [-100] * 3} for i in range(6)]}
    found = []
    for accumulation in (1, 3):
        model = two_adapters()
        if checkpointing:
            model.gradient_checkpointing_enable()
        before = state(model)
        given = Stage(
            "s", {"a": 1}, 2, batch_size=6, accumulation=accumulation, train="alignment",
            frozen="default", orthogonal={"weight": 1e-2}, log_every=1, max_grad_norm=1e9,
        )  # fmt: skip
        log = run_stage(model, tiny_tokenizer(), given, silent).log
        assert all(row["loss"] == pytest.approx(1e-2 * row["orthogonal"]) for row in log)
        after = state(model)
        moved = {n: after[n] - before[n] for n in before if not torch.equal(after[n], before[n])}
        assert len([n for n in moved if "alignment.A" in n]) == len(moved) == 6
        found.append((moved, [row["orthogonal"] for row in log]))
    assert found[0][1] == found[1][1]
    assert all(torch.equal(found[0][0][name], found[1][0][name]) for name in found[0][0])

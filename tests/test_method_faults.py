"""Faults of the layer that were found and mended: each once, so that it stays away."""

import pytest
import torch
from layer_tiny import IDS, logits, small, tiny, tiny_base
from peft import get_peft_model
from torch import nn

from medmoe_lite import Layout
from medmoe_lite.lowrank import LowRank
from medmoe_lite.method import MoLoraLayer, routing_context

PROMPT = torch.tensor([[1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0, 0]])
GATES = {
    "token": {},
    "top-1, shared": {"top_k": 1, "shared_experts": 2},
    "ranks": {"expert_ranks": [2, 4, 4, 6]},
    "sequence": {"gate": "sequence"},
    "threshold": {"gate": "threshold"},
}


@pytest.mark.parametrize("fields", GATES.values(), ids=GATES)
def test_an_adapter_can_be_attached_where_only_shapes_are_known(fields):
    """As a planner does: the sizes are those of the real thing, a pass gives shapes, no memory."""
    with torch.device("meta"):
        model = get_peft_model(tiny_base(), small(**fields))
        ids = torch.zeros(2, 7, dtype=torch.long)
    real = get_peft_model(tiny_base(), small(**fields))
    shapes = {name: p.shape for name, p in real.named_parameters()}
    assert {name: p.shape for name, p in model.named_parameters()} == shapes
    assert all(p.is_meta for p in model.parameters())
    out = model.train()(input_ids=ids, attention_mask=torch.ones_like(ids), prompt_mask=ids)
    assert out.logits.shape == (2, 7, 128)
    assert out.logits.is_meta


def test_a_layer_from_meta_is_whole_after_its_reset():
    layout = Layout.mixture(3, r=2, lora_alpha=4, shared_experts=1)
    with torch.device("meta"):
        lowrank = LowRank(8, 6, layout)
    assert lowrank.columns.is_meta
    lowrank.to_empty(device="cpu").reset_parameters()
    assert torch.equal(lowrank.columns, layout.columns())
    assert (lowrank.B == 0).all()
    assert lowrank.A.abs().sum() > 0


@pytest.fixture
def sequence():
    return tiny(noise=0.3, gate="sequence", top_k=None)


def test_a_loss_in_evaluation_needs_the_prompt_mask(sequence):
    """Without it the gate would read the answer, and the loss would look better than it is."""
    given = {"input_ids": IDS, "labels": IDS}
    for model in (sequence, sequence.get_base_model()):
        with pytest.raises(ValueError, match=r"labels without prompt_mask: .*read the answer"):
            model(**given)
        assert torch.isfinite(model(**given, prompt_mask=PROMPT).loss)
        with routing_context(sequence, prompt_mask=PROMPT):
            told = model(**given).loss
        assert torch.equal(told, model(**given, prompt_mask=PROMPT).loss)
        assert model(input_ids=IDS).logits.isfinite().all()  # a prompt alone is no loss
    with pytest.raises(ValueError, match="labels without prompt_mask"):
        sequence(**given)
    sequence.get_base_model().model(input_ids=IDS)  # nothing of it is left for another pass
    other = tiny()
    assert torch.isfinite(other(**given).loss)  # a gate that reads tokens needs no mask
    sequence.set_adapter("default")
    with sequence.disable_adapter():
        assert torch.isfinite(sequence(**given).loss)


def test_the_hooks_leave_with_the_adapter(sequence):
    base = sequence.unload()
    assert not base._forward_pre_hooks
    assert not base.model._forward_pre_hooks
    assert torch.isfinite(base(input_ids=IDS, labels=IDS).loss)


def test_a_prompt_in_parts_is_refused_where_a_gate_reads_all_of_it(sequence):
    asked = {"input_ids": IDS, "max_new_tokens": 2, "do_sample": False, "pad_token_id": 0}
    with pytest.raises(ValueError, match=r"prefill_chunk_size.*from the first part alone"):
        sequence.generate(**asked, prefill_chunk_size=3)
    sequence.generation_config.prefill_chunk_size = 3
    with pytest.raises(ValueError, match="prefill_chunk_size"):
        sequence.generate(**asked)
    sequence.generation_config.prefill_chunk_size = None
    whole = sequence.generate(**asked)
    assert whole.shape[1] <= 9
    token = tiny(noise=0.3)
    assert torch.equal(token.generate(**asked, prefill_chunk_size=3), token.generate(**asked))


def test_names_that_no_layer_has_are_refused():
    with pytest.raises(
        ValueError, match=r"target_modules name gate, which .*\(qwen2\) lacks.*q_proj"
    ):
        get_peft_model(tiny_base(), small(target_modules=["gate", "up_proj"]))
    with pytest.raises(ValueError, match="plain_modules name out_proj, which this model"):
        get_peft_model(tiny_base(), small(plain_modules=["q_proj", "out_proj"]))
    alone = nn.Sequential(nn.Linear(4, 4))  # the usual plain modules may be absent altogether
    model = get_peft_model(alone, small(target_modules=["0"], task_type=None))
    assert isinstance(model.base_model.model[0], MoLoraLayer)
    second = tiny()
    second.add_adapter("more", small(target_modules=["up_proj"]))  # over adapted layers as well
    assert logits(second).isfinite().all()

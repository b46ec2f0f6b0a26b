import pytest
import torch
from layer_tiny import IDS, logits, small, tiny, tiny_base
from peft import LoraConfig, get_peft_model

from medmoe_lite.method import MoLoraLayer
from medmoe_lite.projection import input_directions, leading_directions, project_rows

MASK = torch.tensor([[1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1, 0]])
BATCHES = [{"input_ids": IDS, "attention_mask": MASK}, {"input_ids": IDS.flip(1)}]


def inputs_of(model, batches):
    """What each adapted layer reads, without padding, as one matrix (T, d)."""
    kept = {}
    mask = None

    def note(module, args):
        rows = args[0].detach().reshape(-1, args[0].shape[-1])
        rows = rows if mask is None else rows[mask.flatten().bool()]
        kept.setdefault(module.layer_name, []).append(rows.double())

    hooks = [
        m.register_forward_pre_hook(note) for m in model.modules() if isinstance(m, MoLoraLayer)
    ]
    for batch in batches:
        mask = batch.get("attention_mask")
        logits(model, batch["input_ids"], **({} if mask is None else {"attention_mask": mask}))
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(rows) for name, rows in kept.items()}


@pytest.mark.parametrize("energy", [0.5, 0.9, 0.99])
def test_directions_cover_the_energy_and_no_more_than_needed(energy):
    model = tiny()
    expected = inputs_of(model, BATCHES)
    directions = input_directions(model, iter(BATCHES), energy)
    assert directions.keys() == expected.keys()
    for name, Q in directions.items():
        x = expected[name]
        m = Q.shape[1]
        assert torch.allclose(Q.T @ Q, torch.eye(m), atol=1e-5)
        values = torch.linalg.svdvals(x).square()
        assert values[:m].sum() >= energy * values.sum() * (1 - 1e-9)
        assert m == 1 or values[: m - 1].sum() < energy * values.sum()
        inside = (x @ Q.double()).square().sum() / x.square().sum()
        assert inside >= energy - 1e-6


def test_padding_is_not_among_the_directions():
    model = tiny()
    one = input_directions(model, [{"input_ids": IDS, "attention_mask": MASK}], 0.9)
    filled = IDS.masked_fill(MASK == 0, 77)
    other = input_directions(model, [{"input_ids": filled, "attention_mask": MASK}], 0.9)
    for name, Q in one.items():
        assert Q.shape == other[name].shape
        assert (Q @ Q.T - other[name] @ other[name].T).abs().max() < 1e-4


def test_a_projected_adapter_is_silent_on_those_inputs():
    """All of the energy: the adapter must not change the model on the inputs at all."""
    model = tiny(num_experts=0, shared_experts=1)
    with model.disable_adapter():
        expected = logits(model)
        directions = input_directions(model, [{"input_ids": IDS}], 1.0)
    assert not torch.allclose(logits(model), expected, atol=1e-2)
    with torch.no_grad():
        for layer in (m for m in model.modules() if isinstance(m, MoLoraLayer)):
            A = layer.lowrank("default").A
            A.copy_(project_rows(A, directions[layer.layer_name]))
            assert A.abs().max() > 1e-3  # 14 tokens cannot fill 64 dimensions
    assert torch.allclose(logits(model), expected, atol=1e-3)


def test_projecting_twice_is_projecting_once():
    Q, _ = torch.linalg.qr(torch.randn(8, 3, dtype=torch.float64))
    A = torch.randn(4, 8, dtype=torch.float64)
    once = project_rows(A, Q)
    assert (once @ Q).abs().max() < 1e-12
    assert (project_rows(once, Q) - once).abs().max() < 1e-12


def test_it_works_on_pefts_own_lora_with_the_names_of_its_modules():
    model = get_peft_model(tiny_base(), LoraConfig(r=4, target_modules=["up_proj"]))
    directions = input_directions(model, BATCHES, 0.9)
    assert set(directions) == {n for n, m in model.named_modules() if hasattr(m, "lora_A")}


def test_nothing_stays_in_the_model_and_wrong_calls_say_what_to_type():
    model = tiny()
    with pytest.raises(ValueError, match="such as 0.95"):
        input_directions(model, BATCHES, 95)
    with pytest.raises(ValueError, match="pass at least one"):
        input_directions(model, [])
    layers = [m for m in model.modules() if isinstance(m, MoLoraLayer)]
    assert not any(layer._forward_pre_hooks for layer in layers)
    assert small().r == 4


def test_a_zero_moment_has_directions_without_nan():
    assert leading_directions(torch.eye(3), 1.0).shape == (3, 3)

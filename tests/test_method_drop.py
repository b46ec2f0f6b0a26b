import pytest
import torch
from layer_tiny import IDS, logits, shake, small, tiny, tiny_base, trainable
from peft import PeftModel, get_peft_model

from medmoe_lite import drop_noise, expert_weights
from medmoe_lite.method import MoLoraLayer, routed_closed


def base_and_shared_by_hand(model):
    """For each layer: base output plus the shared expert, by its definition."""
    parts = expert_weights(model)
    hooks = []
    for layer in (m for m in model.modules() if isinstance(m, MoLoraLayer)):
        A, B, scale, num_shared, *_ = parts[layer.layer_name]

        def forward(module, args, output, A=A[0], B=B[0], scale=scale[0], n=num_shared):
            assert n == 1
            base = module.base_layer(args[0])
            return base + scale * (args[0] @ A.T) @ B.T

        hooks.append(layer.register_forward_hook(forward))
    expected = logits(model)
    for hook in hooks:
        hook.remove()
    return expected


def test_dropping_is_exact_and_forgets_the_routed_parts(tmp_path):
    model = tiny(shared_experts=2)
    full, by_hand = logits(model), base_and_shared_by_hand(model)
    with routed_closed(model):
        closed = logits(model)
    assert torch.equal(logits(model), full)  # open again
    assert drop_noise(model) is model
    dropped = logits(model)
    assert torch.equal(dropped, closed)
    assert (dropped - by_hand).abs().max() < 1e-5
    assert not torch.equal(dropped, full)
    assert not any("molora_router" in name for name in model.state_dict())
    assert {len(parts.A) for parts in expert_weights(model).values()} == {1}
    assert model.peft_config["default"].num_experts == 0

    model.save_pretrained(tmp_path)
    assert torch.equal(logits(PeftModel.from_pretrained(tiny_base(), tmp_path).eval()), dropped)
    assert (logits(model.merge_and_unload()) - dropped).abs().max() < 1e-4


def test_after_the_drop_the_shared_experts_can_learn_on():
    model = drop_noise(tiny(shared_experts=1)).train()
    model(input_ids=IDS, labels=IDS).loss.backward()
    assert trainable(model)
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trainable(model).values())


def test_the_users_configuration_is_not_changed():
    config = small(shared_experts=1)
    model = get_peft_model(tiny_base(), config)
    drop_noise(model)
    assert config.num_experts == 4


def test_only_the_named_adapter_is_dropped():
    model = tiny(shared_experts=1)
    model.add_adapter("second", small(shared_experts=1))
    shake(model)
    drop_noise(model, "second")
    assert model.peft_config["default"].num_experts == 4
    assert len(expert_weights(model)["model.layers.0.mlp.up_proj"].A) == 5
    with pytest.raises(ValueError, match="adapter 'second' has no num_experts > 0"):
        drop_noise(model, "second")


def test_without_shared_experts_nothing_is_dropped():
    model = tiny()
    before = logits(model)
    with pytest.raises(ValueError, match=r"no shared expert.*shared_experts=2"):
        drop_noise(model)
    assert torch.equal(logits(model), before)


def test_closed_experts_get_no_gradient_and_the_switch_nests():
    model = tiny(shared_experts=1).train()
    with routed_closed(model):
        with routed_closed(model):
            pass
        loss = model(input_ids=IDS, labels=IDS).loss
    loss.backward()
    for name, parameter in trainable(model).items():
        if "molora_router" in name:
            assert parameter.grad is None
        if name.endswith("A") and "mlp" in name:
            assert (parameter.grad[4:] == 0).all()
            assert (parameter.grad[:4].abs().sum()) > 0


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable.*:FutureWarning")
def test_the_backward_pass_keeps_the_switch_of_its_forward_pass():
    """With gradient checkpointing the layers run again after the block has ended."""
    grads = []
    for checkpointed in (False, True):
        model = tiny(shared_experts=1).train()
        if checkpointed:
            model.enable_input_require_grads()
            model.gradient_checkpointing_enable()
        with routed_closed(model):
            loss = model(input_ids=IDS, labels=IDS, use_cache=False).loss
        loss.backward()
        grads.append({name: p.grad for name, p in trainable(model).items()})
    for name, expected in grads[0].items():
        if expected is not None:
            torch.testing.assert_close(grads[1][name], expected, msg=name)

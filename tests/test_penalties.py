import math

import pytest
import torch
from layer_tiny import IDS, logits, shake, small, tiny, tiny_base, trainable
from peft import LoraConfig, get_peft_model
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import Trainer, TrainingArguments

from medmoe_lite import (
    TokenGate,
    balance_loss,
    expert_weights,
    orthogonal,
    orthogonal_penalty,
    route,
)
from medmoe_lite.gates import Routing
from medmoe_lite.method import MoLoraLayer, routed_closed
from medmoe_lite.orthogonal import adapter_pairs, multiply
from medmoe_lite.penalties import balance_of, orthogonal_term, router_z_loss, z_of

MASK = torch.tensor([[1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1, 0]])


def balance_by_loop(weights, probabilities, mask, top_k):
    """E Σ f_i P_i, counted token by token. Inputs (b, t, e)."""
    e = weights.shape[-1]
    count, mass, tokens = [0.0] * e, [0.0] * e, 0
    for b in range(weights.shape[0]):
        for t in range(weights.shape[1]):
            if mask is None or mask[b, t]:
                tokens += 1
                for i in range(e):
                    count[i] += float(weights[b, t, i] > 0)
                    mass[i] += float(probabilities[b, t, i].detach())
    return e * sum(count[i] / (tokens * top_k) * mass[i] / tokens for i in range(e))


@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize("top_k", [1, 2])
def test_balance_is_counted_token_by_token(mask, top_k):
    routing = route(torch.randn(2, 7, 5), top_k)
    expected = balance_by_loop(*routing[:2], mask, top_k)
    assert balance_of(routing, mask, top_k).item() == pytest.approx(expected, abs=1e-6)


def test_balance_is_one_when_even_and_e_at_collapse():
    even = route(torch.eye(4).repeat(3, 1) * 50, top_k=1)
    assert balance_of(even, None, 1).item() == pytest.approx(1, abs=1e-5)
    collapsed = route(torch.tensor([50.0, 0, 0, 0]).repeat(12, 1), top_k=1)
    assert balance_of(collapsed, None, 1).item() == pytest.approx(4, abs=1e-5)
    soft = route(torch.zeros(6, 4), None)
    assert balance_of(soft, None, None).item() == pytest.approx(1)


def test_the_models_balance_is_the_mean_over_its_routers():
    model = tiny(noise=0.5).train()
    inputs, hooks = {}, []
    for name, module in model.named_modules():
        if isinstance(module, TokenGate):
            hooks.append(
                module.register_forward_hook(
                    lambda m, a, out, name=name: inputs.update({name: out})
                )
            )
    model(input_ids=IDS, attention_mask=MASK)
    expected = [balance_by_loop(*routing[:2], MASK, 2) for routing in inputs.values()]
    assert len(expected) == 6
    assert balance_loss(model).item() == pytest.approx(sum(expected) / 6, abs=1e-5)


def test_padding_does_not_count():
    model = tiny(noise=0.5).train()
    values = []
    for filler in (0, 77):
        model(input_ids=IDS.masked_fill(MASK == 0, filler), attention_mask=MASK)
        values.append(balance_loss(model).item())
    assert values[0] == pytest.approx(values[1], abs=1e-6)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable.*:FutureWarning")
def test_balance_trains_the_routers_also_under_gradient_checkpointing():
    results = []
    for checkpointed in (False, True):
        model = tiny(noise=0.5).train()
        if checkpointed:
            model.gradient_checkpointing_enable()
        loss = model(input_ids=IDS, labels=IDS, attention_mask=MASK, use_cache=False).loss
        balance = balance_loss(model)
        (loss + 0.1 * balance).backward()
        grads = {n: p.grad for n, p in trainable(model).items()}
        results.append((balance.detach(), grads))
        assert balance_loss(model).item() == pytest.approx(balance.item())  # counted once
    torch.testing.assert_close(results[0][0], results[1][0])
    for name, expected in results[0][1].items():
        torch.testing.assert_close(results[1][1][name], expected, rtol=1e-4, atol=1e-7, msg=name)
    alone = tiny(noise=0.5).train()
    alone(input_ids=IDS)
    balance_loss(alone).backward()
    routers = {n: p.grad for n, p in trainable(alone).items() if "router.default.weight" in n}
    assert len(routers) == 6
    assert all(grad is not None and grad.abs().sum() > 0 for grad in routers.values())


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable.*:FutureWarning")
def test_balance_without_a_gradient_is_refused_not_logged():
    model = tiny().train()
    model.enable_input_require_grads()
    model.gradient_checkpointing_enable({"use_reentrant": True})
    model(input_ids=IDS, use_cache=False)
    with pytest.raises(ValueError, match='"use_reentrant": False'):
        balance_loss(model)
    model = tiny()
    logits(model)
    with pytest.raises(ValueError, match=r"after model\(\*\*batch\), with gradients"):
        balance_loss(model)
    with pytest.raises(ValueError, match="no MoLoRA adapter with routed experts"):
        balance_loss(tiny(num_experts=0, shared_experts=1))


def test_balance_of_closed_experts_is_zero():
    model = tiny(shared_experts=1).train()
    with routed_closed(model):
        model(input_ids=IDS)
        assert balance_loss(model).item() == 0


def test_minimising_balance_evens_out_a_collapsed_router():
    model = tiny(noise=0.02).train()
    gates = [m for m in model.modules() if isinstance(m, TokenGate)]
    with torch.no_grad():
        for gate in gates:
            gate.bias[0] += 3.0
    optimizer = torch.optim.Adam([p for g in gates for p in g.parameters()], lr=0.05)
    values = []
    for _ in range(60):
        model(input_ids=IDS)
        loss = balance_loss(model)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        values.append(loss.item())
    assert values[0] > 1.5
    assert values[-1] < 1.15


def test_sampled_and_thresholded_choices_are_counted_as_they_fell():
    weights = torch.tensor([[0.7, 0.3, 0.0], [1.0, 0.0, 0.0]])
    p = torch.tensor([[0.6, 0.3, 0.1], [0.8, 0.1, 0.1]])
    expected = 3 * sum(f * m for f, m in zip([2 / 3, 1 / 3, 0], p.mean(0).tolist(), strict=True))
    assert balance_of(Routing(weights, p)).item() == pytest.approx(expected)


def test_router_z_is_counted_token_by_token():
    z = torch.randn(2, 7, 5)
    rows = [z[b, t].tolist() for b in range(2) for t in range(7) if MASK[b, t]]
    values = [math.log(sum(math.exp(v) for v in row)) ** 2 for row in rows]
    assert z_of(z, MASK).item() == pytest.approx(sum(values) / len(values), rel=1e-5)


def test_router_z_of_a_model_trains_the_routers_and_makes_logits_small():
    model = tiny(noise=0.3).train()
    model(input_ids=IDS, attention_mask=MASK)
    (state,) = {m.routing_state for m in model.modules() if isinstance(m, MoLoraLayer)}
    expected = [z_of(kept.routing.logits, MASK) for kept in state.stash.values()]
    loss = router_z_loss(model)
    assert loss.item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-5)
    loss.backward()
    routers = {n: p.grad for n, p in trainable(model).items() if "molora_router" in n}
    assert len(routers) == 12
    assert all(grad.abs().sum() > 0 for grad in routers.values())
    with torch.no_grad():
        for name, parameter in trainable(model).items():
            if "molora_router" in name:
                parameter -= 1e-5 * parameter.grad
    model(input_ids=IDS, attention_mask=MASK)
    assert router_z_loss(model) < loss


def test_parts_of_a_batch_added_up_are_the_batch():
    """What several processes do: each knows its own tokens and the sums of all."""
    model = tiny(noise=0.3).train()
    model(input_ids=IDS, attention_mask=MASK)
    expected = [balance_loss(model).item(), router_z_loss(model).item()]
    kept = [[], []]
    for row in range(2):
        model(input_ids=IDS[row : row + 1], attention_mask=MASK[row : row + 1])
        for sums, loss in zip(kept, (balance_loss, router_z_loss), strict=True):
            loss(model, total=lambda own, sums=sums: sums.append(own.detach()) or own)
    for sums, loss, value in zip(kept, (balance_loss, router_z_loss), expected, strict=True):
        found = loss(model, total=lambda own, sums=sums: sums[0] + own)
        assert found.item() == pytest.approx(value, rel=1e-5)


def two_adapters(**fields):
    model = tiny(num_experts=0, shared_experts=2, **fields)
    model.add_adapter("alignment", small(num_experts=0, shared_experts=1))
    shake(model)
    model.base_model.set_adapter(["default", "alignment"])
    return model


def delta(parts):
    return sum(s * b @ a for a, b, s in zip(parts.A, parts.B, parts.scale, strict=True))


def by_definition(model, kind):
    terms = []
    second = expert_weights(model, "alignment")
    for name, first in expert_weights(model, "default").items():
        one, other = torch.cat(first.A), torch.cat(second[name].A)
        if kind == "l1":
            terms += [abs((a @ b).item()) for a in one for b in other]
        elif kind == "cosine":
            values = [((a @ b) / (a.norm() * b.norm())).item() ** 2 for a in one for b in other]
            terms.append(sum(values) / len(values))
        else:
            x, y = delta(first).flatten(), delta(second[name]).flatten()
            terms.append(((x @ y) / (x.norm() * y.norm())).item() ** 2)
    return sum(terms) / (1 if kind == "l1" else len(terms))


@pytest.mark.parametrize("kind", ["l1", "cosine", "delta"])
def test_orthogonal_penalty_by_definition(kind):
    model = two_adapters()
    value = orthogonal_penalty(model, kind=kind).item()
    assert value == pytest.approx(by_definition(model, kind), rel=1e-4)


@pytest.mark.parametrize("kind", ["l1", "cosine", "delta"])
def test_the_penalty_alone_has_a_gradient_and_can_be_driven_to_zero(kind):
    model = two_adapters()
    model.set_requires_grad("default", False)
    first = orthogonal_penalty(model, kind=kind)
    first.backward()
    grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert all("alignment" in name for name in grads)
    assert len([n for n in grads if n.endswith(".A")]) == 14
    assert all(grads[n].abs().sum() > 0 for n in grads if n.endswith(".A"))
    optimizer = torch.optim.Adam(trainable(model).values(), lr=0.01)
    for _ in range(150):
        loss = orthogonal_penalty(model, kind=kind)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert orthogonal_penalty(model, kind=kind) < 0.3 * first


@pytest.mark.parametrize("kind", ["l1", "cosine", "delta"])
def test_its_gradient_is_that_of_a_loop_in_float64(kind):
    model = two_adapters().double()
    first, second = adapter_pairs(model, "default"), adapter_pairs(model, "alignment")
    terms = []
    for name, one in first.items():
        other = second[name]
        if kind == "l1":
            terms.append((one.A @ other.A.T).abs().sum())
        elif kind == "cosine":
            cosines = torch.cosine_similarity(one.A[:, None], other.A[None], dim=-1)
            terms.append(cosines.square().mean())
        else:
            x, y = ((p.B * p.scale[:, None]).T @ p.A for p in (one, other))
            terms.append(torch.cosine_similarity(x.flatten(), y.flatten(), dim=0).square())
    expected = sum(terms) / (1 if kind == "l1" else len(terms))
    weights = [p.A for pairs in (first, second) for p in pairs.values()]
    grads = torch.autograd.grad(expected, weights)
    found = orthogonal_penalty(model, kind=kind, eps=0.0)
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)
    for one, other in zip(torch.autograd.grad(found, weights), grads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-12)


class Count(TorchDispatchMode):
    """Operations that compute something; views do not."""

    calls = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        returns = function._schema.returns
        self.calls += any(str(v.type) == "Tensor" and not v.alias_info for v in returns)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", ["l1", "cosine", "delta"])
def test_batched_as_on_a_gpu_it_is_the_same_in_as_many_operations_for_any_depth(kind, monkeypatch):
    found = {}
    for batched in (False, True):
        monkeypatch.setattr(
            orthogonal, "multiply", lambda a, b, batched=batched: multiply(a, b, batched)
        )
        for layers in (2, 6):
            model = tiny(base=tiny_base(layers=layers), num_experts=0, shared_experts=2)
            model.add_adapter("alignment", small(num_experts=0, shared_experts=1))
            shake(model)
            term = orthogonal_term(model, kind=kind)
            with torch.no_grad(), Count() as count:
                term()
            value = term()
            value.backward()
            grads = [p.grad for n, p in trainable(model).items() if n.endswith(".A")]
            found[batched, layers] = value, grads, count.calls
    for layers in (2, 6):
        one, two = found[False, layers], found[True, layers]
        torch.testing.assert_close(one[:2], two[:2], rtol=1e-4, atol=1e-8)
    assert found[True, 2][2] == found[True, 6][2] <= 50 * 3, "three shapes"


@pytest.mark.parametrize("kind", ["l1", "cosine", "delta"])
def test_autocast_does_not_halve_the_penalty(kind):
    model = two_adapters()
    expected = orthogonal_penalty(model, kind=kind)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(orthogonal_penalty(model, kind=kind), expected)


def test_a_term_follows_the_weights():
    model = two_adapters()
    term = orthogonal_term(model)
    with torch.no_grad():
        for pair in adapter_pairs(model, "alignment").values():
            pair.A.mul_(2)
    assert term().item() == pytest.approx(orthogonal_penalty(model).item())


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable.*:FutureWarning")
@pytest.mark.parametrize("accumulation", [1, 2])
def test_in_a_plain_trainer_with_checkpointing_the_penalty_alone_moves_the_alignment(
    tmp_path, accumulation
):
    class Penalised(Trainer):
        loss_is_scaled_for_ga = True

        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            lm = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
            return 0 * lm + orthogonal_penalty(model) / accumulation

    moved = []
    model = two_adapters()
    model.set_requires_grad("default", False)
    model.gradient_checkpointing_enable()
    before = {n: p.detach().clone() for n, p in trainable(model).items()}
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=1, per_device_train_batch_size=1, report_to=[],
        gradient_accumulation_steps=accumulation, use_cpu=True, learning_rate=0.1,
        optim="sgd", max_grad_norm=0, lr_scheduler_type="constant", save_strategy="no",
        disable_tqdm=True,
    )  # fmt: skip
    orthogonal_penalty(model).backward()
    expected = {n: p.grad.clone() for n, p in trainable(model).items() if n.endswith(".A")}
    model.zero_grad()
    data = [{"input_ids": ids, "labels": ids} for ids in IDS]
    Penalised(model=model, args=arguments, train_dataset=data).train()
    for name, parameter in trainable(model).items():
        if name in expected:
            moved.append((parameter - before[name]).abs().sum().item())
            torch.testing.assert_close(
                before[name] - parameter, 0.1 * expected[name], rtol=1e-4, atol=1e-6
            )
    assert len(moved) == 14
    assert min(moved) > 0


def test_cosine_starts_at_one_over_the_width():
    model = get_peft_model(
        tiny_base(), small(num_experts=0, shared_experts=8, target_modules=["up_proj"])
    )
    model.add_adapter("alignment", small(num_experts=0, shared_experts=8))
    assert orthogonal_penalty(model, kind="cosine").item() == pytest.approx(1 / 64, rel=0.2)


def test_delta_is_zero_and_finite_before_the_first_step():
    model = get_peft_model(tiny_base(), small(num_experts=0, shared_experts=1))
    model.add_adapter("alignment", small(num_experts=0, shared_experts=1))
    value = orthogonal_penalty(model, kind="delta")
    value.backward()
    assert value.item() == 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_it_works_on_pefts_own_lora():
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["up_proj"])
    model = get_peft_model(tiny_base(), config)
    model.add_adapter("alignment", config)
    layers = [m for m in model.modules() if hasattr(m, "lora_A")]
    expected = sum(
        (m.lora_A["default"].weight @ m.lora_A["alignment"].weight.T).abs().sum() for m in layers
    )
    assert orthogonal_penalty(model).item() == pytest.approx(expected.item(), rel=1e-5)
    assert math.isfinite(orthogonal_penalty(model, kind="delta").item())


def test_wrong_calls_say_what_to_type():
    model = two_adapters()
    with pytest.raises(ValueError, match="type one of 'l1', 'cosine', 'delta'; projection is"):
        orthogonal_penalty(model, kind="project")
    with pytest.raises(ValueError, match=r"add the second with model.add_adapter\('other'"):
        orthogonal_penalty(model, alignment="other")

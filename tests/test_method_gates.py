"""Every gate and mode inside PEFT, on a tiny Qwen2, against loops and the published definition."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from layer_tiny import IDS, logits, shake, small, tiny, tiny_base, trainable
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from test_method_four_bit import EIGHT, FOUR, quantised
from torch.nn import functional as F

from medmoe_lite import balance_loss, record_routing
from medmoe_lite.gates import TokenGate
from medmoe_lite.method import (
    MoLoraLayer,
    needs_prompt_mask,
    needs_task_ids,
    routed_closed,
    routing_context,
)
from medmoe_lite.method.state import states

KINDS = {
    "token": {},
    "token as they are": {"renormalize": False},
    "top-p": {"top_p": 0.7},
    "threshold": {"gate": "threshold"},
    "sequence": {"gate": "sequence", "top_k": None},
    "sequence top-2": {"gate": "sequence", "shared_experts": 1},
    "averaged factors": {"gate": "sequence", "top_k": None, "merge": "factors"},
    "averaged and shared": {
        "gate": "sequence", "top_p": 0.8, "merge": "factors", "shared_experts": 1,
        "general_experts": 1, "general_group": "open",
    },
    "task": {"gate": "task", "num_tasks": 3},
    "averaged task": {"gate": "task", "num_tasks": 3, "top_k": None, "merge": "factors"},
    "different ranks": {"expert_ranks": [1, 2, 4, 8], "rslora": True, "shared_experts": 1},
    "rank-one experts": {"num_experts": 12, "r": 1, "top_k": 5, "lora_alpha": 2},
    "open general experts": {"general_experts": 2, "general_group": "open", "top_k": 1},
    "experts by depth": {"num_experts": [3, 5], "gate": "sequence"},
}  # fmt: skip
PROMPT = torch.tensor([[1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1, 1]])
TASKS = torch.tensor([2, 0])
GIVEN = {"attention_mask": MASK, "prompt_mask": PROMPT, "task_ids": TASKS}


def routed_layers(model):
    return [m for m in model.modules() if isinstance(m, MoLoraLayer) and m.molora_router]


def opened(layer, fields, token, prompt, task):
    """Gate weights of one token by definition, from the layer's own parameters."""
    router = layer.router("default")
    kind = fields.get("gate", "token")
    if kind == "sequence":
        read = sum(prompt) / len(prompt)
    elif kind == "task":
        read = torch.tensor([float(task == n) for n in range(3)], dtype=torch.float64)
    else:
        read = token
    z = router.weight @ read + router.bias
    p = torch.exp(z) / torch.exp(z).sum()
    order = sorted(range(len(p)), key=lambda i: -p[i].item())
    if kind == "threshold":
        level = layer.gate("default").level
        u = level.weight[0] @ token + level.bias[0]
        a = [max(0.0, (v - 1 / len(p) / (1 + torch.exp(-u))).item()) for v in p]
        return [v / sum(a) for v in a]
    if "top_p" in fields:
        chosen = []
        while sum(p[i] for i in chosen) < fields["top_p"]:
            chosen.append(order[len(chosen)])
    else:
        chosen = order[: fields.get("top_k", 2) or len(p)]
    keep = fields.get("renormalize", True) and len(chosen) > 1
    total = sum(p[i] for i in chosen) if keep else 1.0
    return [(p[i] / total if i in chosen else torch.zeros(())).item() for i in range(len(p))]


def update_by_definition(layer, fields, x):
    """One sentence, one token and one expert at a time: x (b, t, d) in float64."""
    pair = layer.lowrank("default")
    ends = torch.tensor(pair.layout.ranks).cumsum(0).tolist()
    parts = [
        (scale, pair.A[end - rank : end], pair.B[end - rank : end].T)
        for scale, end, rank in zip(pair.layout.scales, ends, pair.layout.ranks, strict=True)
    ]
    n = pair.layout.num_shared
    update = torch.zeros(*x.shape[:2], parts[0][2].shape[0], dtype=torch.float64)
    for b in range(x.shape[0]):
        prompt = [x[b, t] for t in range(x.shape[1]) if PROMPT[b, t]]
        for t in range(x.shape[1]):
            weights = opened(layer, fields, x[b, t], prompt, int(TASKS[b]))
            for scale, A, B in parts[:n]:
                update[b, t] += scale * (B @ (A @ x[b, t]))
            if fields.get("merge") == "factors":
                pairs = list(zip(weights, parts[n:], strict=True))
                mean_A = sum(w * A for w, (_, A, _) in pairs)
                mean_B = sum(w * B for w, (_, _, B) in pairs)
                update[b, t] += parts[-1][0] * (mean_B @ (mean_A @ x[b, t]))
            else:
                for w, (scale, A, B) in zip(weights, parts[n:], strict=True):
                    update[b, t] += w * scale * (B @ (A @ x[b, t]))
    return update


@torch.no_grad()
@pytest.mark.parametrize("path", ["stacked", "sparse"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_of_the_model_matches_its_definition(kind, path):
    model = tiny(base=tiny_base(dtype=torch.float64), path=path, **KINDS[kind]).double()
    seen = {}
    hooks = [
        layer.register_forward_hook(
            lambda m, args, out: seen.__setitem__(m, (args[0], out - m.base_layer(args[0])))
        )
        for layer in routed_layers(model)
    ]
    model(input_ids=IDS, **GIVEN)
    assert len(seen) == len(hooks) == 6
    for layer, (x, got) in seen.items():
        expected = update_by_definition(layer, KINDS[kind], x)
        assert expected.abs().max() > 1e-3
        assert (got - expected).abs().max() < 1e-10, layer.layer_name


class PublishedMoLora(torch.nn.Module):
    """The definition that MING-MoE published: a softmax over the chosen logits alone, all experts
    computed and then gathered, and no dropout on them in training."""

    def __init__(self, layer, top_k):
        super().__init__()
        pair, router = layer.lowrank("default"), layer.router("default")
        rank, count = pair.layout.ranks[0], pair.layout.num_routed
        self.switch = torch.nn.Linear(layer.in_features, count)
        self.switch.load_state_dict({"weight": router.weight, "bias": router.bias})
        self.A = [pair.A[i * rank : (i + 1) * rank] for i in range(count)]
        self.B = [pair.B[i * rank : (i + 1) * rank].T for i in range(count)]
        self.scale, self.top_k = pair.layout.scales[0], top_k

    def forward(self, x):
        values, chosen = self.switch(x).topk(self.top_k, dim=-1)
        weights = values.softmax(-1)
        all_of_them = torch.stack(
            [self.scale * F.linear(F.linear(x, A), B) for A, B in zip(self.A, self.B, strict=True)],
            dim=-2,
        )
        index = chosen.unsqueeze(-1).expand(*chosen.shape, all_of_them.shape[-1])
        return (weights.unsqueeze(-1) * all_of_them.gather(-2, index)).sum(-2)


@pytest.mark.parametrize("top_k", [2, 3, 4])
def test_parity_with_the_published_definition(top_k):
    model = tiny(base=tiny_base(dtype=torch.float64), top_k=top_k).double()
    layer = routed_layers(model)[0]
    published = PublishedMoLora(layer, top_k).double()
    x = torch.randn(2, 9, layer.in_features, dtype=torch.float64, requires_grad=True)
    ours, theirs = layer(x) - layer.base_layer(x), published(x)
    assert (ours - theirs).abs().max() < 1e-12
    target = torch.randn_like(theirs)
    learn = [x, layer.lowrank("default").A, layer.lowrank("default").B]
    for one, other in zip(
        torch.autograd.grad((ours * target).sum(), [*learn, layer.router("default").weight]),
        torch.autograd.grad((theirs * target).sum(), [*learn, published.switch.weight]),
        strict=True,
    ):
        assert (one - other).abs().max() < 1e-10


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_applied_in_training(kind):
    """The published layer drops nothing in training: two passes are equal there, not here."""
    model = tiny(lora_dropout=0.3, **KINDS[kind]).train()
    layer = routed_layers(model)[0]
    x = torch.randn(2, 7, layer.in_features)
    if kind == "token":
        published = PublishedMoLora(layer, 2).train()
        assert torch.equal(published(x), published(x))
    first, second = (model(input_ids=IDS, **GIVEN).logits for _ in range(2))
    assert not torch.equal(first, second)
    model.eval()
    assert torch.equal(logits(model, **GIVEN), logits(model, **GIVEN))


TRAINED = {
    **KINDS,
    "noise": {"router_noise": 0.1},
    "sampling": {"expert_sampling": True},
    "all at once": {"gate": "sequence", "expert_sampling": True, "router_noise": 0.1,
                    "lora_dropout": 0.1},
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable.*:FutureWarning")
@pytest.mark.parametrize("kind", TRAINED)
def test_all_parts_learn_also_under_gradient_checkpointing(kind):
    grads = []
    for reentrant in (None, False, True):
        model = tiny(noise=0.3, **TRAINED[kind]).train()
        if reentrant is not None:
            model.enable_input_require_grads()
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        torch.manual_seed(0)
        model(input_ids=IDS, labels=IDS, use_cache=False, **GIVEN).loss.backward()
        grads.append({name: p.grad for name, p in trainable(model).items()})
    for name, expected in grads[0].items():
        assert expected.abs().sum() > 0, name
        for other in grads[1:]:
            torch.testing.assert_close(other[name], expected, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable.*:FutureWarning")
@pytest.mark.parametrize("kind", ["sequence", "task"])
def test_checkpointing_refuses_two_forward_passes_before_a_backward_pass(kind):
    """Only the last prompt is remembered; the first pass would get wrong gradients in silence."""
    model = tiny(noise=0.3, **KINDS[kind]).train()
    model.enable_input_require_grads()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    run = lambda: model(input_ids=IDS, labels=IDS, use_cache=False, **GIVEN).loss  # noqa: E731
    with pytest.raises(RuntimeError, match="loss.backward"):
        (run() + run()).backward()
    run().backward()  # what was refused leaves nothing behind
    with torch.no_grad():
        run()
    run().backward()
    run().backward()


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing_and_sides_agree(kind):
    model = tiny(noise=0.3, **KINDS[kind])
    short, prompt = IDS[:1, :4], torch.tensor([[1, 1, 1, 0]])
    task = {"task_ids": TASKS[:1]}
    alone = logits(model, short, prompt_mask=prompt, **task)
    pad, here = torch.full((1, 3), 77), torch.ones(1, 4, dtype=torch.long)
    right = logits(
        model, torch.cat([short, pad], 1), attention_mask=F.pad(here, (0, 3)),
        prompt_mask=F.pad(prompt, (0, 3)), **task,
    )[:, :4]  # fmt: skip
    left = logits(
        model, torch.cat([pad, short], 1), attention_mask=F.pad(here, (3, 0)),
        prompt_mask=F.pad(prompt, (3, 0)),
        position_ids=torch.tensor([[0, 0, 0, 0, 1, 2, 3]]), **task,
    )[:, 3:]  # fmt: skip
    assert (alone - right).abs().max() < 1e-4 * alone.abs().max()
    assert (alone - left).abs().max() < 1e-4 * alone.abs().max()


def test_a_second_process_loads_every_gate_bit_equal(tmp_path):
    tiny_base().save_pretrained(tmp_path / "base")
    expected = {}
    for number, kind in enumerate(KINDS):
        model = tiny(**KINDS[kind])
        model.save_pretrained(tmp_path / str(number))
        expected[str(number)] = logits(model, **GIVEN)
    given = {"input_ids": IDS, **GIVEN}
    save_file({**expected, **{f"given {k}": v for k, v in given.items()}}, tmp_path / "expected")
    code = """
import sys, torch, medmoe_lite
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
torch.set_num_threads(1)
expected = load_file(sys.argv[1] + "/expected")
given = {key[6:]: value for key, value in expected.items() if key.startswith("given ")}
base = AutoModelForCausalLM.from_pretrained(
    sys.argv[1] + "/base", attn_implementation="eager"
).eval()
for key in sorted(key for key in expected if key.isdigit()):
    model = PeftModel.from_pretrained(base, sys.argv[1] + "/" + key).eval()
    with torch.no_grad():
        assert torch.equal(model(**given).logits, expected[key]), key
    base = model.unload()
print("all equal")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
    )
    assert done.stdout.strip().endswith("all equal"), done.stderr
    counts = json.loads((tmp_path / f"{len(KINDS) - 1}/adapter_config.json").read_text())
    assert counts["num_experts"] == [3, 5]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("base")
    tiny_base().save_pretrained(path)
    return path


@pytest.mark.parametrize("how", [FOUR, EIGHT], ids=["four", "eight"])
@pytest.mark.parametrize("kind", ["averaged factors", "averaged task", "threshold", "top-p"])
def test_it_learns_over_quantised_layers(kind, how, folder, tmp_path):
    model = get_peft_model(quantised(folder, how), small(**KINDS[kind]))
    clean = logits(model.eval(), **GIVEN)
    with model.disable_adapter():
        assert torch.equal(logits(model, **GIVEN), clean)
    model.train()
    optimizer = torch.optim.AdamW(trainable(model).values(), lr=2e-2)
    losses = []
    for _ in range(8):
        loss = model(input_ids=IDS, labels=IDS, use_cache=False, **GIVEN).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    model.eval().save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(quantised(folder, how), tmp_path).eval()
    assert torch.equal(logits(loaded, **GIVEN), logits(model, **GIVEN))


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_over_bfloat16_the_gates_decide_as_in_float64(kind):
    fields = KINDS[kind]
    config = small(**fields)
    model = get_peft_model(tiny_base(dtype=torch.bfloat16), config, autocast_adapter_dtype=False)
    shake(model)
    model.eval().to(torch.bfloat16)
    assert all(m.weight.dtype == torch.float32 for m in model.modules() if isinstance(m, TokenGate))
    seen = {}
    for layer in routed_layers(model):
        layer.register_forward_hook(lambda m, args, out: seen.__setitem__(m, args[0]))
    with record_routing(model, keep_tokens=True) as log:
        out = model(input_ids=IDS, **GIVEN).logits
    assert out.dtype == torch.bfloat16
    assert torch.isfinite(out).all()
    for layer, x in seen.items():
        number, name = layer.layer_name.split(".")[2], layer.layer_name.rsplit(".", 1)[-1]
        weights, exact = log.tokens[int(number), name], layer.double()
        for b, t in ((0, 0), (0, 5), (1, 6)):
            prompt = [x[b, t].double() for t in range(7) if PROMPT[b, t]]
            expected = opened(exact, fields, x[b, t].double(), prompt, int(TASKS[b]))
            assert (weights[b, t] - torch.tensor(expected)).abs().max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_recorded_is_counted_token_by_token(kind):
    model = tiny(noise=0.3, **KINDS[kind])
    seen = {}
    for layer in routed_layers(model):
        layer.gate("default").register_forward_hook(
            lambda m, a, out, name=layer.layer_name: seen.__setitem__(name, out)
        )
    with record_routing(model, groups=["a", "b"]) as log:
        logits(model, **GIVEN)
    for name, routing in seen.items():
        place = (log.layer_ids.index(int(name.split(".")[2])),
                 log.module_names.index(name.split(".")[-1]))  # fmt: skip
        count = routing.weights.shape[-1]
        for b in range(2):
            tokens = [t for t in range(7) if MASK[b, t]]
            rows = [routing.weights[b, min(t, routing.weights.shape[1] - 1)] for t in tokens]
            total = sum(row.double() for row in rows)
            np.testing.assert_allclose(log.usage[place][b, :count], total / total.sum(), atol=1e-6)
            opened = sum((row > 0).double() for row in rows) / len(tokens)
            np.testing.assert_allclose(log.chosen[place][b, :count], opened, atol=1e-12)
            assert log.token_count[place][b] == len(tokens)


@pytest.mark.parametrize("kind", ["sequence", "task"])
def test_each_sentence_counts_once_in_the_balance(kind):
    """One decision a sentence: its length must not weigh, nor its padding hide it."""
    model = tiny(noise=0.3, **{**KINDS[kind], "top_k": None}).train()
    model(input_ids=IDS, **GIVEN)
    (state,) = states(model)
    terms = []
    for kept in state.stash.values():
        assert kept.mask is None
        assert kept.routing.weights.shape == kept.routing.logits.shape == (2, 1, 4)
        mean = (kept.routing.probabilities[0, 0] + kept.routing.probabilities[1, 0]) / 2
        terms.append(4 * (mean * mean).sum())
    assert len(terms) == 6
    assert balance_loss(model).item() == pytest.approx(sum(terms).item() / 6, rel=1e-5)


def test_closed_experts_are_closed_whatever_the_gate():
    for kind in ("averaged and shared", "task", "threshold"):
        model = tiny(**{**KINDS[kind], "shared_experts": 1})
        with routed_closed(model):
            closed = logits(model, **GIVEN)
            unasked = logits(model, attention_mask=MASK)
        assert torch.equal(closed, unasked)
        assert not torch.equal(closed, logits(model, **GIVEN))


def test_who_needs_what():
    model = tiny(gate="sequence")
    assert (needs_prompt_mask(model), needs_task_ids(model)) == (True, False)
    model.add_adapter("second", small(gate="task", num_tasks=2))
    model.set_adapter("second")
    assert (needs_prompt_mask(model), needs_task_ids(model)) == (False, True)
    model.base_model.set_adapter(["default", "second"])
    assert (needs_prompt_mask(model), needs_task_ids(model)) == (True, True)
    model.delete_adapter("second")
    assert "second" not in routed_layers(model)[0].molora_merge
    for fields in ({}, {"gate": "threshold"}, {"gate": "task", "num_tasks": 2, "num_experts": 0,
                                               "shared_experts": 1}):  # fmt: skip
        other = tiny(**fields)
        assert (needs_prompt_mask(other), needs_task_ids(other)) == (False, False)
        assert torch.equal(logits(other, **GIVEN), logits(other, attention_mask=MASK))


def test_two_adapters_with_gates_of_their_own():
    model = tiny(noise=0.05, gate="sequence")
    model.add_adapter("second", small(gate="task", num_tasks=3, plain_modules=[]))
    shake(model, seed=4, noise=0.05, only="second")
    model.base_model.set_adapter(["default", "second"])
    layer, x = routed_layers(model)[0], torch.randn(2, 7, 64)
    states(model)[0].begin(None, (), {"input_ids": IDS, **GIVEN})
    updates = []
    with torch.no_grad():
        for active in (["default", "second"], "default", "second"):
            layer.set_adapter(active)
            updates.append(layer(x) - layer.base_layer(x))
    assert all(update.abs().max() > 0.01 for update in updates)
    assert (updates[0] - updates[1] - updates[2]).abs().max() < 1e-5


def test_the_task_reaches_the_gate_whichever_way_it_is_told():
    model = tiny(noise=0.3, **KINDS["task"])
    expected = logits(model, task_ids=TASKS)
    assert not torch.equal(expected, logits(model, task_ids=TASKS.flip(0)))
    with torch.no_grad():
        assert torch.equal(model.base_model(input_ids=IDS, task_ids=TASKS).logits, expected)
        assert torch.equal(model.get_base_model()(IDS, task_ids=TASKS).logits, expected)
    assert torch.equal(logits(model, task_ids=TASKS.tolist()), expected)
    with pytest.raises(ValueError, match=r"give one number a sequence, shape \(2,\)"):
        logits(model, task_ids=1)
    with routing_context(model, task_ids=[2, 0]):
        assert torch.equal(logits(model), expected)
        assert not torch.equal(logits(model, task_ids=TASKS.flip(0)), expected)  # the call wins
        with routing_context(model, task_ids=1):
            one = logits(model)
        with routing_context(model, prompt_mask=PROMPT):  # what is left out stays
            assert torch.equal(logits(model), expected)
        assert torch.equal(logits(model), expected)
    assert torch.equal(one, logits(model, task_ids=torch.tensor([1, 1])))
    with pytest.raises(ValueError, match="does not know the task"):
        logits(model)


def test_peft_itself_behaves_as_before():
    stock = get_peft_model(tiny_base(), LoraConfig(r=2, target_modules=["q_proj"])).eval()
    assert torch.equal(logits(stock, task_ids=TASKS), logits(stock))


def test_generation_knows_its_task_and_beams_share_it():
    model = tiny(noise=0.3, **KINDS["task"])
    asked = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0, "num_beams": 3}
    with routing_context(model, task_ids=TASKS):
        both = model.generate(input_ids=IDS, **asked)
        slow = model.generate(input_ids=IDS, use_cache=False, **asked)
    assert torch.equal(both, slow)
    for row, task in zip((0, 1), TASKS, strict=True):
        with routing_context(model, task_ids=int(task)):
            alone = model.generate(input_ids=IDS[row : row + 1], **asked)
        assert torch.equal(alone[0], both[row, : alone.shape[1]])

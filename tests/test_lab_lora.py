"""What notebook 01 builds, against stock PEFT and against the solution notebook itself."""

import ast
import copy
import inspect

import pytest
import torch
from torch import nn

from medmoe_lite.course import build
from medmoe_lite.course.source import solution_text
from medmoe_lite.lab import lora, nb01, ranks, teach

TARGETS = ("q_proj", "down_proj")


@pytest.fixture
def tiny():
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 64}
    return Qwen2ForCausalLM(Qwen2Config(**sizes, **heads)).eval()


@pytest.fixture(scope="module")
def solution():
    """Names that the exercises of notebook 01 define, taken from its source."""
    scope = {"torch": torch, "nn": nn, "copy": copy, "math": __import__("math")}
    for cell in build.cells_of(build.sources(["01"])[0]):
        if cell.id.startswith(("ex-", "loop")) and cell.id != "ex-diagnosis":
            exec(solution_text(cell.text), scope)
    return scope


def filled(model, seed=1):
    torch.manual_seed(seed)
    for layer in lora.adapters(model).values():
        nn.init.normal_(layer.B, std=0.1)
    return model


@pytest.mark.parametrize("whose", ["package", "notebook"])
def test_the_same_as_stock_peft(tiny, solution, whose):
    from peft import LoraConfig, get_peft_model

    attach = lora.attach_lora if whose == "package" else solution["attach_lora"]
    mine = filled(attach(copy.deepcopy(tiny), TARGETS, r=4, alpha=8))
    config = LoraConfig(r=4, lora_alpha=8, target_modules=list(TARGETS))
    stock = get_peft_model(copy.deepcopy(tiny), config).eval()
    for name, layer in lora.adapters(mine).items():
        theirs = stock.base_model.model.get_submodule(name)
        theirs.lora_A["default"].weight.data.copy_(layer.A)
        theirs.lora_B["default"].weight.data.copy_(layer.B)
    ids = torch.arange(12).view(2, 6)
    assert torch.allclose(mine(ids).logits, stock(ids).logits, atol=1e-6)
    assert not torch.allclose(mine(ids).logits, tiny(ids).logits, atol=1e-3)
    assert lora.count_parameters(mine)[0] == stock.get_nb_trainable_parameters()[0]


def test_the_same_as_one_shared_expert_of_the_package(tiny):
    from peft import get_peft_model

    from medmoe_lite import MoLoraConfig, expert_weights

    mine = filled(lora.attach_lora(copy.deepcopy(tiny), ("up_proj",), r=4, alpha=8))
    config = MoLoraConfig(
        r=4, lora_alpha=8, num_experts=0, shared_experts=1,
        target_modules=["up_proj"], plain_modules=[],
    )  # fmt: skip
    theirs = get_peft_model(copy.deepcopy(tiny), config).eval()
    weights = expert_weights(theirs)
    for name, layer in lora.adapters(mine).items():
        key = next(k for k in weights if k.endswith(name))
        A, B = weights[key][0][0], weights[key][1][0]
        A.data.copy_(layer.A)
        B.data.copy_(layer.B)
    ids = torch.arange(12).view(2, 6)
    assert torch.allclose(mine(ids).logits, theirs(ids).logits, atol=1e-6)


def test_merged_is_the_same_and_plain(tiny, solution):
    for merge in (lora.merge, solution["merge"]):
        mine = filled(lora.attach_lora(copy.deepcopy(tiny), TARGETS, r=4, alpha=8))
        ids = torch.arange(6)[None]
        before = mine(ids).logits
        for name, layer in lora.adapters(mine).items():
            parent, _, own = name.rpartition(".")
            setattr(mine.get_submodule(parent), own, merge(layer))
        assert not lora.adapters(mine)
        assert torch.allclose(mine(ids).logits, before, atol=1e-5)


def test_the_loop_of_the_notebook_is_the_loop_of_the_package(solution):
    source = build.sources(["01"])[0]
    cell = next(c for c in build.cells_of(source) if c.id == "loop")
    theirs = ast.parse(inspect.getsource(teach.teach)).body[0].body[2:]
    # without the docstring and the line that shortens a rehearsal
    ours = ast.parse(cell.text).body[0].body
    assert _steps(ours) == _steps(theirs)


def _steps(body):
    """The statements, without what draws the live curve."""
    found = []
    for node in body:
        if isinstance(node, ast.With):
            found += _steps(node.body)
        elif isinstance(node, ast.For):
            found += ["for", ast.dump(node.target), ast.dump(node.iter), *_steps(node.body)]
        elif "show_loss" not in ast.dump(node):
            found.append(ast.dump(node))
    return found


def test_updates_have_the_rank_they_should(tiny):
    adapted = filled(lora.attach_lora(copy.deepcopy(tiny), TARGETS, r=4, alpha=8))
    changes = ranks.updates(tiny, adapted)
    for name, delta in changes.items():
        rank = 4 if name.endswith(TARGETS) else 0
        assert (ranks.singular_values(delta) > 1e-6).sum() == rank
    ids = torch.arange(6)[None]
    whole = ranks.with_updates(tiny, changes, rank=4)
    assert torch.allclose(whole(ids).logits, adapted(ids).logits, atol=1e-5)
    assert torch.equal(ranks.with_updates(tiny, changes, rank=0)(ids).logits, tiny(ids).logits)
    moved = copy.deepcopy(tiny)
    moved.model.layers[0].mlp.up_proj.weight.data += 1.0
    assert ranks.energy_rank(ranks.updates(tiny, moved)["model.layers.0.mlp.up_proj"]) == 1


def test_the_sick_runs_have_their_disease(tiny):
    probe = {"input_ids": torch.arange(12).view(2, 6), "labels": torch.arange(12).view(2, 6)}
    start = tiny(**probe).loss.item()
    causes = {
        run: nb01.failure.infect(copy.deepcopy(tiny), run) for run in ("well", *nb01.failure.SICK)
    }
    loss = {run: model(**probe).loss for run, model in causes.items()}
    assert loss["well"].item() == pytest.approx(start)
    assert loss["run P"].item() == pytest.approx(start)
    assert loss["run R"].item() != pytest.approx(start, abs=1e-2)
    for run, value in loss.items():
        value.backward()
        moves = any(p.grad.abs().sum() > 0 for p in causes[run].parameters() if p.requires_grad)
        assert moves == (run != "run Q")


def test_lessons_are_repeatable_and_mixed():
    from medmoe_lite.bases.vocab import build_tokenizer

    tokenizer = build_tokenizer()
    facts, replay = teach.new_facts(drugs=2), teach.known_items(n=3, split="train")
    first = teach.lessons(tokenizer, facts, steps=2, batch_size=6, replay=replay)
    again = teach.lessons(tokenizer, facts, steps=2, batch_size=6, replay=replay)
    assert all(
        torch.equal(a["input_ids"], b["input_ids"]) for a, b in zip(first, again, strict=True)
    )
    assert len(first) == 2
    assert set(first[0]) == {"input_ids", "labels", "attention_mask"}
    assert not {e.prompt for e in facts} & {e.prompt for e in teach.new_facts(2, "heldout")}


class Oracle:
    """A model that answers every question, or one token of each wrongly."""

    training = False

    def __init__(self, wrong):
        self.wrong = wrong

    def eval(self):
        return self

    def train(self, mode):
        return self

    def __call__(self, input_ids, attention_mask):
        said = torch.nn.functional.one_hot(input_ids.roll(-1, 1), 4096).float()
        if self.wrong:
            last = attention_mask.sum(1) - 2  # the place that says the stop token
            said[torch.arange(len(last)), last] = 0
            said[torch.arange(len(last)), last, 7] = 1
        return type("Out", (), {"logits": said})()


def test_recall_wants_the_whole_answer_and_the_stop():
    from medmoe_lite.bases.vocab import build_tokenizer

    facts = teach.new_facts(drugs=3)
    assert teach.recall(Oracle(wrong=False), build_tokenizer(), facts) == 1.0
    assert teach.recall(Oracle(wrong=True), build_tokenizer(), facts) == 0.0

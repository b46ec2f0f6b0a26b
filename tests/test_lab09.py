"""What notebook 09 leans on: plans against built models, the pick, the recipe's way, the dials."""

import math
from types import SimpleNamespace

import pytest
import torch

from medmoe_lite import load_base
from medmoe_lite.bases.plan import QWEN_1_8B, adapter_parameters, memory, parameters
from medmoe_lite.lab import checks, nb09
from medmoe_lite.lab.nb09 import answers, failure, machine, run, shapes
from medmoe_lite.lab.nb09.quiz import QUIZ
from medmoe_lite.lab.nb09.typed import TYPED
from medmoe_lite.train.recipe import Recipe


@pytest.fixture(autouse=True)
def no_wish(monkeypatch):
    for name in ("MEDMOE_BASE", *machine.OFFLINE):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["ming_moe", "medcare"])
def test_trained_numbers_equal_the_package_formula(name):
    config = Recipe.read(name).config("paper")
    sizes = shapes.sizes()
    found = answers.trainable(config, sizes["shapes"], sizes["layers"])
    assert found == adapter_parameters(
        QWEN_1_8B, config.r, config.num_experts, config.shared_experts
    )


def test_bytes_at_rest_equal_the_package_plan():
    sizes, found = shapes.sizes(), memory(QWEN_1_8B, "qlora", rank=16, experts=8)
    trained = adapter_parameters(QWEN_1_8B, 16, 8)
    parts = answers.resting_bytes(sizes["linear"], sizes["other"], trained, True)
    assert parts == pytest.approx({name: getattr(found, name) for name in parts})
    assert sizes["linear"] + sizes["other"] == parameters(QWEN_1_8B).total


def test_four_bit_bytes_are_those_of_a_packed_layer():
    from bitsandbytes.functional import quantize_4bit

    weight = torch.randn(1024, 1024)
    packed, state = quantize_4bit(weight, compress_statistics=True, quant_type="nf4")
    stored = packed.numel() + state.absmax.numel() + 4 * state.state2.absmax.numel()
    parts = answers.resting_bytes(weight.numel(), 0, 0, True)
    assert parts["weights"] == pytest.approx(stored, rel=1e-4)


def test_kept_bytes_grow_with_layers_as_planned(monkeypatch):
    """Three blocks against one: the difference is two blocks."""
    small = {"hidden_size": 64, "intermediate_size": 192, "num_attention_heads": 4,
             "num_key_value_heads": 4, "vocab_size": 64, "tie_word_embeddings": False}  # fmt: skip
    monkeypatch.setattr(shapes, "QWEN_1_8B", SimpleNamespace(**small))
    config = Recipe.read("ming_moe").config("paper", r=4)
    one, two, three = (shapes._kept(layers, config, 16) for layers in (1, 2, 3))
    assert three - two == two - one > 16 * 2 * (64 * 6 + 192 * 4)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_checkpointing_and_logits_of_the_formula_equal_what_autograd_keeps():
    """On a small Qwen2 in 32 bits: block inputs alone are kept; the loss keeps its logits."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=512, hidden_size=64, intermediate_size=128, num_hidden_layers=3,
        num_attention_heads=2, num_key_value_heads=2, use_cache=False,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config).train()
    model.enable_input_require_grads()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    ids, kept = torch.zeros(2, 32, dtype=torch.long), {}
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    note = lambda t: kept.setdefault(t.untyped_storage().data_ptr(), t)  # noqa: E731
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (note(t), t)[1], lambda t: t):
        model.model(input_ids=ids)
    shape = [t for p, t in kept.items() if p not in own and t.shape == (2, 32, 64)]
    assert 3 <= len(shape) <= 5  # an input a block, and the norm after the last one


def test_a_plan_refuses_and_names_its_largest_part():
    parts = {"weights": 2 * answers.GIB, "logits": 20 * answers.GIB}
    with pytest.raises(ValueError, match="largest part: logits"):
        answers.plan(parts, 16)
    assert answers.plan(parts, 24) == 23.5


def test_hours_follow_from_counted_operations():
    """A frozen and a trained linear layer, products counted by hand."""
    frozen, trained, tokens = 6 * 4, 5 * 3, 7
    operations = 2 * tokens * (2 * frozen) + 2 * tokens * (3 * trained)
    hours = answers.gpu_hours(tokens, frozen, trained, 1e-12, 1.0, False)
    assert hours == pytest.approx(operations / 3600)


def test_pick_never_downloads_and_says_why(monkeypatch, tmp_path, capsys):
    assert machine.pick_base().place == "nano"
    assert "no CUDA card" in capsys.readouterr().out
    monkeypatch.setattr(machine, "card_size", lambda: 16.0)
    monkeypatch.setattr(machine, "cached", lambda name=machine.NAME: None)
    assert machine.pick_base().place == "nano"
    assert "download=True" in capsys.readouterr().out
    assert machine.pick_base(download=True).place == machine.NAME
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert machine.pick_base(download=True).place == "nano"
    assert "offline" in capsys.readouterr().out
    monkeypatch.setattr(machine, "cached", lambda name=machine.NAME: tmp_path)
    found = machine.pick_base()
    assert (found.place, found.column) == (str(tmp_path), "paper")
    monkeypatch.setenv("MEDMOE_BASE", "nano")
    assert machine.pick_base().place == "nano"


def test_a_model_in_the_cache_is_found_only_when_whole(monkeypatch, tmp_path):
    import huggingface_hub

    (tmp_path / "config.json").write_text("{}")
    found = lambda name, file: str(tmp_path / file)  # noqa: E731
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", found)
    assert machine.cached() is None
    (tmp_path / "model.safetensors").write_text("")
    (tmp_path / "tokenizer_config.json").write_text("{}")
    assert machine.cached() == tmp_path


def test_both_stages_run_in_four_bits(monkeypatch, tmp_path, capsys):
    """The notebook's calls with the paper's column, on a small model from a folder."""
    monkeypatch.setenv("MEDMOE_FAST", "1")
    monkeypatch.setenv("MEDMOE_PROGRESS", "0")
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from medmoe_lite.train.run import run_stage

    _, tokenizer = load_base("nano")
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    place = str(tmp_path)
    model, tokenizer = load_base(place, four_bit=True, device="cpu")
    job = run.Job(machine.Pick("a base", place, "", "paper"))
    suites = {name: items[:4] for name, items in run.suites().items()}
    curve = run.Curve(tokenizer, suites, every=2)
    for stage in job.stages:
        model = job.ready(model, stage)
        curve.begin(stage, model)
        run_stage(model, tokenizer, stage, job.data, on_step=curve.note)
    assert curve.steps == [0, 2, 3, 3, 5, 6]
    assert [name for _, name in curve.marks] == ["knowledge", "alignment"]
    assert curve.usage.shape[1] == 8
    assert curve.usage.sum(-1) == pytest.approx(1.0)
    assert 1 / 8 < curve.health["max_load"] <= 0.5
    assert set(model.peft_config) == {"default", "alignment"}
    assert "unpacked" in capsys.readouterr().out
    _, text = nb09.plots.forgetting(curve, "a base", {"x": [[0, 1, 0.5]]}, 1)
    assert "a base" in text
    _, text = nb09.plots.routers(curve.usage, curve.places, "a base", [curve.usage], 1)
    assert "8 experts" in text
    import matplotlib.pyplot as plt

    plt.close("all")


def test_share_right_is_that_of_the_plain_loop():
    from medmoe_lite.lab.teach import recall

    model, tokenizer = load_base("nano")
    items = run.suites()["general"]
    assert run.right(model, tokenizer, items) == pytest.approx(recall(model, tokenizer, items))


def test_each_broken_run_shows_its_mark(monkeypatch):
    monkeypatch.setattr(shapes, "block_bytes", lambda *a, **k: 153_000)
    base, tokenizer = load_base("nano")
    lessons = failure.batches(tokenizer, steps=10)
    read = {n: failure.examine(base, tokenizer, n, lessons) for n in ("healthy", *failure.SICK)}
    cause = {why: read[name] for name, why in failure.SICK.items()}
    healthy, stop, half, rate, refused = (
        read["healthy"],
        *(cause[failure.CAUSES[i]] for i in range(4)),
    )
    assert healthy.losses[-1] < healthy.losses[0]
    assert stop.losses[-1] < stop.losses[0] / 2
    assert stop.tokens > 3 * healthy.tokens
    assert math.isfinite(half.losses[0])
    assert math.isnan(half.losses[1])
    assert max(rate.losses[3:]) > rate.losses[0]
    assert not refused.losses
    assert sum(refused.plan.values()) > failure.CARD > sum(healthy.plan.values())


def test_the_planner_answers_at_once(monkeypatch):
    import time

    import matplotlib.pyplot as plt

    monkeypatch.setattr(shapes, "block_bytes", lambda *a, **k: 153_000)
    draw = lambda bits: nb09.widget.picture(  # noqa: E731
        answers.parts_of, 95_134_272, 16, 1024, 4, bits, False, False
    )
    draw(4)
    began = time.process_time()
    _, text = draw(16)
    assert time.process_time() - began < 2  # 0.2 s on a quiet machine; never flaky on a busy one
    assert "does not fit" in text
    plt.close("all")


def test_numbers_of_the_quiz():
    [asked] = [item for item in QUIZ if item.number is not None]
    found = answers.running_bytes(4096, 4096, shapes.sizes(), 0, True)["logits"]
    assert asked.number == round(found / answers.GIB, 1)
    assert next(choice for choice in asked.choices if choice.right).text == str(asked.number)


def test_adam_in_float16_divides_zero_by_zero():
    weight = torch.nn.Parameter(torch.ones(2, dtype=torch.float16))
    optimizer = torch.optim.AdamW([weight], lr=1e-3)
    weight.grad = torch.tensor([0.0, 1.0], dtype=torch.float16)
    optimizer.step()
    assert weight.isnan().tolist() == [True, False]


@pytest.mark.parametrize("key", TYPED)
def test_what_a_person_types_is_recognised(key):
    mistake, text = TYPED[key]
    assert mistake in checks.exercise(key).mutants
    scope = {"nb09": nb09}
    exec(text, scope)
    own = [v for n, v in scope.items() if n not in ("nb09", "CAUSES") and not n.startswith("_")]
    assert checks.judge(key, own[-1]).mistake == mistake


def test_commands_that_the_notebook_names_exist():
    from typer.testing import CliRunner

    from medmoe_lite.cli import app
    from medmoe_lite.measure.bench import parser

    assert CliRunner().invoke(app, ["recipe", "--help"]).exit_code == 0
    assert parser().parse_args(["--only", "gpu"]).only == ["gpu"]

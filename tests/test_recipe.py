"""Recipes: all five read and run; every mistake is named with file, line and what to type."""

import dataclasses
import inspect
import math

import pytest
import torch
from train_tiny import tiny_model, tiny_tokenizer

from medmoe_lite import MoLoraConfig
from medmoe_lite.depth import depth_plan
from medmoe_lite.eci_model import head_of, with_eci
from medmoe_lite.method import MoLoraLayer
from medmoe_lite.train import Stage
from medmoe_lite.train.recipe import Recipe, RecipeError, names
from medmoe_lite.train.recipe_fields import config_fields, head_fields, stage_fields
from medmoe_lite.train.recipe_file import FOLDER
from medmoe_lite.train.recipe_run import examples, prepare, run_recipe
from medmoe_lite.train.recipe_table import table

NAMES = ("llamacare", "lora", "med_moe_lora", "medcare", "ming_moe")
SMALL = """\
title: Small
cite: nobody
bases:
  name: {paper: big, nano: nano, source: s, reason: w}
  layers: {paper: 24, nano: 5, source: s, reason: w}
data:
  facts: {paper: books, nano: {every_fact: invented}, source: s, reason: w}
  general: {paper: books, nano: {copy: 4}, source: s, reason: w}
adapters:
  default:
    r: {paper: 16, nano: 4, source: s, reason: w}
    lora_alpha: {paper: 32, source: s}
    num_experts: {paper: 8, nano: {per_layer: 4, shape: increasing}, source: s, reason: w}
    general_experts: {paper: 1, source: s}
    gate: {paper: token, source: s}
    renormalize: {paper: true, source: s}
    target_modules: {paper: [up_proj, down_proj], source: s}
  alignment:
    num_experts: {paper: 0, source: s}
    shared_experts: {paper: 2, source: s}
stages:
  learn:
    mix: {paper: {facts: 3, general: 1}, source: s}
    steps: {paper: unknown, nano: 200, source: s, reason: w}
    lr: {paper: 2.0e-4, source: s}
    preservation: {paper: {weight: 0.1, source: general}, source: s}
  align:
    before: {paper: [drop_noise], source: s}
    mix: {paper: {general: 1}, source: s}
    steps: {paper: 100, nano: 20, source: s, reason: w}
    train: {paper: [alignment], source: s}
    frozen: {paper: [default], source: s}
    orthogonal: {paper: {weight: 0.1, kind: cosine}, source: s}
    project: {paper: {source: "adapter:default"}, source: s}
"""


@pytest.fixture
def write(tmp_path):
    """Write a recipe, with one text in it replaced by another."""

    def write(old="", new="", text=SMALL):
        assert text.count(old) == 1 or not old, old
        path = tmp_path / "mine.yaml"
        path.write_text(text.replace(old, new) if old else text, encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def test_the_five_recipes_are_there_and_read():
    assert tuple(names()) == NAMES
    for name in NAMES:
        recipe = Recipe.read(name)
        assert recipe.name == name
        assert recipe.title
        assert "arXiv" in recipe.cite


@pytest.mark.parametrize("name", NAMES)
def test_every_value_has_both_columns_a_source_and_a_reason_where_they_differ(name):
    for value in Recipe.read(name).sources():
        assert value.source.strip()
        assert value.nano != "unknown"
        assert value.reason or value.paper == value.nano


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_plain_data_that_another_reader_understands(name):
    """The values are those of YAML's own loader, key by key."""
    import yaml

    content = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    for value in Recipe.read(name).sources():
        place = content
        for part in value.key.split("."):
            place = place[part]
        for column in ("paper", "nano"):
            raw, read = place.get(column, place["paper"]), getattr(value, column)
            if hasattr(read, "_asdict") or dataclasses.is_dataclass(read):
                assert all(getattr(read, key) == given for key, given in raw.items())
            else:
                assert read == (tuple(raw) if isinstance(read, tuple) else raw)


def test_keys_are_the_fields_of_what_takes_them():
    own = {f.name for f in dataclasses.fields(MoLoraConfig)} & set(MoLoraConfig.__annotations__)
    assert set(config_fields()) == own - {"task_type", "molora_format", "written"}
    stage = {f.name for f in dataclasses.fields(Stage)}
    assert set(stage_fields()) == stage - {"name"} | {"before"}
    assert set(head_fields()) == set(inspect.signature(with_eci).parameters) - {"model"}
    plan = config_fields()["num_experts"].__args__[-1]
    wanted = list(inspect.signature(depth_plan).parameters)[1:]
    assert [f.name for f in dataclasses.fields(plan)] == wanted


def test_configurations_of_the_papers():
    ming = Recipe.read("ming_moe").config("paper")
    assert (ming.r, ming.lora_alpha, ming.num_experts, ming.top_k) == (16, 32, 8, 2)
    medcare = Recipe.read("medcare")
    knowledge = medcare.config("paper").layout(0)
    assert (knowledge.ranks, set(knowledge.scales)) == ((32, *[16] * 8), {2.0})
    alignment = medcare.config("paper", "alignment").layout(0)
    assert (alignment.ranks, alignment.scales) == ((32,), (2.0,))
    assert Recipe.read("lora").config("paper").layout(0).ranks == (16,)


def test_experts_by_depth_follow_the_layers_of_the_base(write):
    recipe = Recipe.read("med_moe_lora")
    assert recipe.config("nano").num_experts == [2, 3, 4, 5, 6]
    assert recipe.config("nano", layers=24).num_experts == depth_plan(24, 4, "increasing", 2, 6)
    assert recipe.config("nano/seed1").num_experts == [2, 3, 4, 5, 6]
    assert Recipe.read(write()).config("paper").num_experts == 8


def test_what_is_unknown_must_be_given_and_is_never_made_up():
    recipe = Recipe.read("medcare")
    with pytest.raises(ValueError, match="steps, warmup unknown.*steps=..., warmup=..."):
        recipe.stages("paper")
    first, second = recipe.stages("paper", steps=500, warmup=15)
    assert (first.steps, first.lr, second.warmup) == (500, 2e-4, 15)
    assert second.orthogonal is not None
    assert (second.orthogonal.weight, second.train) == (1.0, ("default", "alignment"))
    with pytest.raises(ValueError, match="leaves r, lora_alpha, num_experts"):
        Recipe.read("med_moe_lora").config("paper")


def test_changes_are_checked_like_the_file(write):
    recipe = Recipe.read(write())
    assert recipe.config("nano", num_experts=3).num_experts == 3
    with pytest.raises(ValueError, match="no 'num_expert'. Did you mean 'num_experts'?"):
        recipe.config("nano", num_expert=3)
    with pytest.raises(ValueError, match="no adapter 'alignmnt'. Did you mean 'alignment'?"):
        recipe.config("nano", "alignmnt")
    with pytest.raises(ValueError, match="no 'before'"):  # what is done before is not a field
        recipe.stages("nano", before=["drop_noise"])
    with pytest.raises(ValueError, match="type base='nano'"):
        recipe.config("nanoo")
    with pytest.raises(ValueError, match="top_k=99") as caught:  # the call is wrong, not the file
        recipe.config("nano", top_k=99)
    assert "mine.yaml" not in str(caught.value)


MISTAKES = {
    # keys
    "key of an adapter": ("lora_alpha:", "lora_alfa:", "'lora_alfa'", "'lora_alpha'"),
    "key of a stage": ("lr: {paper", "learnrate: {paper", "no 'learnrate'", "There are: mix"),
    "key of the recipe": ("stages:", "stage:", "no 'stage'", "'stages'"),
    "key of a line": ("lora_alpha: {paper: 32, source", "lora_alpha: {papr: 32, source",
                      "'papr'", "'paper'"),
    "key of a bundle": ("kind: cosine", "knd: cosine", "orthogonal has no 'knd'", "'kind'"),
    "key of a plan": ("shape: increasing", "shap: increasing", "'shap'", "'shape'"),
    "key of a base": ("name: {paper: big", "nam: {paper: big", "'nam'", "'name'"),
    "key twice": ("    gate: {paper: token", "    r: {paper: token", "'r' stands twice", "line 11"),
    "family": ("{copy: 4}", "{copi: 4}", "'copi'", "'copy'"),
    # types
    "text for a number": ("r: {paper: 16", "r: {paper: sixteen", "r is 'sixteen'", "whole number"),
    "quoted number": ("lr: {paper: 2.0e-4", 'lr: {paper: "2.0e-4"', "without quotes", "2.0e-4"),
    "number without a point": ("lr: {paper: 2.0e-4", "lr: {paper: 2e-4", "needs the point",
                               "type 2.0e-4"),
    "fraction for a count": ("r: {paper: 16", "r: {paper: 16.0", "r is 16.0", "type 16"),
    "bool for a number": ("lora_alpha: {paper: 32", "lora_alpha: {paper: yes", "is True",
                          "a number"),
    "number for a bool": ("renormalize: {paper: true", "renormalize: {paper: 1", "is 1",
                          "true or false"),
    "bool for text": ("gate: {paper: token", "gate: {paper: on", "gate is True", 'type "on"'),
    "text for a list": ("train: {paper: [alignment]", "train: {paper: alignment",
                        "train is 'alignment'", "a list"),
    "entry of a list": ("[up_proj, down_proj]", "[up_proj, 3]", "entry of target_modules is 3",
                        "text"),
    "list for a mapping": ("mix: {paper: {general: 1}", "mix: {paper: [general]",
                           "mix is a list", "a mapping of names"),
    "share": ("{facts: 3, general: 1}", "{facts: three, general: 1}", "facts is 'three'",
              "a number"),
    "inside a bundle": ("weight: 0.1, kind", "weight: much, kind", "weight is 'much'", "a number"),
    "inside a plan": ("per_layer: 4", "per_layer: four", "per_layer is 'four'", "whole number"),
    "bundle lacks": ("{weight: 0.1, kind: cosine}", "{kind: cosine}", "lacks 'weight'", "number"),
    "number alone": ("gate: {paper: token, source: s}", "gate: token", "'token' alone",
                     "gate: {paper: ..."),
    "count of a family": ("{copy: 4}", "{copy: many}", "copy is 'many'", "whole number"),
    "empty": ("gate: {paper: token,", "gate: {paper: ,", "gate is empty", "give text"),
    # values
    "gate": ("gate: {paper: token", "gate: {paper: tokn", "unknown gate 'tokn'",
             "Did you mean 'token'?"),
    "rank": ("r: {paper: 16", "r: {paper: 0", "r=0", "type r=16"),
    "shape": ("shape: increasing", "shape: increasin", "unknown shape", "'increasing'"),
    "kind": ("kind: cosine", "kind: cosin", "orthogonal kind 'cosin'", "Did you mean 'cosine'?"),
    "rate": ("lr: {paper: 2.0e-4,", "lr: {paper: 2.0e-4, nano: -1.0, reason: w,", "lr=-1.0",
             "positive"),
    "adapter of a stage": ("train: {paper: [alignment]", "train: {paper: [alignmnt]",
                           "no adapter 'alignmnt'", "'alignment'"),
    "frozen and trained": ("train: {paper: [alignment]", "train: {paper: [default]",
                           "in train and in frozen", "one of the two"),
    "source of a mix": ("{facts: 3, general: 1}", "{fact: 3, general: 1}",
                        "no data source 'fact'", "'facts'"),
    "source of the preservation": ("{weight: 0.1, source: general}",
                                   "{weight: 0.1, source: genral}", "'genral'", "'general'"),
    "adapter of the projection": ("adapter:default", "adapter:defalt", "no adapter 'defalt'",
                                  "'default'"),
    "action": ("[drop_noise]", "[drop_nois]", "no action 'drop_nois'", "'drop_noise'"),
    # lines
    "no source": ("gate: {paper: token, source: s}", "gate: {paper: token}", "lacks 'source'",
                  "source: ..."),
    "empty source": ("gate: {paper: token, source: s}", 'gate: {paper: token, source: ""}',
                     "empty source", "adapters.default.gate"),
    "no reason": ("r: {paper: 16, nano: 4, source: s, reason: w}",
                  "r: {paper: 16, nano: 4, source: s}", "differs", "reason: ..."),
    "unknown without nano": ("lora_alpha: {paper: 32", "lora_alpha: {paper: unknown",
                             "needs nano", "lora_alpha"),
    "unknown nano": ("r: {paper: 16, nano: 4", "r: {paper: 16, nano: unknown", "'unknown'",
                     "whole number"),
    "point in a name": ("  alignment:\n", "  align.ment:\n", "'align.ment' has a point",
                        "leave it out"),
    # YAML
    "not YAML": ("gate: {paper: token, source: s}", "gate: {paper: token, source: s", "no YAML",
                 "expected"),
    "tag": ("gate: {paper: token", "gate: {paper: !!python/name:os.system x", "cannot be read",
            "constructor"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_file_line_and_what_is_right(write, mistake):
    old, new, *told = MISTAKES[mistake]
    path = write(old, new)
    with pytest.raises(RecipeError) as caught:
        Recipe.read(path)
    line = SMALL[: SMALL.index(old)].count("\n") + 1
    if mistake == "not YAML":  # found where the next line begins
        line += 1
    if mistake == "point in a name":
        line += 1
    assert caught.value.line == line, str(caught.value)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    for text in told:
        assert text in str(caught.value)


def test_a_value_over_several_lines_is_named_at_its_own_line(write):
    block = "orthogonal:\n      paper:\n        weight: 0.1\n        kind: cosin\n      source: s\n"
    path = write("orthogonal: {paper: {weight: 0.1, kind: cosine}, source: s}\n", block)
    with pytest.raises(RecipeError) as caught:
        Recipe.read(path)
    assert path.read_text().splitlines()[caught.value.line - 1].strip() == "kind: cosin"


def test_files_that_are_none(tmp_path, write):
    with pytest.raises(FileNotFoundError, match="no recipe 'medcar'. Did you mean 'medcare'?"):
        Recipe.read("medcar")
    with pytest.raises(FileNotFoundError, match="there is no"):
        Recipe.read(tmp_path / "none.yaml")
    with pytest.raises(RecipeError, match=r":1: the file is empty"):
        Recipe.read(write(text=""))
    with pytest.raises(RecipeError, match=r":1: a recipe is a list"):
        Recipe.read(write(text="- a\n"))
    with pytest.raises(RecipeError, match="the recipe lacks 'data'"):
        Recipe.read(write(text="title: a\ncite: b\nbases: {}\nadapters: {}\nstages: {}\n"))
    with pytest.raises(RecipeError, match="adapters is empty"):
        Recipe.read(write(text=SMALL[: SMALL.index("adapters:")] + "adapters: {}\nstages: {}\n"))
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"title: a\ncite: M\xfcller\n")
    with pytest.raises(RecipeError, match=r":2: not UTF-8"):
        Recipe.read(path)


def routed(model, adapter="default"):
    layers = [m for m in model.modules() if isinstance(m, MoLoraLayer)]
    return [m for m in layers if adapter in m.molora_router]


@pytest.mark.parametrize("name", NAMES)
def test_two_steps_of_every_stage(name, tokenizer):
    recipe, model = Recipe.read(name), tiny_model(num_hidden_layers=2)
    base = {key: value.clone() for key, value in model.state_dict().items()}
    data = examples(recipe, most=3)
    fields = {"steps": 2, "batch_size": 12, "warmup": 1, "log_every": 1}
    model, histories = run_recipe(recipe, model, tokenizer, data, **fields)
    stages = recipe.stages()
    assert [history.stage for history in histories] == [stage.name for stage in stages]
    for stage, history in zip(stages, histories, strict=True):
        terms = {
            "balance": stage.balance,
            "orthogonal": stage.orthogonal,
            "preservation": stage.preservation,
            "eci": recipe.head(),
        }
        assert len(history.log) == 2
        assert all(math.isfinite(row["loss"]) for row in history.log)
        seen = set().union(*history.log)
        closed = stage.noise_dropout > 0  # both steps may have been drawn
        assert {k for k, v in terms.items() if v} - seen <= ({"balance"} if closed else set())
        for adapter in stage.train:
            moved = [p for key, p in model.named_parameters()
                     if f".{adapter}." in key and key.endswith(".B")]  # fmt: skip
            assert moved
            assert all(p.abs().max() > 0 for p in moved)
    if name != "medcare":  # there the attention is merged into it
        assert all(
            torch.equal(value, base[key])
            for key, value in model.unload().state_dict().items()
            if "eci" not in key
        )


def test_medcare_goes_through_its_two_stages(tokenizer):
    recipe, model = Recipe.read("medcare"), tiny_model(num_hidden_layers=2)
    first, second = recipe.stages(steps=2, batch_size=6)
    model = prepare(recipe, model, first)
    assert list(model.peft_config) == ["default"]
    assert len(routed(model)) == 6
    same = prepare(recipe, model, second)
    assert same is model
    assert list(model.peft_config) == ["default", "alignment"]
    assert routed(model) == []
    layers = [m for m in model.modules() if isinstance(m, MoLoraLayer)]
    assert all("mlp" in layer.layer_name for layer in layers)  # the attention is merged
    assert {layer.lowrank(a).layout.ranks for layer in layers for a in model.peft_config} == {(16,)}


def test_adapters_start_from_the_seed_alone(tokenizer):
    recipe = Recipe.read("ming_moe")
    (stage,) = recipe.stages()

    def start(seed):
        torch.manual_seed(seed + 5)
        model = prepare(recipe, tiny_model(num_hidden_layers=1), stage, seed=seed)
        return {k: v.clone() for k, v in model.named_parameters() if v.requires_grad}

    one, again, other = start(0), start(0), start(1)
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


def test_llamacare_has_a_head_that_knows_its_labels():
    recipe = Recipe.read("llamacare")
    (stage,) = recipe.stages()
    model = prepare(recipe, tiny_model(num_hidden_layers=1), stage)
    head = head_of(model)
    assert head is not None
    assert (head.labels, head.loss_weight) == (("no", "yes", "maybe"), 0.2)
    assert Recipe.read("medcare").head() is None
    assert recipe.base("paper") == {
        "name": "meta-llama/Llama-2-13b-hf", "layers": 40, "four_bit": True
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_data_has_every_source_of_every_mix(name):
    recipe = Recipe.read(name)
    data = examples(recipe, most=2)
    assert all(data[source] for stage in recipe.stages() for source in stage.mix)
    assert set(recipe.data("paper")) == set(data)


@pytest.mark.parametrize("name", NAMES)
def test_the_table_shows_every_value(name):
    recipe = Recipe.read(name)
    text = table(recipe, width=150)
    assert all(value.key in text for value in recipe.sources() if len(value.key) <= 34)
    assert max(map(len, text.splitlines())) <= 150
    assert text.startswith(recipe.title)


def test_the_wheel_and_the_source_archive_carry_the_recipes(root):
    from hatchling.builders.sdist import SdistBuilder
    from hatchling.builders.wheel import WheelBuilder

    for builder in (WheelBuilder, SdistBuilder):
        files = {f.distribution_path for f in builder(str(root)).recurse_included_files()}
        wanted = {f"medmoe_lite/recipes/{name}.yaml" for name in NAMES}
        assert {path for path in wanted if not any(f.endswith(path) for f in files)} == set()

"""Depth plans: exact budgets, shapes, adapters with other counts in each layer, the figure."""

import itertools
import json
from fractions import Fraction

import pytest
import torch
from layer_tiny import logits, shake, tiny_base
from peft import PeftModel, get_peft_model

from medmoe_lite import MoLoraConfig
from medmoe_lite.depth import SHAPES, depth_plan, same_budget
from medmoe_lite.lab.plots_depth import depth_plans
from medmoe_lite.lab.show import png
from medmoe_lite.method import MoLoraLayer

LAYERS = (5, 24, 32)


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("per_layer", [3, 4, 5, 8])
def test_all_shapes_have_exactly_the_budget_and_stay_in_bounds(layers, per_layer):
    plans = {shape: depth_plan(layers, per_layer, shape) for shape in SHAPES}
    plans |= {g: depth_plan(layers, per_layer, "curve", gamma=g) for g in (0.3, 2.0, 7.5)}
    assert same_budget(*plans.values()) == layers * per_layer
    assert {len(plan) for plan in plans.values()} == {layers}
    assert min(map(min, plans.values())) >= 2  # so that top-2 works in each layer
    assert max(map(max, plans.values())) <= 2 * per_layer - 2
    assert all(isinstance(count, int) for plan in plans.values() for count in plan)


@pytest.mark.parametrize("layers", LAYERS)
def test_shapes_rise_fall_or_stay(layers):
    assert depth_plan(layers, 5) == [5] * layers
    up = depth_plan(layers, 5, "increasing")
    assert up == sorted(up)
    assert (up[0], up[-1]) == (2, 8)
    assert depth_plan(layers, 5, "decreasing") == up[::-1]
    assert depth_plan(layers, 5, "mola") == sorted(depth_plan(layers, 5, "mola"))
    late, early = (depth_plan(layers, 5, "curve", 1, 9, gamma) for gamma in (4.0, 0.25))
    assert late == sorted(late)
    assert late[layers // 2] < early[layers // 2]


@pytest.mark.parametrize("layers", [8, 24, 32])
def test_mola_is_the_published_plan(layers):
    quarter = layers // 4
    expected = [count for count in (2, 4, 6, 8) for _ in range(quarter)]
    assert depth_plan(layers, 5, "mola") == expected


@pytest.mark.parametrize(("layers", "low", "high"), [(3, 1, 5), (4, 2, 8), (4, 1, 6), (5, 1, 4)])
def test_rounding_is_the_nearest_of_all_plans_with_that_sum(layers, low, high):
    """Against every whole plan: on a line with mean (low + high) / 2 nothing has to be lifted."""
    if (low + high) % 2:
        high += 1
    wanted = [low + Fraction((high - low) * i, layers - 1) for i in range(layers)]
    mean = (low + high) // 2
    error = lambda plan: sum((a - b) ** 2 for a, b in zip(plan, wanted, strict=True))  # noqa: E731
    every = itertools.product(range(low, high + 1), repeat=layers)
    best = min(error(plan) for plan in every if sum(plan) == layers * mean)
    assert error(depth_plan(layers, mean, "increasing", low, high)) == best


def test_bounds_far_from_the_mean_are_kept_and_the_sum_as_well():
    plan = depth_plan(24, 3, "increasing", low=1, high=16)
    assert sum(plan) == 72
    assert plan == sorted(plan)
    assert 1 <= plan[0] < plan[-1] <= 16
    assert depth_plan(4, 2, "increasing", low=0)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((4, 5, "increasin"), "type shape='increasing'"),
        ((4, 5, "increasing", 6), "type low=5"),
        ((4, 5, "increasing", 1, 4), "high=5"),
        ((4, 1, "increasing"), "low and high are both 1"),
        ((0, 5), "layers=0"),
        ((4, 2.5), "per_layer=2.5"),
        ((4, 5, "uniform", -1), "low=-1"),
        ((4, 5, "curve", None, None, 0.0), "gamma=0.0"),
        ((4, 5, "mola", None, None, 2.0), "bends only shape='curve'"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_type(arguments, told):
    with pytest.raises(ValueError, match=told):
        depth_plan(*arguments)


def test_plans_of_other_size_are_no_comparison():
    with pytest.raises(ValueError, match="differ in size"):
        same_budget([4, 4], [4, 5])
    with pytest.raises(ValueError, match="differ in size"):
        same_budget([4, 4], [8])


def adapter(plan, **fields):
    config = MoLoraConfig(r=2, lora_alpha=4, num_experts=plan, top_k=2, **fields)
    torch.manual_seed(0)
    return get_peft_model(tiny_base(layers=len(plan)), config)


def test_equal_budgets_are_equal_numbers_of_parameters_routers_included():
    plans = {shape: depth_plan(5, 4, shape) for shape in SHAPES}
    sizes = {}
    for shape, plan in plans.items():
        model = adapter(plan)
        sizes[shape] = sum(p.numel() for p in model.parameters() if p.requires_grad)
        routed = [m.molora_router["default"] for m in model.modules()
                  if isinstance(m, MoLoraLayer) and m.molora_router]  # fmt: skip
        assert [gate.num_experts for gate in routed[::3]] == plan  # three projections a layer
    assert len(set(sizes.values())) == 1
    assert len({tuple(plan) for plan in plans.values()}) >= 3


@pytest.mark.parametrize("fields", [{}, {"shared_experts": 1}])
def test_counts_a_layer_are_saved_and_loaded_with_the_adapter(tmp_path, fields):
    plan = depth_plan(3, 4, "increasing")
    model = adapter(plan, **fields).eval()
    shake(model, 3)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["num_experts"] == [2, 4, 6]
    again = PeftModel.from_pretrained(tiny_base(layers=3), tmp_path).eval()
    assert again.peft_config["default"].num_experts == plan
    assert torch.equal(logits(again), logits(model))
    assert not torch.equal(logits(again), logits(tiny_base(layers=3)))


def test_a_plan_for_another_number_of_layers_is_refused(tmp_path):
    with pytest.raises(ValueError, match="5 entries and the model has 3 layers"):
        get_peft_model(tiny_base(layers=3), MoLoraConfig(num_experts=depth_plan(5, 4)))
    adapter(depth_plan(3, 4, "increasing")).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="trained on another base"):
        PeftModel.from_pretrained(tiny_base(layers=2), tmp_path)


@pytest.mark.parametrize("layers", [5, 24])
def test_the_figure_draws_every_layer_and_says_the_budgets(layers):
    plans = {shape: depth_plan(layers, 5, shape) for shape in SHAPES[:4]}
    figure, text = depth_plans(plans)
    heights = [[bar.get_height() for bar in axis.patches] for axis in figure.axes]
    assert heights == [list(plan) for plan in plans.values()]
    sizes = [t.get_fontsize() for t in figure.findobj(lambda o: hasattr(o, "get_fontsize"))]
    assert min(sizes) >= 11
    assert f"uniform: 5 each, {5 * layers} in all" in text
    assert f"increasing: 2 to 8 from the first layer to the last, {5 * layers} in all" in text
    picture = png(figure)
    assert len(picture) <= 100_000
    assert png(depth_plans(plans)[0]) == picture


def test_a_figure_of_plans_that_do_not_match_is_refused():
    with pytest.raises(ValueError, match="all for the same layers"):
        depth_plans({"a": [1, 2], "b": [3]})
    with pytest.raises(ValueError, match="at least one plan"):
        depth_plans({})

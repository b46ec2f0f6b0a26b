import pytest
import torch

from medmoe_lite.layout import Expert, Layout


def test_knowledge_and_noise_aggregator():
    layout = Layout.mixture(num_experts=8, r=16, lora_alpha=32, shared_experts=2)
    assert layout.ranks == (32, *[16] * 8)
    assert layout.scales == (2.0,) * 9  # α/r for the shared expert too, not α/(n r)
    assert (layout.num_shared, layout.num_routed) == (1, 8)
    assert (layout.shared_rank, layout.total_rank) == (32, 160)


def test_columns_and_slices_say_the_same():
    layout = Layout.mixture(3, r=2, lora_alpha=4, shared_experts=1, expert_ranks=[1, 4, 2])
    columns = layout.columns()
    assert columns.shape == (layout.total_rank,)
    for number, own in enumerate(layout.slices):
        assert (columns[own] == number).all()
        assert int((columns == number).sum()) == layout.ranks[number]


def test_ranks_differ_by_expert_and_so_do_scales():
    layout = Layout.mixture(3, r=16, lora_alpha=32, expert_ranks=[4, 8, 16])
    assert layout.scales == (8.0, 4.0, 2.0)


def test_rank_stabilised_scales():
    layout = Layout.mixture(2, r=4, lora_alpha=8, shared_experts=3, expert_ranks=[4, 16],
                            rslora=True)  # fmt: skip
    assert layout.ranks == (12, 4, 16)
    assert layout.scales == (4.0, 4.0, 2.0)  # the shared expert is scaled as one of rank r
    assert Layout.lora(16, 32, rslora=True).scales == (8.0,)


def test_every_rank_an_expert_of_its_own():
    layout = Layout.mixture(32, r=1, lora_alpha=2)
    assert torch.equal(layout.columns(), torch.arange(32))
    assert set(layout.scales) == {2.0}


def test_general_experts_that_are_always_open():
    layout = Layout.mixture(5, 2, 4, 1, general_experts=2, open_general=True)
    assert (layout.num_shared, layout.num_routed, layout.shared_rank) == (3, 3, 6)
    assert layout.groups == ("medical", "general", "general", "medical", "medical", "medical")
    routed = Layout.mixture(5, 2, 4, 1, general_experts=2)
    assert layout.total_rank == routed.total_rank  # the same parameters
    assert layout.without_routed().groups == ("medical", "general", "general")


def test_general_experts_come_first():
    groups = [e.group for e in Layout.mixture(4, r=1, lora_alpha=1, general_experts=1).experts]
    assert groups == ["general", "medical", "medical", "medical"]


def test_forgetting_the_routed_experts_leaves_lora():
    kept = Layout.mixture(8, r=16, lora_alpha=32, shared_experts=1).without_routed()
    assert kept == Layout.lora(16, 32)
    assert torch.equal(kept.columns(), torch.zeros(16, dtype=torch.long))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Layout(()), "at least one expert"),
        (lambda: Layout((Expert(0, 1.0),)), "rank 1 or more"),
        (lambda: Layout((Expert(1, 1.0), Expert(1, 1.0, shared=True))), "reorder"),
        (lambda: Layout.mixture(2, 4, 8, expert_ranks=[1]), "one rank an expert"),
        (lambda: Layout.mixture(2, 4, 8).without_routed(), "shared_experts=1"),
    ],
)
def test_impossible_layouts_say_what_to_do(make, words):
    with pytest.raises(ValueError, match=words):
        make()

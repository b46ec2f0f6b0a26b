"""The head's mathematics: pooling against a float64 loop, padding, logits without activation."""

import math

import pytest
import torch

from medmoe_lite.eci import POOLINGS, EciHead, class_id, class_loss, joint_loss, pool
from medmoe_lite.tasks import Example

WIDTH = 16


def states(seed=0, rows=3, tokens=7, width=WIDTH):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, tokens, width, generator=generator)


MASK = torch.tensor([[1, 1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0, 1]])


def by_hand(hidden, mask, how, query):
    """One row and one feature at a time, in float64."""
    rows = []
    for row, marks in zip(hidden.double(), mask, strict=True):
        chosen = [row[t] for t in range(len(marks)) if marks[t]]
        mean = [sum(float(h[i]) for h in chosen) / len(chosen) for i in range(row.shape[1])]
        highest = [max(float(h[i]) for h in chosen) for i in range(row.shape[1])]
        if how == "last":
            rows.append(chosen[-1].tolist())
        elif how == "attention":
            scores = [math.exp(float(h @ query.double()) / math.sqrt(len(h))) for h in chosen]
            share = [score / sum(scores) for score in scores]
            mixed = sum(s * h for s, h in zip(share, chosen, strict=True))
            rows.append(mixed.tolist())
        else:
            rows.append({"mean": mean, "max": highest, "mean_max": mean + highest}[how])
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("how", POOLINGS)
def test_pooling_is_the_loop_over_marked_tokens(how):
    query = states(1)[0, 0] * 3
    found = pool(states(), MASK, how, query)
    torch.testing.assert_close(found.double(), by_hand(states(), MASK, how, query))


@pytest.mark.parametrize("how", POOLINGS)
def test_padding_is_never_read_not_even_nan(how):
    query = states(1)[0, 0]
    expected = pool(states(), MASK, how, query)
    for value in (1e30, float("inf"), float("nan")):
        spoilt = torch.where(MASK[..., None] != 0, states(), value)
        assert torch.equal(pool(spoilt, MASK, how, query), expected)


@pytest.mark.parametrize("how", POOLINGS)
@pytest.mark.parametrize("left", [0, 3])
def test_more_padding_on_either_side_changes_nothing(how, left):
    head = EciHead(WIDTH, ["a", "b"], how).eval()
    if head.query is not None:
        torch.nn.init.normal_(head.query)
    hidden, mask = states(), torch.ones(3, 7)
    wider = torch.nn.functional.pad(hidden, (0, 0, left, 3 - left), value=7.0)
    marks = torch.nn.functional.pad(mask, (left, 3 - left))
    torch.testing.assert_close(head(wider, marks), head(hidden, mask), rtol=0, atol=1e-6)


@pytest.mark.parametrize("how", POOLINGS)
def test_a_row_without_a_prompt_gives_zeros_and_finite_gradients(how):
    head = EciHead(WIDTH, ["a", "b"], how)
    hidden = states().requires_grad_()
    mask = MASK.clone()
    mask[1] = 0
    query = None if head.query is None else head.query.detach()
    assert not pool(hidden, mask, how, query)[1].any()
    class_loss(head(hidden, mask), torch.tensor([0, -100, 1])).backward()
    assert torch.isfinite(hidden.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters())


def test_attention_starts_as_the_mean_and_its_query_learns():
    head = EciHead(WIDTH, ["a", "b"], "attention", dropout=0.0)
    u = pool(states(), MASK, "attention", head.query)
    torch.testing.assert_close(u, pool(states(), MASK, "mean"))
    class_loss(head(states(), MASK), torch.tensor([0, 1, 1])).backward()
    assert head.query.grad.abs().sum() > 0


def test_half_precision_states_are_pooled_in_float32():
    head = EciHead(WIDTH, ["a", "b"])
    assert head(states().bfloat16(), MASK).dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = head.eval()(states(), MASK)
    assert torch.equal(inside, head(states(), MASK))


def test_the_last_map_is_linear_without_an_activation():
    """Logits far below zero are reached, and their gradient is not shrunk."""
    head = EciHead(WIDTH, ["a", "b", "c"], dropout=0.0)
    with torch.no_grad():
        head.out.bias.copy_(torch.tensor([-50.0, 0.0, 50.0]))
    logits = head(states(), MASK)
    assert logits[:, 0].max() < -40
    logits[:, 0].sum().backward()
    assert head.out.bias.grad.tolist() == [3.0, 0.0, 0.0]


def test_sizes_follow_the_width_and_nothing_else():
    count = lambda width: sum(p.numel() for p in EciHead(width, "a b c".split()).parameters())  # noqa: E731
    assert count(128) < 20_000
    assert 4_000_000 < count(2048) < 5_000_000
    assert EciHead(WIDTH, ["a", "b"], hidden=5).inner.out_features == 5


def test_class_loss_is_the_mean_over_rows_that_have_a_class():
    logits = states()[:, 0, :4]
    loss = class_loss(logits, torch.tensor([2, -100, 1]))
    expected = -sum(
        torch.log_softmax(logits.double(), -1)[row, c].item() for row, c in ((0, 2), (2, 1))
    )
    assert loss.item() == pytest.approx(expected / 2, rel=1e-6)
    parts = [
        class_loss(logits[i : i + 1], torch.tensor([c]), 2) for i, c in enumerate((2, -100, 1))
    ]
    assert sum(parts).item() == pytest.approx(expected / 2, rel=1e-6)


def test_without_any_class_the_loss_is_zero_and_connected():
    head = EciHead(WIDTH, ["a", "b"])
    loss = class_loss(head(states(), MASK), torch.tensor([-100] * 3))
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in head.parameters())


def test_joint_loss_at_both_ends_does_not_touch_the_other_term():
    bad, good = torch.tensor(float("nan")), torch.tensor(2.0)
    assert joint_loss(bad, good, 1.0) is good
    assert joint_loss(good, bad, 0.0) is good
    assert joint_loss(torch.tensor(1.0), good, 0.2).item() == pytest.approx(1.2)


def test_classes_of_items():
    item = Example("classify", "?", "no", choices=("yes", "no", "maybe"))
    assert class_id(item, ["maybe", "no", "yes"]) == 1
    assert class_id(item, ["no", "yes"]) == -100
    assert class_id(Example("facts", "?", "no"), ["yes", "no"]) == -100
    steps = Example("classify", "?", "Recall: ...", choices=("yes", "no"), meta={"label": "yes"})
    assert class_id(steps, ["no", "yes"]) == 1
    assert class_id({"input_ids": [1], "class_label": 2}, ["a", "b", "c"]) == 2


def test_errors_say_what_to_type():
    with pytest.raises(ValueError, match="unknown pooling 'sum': type one of 'mean'"):
        EciHead(WIDTH, ["a", "b"], "sum")
    with pytest.raises(ValueError, match="unknown pooling 'sum'"):
        pool(states(), MASK, "sum")
    with pytest.raises(ValueError, match="at least two different names"):
        EciHead(WIDTH, ["a", "a"])
    with pytest.raises(ValueError, match="at least two different names"):
        EciHead(WIDTH, "yes")
    with pytest.raises(ValueError, match="weight=1.5 is a share"):
        EciHead(WIDTH, ["a", "b"], loss_weight=1.5)
    with pytest.raises(ValueError, match=r"the mask is \(3, 6\) and the states are \(3, 7\)"):
        pool(states(), MASK[:, :6])
    with pytest.raises(ValueError, match="no such labels: \\['perhaps'\\]"):
        EciHead(WIDTH, ["yes", "no"]).class_ids(["perhaps"])
    for wrong in ([0, 2], torch.tensor([0, -1])):
        with pytest.raises(ValueError, match="type numbers from 0 to 1, or -100"):
            EciHead(WIDTH, ["yes", "no"]).class_ids(wrong)
    small = torch.tensor([1, -100], dtype=torch.int32)
    assert EciHead(WIDTH, ["yes", "no"]).class_ids(small).dtype == torch.long
    with pytest.raises(ValueError, match="needs a query"):
        pool(states(), MASK, "attention")

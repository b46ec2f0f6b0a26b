"""The published head's faults, a test each; the head of this package has none of them."""

import pytest
import torch
import torch.nn.functional as F

from medmoe_lite.eci import EciHead
from medmoe_lite.published_head import FAULTS, PublishedHead, published_loss

LENGTH, WIDTH = 8, 32
MASK = torch.tensor([[1] * 5 + [0] * 3])


def text(seed=0, rows=1, length=LENGTH):
    return torch.randn(rows, length, WIDTH, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def published():
    torch.manual_seed(0)
    return PublishedHead(LENGTH, WIDTH).eval()


@pytest.fixture
def flat():
    torch.manual_seed(0)
    return PublishedHead(LENGTH, WIDTH, form="flat").eval()


@pytest.fixture
def ours():
    torch.manual_seed(0)
    return EciHead(WIDTH, ["no", "yes", "maybe"]).eval()


def test_every_fault_has_its_test_and_its_line():
    import medmoe_lite.published_head as module

    for number, fault in enumerate(FAULTS, start=1):
        assert f"test_{fault.name}" in globals()
        assert f"{number}.  {fault.name} " in module.__doc__


def test_fixed_length(published, flat, ours):
    for head in (published, flat):
        with pytest.raises(RuntimeError):
            head(text(length=LENGTH - 4))
    assert ours(text(length=LENGTH - 4), torch.ones(1, LENGTH - 4)).shape == (1, 3)
    with pytest.raises(ValueError, match="need a multiple of 64"):
        PublishedHead(3, WIDTH)


def test_padding(flat, ours):
    """The same prompt beside other padding."""
    one, other = text(), text()
    other[:, 5:] = text(seed=1)[:, 5:]
    assert (flat(one) - flat(other)).abs().max() > 1e-2
    assert torch.equal(ours(one, MASK), ours(other, MASK))


def test_answer_leak(flat, ours):
    """Trained beside answers that give the class away, it is lost where there is no answer."""

    def texts(seed, rows, answer):
        classes = torch.arange(rows) % 3
        hidden = text(seed, rows)
        hidden[:, 6] = 0
        hidden[:, 6, :3] = 10.0 * F.one_hot(classes, 3) * answer
        return hidden, classes

    hidden, classes = texts(0, 300, answer=1)
    optimizer = torch.optim.AdamW(flat.parameters(), lr=1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        F.cross_entropy(flat(hidden), classes).backward()
        optimizer.step()
    right = {}
    for answer in (1, 0):
        hidden, classes = texts(1, 300, answer)
        right[answer] = (flat(hidden).argmax(-1) == classes).float().mean().item()
    assert right[1] > 0.8
    assert right[0] < 0.45
    mask = MASK.expand(60, -1)
    assert torch.equal(ours(texts(0, 60, 1)[0], mask), ours(texts(0, 60, 0)[0], mask))


def test_feature_windows(published, ours):
    """One of 8 neighbouring features of the same token gets a gradient, the others none."""
    hidden = text().requires_grad_()
    published.pools(hidden.flatten(1)).sum().backward()
    windows = (hidden.grad[0] != 0).reshape(LENGTH, WIDTH // 8, 8)
    assert (windows.sum(-1) == 1).all()
    # a pooled number never holds two tokens where the width is a multiple of 64
    hidden = torch.randn(1, 4, 64, requires_grad=True)
    pooled = PublishedHead(4, 64).pools(hidden.flatten(1))
    for token in range(4):
        (gradient,) = torch.autograd.grad(pooled[0, token], hidden, retain_graph=True)
        assert gradient[0].abs().sum(1).nonzero().flatten().tolist() == [token]
    hidden = text().requires_grad_()
    ours(hidden, torch.ones(1, LENGTH)).sum().backward()
    assert (hidden.grad != 0).all()


def test_logit_activation(published, flat):
    """Below zero both a logit and its gradient are 1 % of what they should be."""
    for head in (published, flat):
        last = head.maps[-1]
        with torch.no_grad():
            last.bias.copy_(torch.tensor([-50.0, 0.0, 50.0]))
        head.zero_grad()
        logits = head(text())
        assert -1 < logits[0, 0] < 0 < 40 < logits[0, 2]
        logits[0, 0].backward()
        assert last.bias.grad[0].item() == pytest.approx(0.01)


def test_narrow_chain():
    """At the start the logits of different texts are all but the same; ours are not."""
    spread = {"published": 0.0, "ours": 0.0}
    for seed in range(5):
        torch.manual_seed(seed)
        head, own = PublishedHead(LENGTH, WIDTH), EciHead(WIDTH, ["a", "b", "c"]).eval()
        hidden = text(rows=100)
        spread["published"] += head(hidden).std(0).max().item() / 5
        spread["ours"] += own(hidden, torch.ones(100, LENGTH)).std(0).max().item() / 5
    assert spread["published"] < 0.01
    assert spread["ours"] > 0.1


def test_size():
    def count(head):
        return sum(p.numel() for p in head.parameters())

    with torch.device("meta"):
        assert count(PublishedHead(1900, 5120)) == pytest.approx(155.6e6, rel=0.01)
        assert count(PublishedHead(1900, 5120, form="flat")) == pytest.approx(29.2e6, rel=0.01)
        assert count(PublishedHead(3800, 5120)) > 1.9 * count(PublishedHead(1900, 5120))
        assert count(EciHead(5120, ["no", "yes", "maybe"])) < 30e6  # and does not ask for a length


def test_nameless(published, ours):
    assert not hasattr(published, "labels")
    assert ours.labels == ("no", "yes", "maybe")


def test_all_tokens():
    """Every token but the first of a row is a target: prompt, answer and padding alike."""
    logits = torch.randn(1, LENGTH, 11, requires_grad=True)
    ids = torch.tensor([[4, 5, 6, 7, 8, 0, 0, 0]])
    published_loss(logits, ids, torch.zeros(1, 3), torch.tensor([0])).backward()
    assert (logits.grad[0].abs().sum(-1) > 0).tolist() == [True] * (LENGTH - 1) + [False]
    ends = (published_loss(logits, ids, torch.zeros(1, 3), torch.tensor([0]), w) for w in (0, 1))
    lm, ce = (value.item() for value in ends)
    assert ce == pytest.approx(torch.tensor(3.0).log().item())
    half = published_loss(logits, ids, torch.zeros(1, 3), torch.tensor([0]), 0.5)
    assert half.item() == pytest.approx((lm + ce) / 2)


def test_unknown_form():
    with pytest.raises(ValueError, match="unknown form 'head4': type one of 'pooled', 'flat'"):
        PublishedHead(LENGTH, WIDTH, form="head4")

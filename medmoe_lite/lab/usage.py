"""How much expert use tells about the task family, in bits, and against which chance level.

    p(e | f)   share of expert e in the gate weights of family f's tokens, one router
    I(F; E) = mean over f of  sum_e p(e | f) log2( p(e | f) / p(e) )      0: families alike

One bit would mean: one expert pick tells which half of the families a token came from. Two
levels of chance belong to it. Shuffled: the same weights with the families of the items dealt
anew, which shows what few items give by luck. At the start: the same router before training,
which shows what different words give to random directions.

Shapes: `p` routers (places), `n` items, `f` families, `e` experts.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from medmoe_lite.lab.watch import Place, watch
from medmoe_lite.tasks import Example, collate, encode


class Use(NamedTuple):
    """Gate weights of some items.

    Attributes:
        places: the routers, (layer, module).
        family: (n,) number of each item's family.
        sums: (p, n, e) weights summed over the tokens of an item.
        last: (p, n, e) weights at the last token of the prompt.
        chat: (n,) true where that last token closes a turn: there it is the same token in
            every family.
    """

    places: list[Place]
    family: Tensor
    sums: Tensor
    last: Tensor
    chat: Tensor


@torch.no_grad()
def collect(
    model: Any, tokenizer: Any, suites: Mapping[str, Sequence[Example]], size: int = 64
) -> Use:
    """Let the model read items, prompt and gold answer, and note the weights of its routers."""
    rows = [(i, item) for i, found in enumerate(suites.values()) for item in found]
    parts: list[tuple[Tensor, Tensor]] = []
    with watch(model) as seen:
        for start in range(0, len(rows), size):
            items = [encode(item, tokenizer) for _, item in rows[start : start + size]]
            batch = collate(items, tokenizer.pad_token_id)
            ends = batch.pop("prompt_mask").sum(-1) - 1  # (n,)
            model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
            weights = torch.stack(list(seen.values()))  # (p, n, t, e)
            real = batch["attention_mask"][None, :, :, None]
            parts.append(((weights * real).sum(2), weights[:, torch.arange(len(ends)), ends]))
        places = list(seen)
    sums, last = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
    chat = torch.tensor([item.style == "chat" for _, item in rows])
    return Use(places, torch.tensor([i for i, _ in rows]), sums, last, chat)


def shares(weights: Tensor, family: Tensor) -> Tensor:
    """Share of each expert in each family: weights (p, n, e), family (n,), to (p, f, e).

    >>> shares(torch.tensor([[[2.0, 0.0], [1.0, 1.0]]]), torch.tensor([0, 1])).tolist()
    [[[1.0, 0.0], [0.5, 0.5]]]
    """
    table = torch.stack([weights[:, family == f].sum(1) for f in family.unique()], dim=1)
    return table / table.sum(-1, keepdim=True)


def bits(table: Tensor) -> Tensor:
    """Mutual information of family and expert, families equally likely: (..., f, e) to (...).

    >>> bits(torch.eye(2)).item(), bits(torch.full((2, 2), 0.5)).item()
    (1.0, 0.0)
    """
    mean = table.mean(-2, keepdim=True)
    ratio = torch.where(table > 0, table / mean.clamp_min(1e-30), torch.ones_like(table))
    return (table * ratio.log2()).sum(-1).mean(-1)


def total_variation(table: Tensor) -> Tensor:
    """Mean over pairs of families of the share of weight that would have to move: (...).

    >>> total_variation(torch.eye(2)).item()
    1.0
    """
    pairs = torch.combinations(torch.arange(table.shape[-2]))
    gaps = table[..., pairs[:, 0], :] - table[..., pairs[:, 1], :]
    return gaps.abs().sum(-1).mean(-1) / 2


def shuffled_bits(weights: Tensor, family: Tensor, times: int = 20, seed: int = 0) -> Tensor:
    """The bits that chance gives: families dealt anew to the items, (times, p)."""
    generator = torch.Generator().manual_seed(seed)
    deals = (family[torch.randperm(len(family), generator=generator)] for _ in range(times))
    return torch.stack([bits(shares(weights, dealt)) for dealt in deals])


def summary(use: Use) -> dict[str, Any]:
    """Plain numbers of one model: means over its routers, and the bits of each router.

    `last_...` uses one token an item, the end of the user's turn, the same in all families.
    """
    table = shares(use.sums, use.family)
    last, family = use.last[:, use.chat], use.family[use.chat]
    mean = lambda values: round(float(values.mean()), 5)  # noqa: E731
    return {
        "bits": mean(bits(table)),
        "bits_shuffled": mean(shuffled_bits(use.sums, use.family)),
        "moved": mean(total_variation(table)),
        "last_bits": mean(bits(shares(last, family))),
        "last_bits_shuffled": mean(shuffled_bits(last, family)),
        "router_bits": [round(float(b), 4) for b in bits(table)],
        "shares": [[[round(float(v), 3) for v in row] for row in rows] for rows in table],
    }

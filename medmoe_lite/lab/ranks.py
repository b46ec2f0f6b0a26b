"""What rank does an update have, and how much of it is needed?

    delta = W_after - W_before = U · diag(s) · Vᵀ        cut to rank k: keep the first k of s

The explorer of notebook 01 draws the singular values of one update with the cut, and beside it
how many questions the model still answers when all its updates are cut to that rank.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from medmoe_lite.lab.lora import adapters, update_of
from medmoe_lite.lab.plots import CYCLE, PALETTE, new_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Updates = dict[str, Tensor]
SHOWN = 48  # bars in the picture; the shares are of all singular values


def updates(before: nn.Module, after: nn.Module) -> Updates:
    """The change of every linear layer in the blocks, of LoRA or of full fine-tuning.

    Returns:
        name -> (d_out, d_in)
    """
    adapted = adapters(after)
    found = {}
    for name, old in before.named_modules():
        if not isinstance(old, nn.Linear) or ".layers." not in f".{name}":
            continue
        if name in adapted:
            found[name] = update_of(adapted[name])
        else:
            new: Any = after.get_submodule(name)
            found[name] = new.weight.detach() - old.weight.detach()
    return found


def singular_values(delta: Tensor) -> np.ndarray:
    """(d_out, d_in) -> singular values, largest first."""
    return torch.linalg.svdvals(delta.double()).numpy()


def energy_rank(delta: Tensor, share: float = 0.9) -> int:
    """How many singular values hold `share` of the sum of their squares.

    >>> energy_rank(torch.diag(torch.tensor([4.0, 1.0, 0.1])))
    1
    """
    energy = np.cumsum(singular_values(delta) ** 2)
    return int(np.searchsorted(energy, share * energy[-1]) + 1)


@torch.no_grad()
def with_updates(before: nn.Module, changes: Mapping[str, Tensor], rank: int) -> Any:
    """A copy of the model with every update cut to `rank` and added to its layer."""
    model = copy.deepcopy(before)
    for name, delta in changes.items():
        left, values, right = torch.linalg.svd(delta, full_matrices=False)
        model.get_submodule(name).weight += left[:, :rank] * values[:rank] @ right[:rank]
    return model


def rank_picture(
    values: Sequence[float], rank: int, recall: Mapping[int, float], title: str
) -> "tuple[Figure, str]":
    """Singular values with a cut after `rank`, and recall over the rank that is kept.

    Args:
        values: singular values of one update, largest first.
        rank: how many are kept.
        recall: rank -> share of questions answered with all updates cut to that rank.
    """
    figure, (left, right) = new_axes(9.6, 3.4, columns=2)
    whole = np.asarray(values, dtype=float)
    sizes = whole[:SHOWN]
    at = np.arange(1, len(sizes) + 1)
    kept = [CYCLE[0] if i <= rank else "#c9c9c9" for i in at]
    left.bar(at, sizes, color=kept, width=0.85)
    left.axvline(rank + 0.5, color="black", linestyle="--", linewidth=1)
    left.set(title=title, xlabel="singular value, largest first", ylabel="size")
    ranks = sorted(recall)
    right.plot(ranks, [recall[k] for k in ranks], color=PALETTE["shared"], marker="o")
    near = min(ranks, key=lambda k: (abs(k - rank), k))
    right.plot([near], [recall[near]], color=CYCLE[1], marker="D", markersize=9)
    right.set(title="All updates cut to this rank", xlabel="rank kept", ylabel="answers right")
    right.set_xscale("symlog", base=2)
    right.set_xticks(ranks, [str(k) for k in ranks])
    right.set_ylim(-0.03, 1.05)
    share = float((whole[:rank] ** 2).sum() / max((whole**2).sum(), 1e-30))
    text = (
        f"{title}. Cut after {rank} of {len(whole)} singular values, which hold "
        f"≈{share:.2f} of the squared size. With all updates cut to rank {near}, "
        f"≈{recall[near]:.2f} of the questions are answered."
    )
    return figure, text

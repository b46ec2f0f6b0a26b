"""What a stage adds to the language-model loss, as plain values, and as functions of the model.

Orthogonal      weight · R between two adapters         penalties.orthogonal_penalty
Projection      no term: a step that is taken back      penalties.project_rows
Preservation    general samples on general experts      penalties.preservation_loss
router_terms    the terms that look at the routing of the last forward pass
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from . import processes

if TYPE_CHECKING:
    from torch import Tensor

    from .stage import Stage

KINDS = ("l1", "cosine", "delta")
ADAPTER = "adapter:"


class Orthogonal(NamedTuple):
    """Penalty that keeps the rows of two adapters' A apart: weight · R."""

    weight: float
    kind: str = "l1"
    knowledge: str = "default"
    alignment: str = "alignment"


class Projection(NamedTuple):
    """After each step, take some directions out of the rows of A of every adapter that learns.

    `source` is a data source, and the directions are the main ones of its inputs: those that hold
    the share `energy` of the second moment. Or it is "adapter:<name>", and the directions are
    all that this adapter's A reads (`energy` has no part in it).
    """

    source: str
    energy: float = 0.95

    @property
    def adapter(self) -> str | None:
        """Name of the adapter whose row space is avoided; None for a data source."""
        return self.source.removeprefix(ADAPTER) if self.source.startswith(ADAPTER) else None


class Preservation(NamedTuple):
    """Localized balancing: samples of the general sources use the general experts more.

    At the optimum by the factor (1 + delta) / (1 - delta). `source` is one name of the mix, or
    several; all other sources count as medical.
    """

    weight: float
    delta: float = 0.1
    source: str | tuple[str, ...] = "general"

    @property
    def sources(self) -> tuple[str, ...]:
        """The general sources."""
        return (self.source,) if isinstance(self.source, str) else tuple(self.source)


def router_terms(stage: Stage, task_ids: Tensor) -> Iterator[tuple[str, float, Callable[..., Any]]]:
    """Name, weight and function of the model, of every term that looks at the routing.

    Args:
        stage: says which terms are on.
        task_ids: (b,), the place of each sample's source in the mix.
    """
    from .. import penalties

    # Several processes compute one loss, from the sums of all.
    total = processes.total if processes.world() > 1 else None
    if stage.balance:
        yield "balance", stage.balance, partial(penalties.balance_loss, total=total)
    if stage.router_z:
        yield "router_z", stage.router_z, partial(penalties.router_z_loss, total=total)
    if stage.preservation is not None:
        weight, delta, _ = stage.preservation
        general = task_ids.new_tensor([s in stage.preservation.sources for s in stage.mix])
        term = partial(
            penalties.preservation_loss, general=general[task_ids].bool(), delta=delta, total=total
        )
        yield "preservation", weight, term

"""What is added to the language-model loss: one place to import every term from.

    balance_loss, router_z_loss     balance.py        routers that use all experts, and stay small
    preservation_loss               preservation.py   general samples on the general experts
    orthogonal_penalty              orthogonal.py     two adapters that read different directions
    project_rows, ...               projection.py     the hard form of the same

Every term is computed on the live parameters or the live routing. A penalty on a detached copy
would be logged and would train nothing; tests look at the gradients.
"""

from __future__ import annotations

from .balance import balance_loss, balance_of, router_z_loss, z_of
from .orthogonal import Pair, adapter_pairs, orthogonal_penalty, orthogonal_term, overlap
from .preservation import preservation_loss, preservation_of
from .projection import adapter_directions, input_directions, project_rows

__all__ = [
    "Pair",
    "adapter_directions",
    "adapter_pairs",
    "balance_loss",
    "balance_of",
    "input_directions",
    "orthogonal_penalty",
    "orthogonal_term",
    "overlap",
    "preservation_loss",
    "preservation_of",
    "project_rows",
    "router_z_loss",
    "z_of",
]

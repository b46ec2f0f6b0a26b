"""Sums over tokens that tell how much each expert is used; filled by `record_routing`.

    usage_i    = Σ_t w_i(t) / Σ_t Σ_j w_j(t)       share of the gate's weight, sums to 1
    chosen_i   = Σ_t [w_i(t) > 0] / T              share of tokens that open the expert; sums to k
    entropy    = mean over tokens of −Σ_i p_i log p_i     in nats; log(e) is "no preference"

A gate that decides once a sequence counts at each of its tokens.

Shapes: `b` sequences, `t` tokens, `T` all tokens, `e` routed experts, `g` groups.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..gates import Routing, masked_rows
from ..method.model import layer_index
from ..method.state import RoutingState
from ..train import processes


@dataclass
class Sums:
    """Sums over the tokens of one layer."""

    experts: Tensor  # (3, g, e): weights, opened, probabilities
    tokens: Tensor  # (2, g): entropies, tokens

    def add(self, rows: tuple[Tensor, ...], group: Tensor) -> None:
        """Add tokens: five tensors (T, ...) and the group number of each token (T,)."""
        for into, row in zip([*self.experts, *self.tokens], rows, strict=True):
            into.index_add_(0, group, row.to(into.dtype))

    def widen(self, groups: int) -> None:
        """Make room for more groups."""
        missing = groups - self.tokens.shape[1]
        if missing > 0:
            self.experts = nn.functional.pad(self.experts, (0, 0, 0, missing))
            self.tokens = nn.functional.pad(self.tokens, (0, missing))


class RoutingLog:
    """What `record_routing` hands out; readable inside the block and after it.

    Attributes:
        layer_ids: decoder layers with routed experts, ascending.
        module_names: modules with routed experts, such as "gate_proj".
        group_names: names of the groups; `["all"]` when none were given.
        tokens: with keep_tokens=True, (layer, module) -> gate weights (b, t, e) of the last
            sentences, zero at padding; a generated answer follows its prompt.
    """

    def __init__(
        self, experts: dict[str, int], adapter: str, mask: Tensor | None, keep_tokens: bool
    ) -> None:
        self._experts = experts
        self._adapter = adapter
        self._mask = mask
        self._keep_tokens = keep_tokens
        self._groups: Tensor | None = None
        self._sums: dict[str, Sums] = {}
        self._keys = module_keys(list(experts))
        self.layer_ids = sorted({layer for layer, _ in self._keys.values()})
        self.module_names = list(dict.fromkeys(module for _, module in self._keys.values()))
        self.group_names: list[str] = ["all"]
        self.tokens: dict[tuple[int, str], Tensor] = {}

    def set_groups(self, groups: Tensor | Sequence[int] | Sequence[str]) -> None:
        """Say which group the next batch's sentences (b,) or tokens (b, t) belong to.

        Whole numbers count from 0; text makes a group of each different name. Call it again
        inside the block before a batch with other groups.

        Raises:
            ValueError: a negative group number.
        """
        if self._groups is None and not self._sums:
            self.group_names = []
        if not isinstance(groups, Tensor) and any(isinstance(name, str) for name in groups):
            names = [str(name) for name in groups]
            self.group_names += [n for n in dict.fromkeys(names) if n not in self.group_names]
            groups = [self.group_names.index(name) for name in names]
        self._groups = torch.as_tensor(groups).long()
        if len(self._groups) and int(self._groups.min()) < 0:
            raise ValueError("a group number is negative: number the groups from 0")
        most = int(self._groups.max()) if len(self._groups) else -1
        self.group_names += [str(i) for i in range(len(self.group_names), most + 1)]

    @torch.no_grad()
    def add(self, layer_name: str, adapter: str, routing: Routing, state: RoutingState) -> None:
        """Called by each layer during the forward pass."""
        if adapter != self._adapter or layer_name not in self._keys:
            return
        mask = state.mask if self._mask is None else self._mask
        weights, keep = masked_rows(routing.weights, mask)
        probabilities, _ = masked_rows(routing.probabilities, mask)
        entropy = torch.special.entr(probabilities).sum(-1)
        column = keep[:, None]
        rows = (weights * column, (weights > 0) * column, probabilities * column)
        sums = self._sums.get(layer_name)
        if sums is None:
            wide = torch.float32 if weights.device.type == "mps" else torch.float64
            zeros = weights.new_zeros(3, len(self.group_names), weights.shape[-1], dtype=wide)
            sums = self._sums[layer_name] = Sums(zeros, zeros.new_zeros(2, zeros.shape[1]))
        sums.widen(len(self.group_names))
        sums.add((*rows, entropy * keep, keep), self._group_of(routing.weights))
        if self._keep_tokens:
            new = routing.weights * keep.reshape(*routing.weights.shape[:-1], 1)
            key = self._keys[layer_name]
            goes_on = key in self.tokens and state.past > 0  # a cached generation, further on
            self.tokens[key] = torch.cat([self.tokens[key], new], 1) if goes_on else new

    @torch.no_grad()
    def gather(self) -> RoutingLog:
        """Add what all processes have recorded, so that each of them holds the log of the whole.

        Call it once, in every process, after the last batch. Groups are joined by their names;
        `tokens` stays each process's own. One process: nothing to do.

        Returns:
            The same log.
        """
        if processes.world() == 1:
            return self
        every = [json.loads(text) for text in processes.texts(json.dumps(self.group_names))]
        names = list(dict.fromkeys(name for own in every for name in own))
        place = torch.tensor([names.index(name) for name in self.group_names], dtype=torch.long)
        flat = []
        for name, experts in self._experts.items():
            whole = torch.zeros(3 * experts + 2, len(names), dtype=torch.float64)
            if name in self._sums:
                sums = self._sums[name]
                rows = torch.cat([sums.experts.mT.flatten(0, 1), sums.tokens]).cpu().double()
                whole[:, place[: rows.shape[1]]] = rows
            flat.append(whole)
        whole = processes.total(torch.cat(flat).to(processes.device()))
        together = whole.split([len(part) for part in flat])
        for (name, experts), part in zip(self._experts.items(), together, strict=True):
            if bool(part[-1].any()):  # a layer that nobody ran stays unknown
                weights, tokens = part.split([3 * experts, 2])
                self._sums[name] = Sums(weights.unflatten(0, (3, experts)).mT.contiguous(), tokens)
        self.group_names = names
        return self

    def _group_of(self, weights: Tensor) -> Tensor:
        """Group number of each token (T,)."""
        count = weights.shape[:-1].numel()
        if self._groups is None:
            return torch.zeros(count, dtype=torch.long, device=weights.device)
        self._groups = groups = self._groups.to(weights.device)
        if groups.dim() == 1 and weights.dim() == 3 and len(groups) == weights.shape[0]:
            return groups.repeat_interleave(weights.shape[1])
        if groups.numel() == count:
            return groups.reshape(-1)
        raise ValueError(
            f"the groups have shape {tuple(groups.shape)}, the batch has tokens "
            f"{tuple(weights.shape[:-1])}: give one group a sentence, and call "
            "log.set_groups(...) before each batch"
        )

    @property
    def usage(self) -> np.ndarray:
        """Share of the gate's weight, (layers, modules, groups, experts), sums to 1.

        NaN where a group has no token, or a layer has no such module or expert.
        """
        weight = self._read(0)
        with np.errstate(invalid="ignore"):
            return weight / np.nansum(weight, axis=-1, keepdims=True)

    @property
    def chosen(self) -> np.ndarray:
        """Share of tokens that open an expert, (layers, modules, groups, experts).

        Sums to k, or to the mean number of open experts where the gate decides on it.
        """
        return self._per_token(self._read(1))

    @property
    def probability(self) -> np.ndarray:
        """Mean softmax probability, (layers, modules, groups, experts), sums to 1."""
        return self._per_token(self._read(2))

    @property
    def entropy(self) -> np.ndarray:
        """Mean entropy of a token's probabilities in nats, (layers, modules, groups)."""
        return self._per_token(self._read(3))[..., 0]

    @property
    def token_count(self) -> np.ndarray:
        """Tokens counted, (layers, modules, groups)."""
        return self._read(4)[..., 0]

    def _per_token(self, table: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return table / self.token_count[..., None]

    def _read(self, row: int) -> np.ndarray:
        """One row of the sums of all layers, (layers, modules, groups, experts or 1)."""
        last = max(self._experts.values()) if row < 3 else 1
        shape = (len(self.layer_ids), len(self.module_names), len(self.group_names), last)
        table = np.full(shape, np.nan)
        for name, sums in self._sums.items():
            layer, module = self._keys[name]
            part = sums.experts[row] if row < 3 else sums.tokens[row - 3][:, None]
            place = table[self.layer_ids.index(layer), self.module_names.index(module)]
            place[: part.shape[0], : part.shape[1]] = part.cpu().numpy()
            place[part.shape[0] :, : part.shape[1]] = 0
        return table


def module_keys(names: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Layer number and short name of each module.

    >>> module_keys(["model.layers.3.mlp.up_proj"])
    {'model.layers.3.mlp.up_proj': (3, 'up_proj')}
    """
    keys = {name: (layer_index(name) or 0, name.rsplit(".", 1)[-1]) for name in names}
    if len(set(keys.values())) == len(keys):
        return keys
    return {name: (layer, name.split(f".{layer}.", 1)[-1]) for name, (layer, _) in keys.items()}

"""What one forward pass tells the outside, shared by all adapted layers of a model.

The layers need things that only the model knows (which tokens are padding or prompt, which task a
sentence belongs to, whether the routed experts are closed for this batch, who listens), and the
losses need one thing that only the layers know (the routing, still connected to the graph). They
meet here. A hook on the model resets the state at the beginning of every forward pass.

A gate that decides once a sequence decides with the prompt. The decision is kept on the cache of
keys and values: a pass that goes on with that cache uses it, and it is forgotten with the cache.

Gradient checkpointing runs layers a second time inside the backward pass. Such a repetition must
not be counted again, and must see the same open or closed experts as the first time. Only the
last pass is remembered: with checkpointing and a gate that decides once a sequence, run the
backward pass of one batch before the forward pass of the next.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ..gates import Context, Routing
from .arguments import OURS, read

KEPT = "molora_decisions"  # attribute of a cache: the routing of its prompt, by layer and adapter


class Stashed(NamedTuple):
    """One layer's routing of the last forward pass, and the mask that goes with it.

    The mask (b, t) is None where a gate decides once a sequence: each sequence counts once.
    """

    routing: Routing
    mask: Tensor | None
    top_k: int | None


class Listener(Protocol):
    """Whoever is told each layer's routing (see measure/routing.py)."""

    def add(self, layer_name: str, adapter: str, routing: Routing, state: RoutingState) -> None:
        """Take note of one layer's routing, every field (b, t, e)."""


class RoutingState:
    """Masks, tasks, switch, stash and listeners of one model.

    >>> state = RoutingState()
    >>> _ = state.begin(None, (), {"attention_mask": torch.tensor([[1, 1, 0]])})
    >>> state.mask.tolist()
    [[1, 1, 0]]
    """

    def __init__(self) -> None:
        self.mask: Tensor | None = None
        self.mask_is_readable = True
        self.past: Any = 0  # tokens already in the cache, in a generation
        self.context = Context()  # prompt tokens and task ids of this pass
        self.given = Context()  # and those of all passes inside `routing_context`
        self.close_routed = False  # what the user asks for
        self.closed = False  # what held when the last forward pass began
        self.labelled = False  # whether this pass was given labels
        self.labels_seen = False  # by the hook of the whole model, just before this pass begins
        self.waiting = 0  # forward passes with a graph, since layers last ran in a backward pass
        self.ran_again = False  # layers did run in a backward pass since the last forward pass
        self.decisions: dict[tuple[str, str], Routing] = {}  # made once a sequence
        self.stash: dict[tuple[str, str], Stashed] = {}
        self.listeners: list[Listener] = []

    def __getstate__(self) -> dict[str, Any]:
        """A copied or saved model does not take along the last pass, whose tensors have a graph."""
        passing: dict[str, Any] = {
            "mask": None,
            "past": 0,
            "context": Context(),
            "decisions": {},
            "stash": {},
        }
        return {**vars(self), **passing}

    def see_labels(
        self, module: nn.Module | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Forward pre-hook of the whole model, which gets the labels that the decoder does not."""
        self.labels_seen = kwargs.get("labels") is not None

    def begin(
        self, module: nn.Module | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Forward pre-hook of the model: take out what is ours, forget the last pass."""
        mask = kwargs.get("attention_mask")
        self.mask = mask if isinstance(mask, Tensor) and mask.dim() == 2 else None
        self.mask_is_readable = mask is None or self.mask is not None
        cache: Any = kwargs.get("past_key_values")
        self.past = cache.get_seq_length() if hasattr(cache, "get_seq_length") else 0
        self.decisions = dict(getattr(cache, KEPT, {})) if self.past else {}
        self.closed = self.close_routed
        self.labelled, self.labels_seen = self.labels_seen, False
        self.waiting = int(torch.is_grad_enabled()) + (0 if self.ran_again else self.waiting)
        self.ran_again = False
        self.stash.clear()
        self.context = read(args, kwargs, self.mask, self.given, goes_on=bool(self.past))
        return args, {key: value for key, value in kwargs.items() if key not in OURS}

    def end(
        self, module: nn.Module | None, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """Forward hook of the model: leave the prompt's decisions with the cache."""
        cache = kwargs.get("past_key_values")
        if cache is None:
            cache = getattr(output, "past_key_values", None)
        if self.decisions and hasattr(cache, "get_seq_length"):
            setattr(cache, KEPT, self.decisions)
        self.decisions = {}

    def decide(self, key: tuple[str, str], gate: Any, x: Tensor) -> Routing:
        """The gate's routing of x; with a filled cache the one that was decided with its prompt.

        Raises:
            ValueError: the gate needs something that the model was not called with.
        """
        if not gate.needs:
            return gate(x)
        kept = self.decisions.get(key) if self.past else None
        if kept is not None:
            return kept
        if not in_backward():
            self.decisions[key] = gate(x, self._context(gate))
            return self.decisions[key]
        self.ran_again = True
        if self.waiting > 1:
            raise RuntimeError(
                f"gradient checkpointing runs this layer again, but {self.waiting} forward passes "
                "came before this backward pass, and the gate decides with the prompt or task of "
                "one of them: call loss.backward() after each forward pass, and put passes that "
                "need no gradient under torch.no_grad()"
            )
        return gate(x, self._context(gate))

    def _context(self, gate: nn.Module) -> Context:
        """What the gate may look at besides its input."""
        prompt = self.context.prompt
        if gate.needs == "prompt_mask" and prompt is None:
            if self.past:
                raise ValueError(
                    "the cache was filled without this sequence gate, which decides with the "
                    "prompt: run the prompt again, with an empty cache and the adapter active"
                )
            if not self.mask_is_readable:
                raise ValueError(
                    "the sequence gate needs an attention_mask (b, t) to tell padding from the "
                    "prompt, and this pass has another kind: type routing_context(model, "
                    "prompt_mask=...) around it"
                )
            if self.labelled and not gate.training:
                raise ValueError(
                    "labels without prompt_mask: the sequence gate would read the answer, and the "
                    "loss would look better than it is: type model(..., prompt_mask=prompt_mask) "
                    "with 1 on the prompt's tokens (tasks.collate makes one)"
                )
            prompt = None if gate.training else self.mask
        return self.context._replace(prompt=prompt)

    @property
    def prompt_mask(self) -> Tensor | None:
        """(b, t), 1 on the tokens that a sequence gate may read; None where nothing was said."""
        return self.context.prompt

    @property
    def task_ids(self) -> Tensor | None:
        """(b,), the task of each sentence."""
        return self.context.task_ids

    def routed_are_closed(self) -> bool:
        """A layer that runs again in the backward pass does what it did in the forward pass."""
        return self.closed if in_backward() else self.close_routed

    def tell(self, layer_name: str, adapter: str, routing: Routing, stash: Stashed | None) -> None:
        """Called by a layer after it has routed its tokens."""
        if in_backward():
            return
        if stash is not None:
            self.stash[layer_name, adapter] = stash
        for listener in self.listeners:
            listener.add(layer_name, adapter, routing, self)


def in_backward() -> bool:
    """True where a layer runs again inside the backward pass (gradient checkpointing).

    >>> in_backward()
    False
    """
    return torch._C._current_graph_task_id() != -1

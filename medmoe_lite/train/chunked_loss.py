"""Cross entropy over a large vocabulary, without a matrix of logits.

    cost_t = logsumexp(W h_t + b) - (W h_t + b)[y_t]

    hidden states (n, d)  --chunk of rows-->  logits (rows, v)  -->  costs (rows,), then forgotten

512 tokens over the 151,936 words of Qwen are 311 MB of logits in 32 bits, and plain autograd keeps
three of them. Here one chunk at a time exists. Where the head rests, as with every adapter, the
gradient of the hidden states is formed while the chunk is at hand, so nothing is computed twice.
Where the head learns, the backward pass computes the chunk's logits again.

Inside a pass the head gives costs in place of logits (`CostHead`), so that whatever wraps the
model (PEFT, autocast, DDP, an ECI head) sees an ordinary forward pass.

On a GPU, Liger-Kernel's `LigerFusedLinearCrossEntropyLoss` does the same in one Triton kernel; it
is not needed here and not a dependency: https://github.com/linkedin/Liger-Kernel

Shapes: `b` rows, `t` tokens, `n` supervised tokens, `d` width, `v` words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ..fused import autocast_on
from ..gates import no_autocast

LARGE = 30_000  # words from which on "auto" works in chunks
CELLS = {"cpu": 2**24, "cuda": 2**26}  # logits that exist at a time: 64 MiB and 256 MiB in 32 bits
LIFT = 1024.0  # float16 has no numbers below 6e-8, and most probabilities lie there
CHANGED_AFTER = ("final_logit_softcapping", "logit_scale", "logits_scaling")


def chunk_rows(vocabulary: int, device: str = "cpu") -> int:
    """Tokens whose logits exist at a time.

    >>> chunk_rows(151_936), chunk_rows(151_936, "cuda")
    (110, 441)
    """
    return max(1, CELLS.get(device, CELLS["cuda"]) // vocabulary)


def chunk_bytes(
    tokens: int, width: int, vocabulary: int, itemsize: int = 2, device: str = "cpu"
) -> int:
    """Bytes that the loss takes at its peak, with a head that rests: one chunk, and the slopes.

    Args:
        tokens: supervised tokens of one forward pass.
        width: of the hidden states.
        vocabulary: words.
        itemsize: bytes a number of the head.
        device: "cpu" or "cuda".

    >>> chunk_bytes(512, 2048, 151_936, itemsize=4) / 2**20 < 80
    True
    """
    rows = min(tokens, chunk_rows(vocabulary, device))
    cell = 4 + itemsize if itemsize < 4 else itemsize  # of 16 bits a narrow copy is made
    return rows * vocabulary * cell + 2 * tokens * width * itemsize


class TokenCosts(Function):
    """Costs of the right words, (n,), from hidden states (n, d) and a head (v, d)."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, rows: int
    ) -> Tensor:
        """Chunk by chunk; with a resting head also the slope of each cost at its hidden state."""
        wide = torch.promote_types(hidden.dtype, torch.float32)
        costs = hidden.new_empty(len(hidden), dtype=wide)
        learns = ctx.needs_input_grad[1] or ctx.needs_input_grad[2]
        slopes = torch.empty_like(hidden) if ctx.needs_input_grad[0] and not learns else None
        lift = LIFT if hidden.dtype is torch.float16 else 1.0
        for part in parts(len(hidden), rows):
            logits, costs[part] = softmax_minus_one_hot(hidden[part], weight, bias, target[part])
            if slopes is not None:
                slopes[part] = logits.mul_(lift).to(weight.dtype) @ weight
            del logits
        ctx.rows, ctx.lift = rows, lift
        ctx.save_for_backward(slopes, *((hidden, weight, bias, target) if learns else ()))
        return costs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """grad (n,) to the gradients of hidden states, weight and bias."""
        slopes, *rest = ctx.saved_tensors
        if not rest:
            found = None if slopes is None else slopes * (grad[:, None] / ctx.lift)
            return None if found is None else found.to(slopes.dtype), None, None, None, None
        hidden, weight, bias, target = rest
        want_hidden, want_weight, want_bias = ctx.needs_input_grad[:3]
        grad_hidden = torch.empty_like(hidden) if want_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=grad.dtype) if want_weight else None
        grad_bias = torch.zeros_like(bias, dtype=grad.dtype) if want_bias else None
        for part in parts(len(hidden), ctx.rows):
            logits, _ = softmax_minus_one_hot(hidden[part], weight, bias, target[part])
            logits.mul_(grad[part, None])
            if grad_bias is not None:
                grad_bias += logits.sum(0)
            narrow = logits.to(weight.dtype)
            if grad_hidden is not None:
                grad_hidden[part] = narrow @ weight
            if grad_weight is not None:
                grad_weight.addmm_(narrow.t().to(grad.dtype), hidden[part].to(grad.dtype))
            del logits, narrow
        cast = lambda g, like: None if g is None else g.to(like.dtype)  # noqa: E731
        return grad_hidden, cast(grad_weight, weight), cast(grad_bias, bias), None, None


def parts(length: int, rows: int) -> Iterator[slice]:
    """Slices of at most so many rows.

    >>> list(parts(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for start in range(0, length, rows):
        yield slice(start, min(start + rows, length))


def softmax_minus_one_hot(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor
) -> tuple[Tensor, Tensor]:
    """Slopes of the costs at the logits, (rows, v), and the costs, (rows,), in float32 at least.

    One matrix, written over: the logits become probabilities, and those the slopes.
    """
    logits = F.linear(hidden, weight, bias)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    logits.sub_(logits.amax(1, keepdim=True))
    right = logits.gather(1, target[:, None])
    total = logits.exp_().sum(1, keepdim=True)
    logits.div_(total)
    logits.scatter_add_(1, target[:, None], torch.full_like(right, -1.0))
    return logits, (total.log() - right)[:, 0]


def token_costs(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, rows: int | None = None
) -> Tensor:
    """Cross entropy of every supervised token, in chunks.

    Args:
        hidden: (..., d), what the head reads.
        weight, bias: of the head, (v, d) and (v,) or None.
        target: (...), the right words; -100 where there is no loss.
        rows: tokens in a chunk; by default what `chunk_rows` says.

    Returns:
        (n,), in float32 at least, in the order of the tokens. Its sum is what
        `F.cross_entropy(..., reduction="sum")` gives.

    >>> hidden, weight, words = torch.zeros(3, 4), torch.zeros(8, 4), torch.tensor([1, -100, 2])
    >>> token_costs(hidden, weight, None, words).exp().round().tolist()
    [8.0, 8.0]
    """
    kind = hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if autocast_on(kind) else weight.dtype
    chosen = target != -100
    rows = rows or chunk_rows(len(weight), kind)
    narrow = None if bias is None else bias.to(dtype)
    with no_autocast(kind):
        return TokenCosts.apply(
            hidden[chosen].to(dtype), weight.to(dtype), narrow, target[chosen], rows
        )


class CostHead:
    """Let a model's head give costs in place of logits during a pass.

    Args:
        head: the linear layer from hidden states to logits, tied or not.
    """

    def __init__(self, head: nn.Linear) -> None:
        self.head = head
        self.trusted = False  # once it was seen that the model hands on what the head gave

    @contextmanager
    def costs(self, target: Tensor) -> Iterator[list[Tensor]]:
        """Inside, `model(...).logits` are the costs (n,) of the words in `target` (b, t).

        Yields:
            A list with what the head gave.
        """
        head, given = self.head, []

        def forward(hidden: Tensor) -> Tensor:
            wanted = target[:, -hidden.shape[1] :]
            given.append(token_costs(hidden, head.weight, head.bias, wanted))
            return given[-1]

        head.forward = forward  # type: ignore[method-assign, assignment]
        try:
            yield given
        finally:
            del head.forward

    def check(self, output: Tensor, given: list[Tensor]) -> None:
        """Once: what came out of the model must be what the head gave.

        Raises:
            ValueError: the model does something to its logits, so these are no costs.
        """
        if self.trusted:
            return
        if len(given) != 1 or not torch.equal(output.detach().float(), given[0].detach().float()):
            raise ValueError(
                "this model changes its logits after the head, so the loss cannot be formed in "
                "chunks: type chunked_loss=False in the stage"
            )
        self.trusted = True


def cost_head(model: Any, wish: bool | str = "auto") -> CostHead | None:
    """The head of a model for a loss in chunks, or None where plain logits are to be used.

    Args:
        model: a causal language model, with PEFT or without.
        wish: "auto" (from `LARGE` words on, where it can be done), True or False.

    Raises:
        ValueError: True, and it cannot be done with this model; the message says why.

    >>> cost_head(nn.Linear(2, 2)) is None
    True
    """
    if wish is False:
        return None
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    find = getattr(causal, "get_output_embeddings", None)
    head: Any = find() if callable(find) else None
    why = _why_not(head, getattr(causal, "config", None))
    if why is None:
        return CostHead(head) if wish is True or len(head.weight) >= LARGE else None
    if wish is True:
        raise ValueError(
            f"the loss cannot be formed in chunks: {why}. Type chunked_loss=False, or leave it out."
        )
    return None


def _why_not(head: Any, config: Any) -> str | None:
    if not isinstance(head, nn.Linear) or not head.weight.is_floating_point():
        return f"the head is a {type(head).__name__}, not an ordinary linear layer"
    if "forward" in vars(head):
        return "the head's forward was replaced by another library"
    changed = [name for name in CHANGED_AFTER if getattr(config, name, None) not in (None, 1, 1.0)]
    return f"the model changes its logits after the head ({changed[0]})" if changed else None

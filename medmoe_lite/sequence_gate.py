"""One decision for a whole sequence, read off its prompt.

    v = Σ_t m_t x_t / Σ_t m_t        mean over the prompt's tokens
    w = route(W_g v + b_g)           one weight an expert, the same for every token

    tokens   question question question | answer answer answer   padding
    m           1        1        1     |   0      0      0          0
                 `------- mean -------'
                            w  ------------------------------> all tokens

Only the prompt is read, and only up to the first token of the answer: tokens after it have seen
the answer through attention, so in training their mean would tell the layer what it is to
predict. For the same reason the decision stays as it is while an answer is generated.

With product weights this is Σ w_i B_i A_i x; `LowRank.averaged` takes it for the averaged factors
(Σ w_i B_i)(Σ w_i A_i) x of SMEAR (arXiv 2306.03745), whose encoder has no such trap.

Shapes: `b` sequences, `t` tokens, `d` width, `e` routed experts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .gates import NOTHING, Context, Routing, TokenGate


def prompt_tokens(prompt_mask: Tensor, mask: Tensor | None = None) -> Tensor:
    """The tokens that may be read: those of the prompt, before the answer begins.

    Args:
        prompt_mask: (b, t), 1 on tokens of the prompt, or of several turns.
        mask: (b, t), 0 on padding; without it all before the first prompt token is padding.

    Returns:
        (b, t), 1 or 0 in the dtype of `prompt_mask`.

    >>> prompt_tokens(torch.tensor([[0, 1, 1, 0, 0, 1, 0]])).tolist()
    [[0, 1, 1, 0, 0, 0, 0]]
    """
    prompt = prompt_mask.bool()
    real = prompt.cumsum(1) > 0 if mask is None else mask.bool()
    answered = (real & ~prompt).cumsum(1) > 0
    return (prompt & real & ~answered).to(prompt_mask.dtype)


def pool(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean of the chosen tokens, in float32 at least; zero where none is chosen.

    Args:
        x: (b, t, d).
        mask: (b, t), 1 where a token counts; None takes all.

    Returns:
        (b, d).

    Raises:
        ValueError: shapes that do not fit each other.

    >>> pool(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[1, 1, 0]])).tolist()
    [[2.0]]
    """
    if x.dim() != 3 or (mask is not None and mask.shape != x.shape[:2]):
        shape = None if mask is None else tuple(mask.shape)
        raise ValueError(
            f"cannot pool an input {tuple(x.shape)} under a mask {shape}: the sequence gate needs "
            "(b, t, d) and (b, t), so pass unpacked sentences with their own attention_mask"
        )
    dtype = torch.promote_types(x.dtype, torch.float32)
    if mask is None:
        return x.mean(1, dtype=dtype)
    keep = mask.to(device=x.device, dtype=x.dtype)
    count = mask.to(x.device).sum(1, keepdim=True).clamp(min=1)
    return (x * keep.unsqueeze(-1)).sum(1, dtype=dtype) / count


class SequenceGate(nn.Module):
    """A router that reads the mean of the prompt and decides once a sequence.

    Args:
        router: reads the mean; its width is that of the layer's input.

    Source: SMEAR (arXiv 2306.03745), here over prompt tokens only.

    >>> gate = SequenceGate(TokenGate(d_in=8, num_experts=4)).eval()
    >>> gate(torch.randn(2, 3, 8)).weights.shape
    torch.Size([2, 1, 4])
    """

    needs = "prompt_mask"

    def __init__(self, router: TokenGate) -> None:
        super().__init__()
        self.router = router

    def forward(self, x: Tensor, context: Context = NOTHING) -> Routing:
        """Route sequences: x (b, t, d) to weights, probabilities and logits (b, 1, e).

        Raises:
            ValueError: in training without `context.prompt`.
        """
        if context.prompt is None and self.training:
            raise ValueError(
                "the sequence gate does not know which tokens are the prompt, and in training the "
                "answer would leak into its decision: type model(..., prompt_mask=prompt_mask) "
                "with 1 on the prompt's tokens (tasks.collate makes one), or model.eval()"
            )
        return self.router(pool(x, context.prompt).unsqueeze(1))

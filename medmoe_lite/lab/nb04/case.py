"""The small batch on which the checks of notebook 04 judge: two sentences, one mostly padding."""

import torch
from torch import Tensor

B, T, E, K = 2, 7, 4, 2
MASK = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0]])
REAL, PADDED = int(MASK.sum()), B * T  # tokens without and with padding


def batch() -> tuple[Tensor, Tensor]:
    """Weights and probabilities (B, T, E); real tokens lean to expert 0, padding goes to 3."""
    logits = torch.randn(B, T, E, generator=torch.Generator().manual_seed(3))
    logits[..., 0] += 1.5
    logits[MASK == 0] = torch.tensor([0.0, -1.0, 1.0, 2.0])
    p = logits.softmax(-1)
    best, chosen = p.topk(K, -1)
    weights = torch.zeros_like(p).scatter(-1, chosen, best / best.sum(-1, keepdim=True))
    return weights, p

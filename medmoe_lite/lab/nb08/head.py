"""The answers to exercises 8.1 to 8.3: pooling, the head, the joint loss.

`pool` is that of the package. The head is the package's without its options, and the loss puts
the two parts together that the package keeps apart.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from medmoe_lite.eci import class_loss, joint_loss, pool

__all__ = ["LabelHead", "both_losses", "pool"]


class LabelHead(nn.Module):
    """Pool the prompt, then norm, linear, GELU, linear; nothing after the last map.

    Args:
        width: d of the states.
        labels: names of the classes.
        how: "mean", "max" or "last".
    """

    def __init__(self, width: int, labels: Sequence[str], how: str = "mean") -> None:
        super().__init__()
        self.labels, self.how = tuple(labels), how
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, width // 2)
        self.out = nn.Linear(width // 2, len(self.labels))

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """(b, t, d) and (b, t) -> logits (b, c)"""
        return self.out(F.gelu(self.inner(self.norm(pool(hidden, mask, self.how)))))


def both_losses(
    logits: Tensor, labels: Tensor, class_logits: Tensor, classes: Tensor, w: float
) -> Tensor:
    """(1 - w) · LM + w · CE.

    Args:
        logits: (b, t, v). labels: (b, t), -100 where no loss belongs.
        class_logits: (b, c). classes: (b,), -100 on rows without a class.
    """
    lm = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    return joint_loss(lm, class_loss(class_logits, classes), w)

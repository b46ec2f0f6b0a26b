"""One decision a task: the router reads the number of the task, not the text.

    w = route(W_g onehot(task) + b_g)

The weights are a table with one row a task. It is the simplest thing a token gate must beat, and
for a fixed task the whole update is one constant matrix, so it can be merged or exported. A task
embedding followed by a linear layer (MOELoRA, arXiv 2310.18339) can express no more.

Shapes: `b` sequences, `e` routed experts, `n` tasks.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from .gates import NOTHING, Context, Routing, TokenGate


class TaskGate(nn.Module):
    """A router that reads a task's number and decides once a sequence.

    Args:
        router: reads the one-hot vector of a task, so its `d_in` is the number of tasks.

    >>> import torch
    >>> gate = TaskGate(TokenGate(d_in=3, num_experts=4))
    >>> gate(torch.randn(2, 5, 8), Context(task_ids=torch.tensor([2, 0]))).weights.shape
    torch.Size([2, 1, 4])
    """

    needs = "task_ids"

    def __init__(self, router: TokenGate) -> None:
        super().__init__()
        self.router = router

    @property
    def num_tasks(self) -> int:
        """Tasks, n."""
        return self.router.weight.shape[1]

    def forward(self, x: Tensor, context: Context = NOTHING) -> Routing:
        """Route sequences: x (b, t, d) to weights, probabilities and logits (b, 1, e).

        Raises:
            ValueError: no task ids, not one a sequence, or one that is no task.
        """
        ids, tasks = context.task_ids, self.num_tasks
        if ids is None:
            raise ValueError(
                "the task gate does not know the task: type model(..., task_ids=task_ids) with one "
                f"number from 0 to {tasks - 1} a sequence; to generate, put the call inside "
                "`with routing_context(model, task_ids=...):`"
            )
        if ids.dim() != 1 or len(ids) != x.shape[0]:
            raise ValueError(
                f"task_ids has shape {tuple(ids.shape)} for {x.shape[0]} sequences: give one "
                f"number a sequence, shape ({x.shape[0]},)"
            )
        # Reading a value on a GPU would make it wait; there an impossible id fails by itself.
        if (
            ids.device.type == "cpu"
            and len(ids)
            and not 0 <= int(ids.min()) <= int(ids.max()) < tasks
        ):
            raise ValueError(
                f"task_ids={ids.tolist()}, but there are {tasks} tasks: type numbers from 0 to "
                f"{tasks - 1}, or raise num_tasks"
            )
        onehot = F.one_hot(ids.long().to(x.device), tasks).to(self.router.weight.dtype)
        return self.router(onehot.reshape(len(ids), *[1] * (x.dim() - 2), tasks))

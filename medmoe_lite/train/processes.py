"""Several processes that train one model, started by torchrun; one process is the usual case.

    torchrun --nproc-per-node 2 train.py       gloo between CPUs, NCCL between GPUs

Every process holds the whole model and takes its part of each step's examples. The gradients are
averaged (DistributedDataParallel), so a process that wants a sum multiplies its part by the number
of processes. `total` does that for the sums that a loss is made of:

    value      Σ over processes of x
    gradient   that of P · x       P: number of processes; averaging then leaves the sum

With it each process computes the loss of the whole step, and the averaged gradient is the
gradient of that loss. Process 0 alone writes files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor


def connect(on_cpu: bool) -> None:
    """Join the others, where torchrun has started this process; otherwise nothing.

    Raises:
        ValueError: accelerate was told to share the model out itself.
    """
    for name, what in (("ACCELERATE_USE_FSDP", "FSDP"), ("ACCELERATE_USE_DEEPSPEED", "DeepSpeed")):
        if os.environ.get(name, "").lower() in ("1", "true"):
            raise ValueError(
                f"the accelerate configuration asks for {what}, which would cut the adapters too, "
                "and their penalties and checkpoints need them whole: take a file of launch/ "
                "(distributed_type MULTI_GPU), and type --shard to cut the base"
            )
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not _together():
        from accelerate import PartialState

        PartialState(cpu=on_cpu)


def rank() -> int:
    """Number of this process, from 0.

    >>> rank(), world()
    (0, 1)
    """
    return dist.get_rank() if _together() else 0


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if _together() else 1


def device() -> torch.device:
    """Where a tensor must lie that is sent to the others."""
    if _together() and dist.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def total(x: Tensor) -> Tensor:
    """Sum over all processes, with the gradient described above.

    >>> total(torch.tensor([1.0, 2.0])).tolist()
    [1.0, 2.0]
    """
    if world() == 1:
        return x
    whole = x.detach().clone()
    dist.all_reduce(whole)
    return whole + world() * (x - x.detach())


@torch.no_grad()
def mean(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Mean over processes of some numbers that all of them have under the same names."""
    if world() == 1 or not values:
        return values
    names = sorted(values)
    found = total(torch.stack([values[name] for name in names])) / world()
    return dict(zip(names, found.unbind(), strict=True))


def anyone(wish: bool, device: torch.device) -> bool:
    """Whether at least one process says yes."""
    return wish if world() == 1 else bool(total(torch.tensor(float(wish), device=device)) > 0)


@torch.no_grad()
def texts(text: str) -> list[str]:
    """A text of each process, in their order.

    >>> texts("ours")
    ['ours']
    """
    if world() == 1:
        return [text]
    on = device()
    own = torch.tensor(list(text.encode()), dtype=torch.uint8, device=on)
    sizes = [torch.zeros(1, dtype=torch.long, device=on) for _ in range(world())]
    dist.all_gather(sizes, torch.tensor([len(own)], device=on))
    most = max(int(size) for size in sizes)
    found = [torch.zeros(most, dtype=torch.uint8, device=on) for _ in sizes]
    dist.all_gather(found, torch.nn.functional.pad(own, (0, most - len(own))))
    pairs = zip(found, sizes, strict=True)
    return [bytes(part[: int(size)].tolist()).decode() for part, size in pairs]


@torch.no_grad()
def same_start(tensors: Iterable[Tensor]) -> None:
    """Give all processes the tensors of process 0."""
    if world() > 1:
        for tensor in tensors:
            dist.broadcast(tensor.data, 0)


def wait() -> None:
    """Until all processes are here."""
    if world() > 1:
        dist.barrier()


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()

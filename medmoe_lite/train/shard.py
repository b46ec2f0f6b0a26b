"""A base that does not fit one card: its decoder cut over the processes, what learns kept whole.

    process     0                1                ...
    frozen W    1st of P parts   2nd of P parts         FSDP2 (fully_shard), a block at a time
    A, B, ...   whole            whole                  gradients averaged, as without shards

    block i runs:  gather its W from all  ->  forward or backward  ->  forget what is not ours

Adapters, routers and heads are a few percent of a base, so each process keeps all of them, as
plain tensors in their own dtype. Everything that reads them (penalties, projections, routing log,
optimiser, checkpoints) is therefore the same code with shards and without, and a saved adapter
is whole by itself. Memory of a process: base / P, one gathered block, and the adapters.

What lies outside the decoder stays whole too: the language-model head, and the embedding where
the two are one tensor.

Source: PyTorch FSDP2, https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import nn

from ..eci_forward import causal_of
from . import processes
from .adapters import SAMPLE, is_peft, owner


class Shards(NamedTuple):
    """How a model is spread: processes, bytes that are cut into that many parts, bytes that each
    process holds whole (adapters that are attached already among them).

    >>> print(Shards(4, 8_000_000_000, 1_000_000_000))
    8.0 GB of weights cut over 4 processes, 1.0 GB whole in each: 3.0 GB a process, not 9.0 GB
    """

    processes: int
    cut: int
    whole: int

    def __str__(self) -> str:
        each = self.cut / self.processes + self.whole
        sizes = (self.cut, self.whole, each, self.cut + self.whole)
        unit, name = (1e9, "GB") if sizes[-1] >= 1e9 else (1e6, "MB")
        cut, whole, own, every = (f"{size / unit:.1f} {name}" for size in sizes)
        return (
            f"{cut} of weights cut over {self.processes} processes, {whole} whole in each: "
            f"{own} a process, not {every}"
        )


def shard_base(model: Any, device: str | None = None) -> Shards:
    """Freeze a base and cut its decoder over the processes that torchrun has started, in place.

    Load the base on the CPU, call this, and go on as usual: adapters that are attached later, or
    that are there already, stay whole. Every process must call it, and every later forward pass
    needs all processes, those that only measure included.

    Args:
        model: a causal language model, with PEFT adapters or without.
        device: where this process computes; by default its GPU, or the CPU where there is none.

    Returns:
        How much is cut and how much is whole.

    Raises:
        ValueError: one process only, a base in 4 or 8 bits, a base that is cut already, or one
            whose blocks are not known.

    >>> shard_base(nn.Linear(2, 2))
    Traceback (most recent call last):
    ...
    ValueError: --shard cuts the base over several processes, and there is one: start with
    torchrun --nproc-per-node 2 (or the files in launch/), or leave --shard out
    """
    on = device or ("cuda" if torch.cuda.is_available() else "cpu")
    processes.connect(on == "cpu")
    if processes.world() == 1:
        raise ValueError(
            "--shard cuts the base over several processes, and there is one: start with "
            "torchrun --nproc-per-node 2 (or the files in launch/), or leave --shard out"
        )
    causal = causal_of(model)
    decoder = causal.get_decoder()
    base = _base_tensors(model, decoder)
    for name, parameter in base.items():
        _check(name, parameter)
    blocks = _blocks(causal, decoder)
    for name, parameter in base.items():
        parameter.requires_grad_(False)
        module, _, last = name.rpartition(".")
        sample = parameter.detach().reshape(-1)[:16].cpu().clone()
        decoder.get_submodule(module).__dict__.setdefault(SAMPLE, {})[last] = sample
    cut = set(base.values())
    whole = {parameter for parameter in model.parameters() if parameter not in cut}
    found = Shards(processes.world(), _bytes(cut), _bytes(whole))
    _cut([*blocks, decoder], whole, on)
    _move_the_rest(model, on)
    return found


def is_cut(tensor: torch.Tensor) -> bool:
    """Whether a tensor lies in parts on several processes.

    >>> is_cut(torch.zeros(2))
    False
    """
    return hasattr(tensor, "device_mesh")


def is_sharded(model: nn.Module) -> bool:
    """Whether `shard_base` has cut this model."""
    return processes.world() > 1 and any(is_cut(p) for p in model.parameters())


def average_gradients(model: nn.Module) -> nn.Module:
    """DistributedDataParallel around a model whose base is cut: it sees what learns alone."""
    cut = [name for name, parameter in model.named_parameters() if is_cut(parameter)]
    wrap = nn.parallel.DistributedDataParallel
    wrap._set_params_and_buffers_to_ignore_for_model(model, cut)
    return wrap(model, broadcast_buffers=False, find_unused_parameters=True)


def _base_tensors(model: Any, decoder: nn.Module) -> dict[str, nn.Parameter]:
    """Name in the decoder -> parameter, of everything that can be cut."""
    causal = causal_of(model)
    inside = {id(module) for module in decoder.modules()}
    outside = {
        id(parameter)
        for module in causal.modules()
        if id(module) not in inside
        for parameter in module.parameters(recurse=False)
    }
    adapters, prefix = (model.peft_config, model.base_model.prefix) if is_peft(model) else ((), "")
    return {
        name: parameter
        for name, parameter in decoder.named_parameters()
        if id(parameter) not in outside and owner(name, adapters, prefix) is None
    }


def _blocks(causal: Any, decoder: nn.Module) -> list[nn.Module]:
    """The decoder's layers, by the class names that transformers declares."""
    names = set(getattr(causal, "_no_split_modules", None) or ())
    found = [module for module in decoder.modules() if type(module).__name__ in names]
    if not found:
        raise ValueError(
            f"{type(causal).__name__} does not say which of its modules are blocks "
            "(_no_split_modules), so its base cannot be cut: leave --shard out"
        )
    return found


def _check(name: str, parameter: nn.Parameter) -> None:
    if is_cut(parameter):
        raise ValueError("this base is cut over the processes already: call shard_base once")
    if not parameter.is_floating_point():
        raise ValueError(
            f"{name} is stored in 4 or 8 bits, and packed weights cannot be cut: leave --four-bit "
            "out to cut the base in 16 bits, or leave --shard out (each process then holds the "
            "packed base whole, a quarter of its size in 16 bits)"
        )


def _cut(modules: list[nn.Module], whole: set[nn.Parameter], device: str) -> None:
    """Each module becomes a unit that is gathered at once; the last one holds the others."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(torch.device(device).type, (processes.world(),))
    for module in modules:
        fully_shard(module, mesh=mesh, reshard_after_forward=True, ignored_params=whole)


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@torch.no_grad()
def _move_the_rest(model: Any, device: str) -> None:
    """FSDP moves what it cuts; this moves what stays whole."""
    if device == "cpu":
        return
    where = torch.device("cuda", torch.cuda.current_device())
    for parameter in model.parameters():
        if not is_cut(parameter):
            parameter.data = parameter.data.to(where)
    for module in model.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = buffer.to(where)
    causal_of(model).hf_device_map = {"": where}

"""One linear layer: time, operations, waits and memory kept, design by design."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from .bench_clock import take_turns
from .bench_designs import DESIGNS, attach

SIZES = {"nano": (256, 688, 2048), "1.8B": (2048, 5504, 512)}  # d_in, d_out, tokens
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
WAITS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::bincount", "aten::masked_select")


@dataclass(frozen=True)
class Cell:
    """One setting in which all designs are compared."""

    d_in: int
    d_out: int
    tokens: int
    dtype: str
    experts: int
    r: int = 16
    top_k: int = 2
    device: str = "cpu"

    @property
    def name(self) -> str:
        """For tables: "256→688 float32 E=8"."""
        place = "" if self.device == "cpu" else f" T={self.tokens} {self.device}"
        return f"{self.d_in}→{self.d_out} {self.dtype} E={self.experts}{place}"

    def bearable(self) -> Cell:
        """With an eighth of the tokens where the processor has no bfloat16 of its own.

        There a product of matrices takes a hundred times as long, the frozen layer's as well.
        """
        slow = self.dtype == "bfloat16" and self.device == "cpu" and not has_bfloat16()
        return replace(self, tokens=max(1, self.tokens // 8)) if slow else self


def has_bfloat16() -> bool:
    """Does this processor multiply in bfloat16?"""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


CELLS = tuple(
    Cell(*size, dtype, experts)
    for dtype in DTYPES
    for experts in (8, 32)
    for size in SIZES.values()
)


class Holder(nn.Module):
    """The smallest model that carries one feed-forward projection."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.gate_proj = layer

    def forward(self, x: Tensor) -> Tensor:
        """(..., d_in) to (..., d_out)."""
        return self.gate_proj(x)


class Work:
    """One run: a layer forward, and the gradients of its input and of all that learns.

    >>> cell = Cell(8, 6, tokens=4, dtype="float32", experts=4, r=2)
    >>> Work(cell, "auto")().shape
    torch.Size([1, 4, 6])
    """

    def __init__(self, cell: Cell, design: str, seed: int = 0) -> None:
        torch.manual_seed(seed)
        like: dict[str, Any] = {"device": cell.device, "dtype": DTYPES[cell.dtype]}
        holder = Holder(nn.Linear(cell.d_in, cell.d_out, bias=False).to(**like))
        self.model = attach(holder, design, cell.experts, cell.r, cell.top_k)
        self.layer: Any = holder.gate_proj
        self.x = torch.randn(1, cell.tokens, cell.d_in).to(**like).requires_grad_()
        self.grad = torch.randn(1, cell.tokens, cell.d_out).to(**like)
        learn = [parameter for parameter in self.layer.parameters() if parameter.requires_grad]
        self.learn = [self.x, *learn]

    def __call__(self) -> Tensor:
        y = self.layer(self.x)
        torch.autograd.grad(y, self.learn, self.grad, allow_unused=True)
        return y


class Operations(TorchDispatchMode):
    """Names of the dispatched operations that compute: views and questions of dtype are not."""

    IDLE = (torch.ops.aten._unsafe_view.default, torch.ops.aten.promote_types.default)

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Note one operation and do it."""
        if not func.is_view and func not in self.IDLE:
            self.names.append(func.name())
        return func(*args, **(kwargs or {}))


def counts(work: Work) -> dict[str, float]:
    """Operations, waits for the device, and memory kept for the backward pass; run it once before.

    Returns:
        `forward` and `both`: operations; `waits`: of these, those that stop a GPU;
        `kept`: bytes kept beside the input and the parameters, as a share of the input.
    """
    with Operations() as both:
        work()
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with Operations() as forward, torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        y = work.layer(work.x)
    for known in (work.x, *work.layer.parameters()):
        kept.pop(known.untyped_storage().data_ptr(), None)
    del y
    return {
        "forward": len(forward.names),
        "both": len(both.names),
        "waits": sum(name in WAITS for name in both.names),
        "kept": sum(kept.values()) / work.x.untyped_storage().nbytes(),
    }


def measure_layers(
    cell: Cell, rounds: int, seconds: float, designs: tuple[str, ...] = DESIGNS
) -> dict[str, Any]:
    """Times and counts of all designs in one cell."""
    cell = cell.bearable()
    works = {design: Work(cell, design) for design in designs}
    times = take_turns(works, rounds, seconds, device=cell.device)
    found: dict[str, Any] = {"setting": asdict(cell), "times": times}
    found["counts"] = {design: counts(work) for design, work in works.items()}
    if cell.device != "cpu":
        found["memory"] = {design: peak(work) for design, work in works.items()}
    return found


def peak(run: Callable[[], Any]) -> float:
    """Most MiB that a run adds on a GPU."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20

"""What the loss over a large vocabulary takes, whole and in chunks: memory and time, on a CPU.

    python -m medmoe_lite.measure.loss_memory                 data/recorded/chunked_loss.json

Hidden states of the 1.8B model (width 2048) against a head over its 151,936 words, forward and
backward. Each way has a process of its own, and the head and hidden states are there before the
measuring begins.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ..paths import data_dir

WORDS, WIDTH, TOKENS = 151_936, 2048, 512
WAYS = ("whole", "chunks", "whole, head learns", "chunks, head learns")


def measure(way: str, dtype: str, tokens: int = TOKENS, width: int = WIDTH) -> dict[str, Any]:
    """One forward and backward pass here: bytes at the peak beyond the start, CPU seconds."""
    import torch
    import torch.nn.functional as F

    from ..train.chunked_loss import token_costs
    from .memory_cpu import forget_peak, peak, resident

    numbers = getattr(torch, dtype)
    torch.manual_seed(0)
    learns = way.endswith("learns")
    weight = torch.empty(WORDS, width, dtype=numbers).uniform_(-0.05, 0.05).requires_grad_(learns)
    hidden = torch.randn(tokens, width).to(numbers).requires_grad_()
    target = torch.randint(0, WORDS, (tokens,))
    (hidden[:4] @ weight[:64].T).sum().backward()  # libraries take what they need once
    hidden.grad = weight.grad = None
    forget_peak()
    before, began = resident(), time.process_time()
    if way.startswith("whole"):
        loss = F.cross_entropy(F.linear(hidden, weight).float(), target, reduction="sum")
    else:
        loss = token_costs(hidden, weight, None, target).sum()
    loss.backward()
    assert hidden.grad is not None
    return {
        "way": way, "dtype": dtype, "tokens": tokens, "width": width, "words": WORDS,
        "bytes": peak() - before, "cpu_seconds": round(time.process_time() - began, 2),
        "loss": loss.item() / tokens, "gradient": float(hidden.grad.float().norm()),
    }  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Measure all ways, each in a process, and write the figures."""
    from ..reproduce.stamp import stamp_now
    from ..train.files import write_json
    from .memory_cpu import own_pages

    parser = argparse.ArgumentParser(prog="loss_memory", description=__doc__.split("\n")[0])
    parser.add_argument("--out", default=str(data_dir() / "recorded" / "chunked_loss.json"))
    parser.add_argument("--dtypes", nargs="+", default=["float32"], metavar="DTYPE",
                        help="bfloat16 is slow on most CPUs")  # fmt: skip
    parser.add_argument("--one", nargs=2, metavar=("WAY", "DTYPE"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.one:
        print(json.dumps(measure(*options.one)))
        return 0
    began, rows = time.perf_counter(), []
    for dtype in options.dtypes:
        for way in WAYS:
            call = [sys.executable, "-m", "medmoe_lite.measure.loss_memory", "--one", way, dtype]
            done = subprocess.run(call, capture_output=True, text=True, check=True, env=own_pages())
            rows.append(json.loads(done.stdout))
            print(
                f"{dtype} {way}: {rows[-1]['bytes'] / 2**20:.0f} MiB, {rows[-1]['cpu_seconds']} s"
            )
    write_json(Path(options.out), {"stamp": stamp_now(time.perf_counter() - began), "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Every random number of a run is a function of (seed, purpose, step).

    stream("dropout", seed 0, step 17) -> one integer -> one generator

There is no generator that runs through the whole training. So a run that was stopped at step 17
goes on with the very numbers it would have seen; a score taken on the way shifts nothing; and
two runs that differ in one thing share the randomness of all others, which makes differences
between them small and honest.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def derive(seed: int, *purpose: Any) -> int:
    """A 63-bit seed for one purpose, the same on every machine.

    >>> derive(0, "dropout", 17) == derive(0, "dropout", 17) != derive(0, "dropout", 18)
    True
    """
    text = repr((int(seed), *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@contextmanager
def seeded(seed: int, *purpose: Any) -> Iterator[None]:
    """Seed Python, NumPy and torch inside the block; afterwards they go on where they were.

    Use it where an adapter is drawn, so that its start depends on the seed alone:

        with seeded(0, "init"):
            model = get_peft_model(model, config)

    >>> import torch
    >>> with seeded(0, "init"):
    ...     a = torch.rand(1)
    >>> with seeded(0, "init"):
    ...     print(bool(a == torch.rand(1)))
    True
    """
    import numpy as np
    import torch

    value = derive(seed, *purpose)
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        random.seed(value)
        np.random.seed(value % 2**32)
        torch.manual_seed(value)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)

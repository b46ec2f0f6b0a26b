"""What MedCare's claims run beyond the shared stages: experts one by one, formats over steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from ..measure.effects import FORMATS
from .claim import Work
from .settings import FORMAT_STEPS, lora
from .stages import JOINT_WORK, KA_NA, run_prompts
from .workshop import Workshop

REPLAY = {"formats": 3, "general": 1}


def run_mismatch(shop: Workshop) -> dict[str, Any]:
    """Each routed expert alone, beside the shared one: its score, against how often it is used."""
    from ..measure import record_routing

    model, tokenizer = shop.model(KA_NA)
    shop.fetch(JOINT_WORK, model)
    suites = ("heldout", *FORMATS)
    with record_routing(model) as log:
        run_prompts(shop, model, tokenizer, suites)
    use = np.nanmean(log.usage[:, :, 0], axis=(0, 1))
    own = []
    for expert in range(len(use)):
        with only(model, expert):
            scores = shop.scores(model, tokenizer, ("heldout", "formats"))
        own.append((scores["heldout"] + scores["formats"]) / 2)
    return {
        "rank_correlation": rank_correlation(use.tolist(), own),
        "use": [round(float(u), 4) for u in use],
        "own": [round(o, 4) for o in own],
        "spread": round(max(own) - min(own), 4),
    }


@contextmanager
def only(model: Any, expert: int) -> Iterator[None]:
    """Open one routed expert with weight 1 in every layer and close the others."""
    from ..method import MoLoraLayer

    def choose(_: Any, __: Any, routing: Any) -> Any:
        import torch

        weights = torch.zeros_like(routing.weights)
        weights[..., expert] = 1
        return routing._replace(weights=weights)

    with ExitStack() as stack:
        for layer in model.modules():
            if isinstance(layer, MoLoraLayer):
                for gate in layer.molora_router.values():
                    stack.callback(gate.register_forward_hook(choose).remove)
        yield


def rank_correlation(a: list[float], b: list[float]) -> float:
    """Spearman's, with mean ranks for ties; 0 where one list is constant.

    >>> rank_correlation([1, 2, 3], [10, 30, 20])
    0.5
    """
    ranks = [_mean_ranks(values) for values in (a, b)]
    x, y = (np.array(r) - np.mean(r) for r in ranks)
    size = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return round(float((x * y).sum()) / size, 4) if size else 0.0


def _mean_ranks(values: list[float]) -> list[float]:
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) - 1) / 2
        for value in values
    ]


def run_restart(shop: Workshop, start: Work | None, config: dict[str, Any]) -> dict[str, Any]:
    """Formats learnt by a new adapter, on the base or on what stage 1 has left."""
    model, tokenizer = shop.model(config)
    if start is not None:
        shop.fetch(start, model)
        if config["num_experts"]:
            from .. import drop_noise

            drop_noise(model)
        shop.add(model, "alignment", lora(16))
        stage: dict[str, Any] = {"train": ("alignment",), "frozen": ("default",)}
    else:
        stage = {}
    suites = {name: shop.suites[name] for name in FORMATS}
    points = [round(FORMAT_STEPS * part) for part in (0.125, 0.25, 0.375, 0.5, 0.75)]
    history = shop.train(
        model, tokenizer, "formats", REPLAY, FORMAT_STEPS, suites=suites, score_at=points, **stage
    )
    steps = history.curve(FORMATS[0])[0]
    rows = np.array([history.curve(name)[1] for name in FORMATS]).mean(0)
    area = float(np.trapezoid(rows, steps)) / max(1, steps[-1])
    return {
        "steps": steps,
        "curve": [round(float(v), 4) for v in rows],
        "area": round(area, 4),
        "start": round(float(rows[0]), 4),
        "formats": round(float(rows[-1]), 4),
    }

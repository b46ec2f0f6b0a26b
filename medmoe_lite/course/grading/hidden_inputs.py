"""Made-up inputs for hidden checks: what a check with fixed numbers is asked besides them.

INPUTS       key -> Random -> arguments; the reference says what is right
CONSTANTS    key -> Random -> (name, value); a constant of the check itself is made up anew
WITHOUT      keys whose visible check tries all inputs there are
"""

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

from medmoe_lite.lab.nb00.checks import Toy

Rng = random.Random


def _sizes(rng: Rng) -> tuple[int, int, int]:
    return rng.randrange(16, 400), rng.randrange(16, 400), rng.randrange(2, 17)


class _Switch(Toy):
    """The toy of notebook 00 with another answer each time."""

    def __init__(self, said: int) -> None:
        super().__init__()
        self.said = said

    def __repr__(self) -> str:
        return "a model"


def _switch(rng: Rng) -> tuple[Any, Any]:
    toy = _Switch(rng.randrange(10**6))
    return toy, lambda: (toy.said, toy.on)


def _linear(rng: Rng) -> tuple[Any]:
    from medmoe_lite.lab.lora import LoRALinear

    sizes = _sizes(rng)
    return (LoRALinear(torch.nn.Linear(*sizes[:2], bias=rng.random() < 0.5), sizes[2], 4.0),)


def _mixture(rng: Rng) -> tuple[Any]:
    from medmoe_lite.lab.molora import MoLoRALinear

    experts = rng.randrange(3, 9)
    base = torch.nn.Linear(rng.randrange(5, 40), rng.randrange(5, 40))
    return (MoLoRALinear(base, experts, rng.randrange(1, 3), rng.randrange(1, 6), 6.0),)


def _load(rng: Rng) -> tuple[torch.Tensor]:
    shares = [rng.choice((0.0, 0.01, 1.0, 2.0, 5.0)) * (1 + rng.random()) for _ in range(6)]
    shares[0] = 7.0
    return (torch.tensor([share / sum(shares) for share in shares]),)


def _columns(rng: Rng) -> tuple[torch.Tensor, list[int], float]:
    ranks = [rng.randrange(1, 6) for _ in range(rng.randrange(2, 6))]
    return torch.tensor([[rng.random() for _ in ranks]]), ranks, 1 + rng.random()


def _trials(rng: Rng) -> tuple[list, str, str]:
    drugs = rng.sample(["zoltin", "baxcor", "gimdex", "trevol", "malin"], 3)
    trials = [(d, rng.randrange(11), rng.choice(["gout", "mumps", "asthma"])) for d in drugs]
    return trials, rng.choice(drugs), rng.choice(["yes", "no", "maybe"])


def _said(rng: Rng) -> tuple[str, list[str]]:
    label = rng.choice(["yes", "no", "maybe", "perhaps"])
    count = rng.randrange(11)
    text = f"Recall: trevol helped {count} of 10 patients with gout. Summarise: {count} of 10, "
    text += f"less. Decide: The answer is {label}."
    return text if rng.random() < 0.7 else text[: rng.randrange(40, 90)], ["yes", "no", "maybe"]


def _recipe(rng: Rng) -> tuple[Any]:
    values = ["unknown", 0, 0.0, [], None, 16, "none is named", "unknown"]
    lines = [
        SimpleNamespace(key=f"stages.{i}.steps", paper=rng.choice(values), nano=rng.choice(values))
        for i in range(9)
    ]
    return (SimpleNamespace(sources=lambda: list(lines)),)


def _config(rng: Rng) -> tuple[Any, dict, int]:
    names = ["q", "k", "up", "down"]
    shapes = {name: (rng.randrange(5, 30), rng.randrange(5, 30)) for name in names}
    config = SimpleNamespace(
        r=rng.randrange(1, 9), num_experts=rng.randrange(9), shared_experts=rng.randrange(1, 4),
        target_modules=["up", "down"], plain_modules=rng.sample(["q", "k"], rng.randrange(3)),
    )  # fmt: skip
    return config, shapes, rng.randrange(1, 6)


def _running(rng: Rng) -> tuple:
    sizes = {"layers": rng.randrange(2, 9), "hidden": 8 * rng.randrange(2, 9), "vocab": 70}
    return (
        rng.randrange(9, 99),
        rng.randrange(1, 9),
        sizes,
        rng.randrange(99, 999),
        rng.random() < 0.5,
    )


def _plan(rng: Rng) -> tuple[dict[str, int], int, float]:
    parts = {name: rng.randrange(1, 9) * 2**30 for name in ("weights", "logits", "adapters")}
    return parts, rng.choice((6, 12, 24, 40)), rng.choice((0.5, 1.0, 2.0))


def _scores(rng: Rng) -> tuple[list[float], list[float], float]:
    count = rng.randrange(3, 9)
    ours, other = ([rng.random() for _ in range(count)] for _ in range(2))
    return ours, other, rng.choice((0.9, 0.95, 0.99))


def _effect(rng: Rng) -> tuple:
    mean, half = rng.uniform(-0.4, 0.4), rng.choice((0.01, 0.07, 0.3))
    expect = rng.choice(("more", "less", "no less"))
    return mean, mean - half, mean + half, expect, rng.choice((0.02, 0.1, 0.2))


def _card(rng: Rng) -> tuple[dict]:
    card = {"id": str(rng.random()), "seeds": [rng.randrange(9)], "arms": {"b": {"k": 1}, "a": {}}}
    return (dict(rng.sample(list(card.items()), 3)),)


def _ranks(rng: Rng) -> tuple[list[float], list[float]]:
    size = rng.randrange(5, 9)
    return [rng.randrange(6) / 7 for _ in range(size)], [rng.random() for _ in range(size)]


INPUTS: dict[str, Callable[[Rng], tuple]] = {
    "0.1": _sizes,
    "0.2": _switch,
    "1.4": _linear,
    "3.5": _mixture,
    "4.2": _load,
    "5.2": lambda rng: (*_sizes(rng)[:2], rng.choices(range(1, 9), k=rng.randrange(2, 7))),
    "5.3": _columns,
    "6.5": _ranks,
    "8.4": _trials,
    "8.5": _said,
    "9.1": _recipe,
    "9.2": _config,
    "9.3": lambda rng: (16384 * rng.randrange(9, 99), rng.randrange(9, 9999), rng.randrange(9, 999),
                        rng.random() < 0.5),
    "9.4": _running,
    "9.5": _plan,
    "9.6": lambda rng: (rng.uniform(1e8, 1e10), rng.randrange(10**8, 10**9), rng.randrange(10**8),
                        rng.uniform(50, 400), rng.uniform(0.1, 0.6), rng.random() < 0.5),
    "10.1": _scores,
    "10.2": _effect,
    "10.3": _card,
    "10.5": lambda rng: ([rng.random() for _ in range(rng.randrange(3, 7))], rng.uniform(0.1, 0.3)),
}  # fmt: skip


# ---- checks of which several answers are right: a constant of theirs is made up anew
def _plans(rng: Rng) -> tuple[str, Any]:
    plans = []
    for low in (2, 1, 0):
        weights = [rng.randrange(1, 9) for _ in range(rng.randrange(3, 7))]
        plans.append((weights, low * len(weights) + rng.randrange(9, 40), low))
    return "PLANS", tuple(plans)


CONSTANTS: dict[str, Callable[[Rng], tuple[str, Any]]] = {
    "1.3": lambda rng: ("TARGETS", ("q_proj", rng.choice(("up_proj", "down_proj")))),
    "2.1": lambda rng: ("OUTER", round(rng.uniform(0.93, 0.96), 4)),
    "5.1": _plans,
}
# All inputs there are were tried already.
WITHOUT = frozenset({"0.3", "4.5"})

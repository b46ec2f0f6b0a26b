"""Typical wrong answers to the exercises of notebook 09, by the mistake each makes."""

from types import SimpleNamespace
from typing import Any

from medmoe_lite.lab.nb09 import answers
from medmoe_lite.lab.nb09.answers import GIB
from medmoe_lite.lab.nb09.failure import CAUSES, SICK


def _trainable(shared: bool = True, routed: bool = True, router: Any = None, plain: bool = True,
               rank: bool = True, layers: bool = True) -> Any:  # fmt: skip
    """A count that leaves something out."""

    def count(config: Any, shapes: Any, number: int) -> int:
        columns = config.num_experts * routed + config.shared_experts * shared
        columns *= config.r if rank else 1
        gate = router or (lambda e, d: e * (d + 1))
        total = sum(
            columns * sum(shapes[n]) + gate(config.num_experts, shapes[n][0])
            for n in config.target_modules
        )
        total += plain * sum(config.r * sum(shapes[n]) for n in config.plain_modules)
        return total * (number if layers else 1)

    return count


def _products(config: Any, shapes: Any, layers: int) -> int:
    columns = config.r * (config.num_experts + config.shared_experts)
    total = sum(
        columns * shapes[n][0] * shapes[n][1] + config.num_experts * (shapes[n][0] + 1)
        for n in config.target_modules
    )
    return layers * (total + sum(config.r * sum(shapes[n]) for n in config.plain_modules))


def _everywhere(config: Any, shapes: Any, layers: int) -> int:
    every = SimpleNamespace(
        **{**vars(config), "target_modules": [*config.target_modules, *config.plain_modules],
           "plain_modules": []}
    )  # fmt: skip
    return answers.trainable(every, shapes, layers)


def _pops(config: Any, shapes: Any, layers: int) -> int:
    count = answers.trainable(config, shapes, layers)
    shapes.clear()
    return count


def _resting(bits: float = 4 + 8 / 64 + 32 / 16384, rest: float = 2, divide: float = 8,
             flag: bool = True, **others: float) -> Any:  # fmt: skip
    """Bytes at rest with other bits, or with one part at another width."""

    def parts(linear: int, other: int, trained: int, four_bit: bool) -> dict[str, float]:
        own = bits if four_bit or not flag else 16
        found = {"adapters": 4, "gradients": 4, "optimiser": 8, **others}
        return {"weights": linear * own / divide + other * rest,
                **{name: width * trained for name, width in found.items()}}  # fmt: skip

    return parts


def _base_gradients(linear: int, other: int, trained: int, four_bit: bool) -> dict[str, float]:
    found = answers.resting_bytes(linear, other, trained, four_bit)
    return {**found, "gradients": 4.0 * (linear + other + trained)}


def _total_only(linear: int, other: int, trained: int, four_bit: bool) -> float:
    return sum(answers.resting_bytes(linear, other, trained, four_bit).values())


def _running(logits: Any = None, kept: Any = None) -> Any:
    """Running bytes with one of the two parts worked out in another way."""

    def parts(tokens: int, asked: int, sizes: Any, block: int, checkpointing: bool) -> dict:
        found = answers.running_bytes(tokens, asked, sizes, block, checkpointing)
        if logits:
            found["logits"] = logits(tokens, asked, sizes)
        if kept:
            found["activations"] = tokens * kept(
                sizes["layers"], sizes["hidden"], block, checkpointing
            )
        return found

    return parts


def _clears(tokens: int, asked: int, sizes: Any, block: int, checkpointing: bool) -> dict:
    found = answers.running_bytes(tokens, asked, sizes, block, checkpointing)
    sizes["layers"] = 0
    return found


def _plan(reserve: float = 1.0, unit: float = GIB, more: Any = None) -> Any:
    """A plan with another sum or another comparison, that refuses without a reason."""

    def made(parts: Any, card: float, spare: float = 1.5) -> float:
        need = sum(parts.values()) / unit + spare * reserve
        if (more or (lambda a, b: a > b))(need, card):
            raise ValueError("too much")
        return need

    return made


def _silent(parts: Any, card: float, reserve: float = 1.5) -> float:
    return sum(parts.values()) / GIB + reserve


def _hours(frozen: float = 4, trained: float = 6, again: float = 2, scale: float = 1,
           power: float = 1) -> Any:  # fmt: skip
    """Hours with other operations a number."""

    def count(
        tokens: float, f: int, t: int, tflops: float, used: float, checkpointing: bool
    ) -> float:
        each = frozen * f + trained * t + (again * (f + t) if checkpointing else 0)
        return scale * tokens * each / (tflops * 1e12 * used**power) / 3600

    return count


def _diagnosis(run: str) -> dict[str, str]:
    return {**SICK, run: CAUSES[4]}


MUTANTS: dict[str, dict[str, Any]] = {
    "9.1": {
        "zero-is-unknown": lambda: lambda recipe: [v.key for v in recipe.sources() if not v.paper],
        "differs": lambda: lambda recipe: [v.key for v in recipe.sources() if v.paper != v.nano],
        "nano-column": lambda: lambda recipe: [v.key for v in recipe.sources() if v.nano is None],
        "values-not-keys": lambda: (
            lambda recipe: [v for v in recipe.sources() if v.paper == "unknown"]
        ),
        "no-list": lambda: lambda recipe: 2,
        "stopped": lambda: lambda recipe: recipe.values["paper"],
    },
    "9.2": {
        "no-shared": lambda: _trainable(shared=False),
        "no-routed": lambda: _trainable(routed=False),
        "no-router": lambda: _trainable(router=lambda e, d: 0),
        "no-bias": lambda: _trainable(router=lambda e, d: e * d),
        "no-plain": lambda: _trainable(plain=False),
        "one-layer": lambda: _trainable(layers=False),
        "rank-missing": lambda: _trainable(rank=False),
        "whole-weight": lambda: _products,
        "mixture-everywhere": lambda: _everywhere,
        "changes-its-input": lambda: _pops,
    },
    "9.3": {
        "no-scales": lambda: _resting(4),
        "single-quantisation": lambda: _resting(4.5),
        "no-second-scale": lambda: _resting(4.125),
        "all-in-four-bits": lambda: _resting(rest=(4 + 8 / 64 + 32 / 16384) / 8),
        "rest-in-32": lambda: _resting(rest=4),
        "bits-not-bytes": lambda: _resting(rest=16, divide=1),
        "flag-ignored": lambda: _resting(flag=False),
        "base-gradients": lambda: _base_gradients,
        "one-moment": lambda: _resting(optimiser=4),
        "adapters-in-16": lambda: _resting(adapters=2),
        "no-dict": lambda: _total_only,
    },
    "9.4": {
        "logits-everywhere": lambda: _running(lambda t, a, s: t * s["vocab"] * 10),
        "logits-in-16": lambda: _running(lambda t, a, s: a * s["vocab"] * 2),
        "logits-once": lambda: _running(lambda t, a, s: a * s["vocab"] * 4),
        "no-logit-gradient": lambda: _running(lambda t, a, s: a * s["vocab"] * 6),
        "width-not-vocabulary": lambda: _running(lambda t, a, s: a * s["hidden"] * 10),
        "one-layer": lambda: _running(kept=lambda n, d, b, c: b),
        "flag-ignored": lambda: _running(kept=lambda n, d, b, c: n * b),
        "no-block-in-full": lambda: _running(kept=lambda n, d, b, c: n * 2 * d if c else n * b),
        "inputs-missing": lambda: _running(kept=lambda n, d, b, c: b if c else n * b),
        "one-input": lambda: _running(kept=lambda n, d, b, c: 2 * d + b if c else n * b),
        "changes-its-input": lambda: _clears,
    },
    "9.5": {
        "no-reserve": lambda: _plan(reserve=0),
        "decimal": lambda: _plan(unit=1e9),
        "bytes-not-gib": lambda: lambda parts, card, reserve=1.5: sum(parts.values()) + reserve,
        "does-not-refuse": lambda: _silent,
        "refuses-exact-fit": lambda: _plan(more=lambda need, card: need >= card),
        "largest-not-named": lambda: _plan(),
        "changes-its-input": lambda: (
            lambda parts, card, reserve=1.5: (
                sum(parts.pop(name) for name in list(parts)) / GIB + reserve
            )
        ),
    },
    "9.6": {
        "full-training": lambda: _hours(6, 6),
        "forward-only": lambda: _hours(2, 2),
        "no-adapter-gradient": lambda: _hours(4, 4),
        "multiply-adds": lambda: _hours(2, 3, 1),
        "seconds": lambda: _hours(scale=3600),
        "peak-speed": lambda: _hours(power=0),
        "used-twice-wrong": lambda: _hours(power=-1),
        "tera": lambda: _hours(scale=1e12),
        "flag-ignored": lambda: _hours(again=0),
        "checkpointing": lambda: _hours(again=4.2),
    },
    "9.7": {
        "wrong-run P": lambda: _diagnosis("run P"),
        "wrong-run Q": lambda: _diagnosis("run Q"),
        "wrong-run R": lambda: _diagnosis("run R"),
        "wrong-run S": lambda: _diagnosis("run S"),
        "form": lambda: {"run P": "no idea"},
    },
}

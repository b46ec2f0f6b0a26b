"""A ladder whose work takes no time, for the tests of the runner; importable by a fresh process."""

from __future__ import annotations

import os
import signal
from typing import Any, NamedTuple

from medmoe_lite.reproduce.claim import Claim, Condition, Effect, Plot, Work, by_id


class Shop(NamedTuple):
    folder: Any
    seed: int


def open_workshop(series: Any, seed: int) -> Shop:
    return Shop(series.folder, seed)


def fingerprint(size: str) -> str:
    return size


def start(shop: Shop) -> dict[str, Any]:
    note(shop, "start")
    return {"score": 0.5}


def better(shop: Shop) -> dict[str, Any]:
    note(shop, "better")
    return {"score": 0.7 + 0.01 * shop.seed, "steps": [0, 5], "curve": [0.0, 0.7]}


def same(shop: Shop) -> dict[str, Any]:
    note(shop, "same")
    return {"score": 0.5 + 0.01 * (shop.seed % 2), "steps": [0, 5], "curve": [0.1, 0.5]}


def breaks(shop: Shop) -> dict[str, Any]:
    note(shop, "breaks")
    if shop.seed == 1 and not (shop.folder / "mended").exists():
        raise ValueError("seed 1 is broken")
    return {"score": 0.4}


def dies(shop: Shop) -> dict[str, Any]:
    note(shop, "dies")
    if shop.seed == 1 and not (shop.folder / "mended").exists():
        os._exit(7)
    return {"score": 0.4}


def kills(shop: Shop) -> dict[str, Any]:
    """End the whole command as `kill -9` does, once."""
    note(shop, "kills")
    if not (shop.folder / "killed").exists():
        (shop.folder / "killed").touch()
        os.kill(os.getppid(), signal.SIGKILL)
        os._exit(1)
    return {"score": 0.4}


def note(shop: Shop, name: str) -> None:
    """One line a call: how often a work was really done."""
    with open(shop.folder / "calls.txt", "a", encoding="utf-8") as file:
        file.write(f"{name} {shop.seed}\n")


START = Work("start", start, seconds=1)
BETTER = Work("better", better, uses=(START,), seconds=2)
SAME = Work("same", same, uses=(START,), seconds=2)
BREAKS = Work("breaks", breaks, uses=(START,), seconds=1)
AFTER = Work("after", same, uses=(BREAKS,), seconds=1)
DIES = Work("dies", dies, seconds=1)


def claim(name: str, **changed: Any) -> Claim:
    fields: dict[str, Any] = {
        "id": name,
        "title": f"Is {name} <better>?",
        "paper": "MedCare",
        "item": "first experiment 1",
        "hypothesis": "Ours scores more.",
        "equal": "The same of everything.",
        "published": "59 & 62",
        "source": "Table 9",
        "arms": {"ours": BETTER, "other": SAME},
        "effects": (Effect("ours is better", "score", "ours", "other"),),
        "plot": Plot(("score",)),
    }
    return Claim(**{**fields, **changed})


CLAIMS = by_id(
    [
        claim("better", quick=True),
        claim("shared", arms={"ours": BETTER, "other": START}, plot=Plot(curve="curve")),
        claim("limited", arms={}, effects=(), plot=Plot(), limit="It takes a hospital."),
        claim("absent", needs=("medmoe_lite.nothing_there:name",)),
        claim(
            "unlearnt",
            conditions=(Condition("other", "score", at_least=0.9, why="nothing was learnt"),),
        ),
    ]
)
BROKEN = by_id([claim("better"), claim("broken", arms={"ours": AFTER, "other": BREAKS})])
KILLED = by_id([claim("killed", arms={"ours": BETTER, "other": Work("kills", kills)})])
DEADLY = by_id([claim("deadly", arms={"ours": DIES, "other": START})])

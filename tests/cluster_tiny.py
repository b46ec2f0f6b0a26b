"""A ladder for the tests of the cluster: quick works, one that waits to be killed, a killer."""

from __future__ import annotations

import os
import signal
from typing import Any

from reproduce_tiny import START, Shop, claim, fingerprint, note, open_workshop

from medmoe_lite.reproduce.claim import Work, by_id

__all__ = ["CLAIMS", "fingerprint", "open_workshop"]


def waits(shop: Shop) -> dict[str, Any]:
    """The first time, open a pipe and wait for a word that never comes."""
    note(shop, "waits")
    if shop.seed == 0 and not (shop.folder / "waited").exists():
        (shop.folder / "waited").touch()
        with open(shop.folder / "pipe", encoding="utf-8") as pipe:
            pipe.read()
    return {"score": 0.4}


def kills(shop: Shop) -> dict[str, Any]:
    """End the worker, every time, in one seed."""
    note(shop, "kills")
    if shop.seed == 1 and not (shop.folder / "mended").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return {"score": 0.4}


def quick(number: int) -> Work:
    def run(shop: Shop) -> dict[str, Any]:
        print("a word that belongs into output.txt")
        note(shop, f"quick{number}")
        return {"score": 0.1 * number}

    return Work(f"quick{number}", run, uses=(START,), seconds=1)


QUICK = [quick(number) for number in range(4)]
WAITS, KILLS = Work("waits", waits, uses=(START,)), Work("kills", kills)
CLAIMS = by_id(
    [
        claim("waits", arms={"ours": WAITS, "other": QUICK[0]}),
        claim("quick", arms={"ours": QUICK[1], "other": QUICK[2]}),
        claim("kills", arms={"ours": KILLS, "other": QUICK[3]}),
        claim("after", arms={"ours": Work("after", kills, uses=(KILLS,)), "other": QUICK[0]}),
    ]
)

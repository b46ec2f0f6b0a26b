"""The claim of notebook 10's example card, with seeds of its own: `... lab.record 10 --seeds 8`."""

from pathlib import Path
from typing import Any

from medmoe_lite.lab.nb10 import bench
from medmoe_lite.lab.record import keep_recording

ARMS: dict[str, dict[str, Any]] = {
    "other specialties": {},
    "all specialties": {"specialties": "all"},
    "4 conditions": {"conditions": 4},
}
FIRST_SEED = 100  # a learner's card begins at 0: these are other runs


def record(seeds: int, path: Path) -> dict[str, Any]:
    """All arms, seed by seed, into one file."""
    settings = {"steps": bench.STEPS, "batch": bench.BATCH, "rate": bench.RATE, "arms": ARMS}
    todo = [
        {"arm": arm, "base": 0, "seed": seed}
        for seed in range(FIRST_SEED, FIRST_SEED + seeds)
        for arm in ARMS
    ]
    return keep_recording(path, settings, todo, lambda names: _run(**names))


def _run(arm: str, base: int, seed: int) -> dict[str, Any]:
    found = bench.run(ARMS[arm], seed)
    return {name: found[name] for name in ("new", "near", "seen", "by_condition")}


def main(seeds: int, steps: int | None, out: Path) -> None:
    """Called by `medmoe_lite.lab.record`; the number of steps belongs to the claim and is fixed."""
    if steps not in (None, bench.STEPS):
        raise SystemExit(f"The claim's card fixes {bench.STEPS} steps; leave --steps out.")
    record(seeds, out / "10_domains.json")

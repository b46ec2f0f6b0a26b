"""What stands in a ladder's folder: whose runs they are, and the numbers by claim, arm and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..train.files import read_json, write_json
from .claim import Claim, works_of
from .worker import Series, load_ladder, read_result

FORMAT = 1


def claim_folder(series: Series) -> None:
    """Note whose runs a folder holds, or refuse to mix two series.

    Raises:
        ValueError: it holds runs of another base, size, or number of steps.
    """
    path = series.folder / "ladder.json"
    ours = {"format": FORMAT, "base": series.base, "size": series.size}
    ours["digest"] = digest_of(series.base)
    ours["settings"] = load_ladder(series.ladder)[1].fingerprint(series.size)
    if path.is_file():
        theirs = read_json(path)
        if different := sorted(name for name in ours if theirs.get(name) != ours[name]):
            raise ValueError(
                f"{series.folder} holds runs that differ in {', '.join(different)} "
                f"({', '.join(repr(theirs.get(name)) for name in different)} there). "
                "Give another --out, or delete that folder."
            )
    write_json(path, ours)


def digest_of(base: str) -> str:
    """Which weights a base has: a digest of its file, or the name itself where it is on a hub."""
    from pathlib import Path

    from ..bases.source import resolve
    from ..train.files import sha256

    source = resolve(base, 0)
    weights = Path(source.place) / "model.safetensors"
    return sha256(weights)[:16] if weights.is_file() else str(source.place)


def file_runs(series: Series, claims: Sequence[Claim], seeds: Sequence[int]) -> None:
    """Write runs/<claim>/<arm>/seed<n>.json for everything that is done."""
    for claim in claims:
        for arm, work in claim.chosen_arms(series.size == "quick").items():
            for seed in seeds:
                done = read_result(series.folder, work, seed)
                if done is None:
                    continue
                content = {"claim": claim.id, "arm": arm, "seed": seed, "work": work.name}
                content |= {"size": series.size, "cpu_seconds": done.cpu_seconds}
                path = series.folder / "runs" / claim.id / arm / f"seed{seed}.json"
                write_json(path, {**content, "numbers": done.numbers})


def collect(
    series: Series, claims: Sequence[Claim], seeds: Sequence[int]
) -> dict[str, dict[str, dict[int, dict[str, Any]]]]:
    """claim -> arm -> seed -> numbers, of all that is done."""
    result: dict[str, dict[str, dict[int, dict[str, Any]]]] = {}
    for claim in claims:
        arms = result.setdefault(claim.id, {})
        for arm, work in claim.chosen_arms(series.size == "quick").items():
            rows = {seed: read_result(series.folder, work, seed) for seed in seeds}
            arms[arm] = {seed: done.numbers for seed, done in rows.items() if done}
    return result


def costs(
    series: Series, claims: Sequence[Claim], seeds: Sequence[int]
) -> Mapping[str, list[float]]:
    """Work -> seconds of the processor, one number a seed that is done."""
    found: dict[str, list[float]] = {}
    for work in works_of(claims, series.size == "quick"):
        rows = [read_result(series.folder, work, seed) for seed in seeds]
        found[work.name] = [done.cpu_seconds for done in rows if done]
    return found

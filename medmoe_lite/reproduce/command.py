"""`medmoe reproduce`: run what is missing, then write numbers, figures and the report."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..paths import home_dir
from ..train.files import read_json, write_json
from .claim import Claim, choose, works_of
from .folder import collect, costs
from .progress import Board, clock
from .report import write_report
from .runner import climb, cores
from .stamp import stamp_now
from .summary import summarize, write_summary
from .worker import Series, load_ladder, read_result

LADDER = "medmoe_lite.reproduce.ladder:CLAIMS"
QUICK_SEEDS, FULL_SEEDS = 3, 5


def parser() -> argparse.ArgumentParser:
    """The options."""
    top = argparse.ArgumentParser(
        prog="medmoe reproduce",
        description="Run the experiments that the four papers list, over seeds, and report them. "
        "A stopped run goes on where it was.",
    )
    add = top.add_argument
    add("claims", nargs="*", metavar="claim", help="ids from --list (default: all)")
    add("--list", action="store_true", help="show the claims and what they cost, and end")
    add("--seeds", type=int, help=f"how many, from 0 (default: {FULL_SEEDS}; quick: {QUICK_SEEDS})")
    add("--out", type=Path, help="folder (default: ladder or ladder-quick in ~/.cache/medmoe_lite)")
    add("--base", default="nano", help="nano, nano/seed1, a folder or a hub name (default: nano)")
    add("--jobs", type=int, help="processes at a time (default: one a core; one on a GPU)")
    add(
        "--cluster", nargs="?", const="local", metavar="ADDRESS",
        help="run on Dask: a scheduler by address (tcp://host:8786) or scheduler file; without "
        "one, processes of this machine",
    )  # fmt: skip
    add("--quick", action="store_true", help="fewer claims, arms, steps and seeds: some minutes")
    add("--report", action="store_true", help="run nothing; write the report from what is there")
    return top


def main(arguments: Sequence[str] | None = None, ladder: str = LADDER) -> int:
    """Run the command; returns 1 where a piece of work failed."""
    options = parser().parse_args(arguments)
    claims, _ = load_ladder(ladder)
    size = "quick" if options.quick else "full"
    try:
        if options.list:
            print(listing(choose(claims, options.claims, options.quick), options.quick))
            return 0
        chosen = choose(claims, options.claims, options.quick)
        seeds = list(range(options.seeds or (QUICK_SEEDS if options.quick else FULL_SEEDS)))
        for name in ("jobs", "seeds"):
            value = getattr(options, name)
            if value is not None and value < 1:
                raise ValueError(f"--{name} {value}: give at least one.")
        default = home_dir() / ("ladder-quick" if options.quick else "ladder")
        series = Series(ladder, options.base, size, (options.out or default).resolve())
        far = options.cluster not in (None, "local")  # as many at a time as there are workers
        jobs = options.jobs or (0 if far else default_jobs(options.base))
        return run(series, chosen, claims, seeds, jobs, options.report, options.cluster)
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        print(f"medmoe reproduce: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped: what is done is kept; the same command goes on from there", file=sys.stderr)
        return 130


def run(
    series: Series,
    chosen: Sequence[Claim],
    claims: Mapping[str, Claim],
    seeds: Sequence[int],
    jobs: int,
    only_report: bool = False,
    cluster: str | None = None,
) -> int:
    """Run what is missing of the chosen claims, then report on everything in the folder."""
    began = time.monotonic()
    missing = {claim.id: why for claim in chosen if (why := claim.unavailable())}
    for name, why in missing.items():
        print(f"{name} is left out: {why}", file=sys.stderr)
    failures: dict[str, str] = {}
    if only_report:
        path = series.folder / "ladder.json"
        if not path.is_file():
            raise FileNotFoundError(
                f"{series.folder} holds no ladder. Leave --report out to run it."
            )
        series = series._replace(size=read_json(path)["size"], base=read_json(path)["base"])
        broken = series.folder / "failures.json"
        failures = read_json(broken) if broken.is_file() else {}
    else:
        able = [claim for claim in chosen if claim.id not in missing]
        failures = climb(series, able, seeds, jobs, Board(), cluster)
    known = note_claims(series.folder, [claim.id for claim in chosen])
    shown = [claims[name] for name in claims if name in known]
    seen = seeds_there(series, shown, seeds)
    summary = summarize(
        shown,
        collect(series, shown, seen),
        base=series.base,
        size=series.size,
        seeds=seen,
        costs=costs(series, shown, seen),
        failures=failures,
        stamp=stamp_now(time.monotonic() - began)
        | {"commits_of_the_runs": commits(series, shown, seen)},
    )
    write_summary(series.folder, summary)
    page = write_report(series.folder, summary)
    for name, claim in summary["claims"].items():
        print(f"{claim['verdict']:<27} {name}: {claim['title']}")
    took = clock(time.monotonic() - began)
    print(f"{series.size} run, {len(seen)} seeds, {took}: {page}")
    for name, why in failures.items():
        print(f"FAILED {name}: {why.strip().splitlines()[-1]}", file=sys.stderr)
    return 1 if failures else 0


def note_claims(folder: Path, names: Sequence[str]) -> list[str]:
    """Remember which claims were asked for in this folder: the report is on all of them."""
    path = folder / "claims.json"
    known = read_json(path) if path.is_file() else []
    known = list(dict.fromkeys([*known, *names]))
    write_json(path, known)
    return known


def seeds_there(series: Series, claims: Sequence[Claim], asked: Sequence[int]) -> list[int]:
    """Seeds that were asked for now or have results from before."""
    found = set(asked)
    for work in works_of(claims, series.size == "quick"):
        for path in (series.folder / "work" / work.name).glob("seed*.json"):
            found.add(int(path.stem.removeprefix("seed")))
    return sorted(found)


def commits(series: Series, claims: Sequence[Claim], seeds: Sequence[int]) -> str:
    """The commits that the results in a folder were made with: more than one where it grew."""
    works = works_of(claims, series.size == "quick")
    rows = [read_result(series.folder, work, seed) for work in works for seed in seeds]
    return ", ".join(sorted({row.commit for row in rows if row and row.commit}))


def default_jobs(base: str) -> int:
    """One process a core; a single one where the base would lie on a GPU."""
    from ..bases.source import resolve

    if resolve(base).kind != "nano":
        import torch

        if torch.cuda.is_available():
            return 1
    return cores()


def listing(claims: Sequence[Claim], quick: bool) -> str:
    """Claims, their arms, and what they cost, as text."""
    lines = []
    for claim in claims:
        why = claim.unavailable()
        state = f"  [unavailable: {why}]" if why else "" if claim.arms else "  [not testable here]"
        lines.append(f"{claim.id:<16} {claim.paper}: {claim.title}{state}")
        if arms := claim.chosen_arms(quick):
            lines.append(f"{'':<16} arms: {', '.join(arms)}")
    works = works_of(claims, quick)
    share = 0.5 if quick else 1.0
    minutes = sum(work.seconds for work in works) * share / 60
    lines.append(
        f"{len(claims)} claims, {len(works)} pieces of work a seed, "
        f"about {minutes:.0f} minutes of one thread a seed"
    )
    return "\n".join(lines)


__all__: list[Any] = ["main"]

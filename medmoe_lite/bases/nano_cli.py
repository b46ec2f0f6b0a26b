"""`medmoe nano`: pre-train the embedded base, score it, ship it, measure what adapters do to it."""

from __future__ import annotations

import argparse
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """Arguments of the sub-commands."""
    top = argparse.ArgumentParser(prog="medmoe nano", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)

    pretrain = commands.add_parser("pretrain", help="pre-train a base (resumes; up to an hour)")
    pretrain.add_argument("--seed", type=int, default=0)
    pretrain.add_argument("--out", type=Path, required=True, help="folder of the run")
    pretrain.add_argument("--config", type=Path, help="another nano.yaml")
    pretrain.add_argument("--threads", type=int, default=1)

    ship = commands.add_parser("ship", help="score a finished run and write it as a base folder")
    ship.add_argument("run", type=Path, help="folder given to pretrain --out")
    ship.add_argument("folder", type=Path, help="for example data/nano")

    score = commands.add_parser("score", help="exact match of a base by family")
    score.add_argument("--base", default="nano")
    score.add_argument("--split", default="test", choices=("dev", "test"))
    score.add_argument("-n", type=int, default=300, help="items per family")

    verify = commands.add_parser("verify", help="measure injection, formats, forgetting, drop")
    verify.add_argument("--base", default="nano")
    verify.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    verify.add_argument("--table", default="kept", choices=("invented", "kept"))
    verify.add_argument("--split", default="test", choices=("dev", "test"))
    verify.add_argument("--arms", nargs="+", help="only these arms")
    verify.add_argument("--out", type=Path, required=True, help="a JSON file; resumes")

    report = commands.add_parser("report", help="tables from a file that verify wrote")
    report.add_argument("file", type=Path, nargs="?", help="default: the shipped recording")
    report.add_argument("--into", type=Path, help="a page with marks, such as README.md")
    return top


def main(argv: list[str] | None = None) -> int:
    """Run `medmoe nano ...`; returns the exit code."""
    args = parser().parse_args(argv)
    import torch

    torch.set_num_threads(getattr(args, "threads", 1))
    commands = {
        "pretrain": _pretrain, "ship": _ship, "score": _score, "verify": _verify, "report": _report,
    }  # fmt: skip
    return commands[args.command](args)


def _pretrain(args: argparse.Namespace) -> int:
    from .pretrain import CONFIG, pretrain, read_config

    run = pretrain(args.out, args.seed, read_config(args.config or CONFIG))
    print(
        f"finished: {run.state['step']} steps in {args.out}. Next: medmoe nano ship {args.out} ..."
    )
    return 0


def _ship(args: argparse.Namespace) -> int:
    import json

    from .nano import family_scores, ship
    from .pretrain import Run

    state = json.loads((args.run / "state.json").read_text(encoding="utf-8"))
    run = Run(args.run, state["seed"], state["config"])
    scores = family_scores(run.model.eval(), run.tokenizer)
    _table(scores)
    print(f"written: {ship(run, args.folder, scores)}")
    return 0


def _score(args: argparse.Namespace) -> int:
    from .load import load_base
    from .nano import family_scores

    model, tokenizer = load_base(args.base)
    _table(family_scores(model, tokenizer, args.split, args.n))
    return 0


def _table(scores: dict) -> None:
    from .nano import general_mean

    for name, s in scores.items():
        print(
            f"{name:18} {s.exact:.3f}  [{s.low:.3f}, {s.high:.3f}]  n={s.n} unparsed={s.unparsed}"
        )
    print(f"{'general mean':18} {general_mean(scores):.3f}")


def _verify(args: argparse.Namespace) -> int:
    from ..measure.effects import measure_effects

    measure_effects(args.base, args.seeds, args.table, args.out, args.arms, args.split)
    return 0


def _report(args: argparse.Namespace) -> int:
    from ..measure.report import main as report
    from ..paths import data_dir

    return report(args.file or data_dir() / "recorded" / "nano_effects.json", args.into)

"""Record what notebooks quote: `python -m medmoe_lite.lab.record 01 [--seeds 5] [--steps N]`.

Dispatches to `nb01/record.py` and its like: each has `arms(...)`, runs one (arm, seed) after the
other on one thread and writes `data/recorded/NN_*.json` after each, so that a stopped recording
goes on where it was.
"""

import argparse
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

BASES = ("nano", "nano/seed1")  # stamped into every file: a recording belongs to its bases


def keep_recording(
    path: Path,
    settings: dict[str, Any],
    todo: Iterable[dict[str, Any]],
    run: Callable[[dict[str, Any]], dict[str, Any]],
) -> dict[str, Any]:
    """Run what is not in the file yet; the file is whole after every run.

    Args:
        path: the JSON file.
        settings: a file with other settings, or of other bases, is begun anew.
        todo: what names a run, such as {"arm": "r = 8", "base": 0, "seed": 0}.
        run: names -> results, plain numbers and lists.
    """
    from medmoe_lite.bases.checksums import base_digest

    settings = {**settings, "bases": {name: base_digest(name) for name in BASES}}
    whole: dict[str, Any] = {"settings": settings, "runs": []}
    if path.is_file():
        old = json.loads(path.read_text(encoding="utf-8"))
        if old.get("settings") == settings:
            whole = old
    for names in todo:
        if any(all(done.get(k) == v for k, v in names.items()) for done in whole["runs"]):
            continue
        whole["runs"].append({**names, **run(names)})
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        text = json.dumps(whole, indent=1, sort_keys=True) + "\n"
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
        print(whole["runs"][-1] | {"losses": "..."}, flush=True)
    return whole


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m medmoe_lite.lab.record")
    parser.add_argument("notebook", help="such as 01")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="optimiser steps (default: the notebook's own)")
    parser.add_argument("--out", type=Path, help="folder (default: data/recorded)")
    options = parser.parse_args(arguments)
    import torch

    from medmoe_lite.paths import data_dir

    torch.set_num_threads(1)
    module = importlib.import_module(f"medmoe_lite.lab.nb{options.notebook}.record")
    module.main(options.seeds, options.steps, options.out or data_dir() / "recorded")
    return 0


if __name__ == "__main__":
    sys.exit(main())

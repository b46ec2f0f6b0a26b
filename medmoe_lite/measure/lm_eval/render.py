"""`medmoe lm-tasks FOLDER`: task files for lm-eval.

FOLDER/json.jsonl         the items
FOLDER/medmoe_json.yaml   the task: generation.yaml or choice.yaml of the package, and the path
FOLDER/cache/             what lm-eval's reader of JSONL keeps
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ...tasks import Example, families, make
from ...train.files import write_text
from .items import row_of

HERE = Path(__file__).resolve().parent
SEED = 11


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 0 done, 2 refused."""
    top = argparse.ArgumentParser(
        prog="medmoe lm-tasks", description="Write the kit's tasks as files for lm-eval."
    )
    top.add_argument("folder", type=Path)
    top.add_argument("--families", nargs="+", default=["json", "choice"], metavar="FAMILY")
    top.add_argument("--n", type=int, default=100, help="items of a family (default: 100)")
    options = top.parse_args(arguments)
    try:
        names = [
            write_task(options.folder, family, make(family, "test", options.n, SEED))
            for family in options.families
        ]
    except (ValueError, OSError) as error:
        print(f"medmoe lm-tasks: {error}", file=sys.stderr)
        return 2
    print(
        f"lm_eval --include_path {options.folder} --tasks {','.join(names)} "
        "--model hf --model_args pretrained=FOLDER_OF_A_MODEL --device cpu"
    )
    return 0


def write_task(folder: Path, family: str, items: Sequence[Example]) -> str:
    """Write one task; returns its name.

    Options are compared by likelihood where all items have some and the family is a choice.
    """
    folder = folder.resolve()
    choice = all(item.choices for item in items) and families()[family].chance > 0
    rows = "".join(json.dumps(row_of(item), ensure_ascii=False) + "\n" for item in items)
    write_text(folder / f"{family}.jsonl", rows)
    name = f"medmoe_{family}"
    content = {  # JSON is YAML, so no path needs quotes of its own
        "task": name,
        "include": str(HERE / ("choice.yaml" if choice else "generation.yaml")),
        "dataset_kwargs": {
            "data_files": {"test": str(folder / f"{family}.jsonl")},
            "cache_dir": str(folder / "cache"),
        },
    }
    write_text(folder / f"{name}.yaml", json.dumps(content, indent=1) + "\n")
    return name

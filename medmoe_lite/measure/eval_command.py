"""`medmoe eval`: a trained run, an adapter or a base, scored on published files or the kit's tasks.

    out/<suite>.json            strict, paper-style and published scores side by side, unparsed
    out/<suite>.answers.jsonl   what was said: id, answer, gold, right or wrong
    out/scores.json             all suites of this folder

A suite that was scored with the same model, file and limits is kept, so a stopped command goes on
at the suite where it was.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..train.files import read_json, sha256, write_json, write_text
from .eval_suite import Suite, line, note_routing, score_suite, told

if TYPE_CHECKING:
    pass


def parser() -> argparse.ArgumentParser:
    """The options."""
    top = argparse.ArgumentParser(
        prog="medmoe eval",
        description="Score a run, an adapter or a base: strict, as the papers do, and with the "
        "published metric, side by side.",
    )
    add = top.add_argument
    add("place", help="a run's folder, an adapter's folder, or the name of a base")
    add("--data", action="append", default=[], metavar="NAME=READER:PATH[:SPLIT]",
        help="a suite; may be given often (default on nano: the kit's own tasks)")  # fmt: skip
    add("--base", help="name of the base, where the folder does not say it or it lies elsewhere")
    add("--without-adapters", action="store_true", help="score the base of a run instead")
    add("--out", type=Path, help="folder (default: eval in the run's folder)")
    add("--limit", type=int, help="at most so many items of a suite, the first ones")
    add("--batch-size", type=int, default=16, help="items at a time; changes the speed only")
    add("--max-new-tokens", type=int, default=64, help="longest answer (default: 64)")
    add("--likelihood", action="store_true", help="also choose among options by likelihood")
    add("--four-bit", action="store_true", help="load the base in nf4")
    add("--device", help="cpu, cuda, cuda:1, mps (default: a GPU where there is one)")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 0 done, 1 failed, 2 refused, 130 stopped."""
    options = parser().parse_args(arguments)
    from ..train.trouble import in_words

    try:
        return run(options)
    except KeyboardInterrupt:
        print("stopped: suites that are done are kept; the same command goes on", file=sys.stderr)
        return 130
    except Exception as error:
        found = in_words(error, options.out or Path(options.place))
        if found is None:
            raise
        print(f"medmoe eval: {found[1]}", file=sys.stderr)
        return found[0]


def run(options: argparse.Namespace) -> int:
    """Load, score what is missing, and print all."""
    out = options.out or default_out(options)
    model, tokenizer, about = load(options)
    suites = suites_of(options, about)
    who = {
        "base": about["base"], "adapters": about["digests"], "four_bit": options.four_bit,
        "likelihood": options.likelihood, "max_new_tokens": options.max_new_tokens,
    }  # fmt: skip
    for name, suite in suites.items():
        identity = {**who, "data": suite.about, "limit": options.limit}
        path = out / f"{name}.json"
        if path.is_file() and read_json(path)["identity"] == identity:
            print(f"{name}: kept")
        else:
            began = time.monotonic()
            scores, answers = score_suite(model, tokenizer, name, suite, about, options)
            seconds = round(time.monotonic() - began, 1)
            write_text(out / f"{name}.answers.jsonl", "".join(map(line, answers)))
            write_json(path, {"identity": identity, "seconds": seconds, **scores})
        print("\n".join(told(name, read_json(path))), flush=True)
    note_routing(model, tokenizer, suites, about, out)
    found = sorted(p for p in out.glob("*.json") if p.name not in ("scores.json", "routing.json"))
    write_json(out / "scores.json", {path.stem: read_json(path) for path in found})
    return 0


def default_out(options: argparse.Namespace) -> Path:
    """`eval` (or `eval-base`) in a run's folder.

    Raises:
        ValueError: the place is no run, so `--out` is needed.
    """
    place = Path(options.place)
    if not (place / "run.json").is_file():
        raise ValueError(f"{place} is no run's folder, so say where the scores go: --out FOLDER.")
    return place / ("eval-base" if options.without_adapters else "eval")


def load(options: argparse.Namespace) -> tuple[Any, Any, dict[str, Any]]:
    """Model, tokenizer, and what is known about them."""
    from ..train.result import load_result

    place = Path(options.place)
    is_run = (place / "run.json").is_file()
    if (is_run and not options.without_adapters) or (place / "adapter_config.json").is_file():
        model, tokenizer, about = load_result(place, options.base, options.four_bit, options.device)
        files = sorted(place.rglob("adapter_model.safetensors"))
        kept = [p for p in files if not is_run or p.is_relative_to(place / "adapters")]
        digests = {p.parent.relative_to(place).as_posix(): sha256(p)[:16] for p in kept}
        return model, tokenizer, {**about, "place": place, "digests": digests}
    from ..bases import load_base
    from ..train.run_card import read

    card = (read(place) or {}) if is_run else {}
    name = options.base or card.get("base", {}).get("name") or options.place
    model, tokenizer = load_base(name, four_bit=options.four_bit, device=options.device)
    return model, tokenizer, {"base": name, "card": card, "place": place, "digests": {}}


def suites_of(options: argparse.Namespace, about: Mapping[str, Any]) -> dict[str, Suite]:
    """The suites by name.

    Raises:
        ValueError: no suite, one of a name that is no file's name, or two of one name.
    """
    from ..train.kit_suites import kit_suites
    from ..train.recipe import Recipe
    from ..train.sources import Spec

    found: dict[str, Suite] = {}
    for spec in map(Spec.parse, options.data):
        if not re.fullmatch(r"[\w-][\w.-]*", spec.source):
            raise ValueError(f"a suite's name is the name of a file, which {spec.source!r} is not.")
        if spec.source in found:
            raise ValueError(f"two suites are named {spec.source!r}: give them different names.")
        items = spec.read()
        found[spec.source] = Suite(spec.reader, items[: options.limit], spec.card(len(items)))
    if found:
        return found
    copy = about["place"] / "recipe.yaml"
    if about["base"].partition("/")[0] != "nano":
        raise ValueError("nothing to score: give --data NAME=READER:PATH[:SPLIT].")
    recipe = Recipe.read(copy if copy.is_file() else "ming_moe")
    n = options.limit or 24
    return {
        name: Suite("kit", items, {"reader": "kit", "examples": len(items)})
        for name, items in kit_suites(recipe, n).items()
    }

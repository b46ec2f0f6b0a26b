"""Throw damaged files at the readers: each must end in examples, bad rows or a `DataError`.

    python -m medmoe_lite.tasks.readers.fuzz --inputs 100000 --out data/recorded/fuzz.json

An input is a look-alike of a published file, its own or another reader's, after some damage: to
values (a field gone, null, another type, half a surrogate pair), then to bytes (flips, cuts,
repeats, quotes, brackets, NUL). The number of an input is its seed: `--only 4711` runs it again.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...train.files import write_json
from ..record import Example
from .base import READERS, BadRow, DataError, Record, stream
from .damage import damage_bytes, damage_value, sheet
from .kit import example_of, line_of
from .lookalikes import LOOKALIKES, LookAlike, written

OPTIONS = {
    "encoding": (
        "gbk",
        "big5",
        "utf-16",
        "utf-16-le",
        "utf-7",
        "cp1252",
        "idna",
        "no-such",
        "rot13",
        "",
    ),
    "index_base": ("0", "1", "2", "x", ""),
    "subjects": ("medical", "anatomy", "", ",", "../x"),
    "task": ("CMeEE", "KUAKE-QIC", "x", ""),
    "unlabelled": ("keep", "refuse", "x"),
    "answer": ("number", "full", "x"),
    "types": ("Disease", "", "x,y"),
    "options": ("4", "5", "x"),
}


def draw(seed: int, names: Sequence[str]) -> tuple[str, dict[str, bytes], str, dict[str, str]]:
    """An input: reader, contents of files by name (the first is read), options."""
    rng = random.Random(seed)
    reader = rng.choice(names)
    own = [item for item in LOOKALIKES if item.reader == reader]
    item: LookAlike = rng.choice(own if own and rng.random() < 0.7 else LOOKALIKES)
    name = rng.choice(own).name if own and rng.random() < 0.5 else item.name
    if reader == "cmexam" and rng.random() < 0.05:
        name = "val.xlsx"
    value, beside = item.value, item.beside[1]
    for _ in range(rng.randrange(3)):
        value = value if isinstance(value, (str, bytes)) else damage_value(value, rng)
    if beside is not None and rng.random() < 0.3:
        beside = damage_value(beside, rng)
    content = sheet(rng) if name.endswith(".xlsx") else written(item.name, value)
    for _ in range(rng.choice((0, 0, 1, 1, 2, 4))):
        content = damage_bytes(content, rng)
    files = {name: content}
    if item.beside[0] and rng.random() < 0.9:
        files[item.beside[0]] = written(item.beside[0], beside)
    known = [option for option in READERS[reader].options if option in OPTIONS]
    given = {o: rng.choice(OPTIONS[o]) for o in known if rng.random() < 0.1}
    return reader, files, name, given


def outcomes(
    reader: str, path: Path, split: str | None = None, **options: str
) -> Iterator[Example | BadRow | DataError]:
    """All that comes of a file, each part checked to be what the interface promises."""
    try:
        for row in stream(reader, path, split, **options):
            if isinstance(row, BadRow):
                expect(isinstance(row.reason, str) and row.reason, "a bad row without a reason")
                expect(isinstance(row.line, int) and row.line >= 0 and row.file, "no place")
                expect(isinstance(row.raw, str), "raw is no text")
            else:
                sound(row)
            yield row
    except DataError as error:
        expect(str(error), "an error without words")
        yield error


def expect(true: Any, words: str) -> None:
    """What a reader owes."""
    if not true:
        raise AssertionError(words)


def sound(example: Example) -> None:
    """An example that can be trained on, and that the kit's own reader reads back."""
    expect(isinstance(example.prompt, str) and example.prompt.strip(), "no prompt")
    unlabelled = example.meta.get("unlabelled") is True and example.answer == ""
    expect(unlabelled or (isinstance(example.answer, str) and example.answer.strip()), "no answer")
    expect({"id", "file", "line"} <= example.meta.keys(), "meta says not where it is from")
    line = line_of(example)
    line.encode("utf-8")
    back = example_of(Record("good.jsonl", 1, json.loads(line)))
    expect(line_of(back) == line, "the kit's record is not read back")


def run_one(seed: int, names: Sequence[str], folder: Path) -> tuple[str, Counter[str], str]:
    """Run one input: its reader, counts of outcomes, and the fault's traceback or nothing."""
    reader, files, name, given = draw(seed, names)
    counts: Counter[str] = Counter(inputs=1)
    paths = [folder / file for file in files]
    try:
        for path, content in zip(paths, files.values(), strict=True):
            path.write_bytes(content)
        for outcome in outcomes(reader, folder / name, **given):
            counts[type(outcome).__name__] += 1
    except Exception:
        counts["faults"] += 1
        return reader, counts, traceback.format_exc(limit=-4)
    finally:
        for path in paths:
            path.unlink(missing_ok=True)
    return reader, counts, ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run inputs, write counts and faults; returns 1 where a reader failed."""
    from .. import readers as all_readers

    top = argparse.ArgumentParser(prog="python -m medmoe_lite.tasks.readers.fuzz")
    top.add_argument("--inputs", type=int, default=1000)
    top.add_argument("--start", type=int, default=0, help="the first seed")
    top.add_argument("--only", type=int, help="one seed; prints its input")
    top.add_argument("--readers", nargs="*", help="default: all")
    top.add_argument("--out", type=Path, help="JSON file for counts and faults")
    options = top.parse_args(arguments)
    names = sorted(options.readers or all_readers.READERS)
    seeds = range(options.start, options.start + options.inputs)
    if options.only is not None:
        seeds = range(options.only, options.only + 1)
        print(draw(options.only, names))
    table: dict[str, Counter[str]] = {name: Counter() for name in names}
    slowest, faults, begun = (0.0, -1), [], time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            start = time.perf_counter()
            reader, counts, fault = run_one(seed, names, Path(folder))
            slowest = max(slowest, (time.perf_counter() - start, seed))
            table[reader] += counts
            if fault:
                faults.append({"seed": seed, "reader": reader, "fault": fault})
                print(f"seed {seed}, {reader}:\n{fault}", file=sys.stderr)
    seconds = time.perf_counter() - begun
    total = sum(table.values(), Counter())
    print(f"{total['inputs']:,} inputs in {seconds:.0f} s: {dict(total)}; slowest: seed "
          f"{slowest[1]}, {slowest[0]:.2f} s")  # fmt: skip
    if options.out:
        from ...reproduce.stamp import stamp_now

        write_json(options.out, {
            "command": "python -m medmoe_lite.tasks.readers.fuzz "
            f"--inputs {options.inputs} --start {options.start}",
            "stamp": stamp_now(seconds), "seconds": round(seconds, 1),
            "slowest": {"seconds": round(slowest[0], 3), "seed": slowest[1]},
            "total": dict(total), "readers": {name: dict(c) for name, c in table.items()},
            "faults": faults[:100],
        })  # fmt: skip
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

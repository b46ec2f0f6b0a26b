"""`medmoe faults`: break things on purpose, and write down what then happens.

    kill        a run that is killed with SIGKILL at random moments, and begun again
    disk        no room left, closed folders, two runs in one folder
    damage      files that were cut, swapped or have one bit flipped
    hostile     archives, names, pickles, headers and recipes that mean harm
    run         a loss that is no number, another base, the same seed twice
    setup       packages that are missing or of a wrong version, no network

A fault is a function that provokes it in a temporary folder and says whether the promise was
kept; `@fault` gives it a name. The outcomes go to faults.json, and `--markdown FILE` makes the
table of the documentation from that file.
"""

from __future__ import annotations

import argparse
import platform
import random
import re
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from ..paths import PACKAGE, data_dir, home_dir
from ..train.files import read_json, write_json, write_text

GROUPS = ("kill", "disk", "damage", "hostile", "run", "setup")
RECORDED = "faults.json"


class Place(NamedTuple):
    """What a fault gets: an empty folder, how often to kill, a seed, and whether to be short."""

    folder: Path
    kills: int
    seed: int
    short: bool

    def draw(self, purpose: str) -> random.Random:
        """Random numbers for one purpose."""
        return random.Random(f"{self.seed}/{purpose}")


class Seen(NamedTuple):
    """What a fault did: was the promise kept, what happened, and the message that a user reads."""

    passed: bool
    happened: str
    message: str = ""


@dataclass(frozen=True)
class Fault:
    """A named fault: what is done, what must happen, and the function that does it."""

    name: str
    group: str
    done: str
    promise: str
    provoke: Callable[[Place], Seen]


@dataclass(frozen=True)
class Outcome:
    """One row of the table."""

    name: str
    group: str
    done: str
    promise: str
    passed: bool
    happened: str
    message: str
    seconds: float


FAULTS: dict[str, Fault] = {}


def fault(name: str, group: str, done: str, promise: str) -> Callable[[Any], Any]:
    """Register a function as a fault."""

    def keep(provoke: Callable[[Place], Seen]) -> Callable[[Place], Seen]:
        FAULTS[name] = Fault(name, group, done, promise, provoke)
        return provoke

    return keep


def refused(call: Callable[[], Any], kinds: Any, *words: str) -> Seen:
    """Call something that must be refused with an error of a kind, whose text has all words.

    >>> refused(lambda: int("x"), ValueError, "int").passed
    True
    """
    try:
        call()
    except kinds as error:
        text = str(error)
        lacking = [word for word in words if word not in text]
        if lacking:
            return Seen(False, f"the message lacks {', '.join(map(repr, lacking))}", text)
        return Seen(True, f"refused with {type(error).__name__}", text)
    except Exception as error:
        return Seen(False, f"another error: {type(error).__name__}", str(error))
    return Seen(False, "nothing was noticed")


def every(parts: Iterable[tuple[str, Seen]]) -> Seen:
    """Several cases as one outcome; the first failure speaks, else the first message."""
    found = list(parts)
    wrong = [(name, seen) for name, seen in found if not seen.passed]
    if wrong:
        text = "; ".join(f"{name}: {seen.happened}" for name, seen in wrong)
        return Seen(False, text, wrong[0][1].message)
    happened = dict.fromkeys(seen.happened for _, seen in found)
    return Seen(True, f"{len(found)} cases: {'; '.join(happened)}", found[0][1].message)


def all_faults() -> dict[str, Fault]:
    """Every fault by name, in the order of the groups."""
    for group in GROUPS:
        import_module(f"{__package__}.faults_{group}")
    return {f.name: f for group in GROUPS for f in FAULTS.values() if f.group == group}


def run(found: Fault, kills: int = 20, seed: int = 0, short: bool = False) -> Outcome:
    """Provoke one fault in a temporary folder; an error that escapes counts as a failure."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="medmoe-fault-") as folder:
        place = Path(folder).resolve()
        try:
            seen = found.provoke(Place(place, kills, seed, short))
        except Exception as error:
            seen = Seen(False, f"it escaped: {type(error).__name__}", str(error))
    names = (found.name, found.group, found.done, found.promise)
    texts = (plain(seen.happened, place), plain(seen.message, place))
    return Outcome(*names, seen.passed, *texts, round(time.perf_counter() - began, 1))


def plain(text: str, folder: Path) -> str:
    """A message without what is different on each machine.

    >>> plain("/tmp/x/run: process 123 at 0x7f00aa", Path("/tmp/x"))
    'FOLDER/run: process 123 at 0x...'
    """
    for path, name in ((folder, "FOLDER"), (data_dir(), "data"), (PACKAGE, "medmoe_lite")):
        text = text.replace(str(path), name)
    text = re.sub(r"0x[0-9a-f]{6,}", "0x...", text)
    text = re.sub(r"/\S*/site-packages/", "", text)
    return " ".join(text.split())


def parser() -> argparse.ArgumentParser:
    """Arguments of the command."""
    made = argparse.ArgumentParser(
        prog="medmoe faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--only", nargs="+", metavar="NAME", help="faults or groups; default: all")
    made.add_argument("--kills", type=int, default=20, help="random moments of each kind")
    made.add_argument("--seed", type=int, default=0, help="of the moments and places")
    made.add_argument("--short", action="store_true", help="fewer cases of a kind")
    made.add_argument("--out", type=Path, help="folder; default: faults/ in the run folder")
    made.add_argument("--markdown", type=Path, metavar="FILE", help="write the table, too")
    made.add_argument("--list", action="store_true", help="show the names and end")
    return made


def main(argv: list[str] | None = None) -> int:
    """Run `medmoe faults ...`; returns 1 where a promise was not kept."""
    from .faults_table import markdown

    args = parser().parse_args(argv)
    known = all_faults()
    if args.list:
        print("\n".join(f"{f.group:8} {f.name:28} {f.done}" for f in known.values()))
        return 0
    wanted = args.only or list(known)
    if strange := [word for word in wanted if word not in known and word not in GROUPS]:
        print(f"no fault or group is named {', '.join(strange)}: `medmoe faults --list`")
        return 2
    path = (args.out or home_dir() / "faults") / RECORDED
    before = read_json(path)["faults"] if args.only and path.is_file() else []
    rows: dict[str, Any] = {row["name"]: row for row in before}
    for name, found in known.items():
        if name in wanted or found.group in wanted:
            outcome = run(found, args.kills, args.seed, args.short)
            rows[name] = asdict(outcome)
            mark = "kept  " if outcome.passed else "BROKEN"
            print(f"{mark} {name:28} {outcome.seconds:6.1f} s  {outcome.happened}", flush=True)
            write_json(path, {**_about(args), "faults": [rows[n] for n in known if n in rows]})
    if args.markdown:
        write_text(args.markdown, markdown(read_json(path)))
    broken = [row["name"] for row in rows.values() if not row["passed"]]
    print(f"{len(rows) - len(broken)} of {len(rows)} promises kept; written: {path}")
    return int(bool(broken))


def _about(args: argparse.Namespace) -> dict[str, Any]:
    """How the file was made."""
    options = " --short" if args.short else ""
    command = f"medmoe faults --kills {args.kills} --seed {args.seed}{options}"
    made = {name: version(name) for name in ("torch", "transformers", "peft", "safetensors")}
    return {"command": command, "python": platform.python_version(), **made}

"""Files that were cut short, swapped with another one of their kind, or have one bit flipped.

A place in a file is drawn from the seed. Each case must be found, with the name of the file and
what to type; a checkpoint must never be used by half.
"""

from __future__ import annotations

import copy
import random
import shutil
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ..bases.checksums import SUMS, damaged, write_checksums
from ..bases.load import load_base
from ..paths import PACKAGE, data_dir
from ..train.checkpoint import DamagedCheckpoint, checkpoints
from .faults import Place, Seen, every, fault, refused
from .faults_child import base, in_child, train, whole

NAMED = "found, with the file's name and what to type"
WAYS = ("cut", "flipped", "swapped", "gone")


def damage(path: Path, way: str, draw: random.Random, other: Path | None = None) -> None:
    """Damage one file.

    Args:
        path: the file.
        way: "cut" at a random place, "flipped" in one random bit, "swapped" with `other`, "gone".
        draw: random numbers.
        other: a whole file of the same kind and other content.
    """
    content = bytearray(path.read_bytes())
    if way == "gone":
        path.unlink()
    elif way == "swapped":
        assert other is not None
        shutil.copyfile(other, path)
    elif way == "cut":
        path.write_bytes(content[: draw.randrange(len(content))])
    else:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)


def _cases(place: Place, names: list[str]) -> Iterator[tuple[str, str, random.Random]]:
    """Every way for every file; flips and cuts several times where there is time."""
    for name in names:
        for way in WAYS:
            times = 5 if way in ("cut", "flipped") and not place.short else 1
            for number in range(times):
                yield name, way, place.draw(f"{name}/{way}/{number}")


@fault(
    "damaged checkpoint", "damage", "each file of the newest checkpoint: cut, one bit flipped, "
    "swapped with that of another run, deleted", NAMED,
)  # fmt: skip
def damaged_checkpoint(place: Place) -> Seen:
    """The state, the weights with their moments, and the adapters."""
    from ..train.checkpoint import read_state

    one, two = whole(0), whole(1)
    newest, other = (checkpoints(run / "alignment")[-1] for run in (one, two))
    names = sorted(p.relative_to(newest).as_posix() for p in newest.rglob("*") if p.is_file())
    found = []
    for name, way, draw in _cases(place, names):
        copied = place.folder / "copy" / newest.name
        shutil.copytree(newest, copied)
        damage(copied / name, way, draw, other / name)
        if way == "swapped" and name == "state.json":  # then it does not fit the weights
            seen = refused(partial(read_state, copied), DamagedCheckpoint, "Delete the folder")
        else:
            words = (Path(name).name, "Delete the folder")
            seen = refused(partial(read_state, copied), DamagedCheckpoint, *words)
        found.append((f"{name} {way}", seen))
        shutil.rmtree(copied)
    return every(found)


@fault(
    "swapped checkpoints", "damage", "an older checkpoint has the newest one's name, and a whole "
    "checkpoint of another seed lies in the folder", "refused; what differs is named",
)  # fmt: skip
def swapped_checkpoints(place: Place) -> Seen:
    """Whole folders in the wrong place."""
    from ..train.checkpoint import read_state

    one, two = whole(0), whole(1)
    older, newest = checkpoints(one / "alignment")[-2:]
    wrong = place.folder / "wrong" / newest.name
    shutil.copytree(older, wrong)
    first = refused(lambda: read_state(wrong), DamagedCheckpoint, "holds the checkpoint of step")
    foreign = place.folder / "foreign"
    shutil.copytree(one, foreign)
    shutil.rmtree(foreign / "alignment" / newest.name)
    shutil.copytree(two / "alignment" / newest.name, foreign / "alignment" / newest.name)
    answer = in_child(train, str(foreign))
    told = "differs from this one in stage.seed" in answer.text and answer.kind == "ValueError"
    second = Seen(told, "refused with ValueError" if told else answer.kind, answer.text)
    return every([("renamed", first), ("of another run", second)])


def _load(folder: Path) -> Any:
    """An adapter on a copy of the embedded model, as `medmoe eval` loads it; a warning counts."""
    from peft import PeftModel

    from ..method.written import check

    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*is not as it was written")
        check(folder)
        return PeftModel.from_pretrained(copy.deepcopy(base()[0]), folder)


@fault(
    "damaged adapter", "damage", "each file of a saved adapter: cut, one bit flipped, swapped, "
    "deleted", f"{NAMED}; a changed setting is a warning, because people change settings",
)  # fmt: skip
def damaged_adapter(place: Place) -> Seen:
    """Weights and settings, read by PEFT as any adapter is."""
    one, two = (run / "knowledge" / "adapter" for run in (whole(0), whole(1)))
    found: list[tuple[str, Seen]] = []
    for name, way, draw in _cases(place, ["adapter_model.safetensors", "adapter_config.json"]):
        if way in ("gone", "swapped") and name.endswith("json"):
            continue  # PEFT asks for it itself; two runs of one recipe have the same settings
        copied = place.folder / "copy"
        shutil.copytree(one, copied)
        damage(copied / name, way, draw, two / name)
        found.append(
            (f"{name} {way}", refused(partial(_load, copied), (ValueError, UserWarning), name))
        )
        shutil.rmtree(copied)
    return every(found)


@fault(
    "damaged embedded model", "damage", "each file of data/nano: cut, one bit flipped, swapped "
    "with that of seed 1, deleted", NAMED,
)  # fmt: skip
def damaged_nano(place: Place) -> Seen:
    """A copy of the folder with its list of checksums, loaded as any base is."""
    shipped = data_dir() / "nano"
    names = ["model.safetensors", "config.json", "tokenizer.json", SUMS]
    found = []
    for name, way, draw in _cases(place, names[: 1 if place.short else None]):
        other = shipped / "seed1" / name
        if way == "swapped" and other.read_bytes() == (shipped / name).read_bytes():
            continue  # both seeds have the same
        copied = place.folder / "copy"
        shutil.copytree(shipped, copied)
        damage(copied / name, way, draw, other)
        words: tuple[str, ...] = ("Copy the folder again", name)
        if name == SUMS:  # whatever the list says now, a model that is none is not loaded
            words = (str(copied),)
            (copied / "model.safetensors").write_bytes(bytes(100))
        found.append((f"{name} {way}", refused(partial(load_base, copied), ValueError, *words)))
        shutil.rmtree(copied)
    return every(found)


@fault(
    "damaged data, recipes, recordings", "damage", "a table of facts, a recipe and a recorded "
    "file: cut, one bit flipped, swapped, deleted", "`medmoe doctor` names the file; so do "
    "`sha256sum -c SHA256SUMS` and the readers where the file cannot be read at all",
)  # fmt: skip
def damaged_shipped(place: Place) -> Seen:
    """Copies of the folders, with the lists of checksums that are shipped with them."""
    found = []
    for folder in (data_dir() / "facts", PACKAGE / "recipes", data_dir() / "recorded"):
        copied = place.folder / folder.name
        shutil.copytree(folder, copied)
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        files = [copied / line.split("  ")[1] for line in lines]
        if damaged(copied):  # changed here on purpose: see bases/checksums.py
            write_checksums(copied)
        for _, way, draw in _cases(place, [folder.name]):
            path, other = draw.sample(files, 2)
            before = path.read_bytes()
            damage(path, way, draw, other)
            names = damaged(copied)
            path.write_bytes(before)
            hit = [line.split(" is ")[0] for line in names] == [path.relative_to(copied).as_posix()]
            found.append((f"{path.name} {way}", Seen(hit, "found", "; ".join(names))))
    return every(found)

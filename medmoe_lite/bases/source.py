"""Which place a base's name means: the shipped nano model, a folder, or a name on the hub.

Only a hub name may ever touch the network, and only because the user typed one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from ..paths import data_dir
from .checksums import SUMS, damaged

HUB_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")


class Source(NamedTuple):
    """Where a base comes from: `kind` is "nano", "folder" or "hub"; `place` a path or a name.

    `revision` is the branch, tag or commit that was typed behind a hub name.
    """

    kind: str
    place: str
    revision: str | None = None


def resolve(name: str | Path, seed: int = 0) -> Source:
    """Turn what the user typed into a place.

    Args:
        name: "nano", "nano/seed1", a folder, or a hub name such as "Qwen/Qwen1.5-1.8B-Chat",
            with a branch, tag or commit behind it where it matters: "owner/model@4bf2a1c".
        seed: which pre-training run of nano, when `name` is "nano".

    Returns:
        The kind of source and its absolute folder or hub name.

    Raises:
        FileNotFoundError: the folder, or that seed of nano, does not exist.
        ValueError: the name is none of the three.

    >>> resolve("Qwen/Qwen1.5-1.8B-Chat@main")
    Source(kind='hub', place='Qwen/Qwen1.5-1.8B-Chat', revision='main')
    """
    text = str(name)
    if text == "nano" or re.fullmatch(r"nano/seed\d+", text):
        part = text if text != "nano" or seed == 0 else f"nano/seed{seed}"
        return Source("nano", str(nano_folder(part)))
    folder = Path(text).expanduser()
    if text and folder.is_dir():
        return Source("folder", str(folder.resolve()))
    looks_like_a_path = isinstance(name, Path) or text.startswith((".", "/", "~")) or "\\" in text
    if looks_like_a_path or text.partition("@")[0].count("/") > 1:
        raise FileNotFoundError(
            f"there is no folder {folder} (looked from {Path.cwd()}). "
            'Type its full path, or "nano" for the model that comes with the kit.'
        )
    found = HUB_NAME.fullmatch(text)
    if found:
        return Source("hub", *found.groups())
    raise ValueError(
        f'"{text}" is no base model: it is neither "nano", nor a folder, nor a hub name of the '
        'form owner/model. Type load_base("nano"), or load_base("Qwen/Qwen1.5-1.8B-Chat").'
    )


def nano_folder(part: str = "nano") -> Path:
    """Folder of a shipped nano model, "nano" or "nano/seed1"; it must contain a model."""
    folder = data_dir() / part
    if not (folder / "config.json").is_file():
        here = sorted((data_dir() / "nano").rglob("config.json"))
        shipped = [path.parent.relative_to(data_dir()).as_posix() for path in here]
        raise FileNotFoundError(
            f"there is no {part} in {data_dir()}; there are: {', '.join(shipped) or 'none'}. "
            "Type one of these, or `git checkout -- data` if files of your clone are missing."
        )
    return folder


def verify(folder: Path, kind: str) -> None:
    """Compare a folder with its `SHA256SUMS`; a folder without one is taken as it is.

    Raises:
        ValueError: a file differs from its checksum or is missing; all such files are named.
    """
    if not (folder / SUMS).is_file():
        if kind == "nano":
            raise ValueError(f"{folder / SUMS} is missing. {remedy(folder, kind)}")
        return
    problems = damaged(folder)
    if problems:
        raise ValueError(f"{'; '.join(problems)} in {folder}. {remedy(folder, kind)}")


def remedy(folder: Path, kind: str) -> str:
    """What to type when files of a folder are damaged."""
    if kind != "nano":
        return "Copy the folder again from where it came from."
    if "_data" in folder.parts:
        return "Type `pip install --force-reinstall --no-deps medmoe-lite`."
    return f"Type `git checkout -- {folder}` in your clone to get the shipped files back."

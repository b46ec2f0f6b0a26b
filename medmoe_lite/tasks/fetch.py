"""Published data from where its authors keep it: `medmoe data fetch NAME`.

`readers/sources.json` says for each source the address (pinned to a commit), the checksum where
one is known, the size, the licence. pooch holds the cache, compares checksums and moves whole
files into place; `download.Resuming` brings the bytes; `unpack` looks into archives first.

    ~/.cache/medmoe_lite/data/NAME/     the files, and SOURCE.json: what they are, from where, when
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..train.files import sha256, write_json
from .download import Limits, Resuming
from .redirects import DownloadError
from .sources import FetchError, Item, Source
from .unpack import ArchiveError, unpack

DEFAULT = Limits()


def fetch(
    source: Source, say: Callable[[str], Any] = print, limits: Limits = DEFAULT
) -> list[Path]:
    """Bring a source into the cache; what is there and right is not brought again.

    Args:
        source: what to bring. Its licence must have been accepted by the user.
        say: takes lines about the progress.
        limits: of tries, time and size.

    Returns:
        The files, and for archives the folders they were unpacked into.

    Raises:
        FetchError: by hand only, no network, wrong checksum, refused archive, a file in the way.
    """
    import pooch

    if not source.files:
        raise FetchError(
            f"{source.name} cannot be fetched by a command. {source.by_hand} Put the files into\n"
            f"  {source.folder}\nHome page: {source.home}. Licence: {source.licence}."
        )
    keeper = pooch.create(
        path=source.folder,
        base_url="",
        registry={i.name: f"sha256:{i.sha256}" if i.sha256 else None for i in source.files},
        urls={i.name: i.url for i in source.files},
        allow_updates=False,
    )
    pooch.get_logger().setLevel("ERROR")
    found = []
    for item in source.files:
        path = _bring(keeper, source, item, say, limits)
        found.append(_unpacked(path, item, say) if item.unpack else path)
    _note(source)
    return found


def _bring(
    keeper: Any, source: Source, item: Item, say: Callable[[str], Any], limits: Limits
) -> Path:
    target = source.folder / item.name
    here = target.exists()
    if here and item.bytes not in (None, target.stat().st_size):
        raise FetchError(in_the_way(target, item))
    downloader = Resuming(limits, item.bytes, item.sha256 is not None, say)
    for again in (True, False):
        try:
            say(f"{item.name}: {'is there' if here else item.url}")
            path = Path(keeper.fetch(item.name, downloader=downloader))
        except ValueError as error:  # the checksum differs
            if here:
                raise FetchError(in_the_way(target, item)) from None
            if not again:
                raise FetchError(
                    f"{item.url}: what came twice is not the published file ({error}). Nothing was "
                    f"kept. A proxy may change it, or it was replaced: look at {source.home}."
                ) from None
            say(f"{item.name}: the checksum differs; once more from the start")
        except DownloadError as error:
            raise FetchError(f"{error}\n{by_hand(source, item)}") from None
        except OSError as error:
            raise FetchError(f"cannot write to {source.folder}: {error}. Free some room, or set "
                             "MEDMOE_HOME to another folder.") from None  # fmt: skip
        else:
            say(f"{item.name}: {'checksum right' if item.sha256 else item.note or 'no checksum'}")
            return path
    raise AssertionError("not reached")


def _unpacked(path: Path, item: Item, say: Callable[[str], Any]) -> Path:
    folder = path.parent / item.unpacked
    if folder.is_dir():
        return folder
    try:
        say(f"{item.name}: unpacking into {folder}")
        return unpack(path, folder)
    except ArchiveError as error:
        raise FetchError(f"{error} The archive stays as {path}; nothing was unpacked.") from None


def _note(source: Source) -> None:
    """Write down what lies here, for whoever finds the folder."""
    write_json(
        source.folder / "SOURCE.json",
        {
            "title": source.title,
            "home": source.home,
            "licence": source.licence,
            "terms": source.terms,
            "checked": datetime.now(UTC).isoformat(timespec="seconds"),
            "files": {
                item.name: {"url": item.url, "sha256": sha256(source.folder / item.name)}
                for item in source.files
            },
        },
    )


def in_the_way(target: Path, item: Item) -> str:
    """What to say about a file that is not the published one: it may be the user's own work."""
    return (
        f"{target} is there, but is not the published file (size or checksum differ). It is left "
        f"alone: move it away, then type the same command again. Published at {item.url}."
    )


def by_hand(source: Source, item: Item) -> str:
    """How to do without a network on this machine."""
    return (
        "What came so far is kept: the same command goes on from there.\n"
        f"Without a network here, download on another machine\n  {item.url}\n"
        f"and put it where this finds it:\n  {source.folder / item.name}\n"
        f"Then type `medmoe data fetch {source.name}` again: it checks the file and uses it."
    )


def notice(source: Source) -> str:
    """What the user has to accept."""
    size = sum(item.bytes or 0 for item in source.files)
    known = all(item.bytes for item in source.files)
    return (
        f"{source.title}\n  home     {source.home}\n  licence  {source.licence}\n"
        f"  terms    {source.terms}\n  size     {'' if known else 'at least '}{size / 1e6:.1f} MB\n"
        f"  goes to  {source.folder}"
    )

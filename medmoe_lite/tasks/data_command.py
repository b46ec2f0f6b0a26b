"""`medmoe data list | fetch | check | preview`: published data, checked before it is used."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from hashlib import sha256 as digest_of
from pathlib import Path
from typing import Any

from ..paths import home_dir
from ..train.files import sha256
from . import validate
from .fetch import fetch, notice
from .quarantine import FILES, sort_rows
from .readers.base import BadRow, DataError, Row
from .sources import SOURCES, FetchError, find, sources

SHOWN = 20  # findings of a kind on the screen


def parser() -> argparse.ArgumentParser:
    """The options."""
    top = argparse.ArgumentParser(
        prog="medmoe data", description="Published data: list, fetch, check, preview."
    )
    parts = top.add_subparsers(dest="part", metavar="list | fetch | check | preview")
    listed = parts.add_parser("list", help="the readers, and what can be fetched")
    listed.add_argument("--markdown", action="store_true", help="as a table for the documentation")
    fetched = parts.add_parser("fetch", help="bring published data into the cache")
    fetched.add_argument("name", help="a source of `medmoe data list`")
    fetched.add_argument("--yes", action="store_true", help="the licence is accepted")
    fetched.add_argument("--sources", type=Path, default=SOURCES, help="another list of sources")
    checked = parts.add_parser("check", help="sort good rows from bad ones; facts without a path")
    checked.add_argument("path", nargs="?", default="", help="file or folder; empty: the facts")
    checked.add_argument("--out", type=Path, help="folder for the files that are written")
    checked.add_argument("--against", type=Path, help="a test file: its items must not occur here")
    checked.add_argument("--against-as", help="its reader, where it is another one")
    checked.add_argument("--against-split", help="its split")
    shown = parts.add_parser("preview", help="see what a model is shown and what it should say")
    shown.add_argument("path", help="file or folder")
    shown.add_argument("--n", type=int, default=3, help="how many examples (default: 3)")
    for one in (checked, shown):
        one.add_argument("--as", dest="reader", help="the reader; left out: found by trying")
        one.add_argument("--split", help="of the readers that have splits")
        one.add_argument("--option", action="append", default=[], metavar="NAME=VALUE",
                         help="of the reader, such as encoding=gbk")  # fmt: skip
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 0 all is well, 1 something was found, 2 it could not be done."""
    top = parser()
    options = top.parse_args(arguments)
    if options.part is None:
        top.print_help()
        return 0
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a console that cannot show Chinese
    try:
        return {"list": listing, "fetch": bring, "check": check, "preview": preview}[options.part](
            options
        )
    except (DataError, FetchError) as error:
        print(f"medmoe data {options.part}: {plain(str(error))}", file=sys.stderr)
    except RuntimeError as error:  # another check writes there
        print(f"medmoe data {options.part}: {error}", file=sys.stderr)
    except OSError as error:
        hint = "Is there room, and may you write there? --out or MEDMOE_HOME name another folder."
        said = str(error) if getattr(error, "told", False) else f"{error}. {hint}"
        print(f"medmoe data {options.part}: {said}", file=sys.stderr)
    except KeyboardInterrupt:
        print("stopped: nothing half-written is left", file=sys.stderr)
        return 130
    return 2


def listing(options: argparse.Namespace) -> int:
    """All readers with licence, language, metric, and what of them is here."""
    from .readers import READERS

    table = sources()
    head = ("reader", "what", "language", "metric", "licence", "fetch", "here")
    lines = [head]
    for reader in sorted(READERS.values(), key=lambda reader: (reader.language, reader.name)):
        own = [source for source in table.values() if source.reader == reader.name]
        names = ", ".join(source.name for source in own if source.files)
        here = ", ".join(source.name for source in own if source.cached)
        way = names or ("by hand" if own else "-")
        lines.append((reader.name, reader.title, reader.language, reader.metric, reader.licence,
                      way, here or "-"))  # fmt: skip
    if options.markdown:
        rows = [f"| {' | '.join(cell.replace('|', '/') for cell in line[:-1])} |" for line in lines]
        print("\n".join([rows[0], "|" + "---|" * (len(head) - 1), *rows[1:]]))
        return 0
    for name, what, language, metric, licence, way, here in lines[1:]:
        print(f"{name:<18} {language}  {what}\n{'':<22} metric {metric}; licence: {licence}\n"
              f"{'':<22} fetch: {way}; here: {here}")  # fmt: skip
    print(f"\n`medmoe data fetch NAME` puts it into {home_dir() / 'data'}")
    return 0


def bring(options: argparse.Namespace) -> int:
    """Fetch a source after its licence was accepted."""
    source = find(options.name, sources(options.sources))
    print(notice(source))
    if source.files and not options.yes:
        if not sys.stdin.isatty():
            raise FetchError(
                f"the licence must be accepted: type `medmoe data fetch {source.name} --yes`."
            )
        if input("Do you accept licence and terms? [y/N] ").strip().lower() not in ("y", "yes"):
            print("not fetched")
            return 1
    for path in fetch(source):
        print(f"here: {path}\n  `medmoe data preview {path} --as {source.reader}`")
    return 0


def check(options: argparse.Namespace) -> int:
    """Sort the rows of a file, or look through the facts."""
    if options.reader is None and is_facts(options.path):
        return validate.main([options.path] if options.path else None)
    reader, rows = open_rows(options)
    test: Iterator[Row] = iter(())
    if options.against:
        test = stream(options.against_as or reader, options.against, options.against_split)
    path = Path(options.path)
    out = options.out or default_folder(path, reader)
    about = {
        "reader": reader, "path": str(path), "split": options.split, "options": options.option,
        "against": str(options.against) if options.against else None,
        "sha256": sha256(path) if path.is_file() else None,
    }  # fmt: skip
    found = sort_rows(rows, out, about, test, SHOWN)
    for finding in found.first:
        print(plain(str(finding)))
    for kind, count in found.counts.items():
        if count > SHOWN:
            print(f"... {count - SHOWN:,} more of the kind {kind!r} in {out / FILES[2]}")
    print(f"{found.rows:,} rows = {found.good:,} good + {found.bad:,} bad")
    for name in FILES:
        print(f"  {out / name}")
    print(f"`medmoe data preview {out / FILES[0]} --as kit` shows the good rows")
    return 1 if found.bad or found.counts["leak"] or not found.rows else 0


def preview(options: argparse.Namespace) -> int:
    """Show the first good examples as a model sees them."""
    from . import chat
    from .readers import READERS

    reader, rows = open_rows(options)
    bad = seen = 0
    for row in rows:
        if isinstance(row, BadRow):
            bad += 1
            continue
        if seen == max(options.n, 1):
            break
        seen += 1
        end = chat.END_OF_TURN if row.style == "chat" else chat.END_OF_TEXT
        print(f"--- {row.task}, {row.meta.get('id', '')} ({row.meta.get('file', '')}:"
              f"{row.meta.get('line', '')})")  # fmt: skip
        print(plain(f"{chat.prompt_text(row)}{row.answer}{end}"))
        print(plain(f"answer  {row.answer}\nchoices {' | '.join(row.choices) or '-'}"))
        print(f"grader  {row.grader}")
    about = READERS[reader]
    print(f"--- {about.title}\nmetric  {about.metric}\nlicence {about.licence}")
    if bad:
        print(f"{bad:,} bad rows before these: `medmoe data check {options.path} --as {reader}`")
    return 0 if seen else 1


def is_facts(path: str) -> bool:
    """Nothing, an empty folder, or one with a table of facts."""
    if not path:
        return True
    folder = Path(path)
    if not folder.is_dir():
        return False
    here = {item.name for item in folder.iterdir()}
    return not here or bool(here & {f"{name}.csv" for name in validate.HEADERS})


def open_rows(options: argparse.Namespace) -> tuple[str, Iterator[Row]]:
    """The reader's name and its rows; says so where the reader was found by trying."""
    if not Path(options.path).exists():
        raise DataError(f"there is no {options.path}.")
    reader = options.reader
    if reader is None:
        from .readers.sniff import sniff

        reader = sniff(Path(options.path))
        print(f"read as {reader} (found by trying; --as NAME says it)")
    given = {}
    for text in options.option:
        name, equals, value = text.partition("=")
        if not equals:
            raise DataError(f"--option {text}: write NAME=VALUE.")
        given[name] = value
    return reader, stream(reader, Path(options.path), options.split, **given)


def stream(name: str, path: Path, split: str | None = None, **given: Any) -> Iterator[Row]:
    """`readers.stream`, with all readers known."""
    from . import readers

    return readers.stream(name, path, split, **given)


def default_folder(path: Path, reader: str) -> Path:
    """Below the cache; two files of one name do not share a folder."""
    mark = digest_of(str(path.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return home_dir() / "checked" / f"{reader}-{path.resolve().stem}-{mark}"


def plain(text: str) -> str:
    """Text for a terminal: control characters, which could move its cursor, are shown as codes.

    >>> plain("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return "".join(
        c if c in "\n\t" or c.isprintable() or (c.isspace() and ord(c) > 0xA0) else ascii(c)[1:-1]
        for c in text
    )

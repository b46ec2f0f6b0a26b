"""Which reader fits a file, found by trying them all on its first rows."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from . import base

TRIED = 20  # rows of the file


def sniff(path: Path) -> str:
    """The one reader that reads the first rows of a file best.

    Raises:
        DataError: no reader reads a row, or several do equally well; names them.
    """
    best = candidates(path)
    if len(best) == 1:
        return best[0]
    if best:
        raise base.DataError(f"{path} can be read as {', '.join(best)}: say which with --as NAME.")
    raise base.DataError(
        f"no reader reads a row of {path}. `medmoe data list` shows them all; --as NAME says what "
        "one of them finds wrong."
    )


def candidates(path: Path) -> list[str]:
    """The readers that find the largest share of good rows among the first ones.

    Raises:
        DataError: all readers refuse the file for one and the same reason.
    """
    shares: dict[str, float] = {}
    refused: list[str] = []
    for name in base.READERS:
        try:
            rows = list(islice(base.stream(name, path), TRIED))
        except base.DataError as error:
            refused.append(str(error))
            continue
        good = sum(not isinstance(row, base.BadRow) for row in rows)
        if good:
            shares[name] = good / len(rows)
    if len(set(refused)) == 1 and len(refused) > len(base.READERS) / 2:
        raise base.DataError(refused[0])
    return [name for name, share in shares.items() if share == max(shares.values())]

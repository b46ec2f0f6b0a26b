"""Rows of an Excel sheet, one at a time, as text.

A sheet has no lines: `Record.line` is the row, counted from 1. Cells are text as it stands;
whole numbers lose their ".0", an empty cell is "".
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .base import BadRow, DataError, Record


def xlsx_dicts(path: Path | str, columns: Sequence[str]) -> Iterator[Record | BadRow]:
    """Rows of the first sheet under a header, as `{column: text}`. Empty rows are no rows.

    Args:
        path: an .xlsx file.
        columns: those that must be there; others are read too.

    Raises:
        DataError: no such file, no such header, or openpyxl is not installed.
    """
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise DataError(
            f"{path} is an Excel file and openpyxl is not installed: type `pip install openpyxl`."
        ) from None
    name = os.fspath(path)
    try:
        book = load_workbook(path, read_only=True, data_only=True)
        sheet = book.worksheets[0]
        rows = enumerate(sheet.iter_rows(values_only=True), start=1)
    except Exception as fault:  # whatever a zip of XML can do wrong
        raise DataError(f"{path} is no Excel file: {fault}. Was it saved whole?") from None
    try:
        yield from _rows(name, rows, columns)
    finally:
        book.close()


def _rows(name: str, rows: Iterator[tuple[int, Any]], columns: Sequence[str]) -> Iterator[Record]:
    header: list[str] = []
    while True:
        try:
            number, cells = next(rows)
        except StopIteration:
            break
        except Exception as fault:
            raise DataError(f"{name}: the sheet breaks off: {fault}.") from None
        texts = [_text(cell) for cell in cells]
        if not header:
            header = [cell.strip() for cell in texts]
            missing = [column for column in columns if column not in header]
            if missing:
                raise DataError(f"{name}:1: no column {', '.join(missing)}: it has {header}.")
        elif any(texts):
            row = dict(zip(header, texts, strict=False))
            yield Record(name, number, row, "\t".join(texts))
    if not header:
        raise DataError(f"{name} is empty: its first sheet has no row.")


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)

"""Tables as CSV that no spreadsheet computes with. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for a formula at the start of a cell."""

CSV_TYPE: Final = "text/csv; charset=utf-8"


def csv_of(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """A line for each row, formulas made harmless."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    writer.writerows([harmless(value) for value in row] for row in rows)
    return text.getvalue().encode("utf-8-sig")  # the mark tells spreadsheets that it is UTF-8


def harmless(value: str) -> str:
    """A cell that no spreadsheet computes."""
    return f"'{value}" if value.startswith(FORMULA) else value

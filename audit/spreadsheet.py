"""Cells that no spreadsheet computes. Pure."""

from __future__ import annotations

from typing import Final

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for a formula at the start of a cell."""


def harmless(value: str) -> str:
    """The same text, with an apostrophe before what would be computed."""
    return f"'{value}" if value.startswith(FORMULA) else value

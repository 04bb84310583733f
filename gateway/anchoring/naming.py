"""What every anchor calls a checkpoint, and how one fails.

AnchorFailed            in words, without an address
└── Contradicted        the place has another checkpoint of this number: the store is not what it was
"""

from __future__ import annotations

import re
from typing import Final

FOLDER: Final = 10_000
"""Checkpoints in one folder."""

_FILE: Final = re.compile(r"(\d{6})-(\d{12})\.json")
Where = tuple[int, int]
"""Epoch and number of a checkpoint."""

NOWHERE: Final[Where] = (0, 0)


class AnchorFailed(Exception):
    pass


class Contradicted(AnchorFailed):
    pass


def folder_of(where: Where) -> str:
    return f"{where[1] // FOLDER:08d}"


def name_of(where: Where) -> str:
    return f"{where[0]:06d}-{where[1]:012d}.json"


def where_of(name: str) -> Where | None:
    """None: that is no checkpoint's name."""
    match = _FILE.fullmatch(name)
    return (int(match[1]), int(match[2])) if match else None

"""What a validator sees and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

LEFT = 64
"""Code points before a candidate that are kept for it."""


class Candidate(NamedTuple):
    """A piece of text that a pattern matched, with its neighbours."""

    text: str
    left: str  # at most LEFT code points
    right: str  # one code point, or empty at the end of the text
    labelled: bool = False  # one of the recogniser's context words stands shortly before

    def __repr__(self) -> str:
        return f"Candidate({len(self.text)} characters)"


Parts = Iterable[tuple[int, int]]
Validator = Callable[[Candidate], Parts]


def whole(candidate: Candidate) -> Parts:
    """The candidate as it is."""
    return ((0, len(candidate.text)),)

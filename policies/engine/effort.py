"""How long a schema takes to compile, told from its patterns before it is tried.

Every gateway process compiles what is published, and whoever publishes waits for it: too much is refused with
what to do about it, instead of taking minutes. Measured on two shared cores: 1,000 short patterns take 5 s,
20,000 names of two words 8 s, and the cost of a pattern grows with the square of its size.
"""

from __future__ import annotations

from typing import Final

from .detectors import Pattern
from .patternsize import size_of

MAX_CLASSES: Final = 1_000
"""In one schema. What is more would be slow to compile and nobody could read it."""

MAX_EFFORT: Final = 30_000
"""About fifteen seconds."""

_PATTERN: Final = 20.0
_TERM: Final = 0.3
_LETTERS: Final = 1 / 400


TOO_MUCH: Final = (
    "The schema would take too long to compile: it holds more patterns and word lists than one schema may. "
    "Shorten word lists, join patterns, or split the schema."
)


def effort_of(pattern: Pattern) -> float:
    """Half a millisecond each, roughly."""
    if pattern.detector == "terms":
        return _TERM + _LETTERS * pattern.max_len**2
    return _PATTERN if pattern.tried else _PATTERN + size_of(pattern.expression) ** 2 / 100

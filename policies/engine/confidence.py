"""How sure a recogniser is of what it finds, held against a detector's threshold when a schema is compiled.

A threshold costs a call nothing: what is never that sure is not compiled at all, and what is sure enough only
near a context word is compiled with the need for one.
"""

from __future__ import annotations

from collections.abc import Iterator

from .types import Recogniser


def alone(part: Recogniser) -> int:
    """How sure it is (0 to 100) of a find that no further word speaks for."""
    return part.labelled if part.context and part.context_needed else part.confidence


def surest(part: Recogniser, context: tuple[str, ...]) -> int:
    """How sure it can be at most, in a data class with these context words."""
    if part.context or part.keys or context:
        return max(alone(part), part.labelled)
    return part.confidence


def parts(recogniser: Recogniser) -> Iterator[Recogniser]:
    """Its parts, and itself if it finds anything by itself."""
    for part in recogniser.parts:
        yield from parts(part)
    if recogniser.patterns or recogniser.keys:
        yield recogniser

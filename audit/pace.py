"""When what was recorded of a response left: milliseconds, from the entries that hold its pieces.

Pure. A piece leaves right after its entry is durable, so its time is the entry's. A page that plays a
response shows nothing before its time: where pieces are put together, the later time counts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, final

from audit.inert import Step

Piece = tuple[str, int | None]
"""Text, and when it was there; None where nobody knows."""

MAX_STEPS: Final = 3_000
"""How often one text grows on a page."""

MAX_TICKS: Final = 400
"""Marks on the line that shows when pieces came."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a response came, for the page that plays it. `length` and `ticks` are milliseconds."""

    length: int
    moments: int
    first: int
    ticks: tuple[int, ...] = ()  # in thousandths of the length

    @property
    def plays(self) -> bool:
        return self.moments > 1


@final
class Clock:
    """Which byte of a response was there when."""

    def __init__(self, sizes: Iterable[int], times: Sequence[int]) -> None:
        self._ends = list(accumulate(sizes))
        self._times = list(accumulate(times, max))
        if len(self._ends) != len(self._times):
            self._times = []

    def at(self, end: int) -> int | None:
        """When the first `end` bytes were there."""
        if not self._times:
            return None
        return self._times[min(bisect_left(self._ends, end), len(self._times) - 1)]


def pace_of(times: Sequence[int], end: int) -> Pace:
    """`times` of the pieces, `end` of the call."""
    moments = sorted(set(accumulate(times, max)))
    length = max([end, *moments, 1])
    places = sorted({round(1000 * at / length) for at in moments})
    every = -(-len(places) // MAX_TICKS) or 1
    first = moments[0] if moments else 0
    return Pace(length=length, moments=len(moments), first=first, ticks=tuple(places[::every]))


def steps_of(pieces: Iterable[Piece]) -> tuple[Step, ...]:
    """How a text grew; empty where times are not known."""
    steps: list[Step] = []
    upto = 0
    for text, at in pieces:
        if at is None:
            return ()
        upto += len(text)
        if steps and steps[-1].at >= at:
            steps[-1] = Step(upto, steps[-1].at)
        elif text:
            steps.append(Step(upto, at))
    every = -(-len(steps) // MAX_STEPS) or 1
    kept = steps[every - 1 :: every]
    return tuple(kept if not steps or kept[-1] is steps[-1] else [*kept, steps[-1]])

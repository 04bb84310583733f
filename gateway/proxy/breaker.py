"""When a model's service is asked no more, and when it is tried again. Pure: no clock, no I/O.

    closed      calls pass; failures in a row, or too many of the last calls, open it
    open        calls are refused until some time: longer each time that a trial fails, and never for long
    half-open   one call at a time tries; how it ends closes or opens

A call takes a turn before it leaves and gives it back when it ends. A turn that was taken before the last
move says nothing any more: of a hundred calls that time out together the first few open the breaker, and the
rest neither open it again nor, should some of them end well, close it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, NamedTuple, final

WINDOW: Final = 30.0
"""Seconds over which calls are counted for the rate of failures; then it is counted anew."""

LEAST: Final = 20
"""Calls in a window below which their rate says nothing."""

LONGEST: Final = 60.0
"""Seconds that it stays open at most: clients that retry by themselves wait no longer."""

JITTER: Final = 0.2
"""The share of a pause that chance may take away, so that processes do not try together."""

NO_TURN: Final = -1


class State(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Sign(Enum):
    TRIPPED = "too many failures"
    RESTED = "its pause is over"
    PASSED = "the trial ended well"
    FAILED = "the trial failed"


CLOSED, OPEN, HALF_OPEN = State.CLOSED, State.OPEN, State.HALF_OPEN  # a member is slow to look up
MOVES: Final[Mapping[tuple[State, Sign], State]] = {
    (CLOSED, Sign.TRIPPED): OPEN,
    (OPEN, Sign.RESTED): HALF_OPEN,
    (HALF_OPEN, Sign.PASSED): CLOSED,
    (HALF_OPEN, Sign.FAILED): OPEN,
}
"""Every move there is."""


class Limits(NamedTuple):
    """When it opens."""

    failures: int = 5  # in a row; 0: it never opens
    rate: int = 50  # percent of the calls of a window; 0: is not looked at
    pause: float = 5.0  # seconds, the first time


USUAL: Final = Limits()


@final
class Breaker:
    """One per endpoint and process. `now` is any clock that only runs, in seconds."""

    __slots__ = (
        "_bad",
        "_calls",
        "_chance",
        "_pauses",
        "_row",
        "_trying",
        "_until",
        "_window_ends",
        "era",
        "limits",
        "state",
    )

    def __init__(self, limits: Limits = USUAL, chance: Callable[[], float] = random.random) -> None:
        """`chance`: a number from 0 to below 1."""
        self.limits = limits
        self.state = CLOSED
        self._chance = chance
        self.era = 0  # moves so far: what a turn is told by
        self._row = self._calls = self._bad = self._pauses = 0
        self._window_ends = self._until = 0.0
        self._trying = False

    def adopt(self, limits: Limits) -> None:
        """Go by these from now on. One that is switched off lets calls pass at once."""
        self.limits = limits
        if not limits.failures and self.state is not CLOSED:
            self._begin(CLOSED)

    def take(self, now: float) -> int:
        """A turn, or `NO_TURN`."""
        return self.era if self.state is CLOSED else self._trial(now)

    def may(self, now: float) -> bool:
        """Whether a turn would be given now."""
        return self.state is CLOSED or not (self._trying or now < self._until)

    def wait(self, now: float) -> float:
        """Seconds after which asking again makes sense."""
        return max(0.0, self._until - now)

    def answered(self, turn: int) -> int:
        """The service has begun to answer: for a trial that is enough. Returns the turn that counts on."""
        if turn == self.era and self.state is HALF_OPEN:
            self._move(Sign.PASSED)
            return self.era
        return turn

    def passed(self, turn: int, now: float) -> None:
        if turn == self.era and self.state is CLOSED:
            self._row = 0
            self._count(0, now)

    def failed(self, turn: int, now: float) -> bool:
        """Whether this opened it."""
        if turn != self.era:
            return False
        if self.state is HALF_OPEN:
            self._open(Sign.FAILED, now)
            return True
        self._row += 1
        self._count(1, now)
        if not self._too_many():
            return False
        self._open(Sign.TRIPPED, now)
        return True

    def left(self, turn: int) -> None:
        """It ended without saying anything about the service: somebody else may try."""
        if turn == self.era:
            self._trying = False

    def _trial(self, now: float) -> int:
        if self.state is OPEN and now >= self._until:
            self._move(Sign.RESTED)
        if self.state is not HALF_OPEN or self._trying:
            return NO_TURN
        self._trying = True
        return self.era

    def _count(self, bad: int, now: float) -> None:
        if now >= self._window_ends:
            self._calls = self._bad = 0
            self._window_ends = now + WINDOW
        self._calls += 1
        self._bad += bad

    def _too_many(self) -> bool:
        failures, rate, _ = self.limits
        if not failures:
            return False
        often = bool(rate) and self._calls >= LEAST and self._bad * 100 >= rate * self._calls
        return often or self._row >= failures

    def _open(self, sign: Sign, now: float) -> None:
        self._move(sign)
        pause = min(self.limits.pause * 2.0 ** min(self._pauses, 16), LONGEST)
        self._until = now + pause * (1 - JITTER * self._chance())
        self._pauses += 1

    def _move(self, sign: Sign) -> None:
        self._begin(MOVES[self.state, sign])

    def _begin(self, state: State) -> None:
        self.state = state
        self.era += 1
        self._row = self._calls = self._bad = 0
        self._trying = False
        if state is CLOSED:
            self._pauses = 0

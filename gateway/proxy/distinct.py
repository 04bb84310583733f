"""How many different values each caller has sent this hour and this day: what one process knows.

Kept per schema, so that neither another policy nor another endpoint starts anew, and per person or service
account, so that another key does not either. Keyed digests only; the tally shares the sketches with the other
processes (`gateway.proxy.tally`), so that splitting a request over calls or processes hides nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, final
from uuid import UUID

from policies.engine.sketch import Sketch

WINDOWS: Final = {"hour": 3_600, "day": 86_400}
ANY: Final = ""
"""In place of a data class: all of them together."""


class Key(NamedTuple):
    """One sketch. `starts`: of its hour or day of UTC, in Unix seconds."""

    schema: UUID
    caller: str
    data_class: str
    window: str
    starts: int


def starts_of(window: str, now: float) -> int:
    """When the hour or day of UTC of this moment began, in Unix seconds."""
    seconds = int(now)
    return seconds - seconds % WINDOWS[window]


@final
class Values:
    """All sketches of a process. Calls come from several threads, the tally from one more."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._sketches: dict[Key, Sketch] = {}
        self._dirty: set[Key] = set()

    def of(self, caller: str) -> Distinct:
        """The counter of one call."""
        return Distinct(self, caller)

    def add(self, schema: UUID, caller: str, values: Sequence[tuple[str, bytes]]) -> None:
        """Count a request's values."""
        now = self.clock()
        with self._lock:
            for window in WINDOWS:
                starts = starts_of(window, now)
                for data_class, digest in values:
                    for name in (data_class, ANY):
                        key = Key(schema, caller, name, window, starts)
                        self._open(key).add((digest,))
                        self._dirty.add(key)

    def estimate(self, schema: UUID, caller: str, data_class: str, window: str) -> int:
        key = Key(schema, caller, data_class, window, starts_of(window, self.clock()))
        with self._lock:
            found = self._sketches.get(key)
            return len(found) if found is not None else 0

    def merge(self, key: Key, data: bytes) -> None:
        """Take over what the store holds; it stays to be told only what it does not know."""
        other = Sketch(data)
        with self._lock:
            self._open(key).merge(other)

    def dump(self, key: Key) -> bytes:
        with self._lock:
            found = self._sketches.get(key)
            return found.dump() if found is not None else b""

    def take_dirty(self) -> list[Key]:
        """Sketches that the store does not know in full. What could not be told is given back."""
        with self._lock:
            dirty, self._dirty = list(self._dirty), set()
        return dirty

    def give_back(self, keys: Sequence[Key]) -> None:
        with self._lock:
            self._dirty.update(keys)

    def current(self) -> list[Key]:
        """The sketches of this hour and day; older ones are forgotten once they are told."""
        now = int(self.clock())
        with self._lock:
            for key in list(self._old(now)):
                del self._sketches[key]
            return list(self._sketches)

    def _old(self, now: int) -> Iterator[Key]:
        for key in self._sketches:
            if key.starts + WINDOWS[key.window] <= now and key not in self._dirty:
                yield key

    def _open(self, key: Key) -> Sketch:
        found = self._sketches.get(key)
        if found is None:
            found = self._sketches[key] = Sketch()
        return found


@final
class Distinct:
    """One call's view: whose values, and by which schema once the policy is known."""

    __slots__ = ("_caller", "_values", "schema")

    def __init__(self, values: Values, caller: str) -> None:
        self._values, self._caller = values, caller
        self.schema = UUID(int=0)

    def add(self, values: Sequence[tuple[str, bytes]]) -> None:
        self._values.add(self.schema, self._caller, values)

    def estimate(self, data_class: str, window: str) -> int:
        return self._values.estimate(self.schema, self._caller, data_class, window)

"""Whom this process has met: the only callers that its snapshots hold, so that a build costs what they cost.

A caller who comes anew is asked about once, off the loop (`meeting.py`). What was read then counts until a
snapshot of a later revision is there: that one has the caller, since whoever is asked about is `names()`
before the revision is read.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable, Mapping
from typing import Final, Generic, NamedTuple, TypeVar

from gateway.proxy.routes import Caller, Known, Name, Snapshot

MET: Final = 10_000
"""Callers of each kind that a process keeps in mind, the latest that came: as many as tokens."""

NOBODY: Final = 10_000
"""Keys of nobody that are kept in mind."""

Key = TypeVar("Key", bound=Hashable)
Who = TypeVar("Who")


class Found(NamedTuple, Generic[Who]):
    """Whom the store had under a name at a revision; None: nobody."""

    known: Who | None
    since: int


class Met(Generic[Key, Who]):
    """Names, and whom the store had under them. The loop and the builder of snapshots share it."""

    def __init__(self) -> None:
        self._found: dict[Key, Found[Who] | None] = {}
        self._lock = threading.Lock()

    @property
    def is_crowded(self) -> bool:
        """Whether those who came long ago may soon be forgotten."""
        return len(self._found) > MET // 2

    def asks(self, names: Iterable[Key]) -> None:
        """The store is about to be asked for them: before the revision is read."""
        self.add(names)

    def add(self, names: Iterable[Key]) -> None:
        """They call, now or still."""
        with self._lock:
            for name in names:
                self._keep(name, self._found.get(name))

    def names(self) -> list[Key]:
        with self._lock:
            return list(self._found)

    def learn(self, found: Mapping[Key, Who | None], since: int) -> None:
        """What the store said after this revision had been read."""
        with self._lock:
            for name, known in found.items():
                before = self._found.get(name)
                if before is None or before.since <= since:
                    self._keep(name, Found(known, since))

    def doubt(self) -> None:
        """No answer counts any more: the store is not the one that gave them."""
        with self._lock:
            self._found = dict.fromkeys(self._found)

    def of(self, snapshot: Snapshot, name: Key) -> Found[Who] | None:
        """Who this is now; None: ask the store."""
        found = self._found.get(name)
        if found is not None and snapshot.revision < found.since:
            return found
        known = self._held(snapshot).get(name)
        if known is not None:
            return Found(known, snapshot.revision)
        return found if found is not None and found.since == snapshot.revision else None

    def _held(self, snapshot: Snapshot) -> Mapping[Key, Who]:
        raise NotImplementedError

    def _keep(self, name: Key, found: Found[Who] | None) -> None:
        """As the latest. The caller holds the lock."""
        self._found.pop(name, None)
        self._found[name] = found
        while len(self._found) > MET:
            del self._found[next(iter(self._found))]


class MetNames(Met[Name, Known]):
    """Of those who came with tokens. Their issuer has vouched for each."""

    def _held(self, snapshot: Snapshot) -> Mapping[Name, Known]:
        return snapshot.known


class MetKeys(Met[bytes, Caller]):
    """Of API keys, by digest. Anybody can make some up: keys of nobody are kept apart, push nobody out, and
    are in no snapshot. Making a key raises the revision, so a key that was nobody's works as soon as any."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: frozenset[bytes] = frozenset()
        self._nobody: dict[bytes, int] = {}  # since which revision

    def asks(self, names: Iterable[bytes]) -> None:
        with self._lock:
            self._asked = frozenset(names)

    def names(self) -> list[bytes]:
        with self._lock:
            return [*self._found, *(self._asked - self._found.keys())]

    def learn(self, found: Mapping[bytes, Caller | None], since: int) -> None:
        super().learn({digest: caller for digest, caller in found.items() if caller is not None}, since)
        with self._lock:
            self._asked = frozenset()
            for digest, caller in found.items():
                self._nobody.pop(digest, None)
                if caller is None:
                    self._found.pop(digest, None)
                    self._nobody[digest] = since
            while len(self._nobody) > NOBODY:
                del self._nobody[next(iter(self._nobody))]

    def doubt(self) -> None:
        super().doubt()
        with self._lock:
            self._nobody.clear()

    def of(self, snapshot: Snapshot, name: bytes) -> Found[Caller] | None:
        found = super().of(snapshot, name)
        if found is None and self._nobody.get(name, -1) >= snapshot.revision:
            return Found(None, snapshot.revision)
        return found

    def _held(self, snapshot: Snapshot) -> Mapping[bytes, Caller]:
        return snapshot.callers

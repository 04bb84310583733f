"""Which session each admission of a batch belongs to. Runs in the recorder's thread."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from audit import ids, sessions
from audit.batch import Item
from audit.sessions import Open, Sessions, Tie
from audit.store import Row, Store, uid


@final
class Grouping:
    """The sessions that are remembered, and the store where they are not."""

    def __init__(self, store: Store, remembered: Sessions) -> None:
        self._store, self._remembered = store, remembered

    def assign(self, items: Iterable[Item], now: int) -> list[Row]:
        """Give every admission its session; returns the rows of new ones."""
        missing: dict[Tie, list[Item]] = {}
        for item in items:
            admission = item.admission
            if admission is None or (tie := sessions.tie_of(admission)) is None:
                continue
            item.session = self._remembered.find(tie, admission, now)
            if item.session is None:
                missing.setdefault(tie, []).append(item)
        return self._opened(missing, now) if missing else []

    def forget(self, items: Iterable[Item]) -> None:
        """Their sessions may not be in the store."""
        self.forget_ties(ties_of(items))

    def forget_ties(self, ties: list[Tie]) -> None:
        self._remembered.forget(ties)

    def _opened(self, missing: dict[Tie, list[Item]], now: int) -> list[Row]:
        first = {tie: items[0].admission for tie, items in missing.items()}
        threads = {tie: sessions.thread_of(admission) for tie, admission in first.items() if admission}
        stored = sessions.latest(self._store, list(threads.values()))
        made = []
        for tie, thread in threads.items():
            admission = first[tie]
            assert admission is not None  # noqa: S101
            before, used = stored.get(thread, (None, 0))
            if before is None or now - used > self._remembered.gap(admission):
                session, key = ids.new(), sessions.key_of(thread, before)
                made.append(sessions.row(self._store.dialect, session, key, thread, admission, now))
            else:
                session = before
            opened = Open(session, uid(session), now)
            self._remembered.remember(tie, opened)
            for item in missing[tie]:
                item.session = opened
        return made


def ties_of(items: Iterable[Item]) -> list[Tie]:
    given = (item.admission for item in items if item.admission is not None)
    return [tie for admission in given if (tie := sessions.tie_of(admission)) is not None]

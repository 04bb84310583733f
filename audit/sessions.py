"""Which session a call belongs to: the same caller, endpoint and hint, without too long a silence.

The thread is a digest of (caller, endpoint, hint). A session's key is a digest of its thread and of the
session before it, so two processes that open the next session of one thread make the same key, and the
database lets one of them through.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, final
from uuid import UUID

from audit import ids, store
from audit.records import Admission
from audit.store import Row, Store

_ASKED = 100  # threads in one statement: SQLite takes 500
_REMEMBERED = 50_000
_NONE = bytes(16)


@final
@dataclass(slots=True)
class Open:
    """A session as the process knows it."""

    id: UUID
    row_id: str | None
    last: int  # milliseconds


Tie = tuple[str, UUID | str, bytes]


def tie_of(admission: Admission) -> Tie | None:
    """What ties calls together, as this process looks it up; nothing for a caller that nobody knows."""
    subject, what = admission.who.subject, admission.what
    return (subject, what.endpoint_id or what.endpoint, admission.session_hint) if subject else None


def thread_of(admission: Admission) -> bytes:
    """The same as the store looks it up."""
    who, what = admission.who, admission.what
    endpoint = what.endpoint_id.bytes if what.endpoint_id else what.endpoint.encode("utf-8", "replace")
    subject = who.subject.encode("utf-8", "replace")
    return sha256(
        b"%d:%b%d:%b" % (len(subject), subject, len(endpoint), endpoint) + admission.session_hint
    ).digest()


def key_of(thread: bytes, before: UUID | None) -> bytes:
    return sha256(thread + (before.bytes if before else _NONE)).digest()


@final
class Sessions:
    """The sessions of this process's callers, least recently used forgotten first. One thread uses it."""

    def __init__(self, gap: float, hinted_gap: float) -> None:
        self._gap = int(gap * 1000)
        self._hinted_gap = int(hinted_gap * 1000)
        self._known: OrderedDict[Tie, Open] = OrderedDict()

    def find(self, tie: Tie, admission: Admission, now: int) -> Open | None:
        """The open session, its silence ended; None when the store has to be asked."""
        known = self._known.get(tie)
        if known is None or now - known.last > self.gap(admission):
            return None
        known.last = max(known.last, now)
        self._known.move_to_end(tie)
        return known

    def gap(self, admission: Admission) -> int:
        return self._hinted_gap if admission.session_hint else self._gap

    def remember(self, tie: Tie, session: Open) -> None:
        self._known[tie] = session
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def forget(self, ties: Iterable[Tie]) -> None:
        for tie in ties:
            self._known.pop(tie, None)


def latest(source: Store, threads: Sequence[bytes]) -> dict[bytes, tuple[UUID, int]]:
    """The newest stored session of each thread and when it was last used (milliseconds)."""
    newest = (
        "SELECT * FROM (SELECT s.thread, s.id, (SELECT c.id FROM audit_call c WHERE c.session_id = s.id "
        "ORDER BY c.started_at DESC LIMIT 1) FROM audit_session s WHERE s.thread = ? "
        "ORDER BY s.started_at DESC LIMIT 1) AS newest"
    )
    found = {}
    for start in range(0, len(threads), _ASKED):
        part = threads[start : start + _ASKED]
        rows = source.run(" UNION ALL ".join([newest] * len(part)), part)
        found.update({bytes(thread): _used(session, call) for thread, session, call in rows})
    return found


def _used(session: Any, call: Any) -> tuple[UUID, int]:
    found = store.uuid_of(session)
    assert found is not None  # noqa: S101 (a primary key)
    return found, ids.milliseconds_of(store.uuid_of(call) or found)


def row(
    dialect: store.Dialect, session: UUID, key: bytes, thread: bytes, admission: Admission, now: int
) -> Row:
    """A new session's row."""
    who, what = admission.who, admission.what
    return (
        store.uid(session),
        dialect.blob(key),
        dialect.blob(thread),
        bool(admission.session_hint),
        dialect.time(now),
        store.uid(who.person_id),
        store.text(who.subject, 255),
        store.text(who.name, 255),
        store.text(who.kind, 16),
        store.text(what.area, 64),
        store.uid(what.endpoint_id),
        store.text(what.endpoint, 255),
    )

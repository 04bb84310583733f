"""The recorder's thread: takes what has gathered, commits it, answers, and begins again.

The next batch starts when the last commit returns, without a timer. After a failure nothing is assumed: the
thread reconnects, reads how far the chain got, and settles the batch in doubt by that.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import final
from uuid import UUID

from audit import crypto, ids, instances, rows, sessions
from audit.batch import Builder, Head, Item, Month, OpenCall, UnknownCall, Writer
from audit.keys import KeyDirectory, KeysUnavailable
from audit.records import Close
from audit.sessions import Open, Sessions, Tie
from audit.store import GuardRefused, Row, RowsRefused, SessionRace, Store, StoreError, row_id, uid
from audit.waiting import GuardFailed, StoreUnavailable, answer

log = logging.getLogger(__name__)

_BATCH = 256
_HEARTBEAT = 30.0  # seconds between heartbeat entries
_PROBE = 0.25  # seconds between attempts while the store is away
_STUCK = 1.5  # seconds in one attempt: new callers are refused at once
_HOPELESS = 5.0  # seconds in one attempt: its connection is cut
_KEPT = 20_000  # closes kept while the store is away
_RECOVERED = 500  # lost calls closed in one batch
LOST = Close(action="incomplete", status=0, complete=False, code="instance_lost")
UNCLAIMED = Close(action="incomplete", status=0, complete=False, code="not_sent")


@final
class Worker:
    """Owns the connection, the chain's head and the open calls. Other threads hand over, and ask."""

    def __init__(self, store: Store, keys: KeyDirectory, groups: Sessions, clock: Callable[[], int]) -> None:
        self.queue: SimpleQueue[list[Item] | None] = SimpleQueue()
        self._handed = self._taken = 0  # items
        self.ready = threading.Event()  # the first registration succeeded
        self.failing = False
        self.commits = 0
        self._store, self._keys, self._groups, self._clock = store, keys, groups, clock
        self._instance, self._stream = ids.new(), ids.new()
        self._process = instances.Process.current()
        self._writer: Writer | None = None
        self._head = Head()
        self._open: dict[int, OpenCall] = {}
        self._doubt: tuple[Builder, list[Item]] | None = None
        self._again: deque[Item] = deque()
        self._connected = self._stopping = False
        self._next_beat = self._stop_by = self._busy_since = 0.0
        self._away_since = self._refused = self._turned_away = 0

    @property
    def instance(self) -> UUID:
        return self._instance

    def hand_over(self, items: list[Item]) -> None:
        """Give the thread something to record. From any thread; never blocks."""
        self._handed += len(items)
        self.queue.put(items)

    @property
    def waiting(self) -> int:
        """Items that wait for the next batch."""
        return max(0, self._handed - self._taken)

    def run(self) -> None:
        """The thread. Ends when None is taken from the queue and everything before it is written."""
        self._attempt([])
        while not self._stopping or self._unwritten():
            self._attempt(self._take())
        self._finish()

    def stop(self, timeout: float) -> None:
        """Ask the thread to end, from any thread. What is not written after `timeout` seconds is given up."""
        self._stop_by = time.monotonic() + timeout
        self.queue.put(None)

    def _unwritten(self) -> bool:
        waits = self._again or self._doubt or not self.queue.empty()
        return bool(waits) and time.monotonic() < self._stop_by

    def _take(self) -> list[Item]:
        """What waits now; blocks while nothing does, but not past a heartbeat or a probe."""
        items = [self._again.popleft() for _ in range(min(len(self._again), _BATCH))]
        wait = 0.0 if items and not self.failing else self._patience()
        try:
            while len(items) < _BATCH:
                handed = self.queue.get(timeout=wait) if wait else self.queue.get_nowait()
                if handed is None:
                    self._stopping = True
                    break
                self._taken += len(handed)
                room = _BATCH - len(items)
                items += handed[:room]
                self._again.extend(handed[room:])
                wait = 0.0
        except Empty:
            pass
        return items

    def _patience(self) -> float:
        if self.failing or self._stopping:
            return _PROBE if self.failing else 0.01
        return max(0.01, self._next_beat - time.monotonic())

    def _attempt(self, items: list[Item]) -> None:
        """One batch, whatever happens."""
        self._busy_since = time.monotonic()
        try:
            self._ensure_connected()
            if time.monotonic() >= self._next_beat:
                self._beat(items)
            if items:
                self._commit(items)
            self._succeeded()
        except (StoreError, KeysUnavailable) as error:
            self._failed(items, error)
        except Exception as error:
            log.exception("the recorder failed")
            self._failed(items, error)
        finally:
            self._busy_since = 0.0

    def stuck(self) -> bool:
        """Whether the store has kept one attempt for longer than any caller waits. From any thread."""
        since = self._busy_since
        if not since:
            return False
        spent = time.monotonic() - since
        if spent > _HOPELESS:
            self._store.interrupt()
        return spent > _STUCK

    def is_down(self) -> bool:
        """Whether a caller had better be refused at once than wait. From any thread; counts those refused.

        While the store is away the thread alone tries it, every quarter of a second.
        """
        down = self.failing or self.stuck()
        self._turned_away += down
        return down

    # --- connection ---------------------------------------------------------------------------------
    def _ensure_connected(self) -> None:
        if self._connected:
            return
        self._store.connect()
        if self._writer is None:
            self._writer = self._register()
        self._store.claim(self._writer.number)
        self._settle(Head(*instances.head(self._store, self._writer.number)))
        self._connected = True
        self._recover()

    def _register(self) -> Writer:
        now = self._clock()
        check = self._keys.check()
        epoch, number = instances.register(
            self._store, self._instance, self._stream, self._process, check, now
        )
        dialect, months = self._store.dialect, Month(self._keys)
        forms = rows.Forms(dialect, instance=row_id(self._instance), stream=row_id(self._stream), epoch=epoch)
        return Writer(dialect, months, crypto.Packer(), crypto.Noise(), forms, self._stream, number)

    def _settle(self, stored: Head) -> None:
        """Decide, by the stored head, whether the batch in doubt was committed after all."""
        doubt, self._doubt = self._doubt, None
        self._head = stored
        if doubt is None:
            return
        builder, items = doubt
        if builder.head == stored:
            self._adopt(builder)
            for item in items:
                self.unclaimed(item)
        else:
            self._keep(items)

    def _recover(self) -> None:
        """Close what ended processes of this host left open, a batch at a time."""
        for instance in instances.gone(self._store, self._process, self._instance):
            while calls := instances.open_calls(self._store, instance, _RECOVERED):
                self._busy_since = time.monotonic()  # busy with each batch, not stuck with all of them
                self._commit([Item("recover", call=call, close=LOST) for call in calls])
            instances.stop(self._store, instance, self._clock())

    # --- committing ---------------------------------------------------------------------------------
    def _commit(self, items: list[Item]) -> None:
        """Guarded items each by itself: one that fails takes nobody else with it."""
        guarded = [item for item in items if item.guard is not None]
        if guarded:
            items = [item for item in items if item.guard is None]
        if items:
            self._commit_free(items)
        for item in guarded:
            try:
                self._commit_free([item])
            except GuardRefused as refused:
                self._groups.forget(self._ties([item]))
                self._answer([item], GuardFailed(str(refused)))

    def _commit_free(self, items: list[Item]) -> None:
        try:
            self._write(items)
        except SessionRace:
            self._groups.forget(self._ties(items))
            self._write(items)
        except RowsRefused:
            self._groups.forget(self._ties(items))
            if len(items) == 1:
                log.error("a record was refused by the store")
                self._answer(items, StoreUnavailable("the store refused this record"))
                return
            for item in items:
                self._commit([item])

    def _write(self, items: list[Item]) -> None:
        assert self._writer is not None  # noqa: S101 (connected)
        now = self._clock()
        wanted = [item for item in items if not item.abandoned()]
        new_sessions = self._group(wanted, now)
        self._writer.pack(wanted)
        builder = Builder(self._writer, self._head, self._open, now)
        builder.batch.sessions = new_sessions
        kept = self._build(builder, wanted)
        if not kept:
            return
        self._doubt = builder, kept
        guard = kept[0].guard
        try:
            self._store.commit(builder.finish(), guard and self._writer.guard(guard))
        except (SessionRace, RowsRefused, GuardRefused):
            self._doubt = None  # rolled back, the connection lives
            raise
        self._doubt = None
        self._adopt(builder)
        self.commits += 1
        for item in kept:
            item.written = True
        self._answer(kept, None)

    def _build(self, builder: Builder, items: Iterable[Item]) -> list[Item]:
        """Build every item's rows; returns the items that have some, the others are answered."""
        kept = []
        for item in items:
            try:
                builder.add(item)
            except UnknownCall:
                if item.kind in ("segment", "release"):
                    self._answer([item], StoreUnavailable("the call is not open"))
            except KeysUnavailable:
                raise
            except Exception:
                log.exception("a record cannot be built")
                self._answer([item], StoreUnavailable("the record cannot be built"))
            else:
                kept.append(item)
        return kept

    def _adopt(self, builder: Builder) -> None:
        self._head = builder.head
        known = self._open
        known.update(builder.opened)
        for call in builder.closed:
            known.pop(call, None)

    def _answer(self, items: list[Item], error: Exception | None) -> None:
        answer(items, error, self.unclaimed)
        for item in items:
            item.admission = item.part = item.release = item.view = None

    def unclaimed(self, item: Item) -> None:
        """Durable after its caller was refused: say in the record that nothing was sent."""
        if item.kind == "admit":
            self.hand_over([Item("close", call=item.call, close=UNCLAIMED)])

    # --- sessions -----------------------------------------------------------------------------------
    def _group(self, items: Iterable[Item], now: int) -> list[Row]:
        """Give every admission its session; returns the rows of new ones."""
        missing: dict[Tie, list[Item]] = {}
        for item in items:
            admission = item.admission
            if admission is None or (tie := sessions.tie_of(admission)) is None:
                continue
            item.session = self._groups.find(tie, admission, now)
            if item.session is None:
                missing.setdefault(tie, []).append(item)
        return self._open_sessions(missing, now) if missing else []

    def _open_sessions(self, missing: dict[Tie, list[Item]], now: int) -> list[Row]:
        first = {tie: items[0].admission for tie, items in missing.items()}
        threads = {tie: sessions.thread_of(admission) for tie, admission in first.items() if admission}
        stored = sessions.latest(self._store, list(threads.values()))
        made = []
        for tie, thread in threads.items():
            admission = first[tie]
            assert admission is not None  # noqa: S101
            before, used = stored.get(thread, (None, 0))
            if before is None or now - used > self._groups.gap(admission):
                session, key = ids.new(), sessions.key_of(thread, before)
                made.append(sessions.row(self._store.dialect, session, key, thread, admission, now))
            else:
                session = before
            opened = Open(session, uid(session), now)
            self._groups.remember(tie, opened)
            for item in missing[tie]:
                item.session = opened
        return made

    def _ties(self, items: Iterable[Item]) -> list[Tie]:
        given = (item.admission for item in items if item.admission is not None)
        return [tie for admission in given if (tie := sessions.tie_of(admission)) is not None]

    # --- good and bad times -------------------------------------------------------------------------
    def _beat(self, items: list[Item]) -> None:
        now = self._clock()
        self._next_beat = time.monotonic() + _HEARTBEAT
        instances.beat(
            self._store, self._instance, self._stream, (self._head.sequence, self._head.digest), now
        )
        items.append(Item("heartbeat", meta={"open": len(self._open), "head": self._head.sequence}))

    def _succeeded(self) -> None:
        if self.failing:
            self.failing = False
            log.warning("recording again")
            turned, self._turned_away = self._turned_away, 0
            refused = self._refused + turned
            outage = {"event": "store.outage", "since": self._away_since, "refused": refused}
            self._again.append(Item("event", meta=outage))
            self._refused = 0
        self.ready.set()

    def _failed(self, items: list[Item], error: Exception) -> None:
        if not self.failing:
            log.error("cannot record: %s", error)
            self.failing, self._away_since = True, self._clock()
        self._connected, self._next_beat = False, 0.0  # the next attempt begins with a write
        self._store.close()
        self._groups.forget(self._ties(items))
        self._refused += sum(item.future is not None for item in items)
        answer(items, StoreUnavailable("the store is not available"), self.unclaimed)
        doubtful = self._doubt[1] if self._doubt else []
        self._keep(item for item in items if item not in doubtful)

    def _keep(self, items: Iterable[Item]) -> None:
        """Closes and events wait for the store; what had a caller was refused and is dropped."""
        kept = [
            item for item in items if item.future is None and not item.written and item.kind != "heartbeat"
        ]
        self._again.extendleft(reversed(kept))
        while len(self._again) > _KEPT:
            self._again.pop()

    # --- the end ------------------------------------------------------------------------------------
    def _finish(self) -> None:
        try:
            if self._connected:
                now = self._clock()
                head = (self._head.sequence, self._head.digest)
                instances.beat(self._store, self._instance, self._stream, head, now)
                instances.stop(self._store, self._instance, now)
        except StoreError as error:
            log.error("stopped without saying so: %s", error)
        self._store.close()

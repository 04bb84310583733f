"""The recorder's thread: takes what has gathered, commits it, answers, and begins again.

The next batch starts when the last commit returns, without a timer. After a failure nothing is assumed: the
thread reconnects, reads how far the chain got, and settles the batch in doubt by that.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import compress
from queue import Empty, SimpleQueue
from typing import final
from uuid import UUID

from audit import crypto, ids, instances, rows
from audit.batch import Builder, Days, Head, Item, OpenCall, UnknownCall, Writer
from audit.grouping import Grouping, ties_of
from audit.keys import KeyDirectory, KeysUnavailable
from audit.records import Close
from audit.sessions import Sessions
from audit.store import Batch, GuardRefused, RowsRefused, SessionRace, Store, StoreError, row_id
from audit.waiting import GuardFailed, StoreUnavailable, answer

log = logging.getLogger(__name__)

_BATCH = 256
_GUARDED = 64  # guards in one transaction: so long are their rows locked
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
        self._store, self._keys, self._clock = store, keys, clock
        self._groups = Grouping(store, groups)
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
        dialect, days = self._store.dialect, Days(self._keys)
        forms = rows.Forms(dialect, instance=row_id(self._instance), stream=row_id(self._stream), epoch=epoch)
        return Writer(dialect, days, crypto.Packer(), crypto.Noise(), forms, self._stream, number)

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
        """Guarded items by themselves: those whose guard fails take nobody else with them."""
        guarded = [item for item in items if item.guard is not None]
        if guarded:
            items = [item for item in items if item.guard is None]
        if items:
            self._commit_group(items)
        for start in range(0, len(guarded), _GUARDED):
            self._busy_since = time.monotonic()  # busy with each group, not stuck with all of them
            self._commit_guarded(guarded[start : start + _GUARDED])

    def _commit_guarded(self, items: list[Item]) -> None:
        """Each failure settles one: the others are tried again without it."""
        items.sort(key=lambda item: item.guard.about if item.guard else b"")
        for _ in range(len(items)):
            try:
                self._commit_group(items)
            except GuardRefused:
                continue
            return

    def _commit_group(self, items: list[Item]) -> None:
        try:
            self._write(items)
        except SessionRace:
            self._groups.forget(items)
            self._write(items)
        except RowsRefused:
            self._groups.forget(items)
            if len(items) == 1:
                log.error("a record was refused by the store")
                self._answer(items, StoreUnavailable("the store refused this record"))
                return
            for item in items:
                self._commit([item])

    def _write(self, items: list[Item]) -> None:
        assert self._writer is not None  # noqa: S101 (connected)
        wanted = [item for item in items if not item.abandoned()]
        self._writer.pack(wanted)
        guards = [self._writer.guard(item.guard) for item in wanted if item.guard is not None]
        try:
            if guards:
                self._store.commit_guarded(guards, lambda held: self._resting(wanted, held))
            elif (batch := self._batch(wanted)) is not None:
                self._store.commit(batch)
        except GuardRefused as refused:
            self._doubt = None
            self._refuse(wanted[refused.place], GuardFailed(str(refused)))
            raise
        except (SessionRace, RowsRefused):
            self._doubt = None  # rolled back, the connection lives
            raise
        self._written()
        if guards:
            for item in wanted:
                if not item.written:
                    self._refuse(item, GuardFailed("the guard changed nothing"))

    def _resting(self, items: list[Item], held: Sequence[bool]) -> Batch | None:
        """What rests on the guards that held. A guard whose entry cannot be built must not take effect."""
        standing = list(compress(items, held))
        ties = ties_of(standing)
        batch = self._batch(standing)
        for place, item in enumerate(items):
            if item.refused:
                self._groups.forget_ties(ties)
                raise GuardRefused("its entry cannot be built", place=place)
        return batch

    def _batch(self, items: list[Item]) -> Batch | None:
        """The items as a batch, which is in doubt from here on; None where there is nothing to write."""
        assert self._writer is not None  # noqa: S101 (connected)
        now = self._clock()
        builder = Builder(self._writer, self._head, self._open, now)
        builder.batch.sessions = self._groups.assign(items, now)
        kept = self._build(builder, items)
        if not kept:
            return None
        self._doubt = builder, kept
        return builder.finish()

    def _written(self) -> None:
        """What was in doubt is durable."""
        if self._doubt is None:
            return
        (builder, kept), self._doubt = self._doubt, None
        self._adopt(builder)
        self.commits += 1
        for item in kept:
            item.written = True
        self._answer(kept, None)

    def _refuse(self, item: Item, error: Exception) -> None:
        item.refused = True
        self._answer([item], error)

    def _build(self, builder: Builder, items: Iterable[Item]) -> list[Item]:
        """Build every item's rows; returns the items that have some, the others are answered."""
        kept = []
        for item in items:
            try:
                builder.add(item)
            except UnknownCall:
                if item.kind in ("segment", "release", "original"):
                    self._refuse(item, StoreUnavailable("the call is not open"))
            except KeysUnavailable:
                raise
            except Exception:
                log.exception("a record cannot be built")
                self._refuse(item, StoreUnavailable("the record cannot be built"))
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
            item.admission = item.part = item.release = item.view = item.original = None

    def unclaimed(self, item: Item) -> None:
        """Durable after its caller was refused: say in the record that nothing was sent."""
        if item.kind == "admit":
            self.hand_over([Item("close", call=item.call, close=UNCLAIMED)])

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
        self._groups.forget(items)
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

"""Between the calls that wait and the database that knows: the data path's side of approvals.

A waiting call has a future and nothing else: no connection, no thread, no lock. One poller per process asks
for all of them together; a hint wakes it earlier. Everything that asks the database does so in two threads
of its own, and nobody waits for them longer than a caller may be kept (P3).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Final, TypeVar, final
from uuid import UUID

from django.db import connections
from django.db.models import Q
from django.db.utils import Error as DatabaseError

from approvals import hints, moves
from approvals.asking import connected
from approvals.heap import give_back
from approvals.models import OPEN, Approval, Choice, Status, Vote
from approvals.scrubbing import Scrubbing
from approvals.standing import Binding, Request, Standing
from approvals.together import Together
from audit import ids
from policies.store import NotInForce, scrubbers_prepared

log = logging.getLogger(__name__)

POLL: Final = 0.5
"""Seconds between two looks at what has changed of late, where no hint comes."""

LATELY: Final = timedelta(seconds=10)
"""How far back such a look goes: clocks of processes may differ by so much."""

EVERY: Final = 10.0
"""Seconds between two looks at every waiting call: at those that ran out, and at what no other look found."""

PATIENCE: Final = 1.5
"""Seconds that a caller is kept for the database."""

ASKING_AT_MOST: Final = 2_000
"""Calls that wait for the two threads; beyond it they are refused at once."""

THREADS: Final = 2
CLOSE_WITHIN: Final = 1.0  # seconds
CHUNK: Final = 200
HELD_PER_CALLER: Final = 100
HELD_AT_MOST: Final = 5_000
"""Calls that one process holds; who comes beyond it is told to come back, and their approval is open."""

T = TypeVar("T")


class ApprovalsUnavailable(Exception):
    """The database does not say now: refuse the call (503)."""


@final
class Broker:
    """One per process. Everything but `poke` is called on the loop that serves the calls."""

    def __init__(self) -> None:
        self._waiting: dict[UUID, set[asyncio.Future[Standing]]] = {}
        self._of_caller: Counter[UUID] = Counter()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="postern-approvals")
        self._asking = 0
        self._finding = Together(self._found)
        self._counting = Together(self._counted)
        self._wake = asyncio.Event()
        self._poked: set[UUID] = set()
        self._held = 0
        self._every = 0.0  # when all were looked at
        self._poller: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ear = hints.Ear()
        self._scrubbing = Scrubbing()
        self._unlisten: Callable[[], None] | None = None

    def start(self) -> None:
        """Called on the loop."""
        self._loop = asyncio.get_running_loop()
        self._unlisten = hints.listen(self.poke)
        self._ear.start()
        self._scrubbing.start()

    def stop(self) -> None:
        if self._unlisten is not None:
            self._unlisten()
        if self._poller is not None:
            self._poller.cancel()
        self._ear.stop()
        self._scrubbing.stop()
        self._close_connections()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _close_connections(self) -> None:
        """Each thread closes its own; none waits long for the other, which the database may keep."""
        both = threading.Barrier(THREADS)

        def close() -> None:
            with suppress(threading.BrokenBarrierError):
                both.wait(CLOSE_WITHIN)
            connections.close_all()

        wait([self._threads.submit(close) for _ in range(THREADS)], timeout=2 * CLOSE_WITHIN)

    def poke(self, approval_id: UUID) -> None:
        """Something has changed. From any thread."""
        loop = self._loop
        if loop is not None and approval_id in self._waiting:
            with suppress(RuntimeError):  # the loop is closed: nobody waits on it
                loop.call_soon_threadsafe(self._look_at, approval_id)

    def _look_at(self, approval_id: UUID) -> None:
        self._poked.add(approval_id)
        self._wake.set()

    def opened(self, approval_id: UUID) -> None:
        """It is on record: whoever follows the queue, here or in another process, looks at once. Nobody waits
        for that, and what gets lost they find by looking every half second."""
        with suppress(RuntimeError):  # this process stops
            self._threads.submit(hints.tell, approval_id)

    @property
    def ready(self) -> bool:
        """Whether what a request waits for at most is at hand: what scrubs is compiled."""
        return self._scrubbing.ready

    @property
    def held(self) -> int:
        """Calls that wait now."""
        return self._held

    def has_room(self, caller: UUID) -> bool:
        """Whether one more call of this caller may wait here."""
        return self._of_caller[caller] < HELD_PER_CALLER and self.held < HELD_AT_MOST

    # --- questions --------------------------------------------------------------------------------------

    async def find(self, request: Request) -> Standing | None:
        """The open approval of a request, else one that was denied and still stands; None: ask anew."""
        with self._room():
            standing, over = await _in_time(self._finding.of(request))
        for row in over:
            await self._ask(partial(_over, row))
        return standing

    async def open_of(self, caller: UUID) -> int:
        """How many approvals a caller has open."""
        with self._room():
            return await _in_time(self._counting.of(caller))

    async def _found(self, requests: Sequence[Request]) -> Mapping[Request, Found]:
        return await self._answer(lambda: _find(requests))

    async def _counted(self, callers: Sequence[UUID]) -> Mapping[UUID, int]:
        return await self._answer(lambda: _open_of(callers))

    async def scrubbed(self, text: str) -> str:
        """What a caller wrote about their request, as it may be kept."""
        scrubbers = await self._ask(scrubbers_prepared)
        try:
            return await self._scrubbing.scrubbed(text, scrubbers)
        except (TimeoutError, NotInForce) as error:
            raise ApprovalsUnavailable(type(error).__name__) from None

    async def supersede(self, approval_id: UUID, because: str) -> None:
        """What it was bound to is not so any more (P12)."""
        await self._ask(lambda: _supersede(approval_id, because))

    async def bar(self, approval_id: UUID, persons: Collection[UUID]) -> bool:
        """Whoever joins with another key, or acted for by somebody else: these may not decide either. False
        where one of them has voted already: the approval is void then."""
        return await self._ask(lambda: moves.bar(approval_id, persons))

    async def _ask(self, question: Callable[[], T]) -> T:
        with self._room():
            return await self._answer(question)

    @contextmanager
    def _room(self) -> Iterator[None]:
        """Room to ask for one more call."""
        if self._asking >= ASKING_AT_MOST:
            raise ApprovalsUnavailable("too many calls ask at once")
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1

    async def _answer(self, question: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await _in_time(loop.run_in_executor(self._threads, connected, question))
        except DatabaseError as error:
            raise ApprovalsUnavailable(type(error).__name__) from None

    # --- waiting ----------------------------------------------------------------------------------------

    @contextmanager
    def waiting(self, caller: UUID, approval_id: UUID) -> Iterator[asyncio.Future[Standing]]:
        """A future that is done when the approval is pending no more."""
        future: asyncio.Future[Standing] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(approval_id, set()).add(future)
        self._of_caller[caller] += 1
        self._held += 1
        self._look_at(approval_id)  # it may have been decided between being read and being waited for
        if self._poller is None or self._poller.done():
            self._poller = asyncio.get_running_loop().create_task(self._poll())
        try:
            yield future
        finally:
            self._held -= 1
            self._of_caller[caller] -= 1
            if not self._of_caller[caller]:
                del self._of_caller[caller]
            futures = self._waiting[approval_id]
            futures.discard(future)
            if not futures:
                del self._waiting[approval_id]

    async def _poll(self) -> None:
        """As long as somebody waits."""
        while self._waiting:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL)
            self._wake.clear()
            try:
                await self._look()
            except ApprovalsUnavailable:
                pass  # those who wait have their deadlines; the next look may be better
            except Exception as error:  # whoever looks must not end before those who wait
                log.error("approvals not looked at: %s", type(error).__name__)

    async def _look(self) -> None:
        """At what was pointed out, at what changed of late, now and then at all: what a look costs does not
        grow with the calls that wait."""
        poked, self._poked = self._poked, set()
        wanted = {*poked, *await self._ask(_changed_lately)}
        now = asyncio.get_running_loop().time()
        if now - self._every > EVERY:
            self._every = now
            wanted.update(self._waiting)
            await asyncio.get_running_loop().run_in_executor(self._threads, give_back)
        await self._tell([each for each in wanted if each in self._waiting])

    async def _tell(self, wanted: Sequence[UUID]) -> None:
        for start in range(0, len(wanted), CHUNK):
            chunk = wanted[start : start + CHUNK]
            for standing in await self._ask(partial(_decided, chunk)):
                for future in self._waiting.get(standing.id, ()):
                    if not future.done():
                        future.set_result(standing)


async def _in_time(answer: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(PATIENCE):
            return await answer
    except TimeoutError as error:
        raise ApprovalsUnavailable(type(error).__name__) from None


Found = tuple[Standing | None, list[Approval]]
"""How a request stands; and what holds the place of a new approval, though it is over."""


def _find(requests: Sequence[Request]) -> dict[Request, Found]:
    found: dict[Request, Found] = {}
    for start in range(0, len(requests), CHUNK):
        found |= _find_some(requests[start : start + CHUNK])
    return found


def _find_some(requests: Sequence[Request]) -> dict[Request, Found]:
    now, epoch = ids.now(), moves.epoch()
    rows = Approval.objects.filter(
        Q(status__in=OPEN) | Q(status=Status.DENIED, epoch=epoch, expires_at__gt=now),
        requester_id__in={each.requester_id for each in requests},
        request_hmac__in={each.hmac for each in requests},
    )
    standing: dict[Request, Approval] = {}
    over: defaultdict[Request, list[Approval]] = defaultdict(list)
    for row in rows.order_by("created_at"):
        request = Request(row.requester_id, bytes(row.request_hmac))
        if row.epoch != epoch or row.expires_at <= now:
            over[request].append(row)
        elif request not in standing or row.status != Status.DENIED or standing[request].status == row.status:
            standing[request] = row  # an open one, else the last that was denied
    told = {request: _standing(row) for request, row in standing.items()}
    return {each: (told.get(each), over[each]) for each in requests}


def _over(row: Approval) -> None:
    """Make its place free."""
    if row.epoch == moves.epoch():
        moves.moved(row, Status.EXPIRED)
    else:
        moves.moved(row, Status.SUPERSEDED, facts={"because": "restored from a backup"})


def _changed_lately() -> list[UUID]:
    rows = Approval.objects.filter(changed_at__gt=ids.now() - LATELY).exclude(status=Status.PENDING)
    return list(rows.order_by().values_list("id", flat=True))


def _decided(approval_ids: Sequence[UUID]) -> list[Standing]:
    """Those that are pending no more. What is gone, or another epoch's, counts as superseded."""
    pending = set(
        Approval.objects.filter(
            id__in=approval_ids, status=Status.PENDING, epoch=moves.epoch(), expires_at__gt=ids.now()
        ).values_list("id", flat=True)
    )
    wanted = [each for each in approval_ids if each not in pending]
    return [_standing(row) for row in Approval.objects.filter(id__in=wanted)] if wanted else []


def _standing(row: Approval) -> Standing:
    binding = Binding(
        bytes(row.sent_digest),
        row.endpoint_id,
        row.model,
        row.access_rule_id,
        row.policy_version_id,
        row.schema_version_id,
    )
    barred = frozenset(UUID(person) for person in row.barred)
    return Standing(
        row.pk, Status(row.status), binding, row.expires_at, _reason(row), barred, emergency=row.emergency
    )


def _reason(row: Approval) -> str:
    if row.status != Status.DENIED:
        return ""
    said = Vote.objects.filter(approval=row, choice=Choice.DENY).values_list("reason", flat=True)
    return next(iter(said), "")


def _open_of(callers: Sequence[UUID]) -> dict[UUID, int]:
    counts: Counter[UUID] = Counter()
    for start in range(0, len(callers), CHUNK):
        theirs = Q(requester_id__in=callers[start : start + CHUNK], status__in=OPEN)
        counts.update(moves.living(ids.now()).filter(theirs).values_list("requester_id", flat=True))
    return {caller: counts[caller] for caller in callers}


def _supersede(approval_id: UUID, because: str) -> None:
    row = Approval.objects.filter(pk=approval_id, status__in=OPEN).first()
    if row is not None:
        moves.moved(row, Status.SUPERSEDED, facts={"because": because})

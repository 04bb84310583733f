"""Shares with the other processes what callers used up: one thread, one short transaction a second.

A process knows its own calls at once, and those of the others within about two seconds, or six where a caller
comes to it anew; by so much a limit can be overrun. A store that fails or stalls holds up no call: what could
not be told is told later. What a killed process loses is the last second of its counts, never evidence.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final, final
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, Sum
from django.db.utils import Error as DatabaseError

from audit import ids
from gateway.models import Running, Sketch, Usage
from gateway.proxy.beside import Beside
from gateway.proxy.distinct import WINDOWS as SKETCH_WINDOWS
from gateway.proxy.distinct import Key as SketchKey
from gateway.proxy.distinct import Values, starts_of
from gateway.proxy.meter import WINDOWS, Account, Count, Key, Meter, moment, span

log = logging.getLogger(__name__)

EVERY: Final = 1.0
"""Seconds between two settlings."""

ALIVE: Final = timedelta(seconds=10)
"""How long a process's running calls count without a sign of it."""

IN_USE: Final = 90.0
"""Seconds after its last call for which an account is kept up with the others."""

LEARN: Final = 5.0
"""Seconds between two looks at everybody's numbers, for callers that may come here next."""

KNOWN_AT_MOST: Final = 50_000
LEARNED_AT_MOST: Final = 5_000
"""Rows of such a look, the newest: 10 ms of this process. At the start it may take longer."""

USAGE: Final = ("rule_id", "caller", "window", "starts_at", "calls", "tokens")
SWEEP: Final = 600.0
KEPT: Final = {"minute": timedelta(hours=1), "day": timedelta(days=40), "month": timedelta(days=400)}


@final
class Tally:
    """One per process. `settle` may be called by anybody, one at a time."""

    def __init__(
        self,
        meter: Meter | None = None,
        values: Values | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.meter = meter or Meter()
        self.values = values or Values(clock)
        self.instance = ids.new()
        self._clock = clock
        self._told_running: dict[Key, int] = {}
        self._swept = 0.0
        self._learned = float("-inf")
        self._beside = Beside("postern-tally", EVERY, self._safely)

    def start(self) -> None:
        """Learn what was used before in the calling thread, then share. A store that is down is no matter."""
        self._safely()
        self._beside.start()

    def stop(self) -> None:
        """Tell the rest. Running calls are over by now."""
        self._beside.stop()

    def _safely(self) -> None:
        try:
            self.settle()
        except DatabaseError as error:
            log.warning("limits could not be shared: %s", type(error).__name__)
        except Exception as error:  # whatever it is, the next second may be better
            log.error("limits could not be shared: %s", type(error).__name__)

    def settle(self) -> None:
        """Tell the store what it does not know, and read what the others used. Raises a database error."""
        now = self._clock()
        accounts = self.meter.accounts()
        self._tell_usage(accounts)
        self._tell_running(accounts, now)
        self._hear(accounts, now)
        if not 0 <= now - self._learned < LEARN:
            self._learn(accounts, now)
        self._settle_sketches()
        if now - self._swept > SWEEP:
            self._sweep(now)

    # --- calls and tokens -----------------------------------------------------------------------------

    def _learn(self, accounts: Iterable[Account], now: float) -> None:
        """What the windows of now hold, for callers whom this process has not served lately."""
        starts = [moment(span(window, now)[0]) for window in WINDOWS]
        first = self._learned == float("-inf")
        rows = Usage.objects.filter(starts_at__in=starts).order_by("-id").values_list(*USAGE)
        known = {
            (rule, caller, window, at.timestamp()): (calls, tokens)
            for rule, caller, window, at, calls, tokens in rows[: KNOWN_AT_MOST if first else LEARNED_AT_MOST]
        }
        self.meter.known = known
        for account in accounts:
            for count in list(account.counts.values()):
                held = known.get((*account.key, count.window, count.starts))
                if held is not None:
                    _heard(count, *held)
        if first:
            self._learn_sketches(now)
        self._learned = now

    def _learn_sketches(self, now: float) -> None:
        rows = Sketch.objects.filter(starts_at__in=_sketch_starts(now)).order_by("-id")
        for row in rows[:KNOWN_AT_MOST]:
            self._merge(row)

    def _merge(self, row: Sketch) -> None:
        try:
            self.values.merge(_key_of(row), bytes(row.registers))
        except ValueError:  # a row that nobody should have written must not end the sharing
            log.error("a sketch could not be read; it counts as empty")

    def _tell_usage(self, accounts: Iterable[Account]) -> None:
        counts = [(account.key, count) for account in accounts for count in list(account.counts.values())]
        ended = list(self.meter.ended())
        due = [
            (key, count, count.calls, count.tokens) for key, count in (*counts, *ended) if not count.settled
        ]
        if not due:
            return
        try:
            with transaction.atomic():
                for key, count, calls, tokens in due:
                    _add_usage(key, count, calls - count.told_calls, tokens - count.told_tokens)
        except DatabaseError:
            for key, count in ended:
                self.meter.give_back(key, count)
            raise
        for _, count, calls, tokens in due:
            count.told_calls, count.told_tokens = calls, tokens

    def _hear(self, accounts: Iterable[Account], now: float) -> None:
        """What the others used of the windows that calls of ours are in."""
        used = [account for account in accounts if now - account.touched < IN_USE]
        if not used:
            return
        counts = {
            (*account.key, count.window, count.starts): count
            for account in used
            for count in list(account.counts.values())
        }
        rows = Usage.objects.filter(
            rule_id__in={account.key[0] for account in used},
            caller__in={account.key[1] for account in used},
            starts_at__in={moment(count.starts) for count in counts.values()},
        )
        for row in rows:
            count = counts.get((row.rule_id, row.caller, row.window, row.starts_at.timestamp()))
            if count is not None:
                _heard(count, row.calls, row.tokens)

    # --- calls at the same time -----------------------------------------------------------------------

    def _tell_running(self, accounts: Iterable[Account], now: float) -> None:
        limited = [account for account in accounts if account.limits.at_once is not None]
        running = {account.key: account.running for account in limited if account.running > 0}
        over = [key for key in self._told_running if key not in running]
        mine = Running.objects.filter(instance_id=self.instance)
        if running or over:
            with transaction.atomic():
                for rule, caller in over:
                    mine.filter(rule_id=rule, caller=caller).delete()
                for (rule, caller), calls in running.items():
                    mine.update_or_create(
                        instance_id=self.instance,
                        rule_id=rule,
                        caller=caller,
                        defaults={"calls": calls, "at": moment(now)},
                    )
            self._told_running = running
        self._hear_running(limited, now)

    def _hear_running(self, limited: Iterable[Account], now: float) -> None:
        """Of all callers: there are only as many rows as calls run."""
        rows = (
            Running.objects.filter(at__gt=moment(now) - ALIVE)
            .exclude(instance_id=self.instance)
            .values_list("rule_id", "caller")
            .annotate(sum=Sum("calls"))
        )
        others = {(rule, caller): calls for rule, caller, calls in rows}
        for account in limited:
            account.others_running = others.get(account.key, 0)
        self.meter.known_running = others

    # --- different values -----------------------------------------------------------------------------

    def _settle_sketches(self) -> None:
        dirty = self.values.take_dirty()
        try:
            if dirty:
                with transaction.atomic():
                    for key in sorted(dirty):  # in one order, so that two processes never wait for each other
                        self._join(key)
        except DatabaseError:
            self.values.give_back(dirty)
            raise
        told = set(dirty)
        current = {key for key in self.values.current() if key not in told}
        if current:
            self._hear_sketches(current)

    def _hear_sketches(self, keys: set[SketchKey]) -> None:
        rows = Sketch.objects.filter(
            caller__in={key.caller for key in keys}, starts_at__in={moment(key.starts) for key in keys}
        )
        for row in rows:
            if _key_of(row) in keys:
                self._merge(row)

    def _join(self, key: SketchKey) -> None:
        rows = Sketch.objects.select_for_update().filter(**_columns(key))
        row = rows.first()
        if row is None:
            try:
                with transaction.atomic():
                    Sketch.objects.create(registers=self.values.dump(key), **_columns(key))
                return
            except IntegrityError:  # another process was faster
                row = rows.get()
        self._merge(row)
        row.registers = self.values.dump(key)
        row.save(update_fields=("registers",))

    # --- housekeeping -----------------------------------------------------------------------------------

    def _sweep(self, now: float) -> None:
        """Windows that no limit asks for any more."""
        at = moment(now)
        for window, kept in KEPT.items():
            Usage.objects.filter(window=window, starts_at__lt=at - kept).delete()
        for window, length in SKETCH_WINDOWS.items():
            Sketch.objects.filter(window=window, starts_at__lt=at - timedelta(seconds=2 * length)).delete()
        Running.objects.filter(at__lt=at - timedelta(minutes=10)).delete()
        self._swept = now


def _heard(count: Count, calls: int, tokens: int) -> None:
    """What the store has beyond our own share of it is what the others used."""
    count.others_calls = max(0, calls - count.told_calls)
    count.others_tokens = max(0, tokens - count.told_tokens)


def _add_usage(key: Key, count: Count, calls: int, tokens: int) -> None:
    """Add to the store's numbers: each process adds its own, none overwrites another's."""
    rule, caller = key
    place = {"rule_id": rule, "caller": caller, "window": count.window, "starts_at": moment(count.starts)}
    more = {"calls": F("calls") + calls, "tokens": F("tokens") + tokens}
    if Usage.objects.filter(**place).update(**more):
        return
    try:
        with transaction.atomic():
            Usage.objects.create(calls=calls, tokens=tokens, **place)
    except IntegrityError:  # another process was faster
        Usage.objects.filter(**place).update(**more)


def _columns(key: SketchKey) -> dict[str, object]:
    return {
        "schema_id": key.schema,
        "caller": key.caller,
        "data_class": key.data_class,
        "window": key.window,
        "starts_at": moment(key.starts),
    }


def _key_of(row: Sketch) -> SketchKey:
    schema: UUID = row.schema_id
    return SketchKey(schema, row.caller, row.data_class, row.window, int(row.starts_at.timestamp()))


def _sketch_starts(now: float) -> list[datetime]:
    return [moment(starts_of(window, now)) for window in SKETCH_WINDOWS]

"""The retention run: once a day, and after rules or holds changed, as a job under a lease.

A doubled or late beat finds the same job, or none. Whatever step a worker dies at, the next one repeats it:
each batch is one transaction, and a day is settled when nothing of it is due.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, final
from uuid import UUID, uuid5

from django.db.utils import Error as DatabaseError

from audit import ids, indexing, jobs
from audit.keys import KeyDirectory, KeysUnavailable
from audit.models import EvidenceDay, Job, LegalHold, RetentionRule
from audit.retention import days, due, emptying, months
from audit.retention.due import Group, groups, is_due
from audit.retention.holds import held, holds_in_force
from audit.retention.removing import AT_ONCE, Cause, Kind, RulesMoved, leftovers_go, remove, secure, tidy
from audit.retention.rules import digest_of, rules_in_force

log = logging.getLogger(__name__)

KIND: Final = "retention"
TURN: Final = 20.0
"""Seconds that one sweep works; others want the worker too."""

_NAMES: Final = UUID("b1f5b7a2-7c1e-4f0e-9f0a-3a4d5e6f7081")
"""Names a run by its day and its rules, so that two beats begin one."""


@final
@dataclass(frozen=True, slots=True)
class Said:
    """The rules and holds that one run goes by."""

    rules: Sequence[RetentionRule]
    holds: Sequence[LegalHold]
    today: date

    @classmethod
    def now(cls) -> Said:
        return cls(rules_in_force(), holds_in_force(), days.today())

    @property
    def digest(self) -> str:
        return digest_of(self.rules, self.holds)


def sweep(keys: KeyDirectory) -> int:
    """Begin today's run if there is none, and work on it for a while. Returns how many calls went."""
    _begin(Said.now())
    ends, gone = time.monotonic() + TURN, 0
    while time.monotonic() < ends and (job := jobs.claim(KIND)) is not None:
        try:
            gone += _Run(job, keys, ends).work()
        except RulesMoved:
            jobs.release(job)
            return gone
        except (DatabaseError, KeysUnavailable) as error:  # the lease runs out and the next sweep goes on
            log.warning("retention: %s", type(error).__name__)
            return gone
    return gone


def _begin(said: Said) -> None:
    if not said.rules:
        return
    moment = ids.now()
    run = Job(
        id=uuid5(_NAMES, f"{said.today} {said.digest}"),
        kind=KIND,
        options={"rules": [rule.name for rule in said.rules], "holds": len(said.holds)},
        result={"calls": 0, "rows": 0, "days": 0, "keys": 0},
        asked_by="postern",
        created_at=moment,
        due_at=moment,
    )
    Job.objects.bulk_create([run], ignore_conflicts=True)


class _Run:
    """One turn of one job."""

    def __init__(self, job: Job, keys: KeyDirectory, ends: float) -> None:
        self._job, self._keys, self._ends = job, keys, ends
        self._sums: dict[str, Any] = {"calls": 0, "rows": 0, "days": 0, "keys": 0} | (job.result or {})
        self._said = Said.now()
        self._gone = 0
        self._months: dict[date, bool] = {}

    def work(self) -> int:
        if self._sums.get("tries", 0) > jobs.TRIES:
            problem = "The worker stopped several times at the same place."
            jobs.finish(self._job, state="failed", result={**self._sums, "problem": problem})
            return 0
        secure()
        indexing.index_pending()  # else what waits would be indexed after its call had gone
        said = self._said
        for day in due.unsettled(said.digest, due.latest_due(said.rules, said.today), said.today):
            for _ in self._settle(day):
                if not jobs.keep(self._job, self._sums):
                    return self._gone  # another worker's by now
                if time.monotonic() >= self._ends:
                    jobs.release(self._job)
                    return self._gone
        for day in emptying.left_behind(self._keys):
            self._sums["keys"] += emptying.keys_go(day, self._keys)
        months.drop_emptied()
        jobs.finish(self._job, state="done", result=self._sums)
        tidy()
        return self._gone

    def _settle(self, day: date) -> Iterator[None]:
        """Remove what is due of a day; pauses after each batch."""
        said = self._said
        whole = self._whole(day)
        for group in groups(day, said.rules, said.holds):
            if is_due(group.term.payloads_due(day), said.today):
                yield from self._remove(group, "expired", keys_only=whole)
        if not whole and months.PARTITIONED:
            leftovers_go(day)
        for group in groups(day, said.rules, said.holds, removed=True):
            if is_due(group.term.rows_due(day), said.today):
                yield from self._remove(group, "rows")
        self._sums["keys"] += emptying.keys_go(day, self._keys)
        self._settled(day)
        yield

    def _whole(self, day: date) -> bool:
        """Whether the rest of this day goes with its month's partitions."""
        month = day.replace(day=1)
        if month not in self._months:
            said = self._said
            self._months[month] = months.wholly_due(day, said.rules, said.holds, said.today)
        return self._months[month]

    def _remove(self, group: Group, kind: Kind, *, keys_only: bool = False) -> Iterator[None]:
        detail = (("endpoint", group.scope.endpoint), ("level", group.scope.level))
        cause = Cause(
            kind=kind,
            why=group.term.rule,
            job_id=self._job.pk,
            detail=detail,
            keys_only=keys_only,
            digest=self._said.digest,
        )
        while batch := self._batch(group, kind):
            count = remove(batch, day=group.day, area=group.scope.area, cause=cause)
            self._sums["rows" if kind == "rows" else "calls"] += count
            self._gone += count
            yield
            if not count:
                return  # closed to us: another worker took them

    def _batch(self, group: Group, kind: Kind) -> list[UUID]:
        rows = days.calls_on(group.day).filter(group.which, closed_at__isnull=False)
        rows = rows.filter(removal_id__isnull=kind != "rows").exclude(held(self._said.holds))
        return list(days.in_order(rows).values_list("id", flat=True)[:AT_ONCE])

    def _settled(self, day: date) -> None:
        """By the rules that it was settled by. What is open, or was held, is looked at again tomorrow."""
        said = self._said
        left, removed = groups(day, said.rules, said.holds), groups(day, said.rules, said.holds, removed=True)
        later = due.next_due(left, removed, said.today)
        waits = any(
            g.calls + g.waiting > g.held and is_due(g.term.payloads_due(day), said.today) for g in left
        )
        if waits:
            later = said.today + timedelta(days=1)
        values = {"settled": said.digest, "next_due": later}
        EvidenceDay.objects.update_or_create(day=day, defaults=values)
        self._sums["days"] += 1

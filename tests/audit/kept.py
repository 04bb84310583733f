"""A world of days: calls that were made then, rules, holds, sweeps, and a database that is brought back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from io import StringIO
from typing import Any, Final
from uuid import UUID

from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.models import Model

from audit import ids, indexing, partitions, reader
from audit.keynames import start_of
from audit.keys import KeyDirectory
from audit.models import (
    Call,
    CallKey,
    EvidenceDay,
    Fact,
    Fingerprint,
    Flag,
    FlagAct,
    FlagLabel,
    LegalHold,
    Original,
    Payload,
    RetentionRule,
    Session,
    Unindexed,
    Word,
)
from audit.recorder import Recorder
from audit.records import Recordable, Who
from audit.retention import erasure, holds, months, rekeying, run
from audit.retention.days import today
from audit.retention.erasure import Selection
from audit.search.sightings import sighted

from .world import ALICE, ANSWER, BOB, DONE, asks
from .world import run as run_async

DAVE: Final = Who(subject="local:dave", name="dave", kind="person")
VALUE: Final = b"v" * 32
MOVED: Final[tuple[type[Model], ...]] = (
    CallKey,
    Payload,
    Fingerprint,
    Word,
    Unindexed,
    EvidenceDay,
    Session,
    Original,
    Fact,
    Call,
    Flag,
    FlagLabel,
    FlagAct,  # after the calls: while one is there, nobody may delete what people did about it
)
"""What retention deletes or changes. Entries, events and removals only grow."""


def ago(days: int) -> date:
    return today() - timedelta(days=days)


def then(day: date) -> UUID:
    """The id of a call at noon of a day."""
    noon = start_of(day) + timedelta(hours=12)
    return ids.uuid7(ids.microseconds(noon) // 1000, int.from_bytes(os.urandom(10), "big"))


def calls_on(recorder: Recorder, *days: int, view: Recordable | None = None, **changes: Any) -> list[Call]:
    """A whole call on each of these days, so many days ago, with a found value in it."""
    made = [asks(call_id=then(ago(day)), fingerprints=(("EMAIL", VALUE),), **changes) for day in days]

    async def ask() -> None:
        for admission in made:
            await recorder.admit(admission, view=view)
            await recorder.segment(admission.call_id, ANSWER, final=True)
            recorder.close(admission.call_id, DONE)
        # whoever closes is not waited for: one more that is
        await recorder.refuse(asks(call_id=then(ago(0)), request=None), DONE)

    run_async(ask())
    indexing.index_pending()
    return [Call.objects.get(id=each.call_id) for each in made]


@contextmanager
def a_month(day: date) -> Iterator[tuple[date, date]]:
    """The month of a day: its first day and the next one's. On PostgreSQL with partitions of its own."""
    first, following = months.span(day)
    with connection.cursor() as cursor:
        for table in partitions.TABLES if months.PARTITIONED else ():
            for statement in partitions.attach_month(table, start_of(first), start_of(following)):
                cursor.execute(statement)
    yield first, following
    with connection.cursor() as cursor:
        for table in partitions.TABLES if months.PARTITIONED else ():
            if months._there(name := partitions.name(table, start_of(first))):
                cursor.execute(f"ALTER TABLE {table} DETACH PARTITION {name}")
                cursor.execute(f"DROP TABLE {name}")


def rule(payload_days: int | None, row_days: int | None = None, **scope: str) -> RetentionRule:
    name = " ".join([f"{payload_days} days", *scope.values()])
    return RetentionRule.objects.create(name=name, payload_days=payload_days, row_days=row_days, **scope)


def hold(**said: Any) -> LegalHold:
    """By `subject`: of the caller of the world who has that name."""
    if name := said.pop("subject", ""):
        said["caller_id"] = {ALICE.subject: ALICE, BOB.subject: BOB}[name].person_id
    return holds.hold_place(hold=LegalHold(**said), by=DAVE, why=Recordable(b"case 7"))


def request(*calls: Call, **said: Any) -> None:
    """What two people have confirmed."""
    chosen = Selection(calls=tuple(call.id for call in calls), **said)
    erasure.begin(selection=chosen, by=DAVE, proposed_by="alice", name="request 1")


def erase(*calls: Call, keys: KeyDirectory, **said: Any) -> None:
    request(*calls, **said)
    erasure.sweep()
    rekeying.sweep(keys)


def retain(keys: KeyDirectory) -> int:
    return run.sweep(keys)


def readable(call: Call) -> bool:
    """Whether the request and the response open now."""
    found = Call.objects.filter(id=call.id).first()
    record = found and reader.call_read(found)
    return bool(record and record.request and record.response)


def findable(call: Call, keys: KeyDirectory) -> bool:
    return call.id in sighted(keys, [VALUE])


def problems(call: Call) -> str:
    return " ".join(reader.call_read(Call.objects.get(id=call.id)).problems)


def verified() -> str:
    """What the verifying command finds; empty when nothing."""
    out = StringIO()
    try:
        call_command("audit_verify", stdout=out)
    except CommandError:
        return out.getvalue()
    return ""


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy of the database, as far as anything of it ever goes away."""

    rows: dict[type[Model], list[Model]]

    @classmethod
    def made(cls) -> Backup:
        return cls({model: list(model._default_manager.all()) for model in MOVED})

    def restore(self) -> None:
        with transaction.atomic(), connection.cursor():
            for model in self.rows:
                model._default_manager.all()._raw_delete("default")
            for model, rows in self.rows.items():
                model._default_manager.bulk_create(_as_new(rows))


def _as_new(rows: Iterable[Model]) -> list[Model]:
    return [
        type(row)(**{f.attname: getattr(row, f.attname) for f in row._meta.concrete_fields}) for row in rows
    ]


def at(day: date, hour: int) -> datetime:
    return datetime.combine(day, time(hour), start_of(day).tzinfo)

"""Checkpoints over the stored record: what is stated, by how many at once, and what contradicts it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections, transaction

from audit import ids, triggers, verifier
from audit.checkpoint import parse
from audit.checkpoints import checkpoint_make, signed_of, signing_key
from audit.events import event, link
from audit.keys import KeyDirectory
from audit.models import Checkpoint, Entry, Instance, Store, Stream
from audit.recorder import Recorder
from tests.audit.world import ANSWER, DONE, asks, run

pytestmark = pytest.mark.django_db(transaction=True)


def calls(recorder: Recorder, count: int = 1) -> None:
    async def some() -> None:
        for _ in range(count):
            admission = asks()
            await recorder.admit(admission)
            await recorder.segment(admission.call_id, ANSWER, final=True)
            recorder.close(admission.call_id, DONE)

    run(some())


def said(keys: KeyDirectory) -> list[str]:
    """What the verifier says of the stored entries, held to the stored checkpoints."""
    digests: verifier.Digests = {}
    problems = [*verifier.problems((link(entry) for entry in Entry.objects.order_by("id")), digests)]
    signed = [signed_of(row) for row in Checkpoint.objects.order_by("number")]
    return [*problems, *verifier.contradictions(digests, signed, signing_key(keys).public_key())]


def test_each_states_what_is_new(recorder: Recorder, keys: KeyDirectory) -> None:
    calls(recorder, 3)
    event("policy.published")
    first = checkpoint_make(keys)
    assert first is not None and first.number == 1 and first.size == Entry.objects.count()
    assert said(keys) == []
    event("policy.published")
    second = checkpoint_make(keys)
    assert second is not None and second.size == 1
    (only,) = parse(bytes(second.text)).runs
    assert (only.first, only.last) == (2, 2)
    third = checkpoint_make(keys)
    assert third is not None and third.size == 0 and parse(bytes(third.text)).runs == ()
    assert said(keys) == []


def test_nothing_is_stated_of_a_store_in_which_nothing_is(keys: KeyDirectory) -> None:
    assert checkpoint_make(keys) is None


def test_many_entries_are_stated_page_by_page(
    recorder: Recorder, keys: KeyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.checkpoints.AT_ONCE", 7)
    calls(recorder, 20)
    row = checkpoint_make(keys)
    assert row is not None and row.size == Entry.objects.count() > 50
    assert said(keys) == []


def test_of_many_at_once_one_is_written(recorder: Recorder, keys: KeyDirectory) -> None:
    calls(recorder)

    def make(_: int) -> Any:
        try:
            return checkpoint_make(keys)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        made = [row for row in pool.map(make, range(6)) if row is not None]
    assert [row.number for row in Checkpoint.objects.order_by("number")] == [*range(1, len(made) + 1)]
    assert said(keys) == []


def test_an_instance_that_ended_long_ago_is_not_read_again(recorder: Recorder, keys: KeyDirectory) -> None:
    calls(recorder)
    recorder.stop(5)
    checkpoint_make(keys)
    Instance.objects.update(heartbeat_at=ids.moment(1))
    checkpoint_make(keys)
    stream = Stream.objects.get(kind="instance")
    assert stream.stated == Entry.objects.filter(stream_id=stream.id).count()
    assert said(keys) == []


def test_checkpoints_are_never_changed(recorder: Recorder, keys: KeyDirectory) -> None:
    checkpoint_make(keys)
    for act in ("UPDATE audit_checkpoint SET size = 9", "DELETE FROM audit_checkpoint"):
        with pytest.raises(Exception, match="append-only"), connection.cursor() as cursor:
            cursor.execute(act)


# --- a store that somebody has written to -------------------------------------------------------------
def dropped_guards() -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET session_replication_role = replica")
            return
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_entry'")
        for (name,) in cursor.fetchall():
            cursor.execute(f'DROP TRIGGER "{name}"')


def guards_again() -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET session_replication_role = origin")
            return
        for statement in triggers.sqlite_create():
            cursor.execute(statement)


def forge(entries: list[Entry]) -> None:
    """The stream written anew: every digest fits the one before it."""
    before = bytes(32)
    for entry in entries:
        entry.previous = before
        entry.digest = link(entry).expected()
        Entry.objects.filter(id=entry.id).update(
            previous=entry.previous, digest=entry.digest, meta=entry.meta, kind=entry.kind
        )
        before = bytes(entry.digest)


def changed(entries: list[Entry]) -> None:
    entries[1].meta = bytes(entries[1].meta) + b" "
    forge(entries)


def cut_off(entries: list[Entry]) -> None:
    Entry.objects.filter(id__in=[entry.id for entry in entries[-2:]]).delete()


def emptied(entries: list[Entry]) -> None:
    Entry.objects.filter(stream_id=entries[0].stream_id).delete()


def swapped(entries: list[Entry]) -> None:
    one, other = entries[0], entries[1]
    one.meta, other.meta = other.meta, one.meta
    forge(entries)


TAMPERS: dict[str, Callable[[list[Entry]], None]] = {
    "changed": changed,
    "cut off": cut_off,
    "emptied": emptied,
    "swapped": swapped,
}


@pytest.mark.parametrize("tamper", TAMPERS)
@pytest.mark.parametrize("kind", ["instance", "events"])
def test_whoever_writes_the_store_is_found(
    recorder: Recorder, keys: KeyDirectory, tamper: str, kind: str
) -> None:
    calls(recorder, 2)
    for name in ("policy.published", "key.revoked", "lock.set"):
        event(name)
    recorder.stop(5)
    checkpoint_make(keys)
    assert said(keys) == []
    stream = Stream.objects.get(kind=kind)
    dropped_guards()
    try:
        with transaction.atomic():
            TAMPERS[tamper](list(Entry.objects.filter(stream_id=stream.id).order_by("id")))
            assert said(keys), tamper
            transaction.set_rollback(True)
    finally:
        guards_again()


def test_an_older_store_that_goes_on_contradicts_what_was_stated(
    recorder: Recorder, keys: KeyDirectory
) -> None:
    """A backup was brought back: the checkpoints that were told outside know more."""
    event("policy.published")
    checkpoint_make(keys)
    event("lock.set")
    checkpoint_make(keys)
    outside = [signed_of(row) for row in Checkpoint.objects.order_by("number")]
    recorder.stop(5)
    dropped_guards()
    try:
        stream = Stream.objects.get(kind="events")
        last = Entry.objects.filter(stream_id=stream.id).order_by("-id")[0]
        before = Entry.objects.filter(stream_id=stream.id).order_by("-id")[1]
        Entry.objects.filter(id=last.id).delete()
        Stream.objects.filter(pk=stream.pk).update(sequence=before.sequence, digest=bytes(before.digest))
        event("key.made")
        digests: verifier.Digests = {}
        entries = (link(entry) for entry in Entry.objects.order_by("id"))
        assert [*verifier.problems(entries, digests)] == []
        problems = [*verifier.contradictions(digests, outside, signing_key(keys).public_key())]
        assert any("was another entry" in problem for problem in problems)
    finally:
        guards_again()


def test_an_epoch_is_stated(recorder: Recorder, keys: KeyDirectory) -> None:
    checkpoint_make(keys)
    Store.objects.update(epoch=2)
    row = checkpoint_make(keys)
    assert row is not None and row.epoch == parse(bytes(row.text)).epoch == 2
    assert said(keys) == []

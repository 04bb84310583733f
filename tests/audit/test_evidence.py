"""Events, the guarded tables, opening a record, erasure, indexes, the verifying command, partitions."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.core.management import CommandError, call_command
from django.db import Error, connection, transaction

from audit import chain, crypto, ids, indexing, partitions, reader, sweeps, verifier
from audit.events import event
from audit.keys import KeyDirectory
from audit.models import Call, CallKey, Entry, Fingerprint, Payload, Stream, Unindexed
from audit.recorder import Recorder
from audit.records import Recordable, Who
from audit.search.sightings import sighted
from audit.walls import EVERYWHERE

from .world import ANSWER, DONE, asks, broken, run

DAVE = Who(subject="local:dave", name="dave", kind="person")


def recorded(recorder: Recorder, **changes: Any) -> Call:
    """A whole call of alice's."""
    admission = asks(**changes)

    async def ask() -> None:
        await recorder.admit(admission)
        await recorder.segment(admission.call_id, ANSWER, final=True)
        recorder.close(admission.call_id, DONE)

    run(ask())
    recorder.stop(5)
    return Call.objects.get(id=admission.call_id)


# --- events -----------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_an_event_is_chained_to_the_one_before() -> None:
    first = event("policy.published", by=DAVE, about="policy 7", detail={"number": 3})
    second = event("policy.retired", note=Recordable(b"no longer needed"))
    assert second == first + 1
    assert list(broken()) == []
    meta = json.loads(bytes(Entry.objects.get(id=first).meta))
    assert (meta["event"], meta["by"]["name"], meta["detail"]) == ("policy.published", "dave", {"number": 3})
    assert Stream.objects.get().sequence == 2


@pytest.mark.django_db(transaction=True)
def test_an_act_that_is_rolled_back_has_no_event() -> None:
    event("kept")
    with pytest.raises(RuntimeError), transaction.atomic():
        event("undone")
        raise RuntimeError
    event("kept too")
    assert Entry.objects.count() == 2
    assert list(broken()) == []


# --- guards -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET kind = 'event'",
        "DELETE FROM audit_entry",
        "UPDATE audit_payload SET sealed = sealed",
    ],
)
def test_evidence_is_not_changed_by_sql(recorder: Recorder, statement: str) -> None:
    recorded(recorder)
    with pytest.raises(Error, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert list(broken()) == []


@pytest.mark.django_db
def test_an_entrys_id_is_its_place() -> None:
    event("first")
    entry = Entry.objects.get()
    entry.id, entry.sequence = entry.id + 1, 5
    with pytest.raises(Error), transaction.atomic():
        entry.save(force_insert=True)


@pytest.mark.django_db
def test_a_call_is_closed_whole_or_not_at_all(recorder: Recorder) -> None:
    run(recorder.admit(asks()))
    with pytest.raises(Error), transaction.atomic():
        Call.objects.update(closed_at=ids.moment(1))


# --- opening ----------------------------------------------------------------------------------------
def test_opening_a_call_is_recorded_before_it_is_shown(recorder: Recorder) -> None:
    call = recorded(recorder)
    record = reader.call_open(call_id=call.id, by=DAVE, areas=EVERYWHERE, why=Recordable(b"complaint 12"))
    assert record.chain_ok and record.response == (ANSWER,)
    opened = Entry.objects.get(kind="event", call_id=call.id)
    meta = json.loads(bytes(opened.meta))
    assert (meta["event"], meta["by"]["name"], meta["note"]) == ("call.opened", "dave", "complaint 12")


@pytest.mark.django_db(transaction=True)
def test_an_unknown_call_is_not_there() -> None:
    with pytest.raises(Call.DoesNotExist):
        reader.call_open(call_id=ids.new(), by=DAVE, areas=EVERYWHERE)


@pytest.mark.parametrize(
    ("model", "words"), [(CallKey, "its key is missing"), (Payload, "payload is missing")]
)
def test_what_was_deleted_behind_the_records_back_is_missed(
    recorder: Recorder, model: type[CallKey | Payload], words: str
) -> None:
    """The chain of digests is whole, and says what is not there."""
    call = recorded(recorder)
    model._default_manager.all().delete()
    record, out = reader.call_read(call), StringIO()
    assert record.chain_ok and record.request is None and record.response == ()
    assert any(words in problem for problem in record.problems)
    assert list(broken()) == []
    with pytest.raises(CommandError):
        call_command("audit_verify", stdout=out)
    assert "no removal says why" in out.getvalue()


def test_a_day_whose_key_is_gone_stays_closed(recorder: Recorder, tmp_path: Path, settings: Any) -> None:
    call = recorded(recorder)
    settings.AUDIT_KEY_DIR = tmp_path
    record = reader.call_read(call)
    assert record.request is None and any("is gone" in problem for problem in record.problems)


def without_guards() -> None:
    """What somebody who owns the database can do."""
    with connection.cursor() as cursor:
        for table in ("audit_entry", "audit_payload"):
            if connection.vendor == "postgresql":
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            else:
                cursor.execute(f"DROP TRIGGER IF EXISTS {table}_no_update")


@pytest.fixture
def tampering(recorder: Recorder) -> Any:
    """Guards off for the test; on again for the next."""
    from audit import triggers

    yield without_guards
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ALTER TABLE audit_entry ENABLE TRIGGER USER")
            cursor.execute("ALTER TABLE audit_payload ENABLE TRIGGER USER")
        else:
            for statement in triggers.sqlite_create():
                cursor.execute(statement)


def test_a_changed_entry_is_found(recorder: Recorder, tampering: Any) -> None:
    call = recorded(recorder)
    tampering()
    Entry.objects.filter(call_id=call.id, kind="admission").update(meta=b'{"v":1,"who":{"name":"bob"}}')
    record = reader.call_read(call)
    assert not record.chain_ok and "was changed" in record.problems[0]
    with pytest.raises(CommandError):
        call_command("audit_verify", stdout=StringIO())


def test_a_changed_payload_is_found(recorder: Recorder, tampering: Any) -> None:
    call = recorded(recorder)
    tampering()
    Payload.objects.update(sealed=b"\x01" + bytes(60))
    assert not reader.call_read(call).chain_ok
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("audit_verify", stdout=out)
    assert "payload" in out.getvalue()


def test_the_command_exports_what_the_verifier_reads(recorder: Recorder, tmp_path: Path) -> None:
    recorded(recorder)
    event("something")
    export, out = tmp_path / "export.jsonl", StringIO()
    call_command("audit_verify", export=export, stdout=out)
    links = [verifier.parse(line) for line in export.read_text().splitlines()]
    assert len(links) == Entry.objects.count() and list(verifier.problems(links)) == []
    assert f"{len(links)} entries, 0 problems" in out.getvalue()


# --- indexes ----------------------------------------------------------------------------------------
def test_fingerprints_wait_for_their_index_and_are_moved_once(recorder: Recorder, keys: KeyDirectory) -> None:
    call = recorded(recorder, fingerprints=(("EMAIL", b"e" * 32), ("CARD", b"c" * 32)))
    assert Unindexed.objects.count() == 1 and not Fingerprint.objects.exists()
    assert indexing.index_pending() == 1
    assert indexing.index_pending() == 0
    assert sighted(keys, [b"e" * 32]) == {call.id: "EMAIL"}
    assert sighted(keys, [b"x" * 32]) == {}


def test_fingerprints_mean_nothing_without_their_days_key(recorder: Recorder, keys: KeyDirectory) -> None:
    """Neither in the index nor before they get there: a backup holds both."""
    recorded(recorder, fingerprints=(("EMAIL", b"e" * 32),))
    waiting = bytes(Unindexed.objects.get().fingerprints)
    indexing.index_pending()
    held = bytes(Fingerprint.objects.get().digest)
    assert b"EMAIL" in waiting and (b"e" * 16).hex().encode() not in waiting
    assert len(held) == 16 and held != b"e" * 16
    keys.destroy(CallKey.objects.get().wrapped_by)
    assert sighted(keys, [b"e" * 32]) == {}


def test_what_was_written_before_days_had_keys_is_still_found(recorder: Recorder, keys: KeyDirectory) -> None:
    call = recorded(recorder)
    old = json.dumps([[call.id.hex, [["EMAIL", (b"e" * 16).hex()]]]]).encode()
    Unindexed.objects.create(id=1, at=call.started_at, fingerprints=old)
    indexing.index_pending()
    assert sighted(keys, [b"e" * 32]) == {call.id: "EMAIL"}
    assert Fingerprint.objects.get().generation == 0


def test_a_call_that_a_months_key_wraps_still_opens(
    recorder: Recorder, keys: KeyDirectory, settings: Any
) -> None:
    call = recorded(recorder)
    row, noise, month = CallKey.objects.get(), crypto.Noise(), f"payload-{call.started_at:%Y-%m}"
    place = crypto.key_place(call.id.bytes, row.wrapped_by)
    key = crypto.unseal(AESGCM(keys.find(row.wrapped_by)), bytes(row.wrapped), place)
    (settings.AUDIT_KEY_DIR / f"{month}.key").write_bytes(bytes(32))
    wrapped = crypto.seal(AESGCM(bytes(32)), key, crypto.key_place(call.id.bytes, month), noise)
    CallKey.objects.update(wrapped_by=month, wrapped=wrapped)
    assert reader.call_read(call).response == (ANSWER,)


# --- partitions -------------------------------------------------------------------------------------
def test_months_follow_each_other_over_the_year() -> None:
    months = list(partitions.months(datetime(2026, 11, 30, tzinfo=UTC), 3))
    assert [first.month for first, _ in months] == [11, 12, 1]
    assert all(months[at][1] == months[at + 1][0] for at in range(2))


@pytest.mark.django_db(transaction=True)
def test_partitions_are_made_ahead_once() -> None:
    sweeps.partitions_make()
    assert sweeps.partitions_make() == []
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_inherits WHERE inhparent = 'audit_entry'::regclass")
            assert cursor.fetchall()[0][0] >= 5  # four months and the default


@pytest.mark.django_db(transaction=True)
def test_a_call_lies_in_its_month_and_is_found_by_its_time(recorder: Recorder) -> None:
    call = recorded(recorder)
    found = Call.objects.filter(id=call.id, started_at=ids.time_of(call.id))
    assert found.get() == call
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT tableoid::regclass::text FROM audit_entry WHERE call_id = %s", [call.id])
            assert {row[0] for row in cursor.fetchall()} == {partitions.name("audit_entry", call.started_at)}
        assert found.explain().count("Scan") == 1  # one partition


@pytest.mark.django_db
def test_streams_are_numbered_apart() -> None:
    event("first")
    number = Stream.objects.get().number
    assert chain.entry_id(number, 1) == Entry.objects.get().id

"""Rows around the chain, changed by somebody who may run any SQL: what people read as evidence is held
against the entries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from django.db import connection
from django.db.models import Model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit import ids, reader
from audit.checkpoints import checkpoint_make
from audit.keys import KeyDirectory
from audit.models import (
    Call,
    CallKey,
    Checkpoint,
    Entry,
    LegalHold,
    Payload,
    Removal,
    Session,
    Store,
    Stream,
)
from audit.projection import row_differs
from audit.recorder import Recorder
from audit.records import Close, Recordable, What, Who
from audit.retention import holds
from tests.console.test_searching import signed_in

from .kept import DAVE, calls_on, hold, retain, rule, verified
from .world import CHAT, asks, run

pytestmark = pytest.mark.django_db(transaction=True)

EARLIER: Final = ids.moment(1_600_000_000_000)
OTHERS: Final[dict[str, Any]] = {
    "CharField": "forged",
    "UUIDField": UUID(int=7),
    "DateTimeField": EARLIER,
    "BinaryField": b"\x01" * 32,
    "JSONField": ["forged"],
    "BooleanField": False,
    "PositiveIntegerField": 77,
    "PositiveBigIntegerField": 77,
    "PositiveSmallIntegerField": 418,
}
NO_EVIDENCE: Final = {"instance_id"}
"""Which process closes it if it vanishes; nobody is shown that."""

SHOWN: Final = [
    field.name for field in Call._meta.concrete_fields if field.name not in {"removal_id", *NO_EVIDENCE}
]


@pytest.fixture
def unguarded() -> Iterator[None]:
    """Whoever owns the database takes the guards away."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET session_replication_role = replica")
            yield
            cursor.execute("SET session_replication_role = origin")
            return
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        triggers = cursor.fetchall()
        for name, _ in triggers:
            cursor.execute(f'DROP TRIGGER "{name}"')
        yield
        for _, sql in triggers:
            cursor.execute(sql)


def change(model: type[Model], pk: Any, /, **columns: Any) -> None:
    assert model._default_manager.filter(pk=pk).update(**columns) == 1


def other(field_name: str, value: Any, model: type[Model] = Call) -> Any:
    forged = OTHERS[model._meta.get_field(field_name).get_internal_type()]
    return forged if forged != value else not value


# --- calls ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("column", [name for name in SHOWN if name not in ("id", "started_at")])
def test_a_changed_column_of_a_call_is_named_on_its_page_and_by_the_command(
    recorder: Recorder, column: str
) -> None:
    (call,) = calls_on(recorder, 1)
    assert reader.call_read(call).problems == () and verified() == ""
    change(Call, call.id, **{column: other(column, getattr(call, column))})
    record = reader.call_read(Call.objects.get(id=call.id))
    assert record.unlike == (column,) and column in record.problems[-1]
    assert f"call {call.id}: its row is not what its entries say: {column}" in verified()


def test_the_page_of_a_changed_call_says_so_at_its_top(recorder: Recorder) -> None:
    (call,) = calls_on(recorder, 1)
    dave, at = signed_in("dave"), f"/audit/calls/{call.id}/"
    assert "was changed in the database" not in dave.get(at).content.decode()
    change(Call, call.id, model="another")
    page = dave.get(at).content.decode()
    assert page.index("was changed in the database") < page.index("entries say: model")


def test_a_call_whose_row_was_deleted_moved_or_put_in_is_found(recorder: Recorder) -> None:
    gone, moved, whole = calls_on(recorder, 1, 1, 1)
    Call.objects.filter(id=gone.id).delete()
    change(Call, moved.id, started_at=moved.started_at - timedelta(days=1))
    made = Call.objects.get(id=whole.id)
    made.id = ids.new()
    made.started_at = ids.time_of(made.id)
    made.save(force_insert=True)
    said = verified()
    assert f"the row of call {gone.id} is missing, and no removal says why" in said
    assert f"call {made.id}: its row was put in" in said
    assert str(moved.id) in said and str(whole.id) not in said


def test_a_call_that_was_made_to_look_open_is_found(recorder: Recorder) -> None:
    (call,) = calls_on(recorder, 1)
    change(Call, call.id, closed_at=None, status=None, complete=None)
    assert set(reader.call_read(Call.objects.get(id=call.id)).unlike) == {"closed_at", "status", "complete"}


def test_a_call_that_ends_while_it_is_read_is_whole(recorder: Recorder) -> None:
    """Its row was read before, its entries after."""
    (call,) = calls_on(recorder, 1)
    before = Call.objects.get(id=call.id)
    before.closed_at = before.status = before.complete = None
    assert row_differs(before, reader.call_read(call).links)
    assert reader.call_read(before).problems == ()


TEXT = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=600)
VALUES = st.recursive(
    st.none() | st.integers(-(2**40), 2**40) | TEXT, lambda inner: st.lists(inner, max_size=2)
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=TEXT, path=TEXT, groups=st.lists(TEXT, max_size=3), extra=VALUES, took=st.floats(0, 1e9))
def test_whatever_is_recorded_has_the_row_that_its_entries_say(
    recorder: Recorder, name: str, path: str, groups: list[str], extra: Any, took: float
) -> None:
    """Long names are cut, odd ones kept; open, refused and ended calls alike."""
    who = Who(subject="s" + name, name=name, kind="person", groups=tuple(groups), network="127.0.0.1")
    what = What(**{**{each: getattr(CHAT, each) for each in What.__slots__}, "path": path, "model": name})
    end = Close(
        action="masked", status=200, complete=True, timings={"total": took}, extra={"x": extra}, code="stop"
    )
    still, done, refused = (asks(who, what=what) for _ in range(3))

    async def ask() -> None:
        await recorder.admit(still)
        await recorder.admit(done)
        recorder.close(done.call_id, end)
        await recorder.refuse(refused, end)

    run(ask())
    for call in Call.objects.filter(id__in=[still.call_id, done.call_id, refused.call_id]):
        assert reader.call_read(call).unlike == ()


# --- sessions, payloads, keys -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    "column", ["subject", "name", "kind", "area", "endpoint", "endpoint_id", "person_id"]
)
def test_a_session_that_was_given_to_somebody_else_is_found(recorder: Recorder, column: str) -> None:
    run(recorder.admit(asks()))
    session = Session.objects.get()
    change(Session, session.pk, **{column: other(column, getattr(session, column), Session)})
    assert f"session {session.pk}" in verified()


def test_a_session_that_was_deleted_is_found(recorder: Recorder) -> None:
    (call,) = calls_on(recorder, 0)
    Session.objects.filter(pk=call.session_id).delete()
    assert f"session {call.session_id}: its row is missing" in verified()


@pytest.mark.parametrize(
    "columns",
    [
        {"wrapped": b"\x01" * 61},
        {"wrapped_by": "forged"},
        {"wrapped_by": "payload-2020-01-01"},
        {"started_at": EARLIER},
    ],
    ids=lambda columns: "".join(columns),
)
def test_a_key_that_was_made_useless_is_found(
    recorder: Recorder, unguarded: None, columns: dict[str, Any]
) -> None:
    """It destroys what it opens as well as deleting it would."""
    (call,) = calls_on(recorder, 1)
    change(CallKey, call.id, **columns)
    assert f"the key of call {call.id} was" in verified()


def test_a_payload_that_was_moved_to_another_time_is_found(recorder: Recorder, unguarded: None) -> None:
    (call,) = calls_on(recorder, 1)
    payload = Payload.objects.filter(started_at=call.started_at).first()
    assert payload is not None
    change(Payload, payload.id, started_at=EARLIER)
    assert f"payload {payload.id} was moved" in verified()


# --- what was removed, and what was held ------------------------------------------------------------------
@pytest.mark.parametrize(
    "columns",
    [
        {"why": "court order 12"},
        {"kind": "erased"},
        {"kind": "rows"},
        {"area": "billing"},
        {"day": EARLIER.date()},
    ],
    ids=lambda columns: "".join(columns),
)
def test_a_removal_with_another_reason_accounts_for_nothing(
    recorder: Recorder, keys: KeyDirectory, unguarded: None, columns: dict[str, Any]
) -> None:
    (call,) = calls_on(recorder, 40)
    rule(30)
    assert retain(keys) == 1 and verified() == ""
    change(Removal, Removal.objects.get().pk, **columns)
    assert "no removal says why" in verified()
    if "day" not in columns:
        record = reader.call_read(Call.objects.get(id=call.id))
        assert reader.UNACCOUNTED in record.problems[0]


def test_a_page_says_when_a_removal_was_by_the_record(
    recorder: Recorder, keys: KeyDirectory, unguarded: None
) -> None:
    (call,) = calls_on(recorder, 40)
    rule(30)
    retain(keys)
    change(Removal, Removal.objects.get().pk, at=EARLIER)
    assert f"{ids.now():%Y-%m-%d}" in reader.call_read(Call.objects.get(id=call.id)).problems[0]


HOLD_CHANGES: Final[tuple[dict[str, Any], ...]] = (
    {"area": "billing"},
    {"subject": "somebody"},
    {"call_id": UUID(int=9)},
    {"since": EARLIER},
    {"reason": "case 8"},
    {"placed_by": "erin"},
    {"lifted_at": EARLIER, "lifted_by": "erin and dave"},
)


@pytest.mark.parametrize("columns", HOLD_CHANGES, ids=lambda columns: "".join(columns))
def test_a_hold_that_was_moved_or_lifted_in_the_database_is_found(
    recorder: Recorder, unguarded: None, columns: dict[str, Any]
) -> None:
    (call,) = calls_on(recorder, 1)
    placed = hold(call_id=call.id)
    assert verified() == ""
    change(LegalHold, placed.pk, **columns)
    assert f"hold {placed.pk}: its row is not what the record says" in verified()


def test_a_hold_that_was_deleted_or_put_in_is_found(recorder: Recorder, unguarded: None) -> None:
    (call,) = calls_on(recorder, 1)
    placed = hold(call_id=call.id)
    LegalHold.objects.filter(pk=placed.pk).delete()
    made = LegalHold.objects.create(area="clinic", reason="none", placed_by="dave")
    said = verified()
    assert f"hold {placed.pk}: its row is missing" in said and f"hold {made.pk}: its row was put in" in said


def test_what_was_removed_while_a_hold_was_moved_away_is_found_after_it_was_put_back(
    recorder: Recorder, keys: KeyDirectory, unguarded: None
) -> None:
    """Retention itself destroyed the evidence, and says so: the hold said otherwise at the time."""
    (call,) = calls_on(recorder, 40)
    placed = hold(call_id=call.id)
    rule(30)
    change(LegalHold, placed.pk, lifted_at=ids.now(), lifted_by="x")
    assert retain(keys) == 1
    change(LegalHold, placed.pk, lifted_at=None, lifted_by="")
    assert f"call {call.id}: it was removed although hold {placed.pk} kept it" in verified()


def test_holds_that_come_and_go_verify(recorder: Recorder, keys: KeyDirectory) -> None:
    first, second = calls_on(recorder, 40, 41)
    rule(30)
    one, two = (
        hold(call_id=first.id),
        hold(subject="local:alice", since=second.started_at - timedelta(days=9)),
    )
    assert retain(keys) == 0 and verified() == ""
    for each in (one, two):
        holds.hold_lift(hold=each, by=DAVE, proposed_by="erin")
    assert retain(keys) == 2 and verified() == ""
    hold(call_id=first.id)  # after it had gone
    assert verified() == ""


# --- streams, checkpoints, the store ----------------------------------------------------------------------
def test_a_stream_without_its_row_is_found(recorder: Recorder, unguarded: None) -> None:
    calls_on(recorder, 1)
    for stream in Stream.objects.all():
        Stream.objects.filter(pk=stream.pk).delete()
        assert f"stream {stream.id}: it has entries, and its row is missing" in verified()
        stream.save(force_insert=True)
    assert verified() == ""


def test_streams_that_changed_places_are_found(recorder: Recorder) -> None:
    (call,) = calls_on(recorder, 1)
    hold(call_id=call.id)
    events, instance = Stream.objects.get(kind="events"), Stream.objects.get(kind="instance")
    change(Stream, events.pk, id=UUID(int=1))
    change(Stream, instance.pk, id=events.id)
    change(Stream, events.pk, id=instance.id)
    assert "lie at the place of stream" in verified()


def test_a_stream_said_to_be_stated_is_found(recorder: Recorder, keys: KeyDirectory) -> None:
    """So that no later checkpoint would state what comes."""
    calls_on(recorder, 1)
    checkpoint_make(keys)
    stream = Stream.objects.get(kind="instance")
    change(Stream, stream.pk, stated=stream.stated + 1000)
    assert f"stream {stream.id}: its row says that more was stated than there is" in verified()


@pytest.mark.parametrize("column", ["epoch", "at", "size", "text", "digest", "signature"])
def test_a_changed_checkpoint_is_found(
    recorder: Recorder, keys: KeyDirectory, unguarded: None, column: str
) -> None:
    calls_on(recorder, 1)
    checkpoint_make(keys)
    calls_on(recorder, 1)
    row = checkpoint_make(keys)
    assert row is not None and verified() == ""
    change(Checkpoint, row.pk, **{column: other(column, getattr(row, column), Checkpoint)})
    assert "checkpoint" in verified()


def test_a_checkpoint_that_was_deleted_between_others_is_found(
    recorder: Recorder, keys: KeyDirectory, unguarded: None
) -> None:
    for _ in range(3):
        calls_on(recorder, 1)
        checkpoint_make(keys)
    Checkpoint.objects.filter(number=2).delete()
    assert "checkpoint 3: follows number 1" in verified()


def test_an_epoch_that_nobody_began_is_found(recorder: Recorder) -> None:
    calls_on(recorder, 1)
    Store.objects.update(epoch=2)
    assert "the store is in epoch 2, and by the record in 1" in verified()


def test_a_chain_written_anew_is_found_by_the_stores_own_checkpoints(
    recorder: Recorder, keys: KeyDirectory, unguarded: None
) -> None:
    """Every digest fits the one before it."""
    calls_on(recorder, 1)
    recorder.stop(5)
    checkpoint_make(keys)
    before = bytes(32)
    stream = Stream.objects.get(kind="instance")
    for entry in Entry.objects.filter(stream_id=stream.id).order_by("id"):
        meta = bytes(entry.meta)
        if entry.kind == "admission":
            meta = json.dumps({**json.loads(meta), "request_size": 1}).encode()
        entry.previous, entry.meta = before, meta
        before = reader.link(entry).expected()
        Entry.objects.filter(id=entry.id).update(previous=entry.previous, meta=meta, digest=before)
    assert "was another entry" in verified()


def test_a_reason_is_recorded_as_it_is_held(recorder: Recorder) -> None:
    """Long ones are cut in the row, and not on record."""
    holds.hold_place(hold=LegalHold(area="clinic"), by=DAVE, why=Recordable(("ä" * 500).encode()))
    assert verified() == ""

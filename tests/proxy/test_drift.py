"""What calls held is counted, shared and bounded: unclassified fields on their way to their rows."""

from __future__ import annotations

import json
import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from unittest import mock
from uuid import uuid4

import pytest
from django.db import connection
from django.db.utils import OperationalError

from gateway.models import FieldState, Revision, StructuredField
from gateway.proxy import drift
from gateway.proxy.drift import FieldLog
from gateway.proxy.exchange import Exchange
from gateway.proxy.wire.plain import PlainJson
from policies.engine.fields import MORE
from policies.engine.types import FieldSeen
from tests.gateway.world import endpoint

from .world import HEAD, KEYS, policy

NOTE, ROOM = FieldSeen("customer.note", "sentence"), FieldSeen("room", "digits")


def rows() -> dict[str, int]:
    return dict(StructuredField.objects.values_list("path", "calls"))


class Clock:
    """What `drift` takes for the time."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_quiet_endpoint_is_seen_whole_and_a_busy_one_once_a_second(clock: Clock) -> None:
    seen, chat, other = FieldLog(), uuid4(), uuid4()
    with mock.patch.object(drift, "time", clock):
        assert sum(seen.looks_at(chat) for _ in range(1000)) == drift.AT_ONCE
        assert seen.looks_at(other)
        clock.now += 5
        assert sum(seen.looks_at(chat) for _ in range(1000)) == 5
        clock.now += 10_000
        assert sum(seen.looks_at(chat) for _ in range(1000)) == drift.AT_ONCE


@pytest.mark.django_db
def test_calls_add_up_and_both_ends_of_the_time_are_kept() -> None:
    chat, seen = endpoint(), FieldLog()
    seen.saw(chat.pk, [NOTE, ROOM], 100.0)
    seen.saw(chat.pk, [NOTE], 50.0)
    seen.flush()
    seen.saw(chat.pk, [NOTE], 200.0)
    seen.flush()
    seen.saw(chat.pk, [NOTE], 150.0)
    seen.flush()
    assert rows() == {"customer.note": 4, "room": 1}
    row = StructuredField.objects.get(path="customer.note")
    assert (row.first_seen.timestamp(), row.last_seen.timestamp()) == (50, 200)
    assert (row.shape, row.state) == ("sentence", FieldState.NEW)


@pytest.mark.django_db
def test_what_somebody_decided_stays_decided() -> None:
    chat, seen = endpoint(), FieldLog()
    seen.saw(chat.pk, [NOTE], 100.0)
    seen.flush()
    StructuredField.objects.update(state=FieldState.DISMISSED)
    seen.saw(chat.pk, [NOTE], 101.0)
    seen.flush()
    assert StructuredField.objects.get().state == FieldState.DISMISSED and rows() == {"customer.note": 2}


@pytest.mark.django_db
def test_seeing_a_field_is_no_change_of_configuration() -> None:
    chat, seen = endpoint(), FieldLog()
    before = Revision.objects.get().value
    seen.saw(chat.pk, [NOTE], 100.0)
    seen.flush()
    assert Revision.objects.get().value == before


@pytest.mark.django_db
def test_an_endpoint_that_is_full_says_how_much_it_did_not_keep() -> None:
    chat, other, seen = endpoint(), endpoint("other"), FieldLog()
    many = [FieldSeen(f"f[*].x{number}", "word") for number in range(7)]
    with mock.patch.object(drift, "MAX_ROWS", 5):
        seen.saw(chat.pk, many[:4], time.time())
        seen.saw(other.pk, [NOTE], time.time())
        seen.flush()
        seen.saw(chat.pk, [*many, MORE], time.time())
        seen.flush()
        seen.saw(chat.pk, [many[6]], time.time())
        seen.flush()
    kept = dict(StructuredField.objects.filter(endpoint=chat).values_list("path", "calls"))
    assert kept.pop(MORE.path) == 2 + 1 + 1
    assert kept == {f"f[*].x{number}": 2 if number < 4 else 1 for number in range(5)}
    assert StructuredField.objects.filter(endpoint=other).count() == 1


@pytest.mark.django_db
def test_what_nobody_has_seen_for_a_month_makes_room() -> None:
    chat, seen = endpoint(), FieldLog()
    old = (datetime.now(UTC) - drift.FORGOTTEN - timedelta(days=1)).timestamp()
    with mock.patch.object(drift, "MAX_ROWS", 2):
        seen.saw(chat.pk, [NOTE, ROOM], old)
        seen.flush()
        StructuredField.objects.filter(path="room").update(state=FieldState.DISMISSED)
        seen.saw(chat.pk, [FieldSeen("new", "word")], time.time())
        seen.flush()
    assert rows() == {"room": 1, "new": 1}


@pytest.mark.django_db
def test_memory_is_bounded_and_the_rest_is_counted() -> None:
    chat, seen = endpoint(), FieldLog()
    with mock.patch.object(drift, "MAX_PENDING", 3):
        seen.saw(chat.pk, [FieldSeen(f"a{n}", "word") for n in range(5)], 100.0)
    seen.flush()
    assert rows() == {"a0": 1, "a1": 1, "a2": 1, MORE.path: 2}


@pytest.mark.django_db
def test_an_endpoint_that_was_deleted_is_forgotten() -> None:
    seen = FieldLog()
    seen.saw(uuid4(), [NOTE], 100.0)
    seen.flush()
    assert rows() == {}


@pytest.mark.django_db
def test_a_store_that_is_down_loses_nothing() -> None:
    chat, seen = endpoint(), FieldLog()
    seen.saw(chat.pk, [NOTE], 100.0)
    with mock.patch.object(drift, "_write", side_effect=OperationalError("gone")):
        seen.flush()
    seen.saw(chat.pk, [NOTE], 101.0)
    seen.flush()
    assert rows() == {"customer.note": 2}


@pytest.mark.django_db(transaction=True)
def test_several_processes_add_to_the_same_rows() -> None:
    chat = endpoint()
    fields = [FieldSeen(f"a{n}", "word") for n in range(120)]

    def process() -> None:
        seen = FieldLog()
        for number in range(5):
            seen.saw(chat.pk, fields[number * 10 :], 100.0 + number)
            seen.flush()
        connection.close()

    threads = [threading.Thread(target=process) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows() == {f"a{n}": 4 * min(5, n // 10 + 1) for n in range(120)}


@pytest.mark.django_db(transaction=True)
def test_the_thread_writes_what_is_left_when_it_stops() -> None:
    chat, seen = endpoint(), FieldLog()
    seen.start()
    seen.saw(chat.pk, [NOTE], 100.0)
    seen.stop()
    assert rows() == {"customer.note": 1}


@pytest.mark.django_db
def test_no_value_reaches_a_row_or_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    canaries = [
        "zebra 4711",
        "b.zebra@example.com",
        "ZEBRA-4711-0815",
        "2024-02-29",
        "078051120",
        "Z3br4Z3br4",
    ]
    document = {
        "values": canaries,
        "keys": {canary: {"inner": canary} for canary in canaries},
        "one": {canaries[0]: canaries[1]},
        "text": json.dumps({canary: canary for canary in canaries}),
    }
    chat, seen = endpoint(), FieldLog()
    call = Exchange(policy(), PlainJson(), KEYS)
    call.lists_fields = True
    call.request(HEAD, json.dumps(document).encode())
    seen.saw(chat.pk, call.fields, 100.0)
    with caplog.at_level(logging.DEBUG):
        with mock.patch.object(drift, "_write", side_effect=OperationalError(canaries[0])):
            seen.flush()
        seen.flush()
    told = caplog.text + repr(list(StructuredField.objects.values()))
    assert "keys.*.inner" in told
    assert [canary for canary in canaries if canary in told] == []

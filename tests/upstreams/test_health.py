"""What follows from what calls and probes saw; who tells it, and that it is told once."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import close_old_connections, connection
from django.db.utils import OperationalError
from django.test.utils import CaptureQueriesContext

from audit.models import Entry
from gateway.models import Endpoint, EndpointHealth, HealthState, Revision
from gateway.proxy.health import EVERY, STEP, HealthLog
from gateway.proxy.pools import Seen
from gateway.upstreams import health, probing
from gateway.upstreams.health import KNOWN, Probed, Report, calls_told, judged, probe_told, settle
from policies.history import history_of
from tests.gateway import world

from .tls import serving

NOON = datetime(2030, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def row(**more: Any) -> EndpointHealth:
    return EndpointHealth(**{"origin": world.ORIGIN, "since": NOON, **more})


@pytest.mark.parametrize(
    ("known", "state"),
    [
        ({}, "unknown"),
        ({"call_ok_at": NOON - MINUTE}, "healthy"),
        ({"probe_ok_at": NOON - MINUTE}, "healthy"),
        ({"call_ok_at": NOON - KNOWN - MINUTE}, "unknown"),
        # one failure, or a few, is nothing yet
        ({"call_ok_at": NOON - MINUTE, "call_error_at": NOON, "call_error": "timeout"}, "healthy"),
        ({"probe_ok_at": NOON - MINUTE, "probe_error_at": NOON, "probe_failures": 1}, "healthy"),
        ({"probe_error_at": NOON, "probe_failures": 1}, "unknown"),
        # a process refuses calls
        ({"opened_at": NOON}, "failing"),
        ({"opened_at": NOON, "call_ok_at": NOON - MINUTE}, "failing"),
        ({"opened_at": NOON - MINUTE, "call_ok_at": NOON}, "healthy"),
        ({"opened_at": NOON - MINUTE, "probe_ok_at": NOON}, "failing"),  # calls say more
        ({"opened_at": NOON - 5 * MINUTE, "probe_ok_at": NOON}, "healthy"),
        ({"opened_at": NOON - KNOWN - MINUTE}, "unknown"),
        # its credential is refused
        ({"call_error_at": NOON, "call_error": "credential_refused"}, "failing"),
        ({"call_error_at": NOON, "call_error": "redirect", "call_ok_at": NOON - MINUTE}, "failing"),
        (
            {"call_error_at": NOON - MINUTE, "call_error": "credential_refused", "call_ok_at": NOON},
            "healthy",
        ),
        # probes fail
        ({"probe_error_at": NOON, "probe_failures": 2}, "failing"),
        ({"probe_error_at": NOON, "probe_failures": 2, "call_ok_at": NOON - 2 * MINUTE}, "failing"),
        ({"probe_error_at": NOON, "probe_failures": 2, "call_ok_at": NOON - SECOND}, "healthy"),
        ({"probe_error_at": NOON - KNOWN - MINUTE, "probe_failures": 2}, "unknown"),
    ],
)
def test_what_follows_from_what_is_known(known: dict[str, Any], state: str) -> None:
    assert judged(row(**known), NOON) == state


# --- in the store -----------------------------------------------------------------------------------


@pytest.fixture
def chat(db: None) -> Endpoint:
    endpoint = world.endpoint(base_path="/v2")
    settle(NOON)
    return endpoint


def place(endpoint: Endpoint) -> str:
    return endpoint.origin + endpoint.base_path


def report(endpoint: Endpoint, **more: Any) -> Report:
    said = {"ok_at": None, "latency_ms": None, "error_at": None, "error": "", "opened_at": None, **more}
    return Report(endpoint_id=endpoint.pk, origin=place(endpoint), **said)


def stored(endpoint: Endpoint) -> EndpointHealth:
    return EndpointHealth.objects.get(pk=endpoint.pk)


def noted(action: str) -> int:
    return sum(f'"{action}"'.encode() in bytes(entry.meta) for entry in Entry.objects.filter(kind="event"))


def test_a_change_is_told_once_and_to_the_record(chat: Endpoint) -> None:
    calls_told(reports=[report(chat, opened_at=NOON, error_at=NOON, error="timeout")])
    assert settle(NOON + SECOND) == 1 and settle(NOON + SECOND) == 0
    assert (stored(chat).state, stored(chat).since) == (HealthState.FAILING, NOON + SECOND)
    calls_told(reports=[report(chat, ok_at=NOON + MINUTE, latency_ms=70)])
    assert settle(NOON + MINUTE) == 1
    assert (stored(chat).state, stored(chat).latency_ms) == (HealthState.HEALTHY, 70)
    assert (noted("endpoint.failing"), noted("endpoint.healthy")) == (1, 1)


def test_the_later_of_two_processes_stands(chat: Endpoint) -> None:
    calls_told(reports=[report(chat, ok_at=NOON + MINUTE, latency_ms=5, error_at=NOON, error="timeout")])
    calls_told(reports=[report(chat, ok_at=NOON, latency_ms=9, error_at=NOON - MINUTE, error="dns")])
    found = stored(chat)
    assert (found.call_ok_at, found.latency_ms, found.call_error) == (NOON + MINUTE, 5, "timeout")


def test_what_was_seen_elsewhere_says_nothing_of_a_new_origin(chat: Endpoint) -> None:
    before = report(chat, opened_at=NOON)
    calls_told(reports=[before])
    settle(NOON)
    Endpoint.objects.filter(pk=chat.pk).update(origin="https://elsewhere.example.com")
    settle(NOON + SECOND)
    assert (stored(chat).state, stored(chat).opened_at) == (HealthState.UNKNOWN, None)
    calls_told(reports=[before])  # a process that is late
    assert stored(chat).opened_at is None
    assert stored(chat).origin == "https://elsewhere.example.com/v2"


def test_health_is_no_configuration(chat: Endpoint) -> None:
    revision, history = Revision.objects.get().value, history_of(Endpoint).count()
    calls_told(reports=[report(chat, opened_at=NOON)])
    settle(NOON)
    assert (Revision.objects.get().value, history_of(Endpoint).count()) == (revision, history)


def test_a_late_probe_does_not_count(chat: Endpoint) -> None:
    Endpoint.objects.filter(pk=chat.pk).update(probe_path="/v1/models")
    settle(NOON)
    mine = stored(chat)
    assert mine.next_probe_at == NOON
    EndpointHealth.objects.filter(pk=chat.pk).update(next_probe_at=NOON + MINUTE)  # somebody else took it
    probe_told(row=mine, seen=Probed("timeout", 9), now=NOON)
    assert stored(chat).probe_failures == 0


# --- what a process tells ---------------------------------------------------------------------------


class Clock:
    now = NOON.timestamp()

    def __call__(self) -> float:
        return self.now


def one(endpoint_id: UUID, origin: str) -> tuple[Seen, Clock, HealthLog]:
    seen, clock = Seen(endpoint_id, origin), Clock()
    return seen, clock, HealthLog(lambda: [seen], clock=clock)


def writes(log: HealthLog) -> int:
    with CaptureQueriesContext(connection) as queries:
        log.settle()
    return sum("UPDATE" in each["sql"] for each in queries)


def test_that_all_is_well_is_told_twice_a_minute_and_a_failure_at_once(chat: Endpoint) -> None:
    seen, clock, log = one(chat.pk, place(chat))
    assert writes(log) == 0
    seen.ok_at, seen.latency = clock.now, 0.0421
    assert writes(log) == 1 and stored(chat).latency_ms == 42
    for _ in range(3):
        clock.now += STEP
        seen.ok_at = clock.now
        assert writes(log) == 0
    clock.now += EVERY
    seen.ok_at = clock.now
    assert writes(log) == 1
    clock.now += STEP
    seen.error, seen.error_at, seen.opened_at = "timeout", clock.now, clock.now
    assert writes(log) > 0 and stored(chat).call_error == "timeout"
    assert stored(chat).opened_at is not None
    clock.now += 1
    seen.ok_at = clock.now  # the first that passes again
    assert writes(log) > 0
    assert stored(chat).call_ok_at == datetime.fromtimestamp(clock.now, UTC)


def test_what_could_not_be_told_is_told_later(chat: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, _, log = one(chat.pk, place(chat))
    seen.error, seen.error_at = "dns", NOON.timestamp()

    def down(**rest: object) -> None:
        raise OperationalError

    with monkeypatch.context() as broken:
        broken.setattr("gateway.proxy.health.calls_told", down)
        log._safely()
    log._safely()
    assert stored(chat).call_error == "dns"


# --- probes -----------------------------------------------------------------------------------------


def watched(origin: str, **more: Any) -> Endpoint:
    return world.endpoint(
        origin=origin, allow_private=True, probe_path="/v1/models", probe_seconds=60, **more
    )


def due(endpoint: Endpoint) -> None:
    EndpointHealth.objects.filter(pk=endpoint.pk).update(next_probe_at=LONG_AGO)


@pytest.mark.django_db
def test_a_sweep_asks_what_is_due_and_says_what_follows() -> None:
    with serving() as service:
        chat, quiet = watched(service.origin), world.endpoint("quiet", origin=service.origin)
        assert probing.sweep() == 1 and probing.sweep() == 0
        assert [(method, path) for method, path, _ in service.asked] == [("GET", "/v1/models")]
        assert (stored(chat).state, stored(quiet).state) == (HealthState.HEALTHY, HealthState.UNKNOWN)
        service.status = 404
        for expected in (HealthState.HEALTHY, HealthState.FAILING):
            due(chat)
            assert probing.sweep() == 1
            assert stored(chat).state == expected
        assert stored(chat).last_error == "status"
        service.status = 200
        due(chat)
        probing.sweep()
        assert (stored(chat).state, stored(chat).probe_failures) == (HealthState.HEALTHY, 0)
    assert (noted("endpoint.failing"), noted("endpoint.healthy")) == (1, 2)


@pytest.mark.django_db
def test_who_is_no_longer_watched_is_not_asked() -> None:
    with serving() as service:
        chat = watched(service.origin)
        probing.sweep()
        for change in ({"enabled": False}, {"enabled": True, "probe_path": ""}):
            Endpoint.objects.filter(pk=chat.pk).update(**change)
            due(chat)
            assert probing.sweep() == 0
        assert len(service.asked) == 1


@pytest.mark.django_db(transaction=True)
def test_two_sweeps_at_once_ask_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers: each has a lock of its own, so it is taken away here."""
    monkeypatch.setattr(probing, "_sweeping", threading.BoundedSemaphore(2))
    barrier = threading.Barrier(2)
    real = health.settle

    def together(*rest: Any) -> int:
        found = real(*rest)
        if threading.current_thread() in racing:
            racing.remove(threading.current_thread())
            barrier.wait(10)
        return found

    def sweep() -> None:
        try:
            probing.sweep()
        finally:
            close_old_connections()
            connection.close()

    with serving() as service:
        chat = watched(service.origin)
        real()
        monkeypatch.setattr(probing, "settle", together)
        threads = [threading.Thread(target=sweep) for _ in range(2)]
        racing = list(threads)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(service.asked) == 1
    assert stored(chat).state == HealthState.HEALTHY and noted("endpoint.healthy") == 1

"""Which calls belong together: the same caller, endpoint and hint, without too long a silence."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.conf import settings

from audit import ids, sweeps
from audit.keys import KeyDirectory
from audit.models import Call, Session
from audit.recorder import Recorder
from audit.records import What

from .world import BOB, asks, run

MINUTE = 60_000


class Clock:
    """A clock that the test turns. It starts when the test does: the suite may have run for long by then."""

    def __init__(self) -> None:
        self.now = ids.milliseconds_of(ids.new())

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def at(transactional_db: None, keys: KeyDirectory, clock: Clock) -> Callable[[], Recorder]:
    """Makes recorders that live by the test's clock."""

    def make() -> Recorder:
        recorder = Recorder(keys=keys, clock=clock)
        recorder.start()
        return recorder

    return make


def session_of(recorder: Recorder, clock: Clock, **changes: object) -> UUID | None:
    call_id = ids.uuid7(clock.now, ids.new().int)
    run(recorder.admit(asks(**{"call_id": call_id, **changes})))
    found: UUID | None = Call.objects.get(id=call_id).session_id
    return found


def test_calls_of_one_caller_belong_together_until_silence(at: Callable[[], Recorder], clock: Clock) -> None:
    recorder = at()
    first = session_of(recorder, clock)
    clock.now += 29 * MINUTE
    assert session_of(recorder, clock) == first
    clock.now += 29 * MINUTE
    assert session_of(recorder, clock) == first
    clock.now += 31 * MINUTE
    second = session_of(recorder, clock)
    assert second != first
    recorder.stop(5)
    assert Session.objects.count() == 2


def test_another_caller_endpoint_or_hint_is_another_session(at: Callable[[], Recorder], clock: Clock) -> None:
    recorder = at()
    other = What(endpoint_id=UUID(int=5), endpoint="classify")
    found = {
        session_of(recorder, clock),
        session_of(recorder, clock, who=BOB),
        session_of(recorder, clock, what=other),
        session_of(recorder, clock, session_hint=b"one"),
        session_of(recorder, clock, session_hint=b"two"),
    }
    again = session_of(recorder, clock, session_hint=b"two")
    recorder.stop(5)
    assert len(found) == 5 and again in found
    row = Session.objects.get(id=again)
    assert (row.name, row.endpoint, row.hinted) == ("alice", "chat", True)


def test_a_hint_outlasts_a_long_silence(at: Callable[[], Recorder], clock: Clock) -> None:
    recorder = at()
    first = session_of(recorder, clock, session_hint=b"one")
    clock.now += 5 * 60 * MINUTE
    assert session_of(recorder, clock, session_hint=b"one") == first
    clock.now += 25 * 60 * MINUTE
    assert session_of(recorder, clock, session_hint=b"one") != first
    recorder.stop(5)


def test_the_gap_is_a_setting(
    at: Callable[[], Recorder], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "AUDIT_SESSION_GAP", 10, raising=False)
    recorder = at()
    first = session_of(recorder, clock)
    clock.now += 11_000
    assert session_of(recorder, clock) != first
    recorder.stop(5)


def test_a_restart_goes_on_with_the_session(at: Callable[[], Recorder], clock: Clock) -> None:
    before = at()
    first = session_of(before, clock)
    clock.now += 5 * MINUTE
    assert session_of(before, clock) == first
    before.stop(5)
    after = at()
    clock.now += 29 * MINUTE  # since the last call, not since the session began
    assert session_of(after, clock) == first
    clock.now += 31 * MINUTE
    second = session_of(after, clock)
    assert second != first
    after.stop(5)


def test_two_processes_agree_on_the_next_session(at: Callable[[], Recorder], clock: Clock) -> None:
    one, two = at(), at()
    first = session_of(one, clock)
    assert session_of(two, clock) == first
    clock.now += 31 * MINUTE
    second = session_of(one, clock)
    assert session_of(two, clock) == second != first
    one.stop(5)
    two.stop(5)


def test_a_race_for_the_same_session_is_won_once(
    at: Callable[[], Recorder], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from audit import grouping

    one, two = at(), at()
    first = session_of(one, clock)
    real = grouping.sessions.latest
    blind = iter([True])  # two looks before one's session is there

    def latest(*given: object) -> object:
        return {} if next(blind, False) else real(*given)  # type: ignore[arg-type] # passed through

    monkeypatch.setattr(grouping.sessions, "latest", latest)
    assert session_of(two, clock) == first
    assert Session.objects.count() == 1
    one.stop(5)
    two.stop(5)


def test_silent_sessions_are_closed_once(at: Callable[[], Recorder], clock: Clock) -> None:
    recorder = at()
    clock.now -= 3 * 60 * MINUTE
    old = session_of(recorder, clock)
    hinted = session_of(recorder, clock, session_hint=b"one")
    clock.now += 3 * 60 * MINUTE
    session_of(recorder, clock, who=BOB)
    recorder.stop(5)
    assert sweeps.sessions_close() == 1
    assert sweeps.sessions_close() == 0
    assert Session.objects.get(id=old).closed_at == Call.objects.get(session_id=old).started_at
    assert Session.objects.get(id=hinted).closed_at is None


def test_calls_of_a_lost_host_are_closed(at: Callable[[], Recorder], clock: Clock) -> None:
    from audit.models import Entry, Instance

    recorder = at()
    call_id = ids.uuid7(clock.now, 1)
    run(recorder.admit(asks(call_id=call_id)))
    recorder.stop(5)
    assert sweeps.calls_close_lost() == 0  # it was there a moment ago
    silent = ids.moment(clock.now) - timedelta(minutes=6)
    Instance.objects.filter(id=recorder.instance).update(heartbeat_at=silent, stopped_at=None)
    assert sweeps.calls_close_lost() == 1
    assert sweeps.calls_close_lost() == 0
    assert Call.objects.get().code == "instance_lost"
    assert Entry.objects.filter(kind="close", call_id=call_id).count() == 1
    assert Instance.objects.get(id=recorder.instance).stopped_at is not None

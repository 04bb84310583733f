"""Limits: what one process counts, what two share, and what a store that is away changes."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from django.db.utils import OperationalError

from gateway.models import Running, Sketch, Usage
from gateway.proxy import tally as tallies
from gateway.proxy.errors import LimitReached
from gateway.proxy.meter import SAMPLES, Limits, Meter, span
from gateway.proxy.tally import Tally

NOON = 1_800_000_000.0 - 1_800_000_000.0 % 86_400 + 43_200
RULE, SCHEMA = uuid4(), uuid4()


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def refused(meter: Meter, limits: Limits, now: float, caller: str = "alice") -> LimitReached | None:
    """Try one call and leave again at once."""
    try:
        meter.leave(meter.enter(RULE, caller, limits, now), 0, now)
    except LimitReached as error:
        return error
    return None


def test_the_minute_is_used_up_and_begins_anew() -> None:
    meter, limits = Meter(), Limits(calls_per_minute=3)
    assert [refused(meter, limits, NOON) is None for _ in range(4)] == [True, True, True, False]
    late = refused(meter, limits, NOON + 50)
    assert late is not None
    assert (late.code, late.status, late.headers["retry-after"], late.retry) == (
        "rate_limited",
        429,
        "10",
        True,
    )
    assert {
        name: late.headers[f"x-ratelimit-{name}-requests"] for name in ("limit", "remaining", "reset")
    } == {
        "limit": "3",
        "remaining": "0",
        "reset": "10s",
    }
    assert refused(meter, limits, NOON, caller="bob") is None
    assert refused(meter, limits, NOON + 60) is None


@pytest.mark.parametrize("window", ["minute", "day", "month"])
def test_tokens_are_used_up_by_what_calls_spent(window: str) -> None:
    meter, limits = Meter(), Limits(**{f"tokens_per_{window}": 100})  # type: ignore[arg-type]
    for spent in (60, 60):
        meter.leave(meter.enter(RULE, "alice", limits, NOON), spent, NOON)
    error = refused(meter, limits, NOON + 1)
    assert error is not None and error.code == "token_limited"
    assert error.wait == span(window, NOON)[1] - (NOON + 1)
    assert error.retry is (window == "minute")
    assert refused(meter, limits, span(window, NOON)[1]) is None


def test_calls_at_the_same_time_are_limited_and_leave() -> None:
    meter, limits = Meter(), Limits(at_once=2)
    running = [meter.enter(RULE, "alice", limits, NOON) for _ in range(2)]
    error = refused(meter, limits, NOON)
    assert error is not None and error.code == "too_many_calls"
    meter.leave(running[0], 0, NOON)
    assert refused(meter, limits, NOON) is None


def test_a_limit_that_is_changed_counts_what_was_used() -> None:
    meter = Meter()
    assert refused(meter, Limits(calls_per_minute=5), NOON) is None
    assert refused(meter, Limits(calls_per_minute=1), NOON) is not None


def test_a_flood_of_refusals_is_sampled() -> None:
    meter, limits = Meter(), Limits(calls_per_minute=1)
    refused(meter, limits, NOON)
    sampled = [error.sampled for _ in range(50) if (error := refused(meter, limits, NOON))]
    assert sampled.count(True) == SAMPLES and len(sampled) == 50


def test_a_clock_that_goes_back_gives_nothing_back() -> None:
    meter, limits = Meter(), Limits(calls_per_minute=1)
    assert refused(meter, limits, NOON + 60) is None
    assert refused(meter, limits, NOON + 59) is not None


def test_idle_accounts_are_forgotten() -> None:
    meter = Meter()
    for number in range(3000):
        refused(meter, Limits(at_once=1), NOON, caller=str(number))
    assert len(meter.accounts()) < 3000


def two(clock: Clock) -> tuple[Tally, Tally]:
    return Tally(clock=clock), Tally(clock=clock)


@pytest.mark.django_db(transaction=True)
def test_two_processes_share_a_minute() -> None:
    clock, limits = Clock(), Limits(calls_per_minute=4, tokens_per_day=1000)
    one, other = two(clock)
    for process in (one, other):
        process.meter.leave(process.meter.enter(RULE, "alice", limits, NOON), 300, NOON)
    for process in (one, other, one):
        process.settle()
    assert refused(one.meter, limits, NOON) is None
    for process in (one, other):
        process.settle()
    assert refused(other.meter, limits, NOON) is None
    for process in (other, one):
        process.settle()
    assert refused(one.meter, limits, NOON) is not None
    assert Usage.objects.get(window="minute").calls == 4
    assert Usage.objects.get(window="day").tokens == 600


@pytest.mark.django_db(transaction=True)
def test_a_process_that_starts_knows_what_was_used() -> None:
    clock, limits = Clock(), Limits(tokens_per_month=500)
    one, other = two(clock)
    one.meter.leave(one.meter.enter(RULE, "alice", limits, NOON), 500, NOON)
    one.settle()
    other.settle()
    error = refused(other.meter, limits, NOON)
    assert error is not None and error.code == "token_limited"


@pytest.mark.django_db(transaction=True)
def test_a_caller_who_comes_to_a_process_anew_is_known_there() -> None:
    clock, limits = Clock(), Limits(tokens_per_month=500, at_once=2)
    one, other = two(clock)
    for process in (one, other):
        process.settle()
    running = [one.meter.enter(RULE, "alice", limits, NOON) for _ in range(2)]
    one.settle()
    other.settle()
    error = refused(other.meter, limits, NOON)
    assert error is not None and error.code == "too_many_calls"
    for call in running:
        one.meter.leave(call, 250, NOON)
    one.settle()
    clock.now += tallies.LEARN
    other.settle()
    error = refused(other.meter, limits, clock.now)
    assert error is not None and error.code == "token_limited"


@pytest.mark.django_db(transaction=True)
def test_an_account_that_was_idle_is_kept_up() -> None:
    clock, limits = Clock(), Limits(tokens_per_month=500)
    one, other = two(clock)
    assert refused(other.meter, limits, NOON) is None
    other.settle()
    clock.now += tallies.IN_USE + 1
    one.meter.leave(one.meter.enter(RULE, "alice", limits, clock.now), 500, clock.now)
    one.settle()
    other.settle()
    assert refused(other.meter, limits, clock.now) is not None


@pytest.mark.django_db(transaction=True)
def test_two_processes_share_what_runs_and_forget_who_died() -> None:
    clock, limits = Clock(), Limits(at_once=1)
    one, other = two(clock)
    running = one.meter.enter(RULE, "alice", limits, NOON)
    one.settle()
    assert refused(other.meter, limits, NOON) is None  # within the first second nobody has told it
    other.settle()
    assert refused(other.meter, limits, NOON) is not None
    clock.now += tallies.ALIVE.total_seconds() + 1  # no sign of the first process any more
    other.settle()
    assert refused(other.meter, limits, clock.now) is None
    one.meter.leave(running, 0, clock.now)
    one.settle()
    assert not Running.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_nothing_is_lost_or_counted_twice_while_the_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, limits = Clock(), Limits(calls_per_minute=10)
    one, _ = two(clock)
    one.settle()
    refused(one.meter, limits, NOON)

    def away(*args: object) -> None:
        raise OperationalError("away")

    with monkeypatch.context() as patched:
        patched.setattr(tallies, "_add_usage", away)
        clock.now += 60
        refused(one.meter, limits, clock.now)
        for _ in range(3):
            with pytest.raises(OperationalError):
                one.settle()
    for _ in range(2):
        one.settle()
    assert list(Usage.objects.order_by("starts_at").values_list("calls", flat=True)) == [1, 1]


def digests(first: int, last: int) -> list[tuple[str, bytes]]:
    return [("CARD", UUID(int=number * 7919 << 64).bytes) for number in range(first, last)]


@pytest.mark.django_db(transaction=True)
def test_different_values_add_up_over_processes_and_keys() -> None:
    clock = Clock()
    one, other = two(clock)
    for process, values in ((one, digests(0, 60)), (other, digests(40, 100))):
        view = process.values.of("alice")
        view.schema = SCHEMA
        view.add(values)
    for process in (one, other, one):
        process.settle()
    for process in (one, other):
        assert process.values.estimate(SCHEMA, "alice", "CARD", "hour") == 100
        assert process.values.estimate(SCHEMA, "alice", "", "day") == 100
        assert process.values.estimate(SCHEMA, "bob", "CARD", "hour") == 0
    later = Tally(clock=clock)
    later.settle()
    assert later.values.estimate(SCHEMA, "alice", "CARD", "hour") == 100


@pytest.mark.django_db(transaction=True)
def test_an_hour_ends_and_its_sketch_is_swept() -> None:
    clock = Clock()
    one, _ = two(clock)
    one.values.add(SCHEMA, "alice", digests(0, 5))
    one.settle()
    clock.now += 3_600
    assert one.values.estimate(SCHEMA, "alice", "CARD", "hour") == 0
    assert one.values.estimate(SCHEMA, "alice", "CARD", "day") == 5
    clock.now += 86_400 * 3
    one.settle()
    assert not Sketch.objects.exists() and not one.values.current()


@pytest.mark.django_db(transaction=True)
def test_a_row_that_nobody_can_read_does_not_end_the_sharing(caplog: pytest.LogCaptureFixture) -> None:
    Sketch.objects.create(
        schema_id=SCHEMA,
        caller="alice",
        data_class="CARD",
        window="day",
        starts_at=datetime.fromtimestamp(NOON - NOON % 86_400, UTC),
        registers=b"nonsense",
    )
    one, other = two(Clock())
    view = one.values.of("alice")
    view.schema = SCHEMA
    view.add(digests(0, 5))
    for process in (one, other):
        process.settle()
    assert "a sketch could not be read" in caplog.text
    assert other.values.estimate(SCHEMA, "alice", "CARD", "day") == 5

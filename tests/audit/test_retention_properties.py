"""Whatever is recorded, held, let go and erased in whatever order: the verifier finds nothing, and any
tampering on top of it is found."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.keys import KeyDirectory
from audit.models import Call, CallKey, LegalHold, Payload, RetentionRule
from audit.recorder import Recorder
from audit.retention import erasure, holds, rekeying, run
from audit.retention.holds import held, holds_in_force

from .kept import DAVE, calls_on, findable, hold, readable, request, verified
from .world import ALICE, BOB, broken

ages = st.integers(2, 60)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.lists(ages, min_size=1, max_size=3), st.sampled_from([ALICE, BOB])),
        st.tuples(st.just("rule"), st.integers(1, 50), st.sampled_from([None, 10, 40])),
        st.tuples(st.just("hold"), st.sampled_from(["local:alice", "local:bob"])),
        st.tuples(st.just("lift")),
        st.tuples(st.just("retain")),
        st.tuples(st.just("erase"), st.integers(0, 9)),
        st.tuples(st.just("rekey")),
    ),
    min_size=3,
    max_size=12,
)


class Life:
    """One store's life, and what has to be true of it after each step."""

    def __init__(self, recorder: Recorder, keys: KeyDirectory) -> None:
        self._recorder, self._keys = recorder, keys
        self.calls: list[Call] = []

    def record(self, days: list[int], who: Any) -> None:
        """As if it were then. A recorder keeps a day's key in memory, and writes none that is over."""
        writer = self._recorder._worker._writer
        assert writer is not None
        writer.days._by_day.clear()
        self.calls += calls_on(self._recorder, *days, who=who)

    def rule(self, days: int, rows: int | None) -> None:
        longer = None if rows is None else days + rows
        RetentionRule.objects.update_or_create(
            name="all", defaults={"payload_days": days, "row_days": longer}
        )

    def hold(self, subject: str) -> None:
        hold(subject=subject)

    def lift(self) -> None:
        for placed in LegalHold.objects.filter(lifted_at=None)[:1]:
            holds.hold_lift(hold=placed, by=DAVE, proposed_by="alice")

    def retain(self) -> None:
        kept = self._held()
        run.sweep(self._keys)
        assert all(readable(call) for call in kept)

    def erase(self, which: int) -> None:
        if there := Call.objects.filter(id__in=[call.id for call in self.calls]).order_by("id"):
            kept = self._held()
            request(there[which % len(there)])
            erasure.sweep()
            assert all(readable(call) for call in kept)

    def rekey(self) -> None:
        rekeying.sweep(self._keys)

    def _held(self) -> list[Call]:
        return list(
            Call.objects.filter(held(holds_in_force()), removal_id=None, closed_at__isnull=False).filter(
                id__in=[call.id for call in self.calls]
            )
        )

    def check(self) -> None:
        assert list(broken()) == [] and verified() == ""
        for call in self.calls:
            row = Call.objects.filter(id=call.id).first()
            there = row is not None and row.removal_id is None
            assert readable(call) == findable(call, self._keys) == there


@pytest.mark.django_db(transaction=True)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(life=steps, chance=st.randoms(use_true_random=False))
def test_the_verifier_finds_nothing_until_somebody_tampers(
    recorder: Recorder, keys: KeyDirectory, life: list[tuple[Any, ...]], chance: random.Random
) -> None:
    RetentionRule.objects.all().delete()
    LegalHold.objects.filter(lifted_at=None).update(lifted_at="2026-01-01T00:00Z", lifted_by="before")
    lived = Life(recorder, keys)
    lived.record([3, 30], ALICE)
    for name, *given_to in life:
        getattr(lived, name)(*given_to)
        lived.check()
    for tamper in (payload_gone, key_gone, payload_changed):
        if undo := tamper(lived, chance):
            assert verified() != ""
            undo()
            assert verified() == ""


def _one(lived: Life, chance: random.Random) -> Call | None:
    there = Call.objects.filter(id__in=[call.id for call in lived.calls], removal_id=None)
    return chance.choice(list(there)) if there else None


def payload_gone(lived: Life, chance: random.Random) -> Callable[[], Any] | None:
    call = _one(lived, chance)
    if call is None:
        return None
    row = chance.choice(list(Payload.objects.filter(started_at=call.started_at)))
    Payload.objects.filter(id=row.id).delete()
    return lambda: Payload(id=row.id, started_at=row.started_at, sealed=row.sealed).save(force_insert=True)


def key_gone(lived: Life, chance: random.Random) -> Callable[[], Any] | None:
    call = _one(lived, chance)
    if call is None:
        return None
    row = CallKey.objects.get(id=call.id)
    CallKey.objects.filter(id=row.id).delete()
    made = CallKey(id=row.id, started_at=row.started_at, wrapped_by=row.wrapped_by, wrapped=row.wrapped)
    return lambda: made.save(force_insert=True)


def payload_changed(lived: Life, chance: random.Random) -> Callable[[], Any] | None:
    """Deleted and put in anew, which no trigger forbids."""
    call = _one(lived, chance)
    if call is None:
        return None
    row = chance.choice(list(Payload.objects.filter(started_at=call.started_at)))
    sealed = bytearray(row.sealed)
    sealed[chance.randrange(len(sealed))] ^= 1 + chance.randrange(255)
    _replace(row, bytes(sealed))
    return lambda: _replace(row, bytes(row.sealed))


def _replace(row: Payload, sealed: bytes) -> None:
    Payload.objects.filter(id=row.id).delete()
    Payload(id=row.id, started_at=row.started_at, sealed=sealed).save(force_insert=True)

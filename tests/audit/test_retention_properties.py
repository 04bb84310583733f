"""Whatever is recorded, held, let go and erased in whatever order: the verifier finds nothing, and any
tampering on top of it is found."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit import ids
from audit.keys import KeyDirectory
from audit.models import Call, CallKey, EvidenceDay, Job, LegalHold, Payload, RetentionRule
from audit.recorder import Recorder
from audit.retention import due, erasure, holds, rekeying, run
from audit.retention.holds import held, holds_in_force
from audit.retention.rules import rules_in_force, scope_of, term_of

from .closed import closed_call
from .kept import DAVE, ago, calls_on, findable, hold, readable, request, then, verified
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
    for before in LegalHold.objects.filter(lifted_at=None):
        holds.hold_lift(hold=before, by=DAVE, proposed_by="before")
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


# --- the dry run ------------------------------------------------------------------------------------
SCOPES = [
    {"area": area, "endpoint": endpoint, "policy": policy, "highest": level}
    for area, endpoint in (("clinic", "chat"), ("bank", "mail"))
    for policy in ("default@1", "strict@2")
    for level in ("", "restricted")
]
made_calls = st.lists(
    st.tuples(
        st.sampled_from([1, 5, 9, 10, 11, 30, 31, 80]),  # days ago
        st.sampled_from(SCOPES),
        st.sampled_from([ALICE, BOB]),
        st.booleans(),  # closed
    ),
    min_size=1,
    max_size=12,
)
made_rules = st.lists(
    st.tuples(
        st.sampled_from([None, 1, 5, 9, 30]),
        st.sampled_from([None, 0, 3, 50]),
        st.fixed_dictionaries(
            {
                "area": st.sampled_from(["", "clinic", "bank"]),
                "endpoint": st.sampled_from(["", "chat", "mail"]),
                "policy": st.sampled_from(["", "default", "strict"]),
                "level": st.sampled_from(["", "restricted"]),
            }
        ),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda rule: tuple(sorted(rule[2].items())),
)
Going = Counter[tuple[str, str, str, str, str]]


def call_ago(days: int, scope: dict[str, str], who: Any, closed: bool) -> UUID:
    number = then(ago(days))
    ending = {} if closed else {"closed_at": None, "status": None, "complete": None}
    said = {"id": number, "started_at": ids.time_of(number), **scope, **ending}
    return closed_call(**said, person_id=who.person_id, subject=who.subject).id


def foreseen() -> Going:
    """What the dry run says would go."""
    lines = due.dry_run().lines
    said = {
        (line.what, line.rule, line.area, line.endpoint, line.level): line.calls - line.held for line in lines
    }
    return Counter({key: calls for key, calls in said.items() if calls})


def there() -> dict[UUID, tuple[tuple[str, str, str, str], bool]]:
    """Each call that has a row: what the dry run would sum it up by, and whether its payload is there."""
    rules = rules_in_force()
    columns = ("id", "removal_id", "area", "endpoint", "policy", "highest")
    found = {}
    for row in Call.objects.values(*columns):
        scope = scope_of(row)
        rule = term_of(scope, rules).rule
        found[row["id"]] = (rule, scope.area, scope.endpoint, scope.level), row["removal_id"] is None
    return found


def gone(before: dict[UUID, Any], after: dict[UUID, Any]) -> Going:
    sums: Going = Counter()
    for call, (key, had_payload) in before.items():
        if had_payload and not after.get(call, (key, False))[1]:
            sums["payloads", *key] += 1
        if call not in after:
            sums["rows", *key] += 1
    return sums


@pytest.mark.django_db(transaction=True)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=made_calls, rules=made_rules, held_one=st.integers(0, 30), again=made_calls)
def test_a_run_removes_exactly_what_the_dry_run_says(
    recorder: Recorder, keys: KeyDirectory, calls: Any, rules: Any, held_one: int, again: Any
) -> None:
    Call.objects.all()._raw_delete("default")
    RetentionRule.objects.all().delete()
    LegalHold.objects.filter(lifted_at=None).update(lifted_at="2026-01-01T00:00Z", lifted_by="before")
    EvidenceDay.objects.all().delete()
    Job.objects.all().delete()
    for number, (payloads, longer, scope) in enumerate(rules):
        rows = None if longer is None or payloads is None else payloads + longer
        name = f"rule {number}"
        RetentionRule.objects.create(name=name, payload_days=payloads, row_days=rows, **scope)
    made = [call_ago(*each) for each in calls]
    if held_one < len(made):
        hold(call_id=made[held_one])
    for more in ([], again):  # once more: with what was removed before, and days that are settled
        for each in more:
            call_ago(*each)
        if more:
            EvidenceDay.objects.all().delete()
            Job.objects.all().delete()
        said, before = foreseen(), there()
        run.sweep(keys)
        assert gone(before, there()) == said
        assert not foreseen()

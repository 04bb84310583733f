"""Retention: which rule keeps a call, what a run removes, what holds keep, and what the record says of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any
from unittest.mock import patch

import pytest
from django.db import Error, connection, transaction

from audit import ids, partitions, reader
from audit.keynames import start_of
from audit.keys import PAYLOAD, KeyDirectory
from audit.models import (
    Call,
    CallKey,
    Entry,
    EvidenceDay,
    Fingerprint,
    Job,
    LegalHold,
    Payload,
    Removal,
    RetentionRule,
    Session,
)
from audit.recorder import Recorder
from audit.records import Decision
from audit.retention import changing, due, emptying, holds, months, removing, run
from audit.retention.days import today
from audit.retention.rules import FOREVER, Scope, Term, term_of

from .kept import (
    DAVE,
    Backup,
    a_month,
    ago,
    calls_on,
    findable,
    hold,
    problems,
    readable,
    retain,
    rule,
    then,
    verified,
)
from .world import asks, broken
from .world import run as run_async

SCOPE = Scope("clinic", "chat", "default", "confidential")


def kept_by(*rules: RetentionRule) -> Term:
    return term_of(SCOPE, rules)


def a_rule(name: str, payloads: int | None, rows: int | None = None, **scope: str) -> RetentionRule:
    return RetentionRule(name=name, payload_days=payloads, row_days=rows, **scope)


# --- which rule -------------------------------------------------------------------------------------
def test_without_a_rule_everything_is_kept_for_ever() -> None:
    assert kept_by() == FOREVER
    assert kept_by(a_rule("elsewhere", 1, area="bank"), a_rule("other", 1, policy="strict")) == FOREVER


def test_the_most_specific_rule_wins_whichever_is_longer() -> None:
    any_call, in_area = a_rule("any", 365), a_rule("area", 30, area="clinic")
    of_level = a_rule("level", 90, area="clinic", level="confidential")
    assert kept_by(any_call, in_area).rule == "area"
    assert kept_by(of_level, in_area, any_call) == Term(90, None, "level")


def test_of_equally_specific_rules_nothing_goes_that_one_of_them_keeps() -> None:
    one, other = a_rule("one", 30, 400, area="clinic"), a_rule("other", 90, 100, endpoint="chat")
    assert kept_by(one, other) == Term(90, 400, "one and other")
    assert kept_by(one, a_rule("for ever", None, policy="default")).payload_days is None


def test_a_policy_is_meant_in_all_its_versions(recorder: Recorder, keys: KeyDirectory) -> None:
    (call,) = calls_on(recorder, 9)
    rule(7, policy="default")
    assert call.policy == "default@1" and retain(keys) == 1


def test_payloads_are_kept_for_whole_days() -> None:
    day = date(2026, 11, 1)
    assert Term(7).payloads_due(day) == date(2026, 11, 9)  # the last call of the day is seven days old then
    assert Term(None).payloads_due(day) is None
    assert Term(36_500).payloads_due(date.max) is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    "said",
    [
        {"payload_days": 0},
        {"payload_days": 30, "row_days": 29},
        {"payload_days": None, "row_days": 30},
        {"payload_days": 30, "name": ""},
    ],
)
def test_the_store_refuses_a_rule_that_makes_no_sense(said: dict[str, Any]) -> None:
    with pytest.raises(Error), transaction.atomic():
        RetentionRule.objects.create(**{"name": "odd", **said})


# --- a run ------------------------------------------------------------------------------------------
def test_what_is_past_its_time_goes_and_the_rest_stays(recorder: Recorder, keys: KeyDirectory) -> None:
    old, young = calls_on(recorder, 40, 5)
    entries = Entry.objects.exclude(kind="event").count()
    rule(30)
    assert retain(keys) == 1
    assert not readable(old) and not findable(old, keys)
    assert readable(young) and findable(young, keys)
    assert not CallKey.objects.filter(id=old.id).exists()
    assert not Fingerprint.objects.filter(call_id=old.id).exists()
    assert Entry.objects.exclude(kind="event").count() == entries
    assert list(broken()) == [] and verified() == ""


def test_the_record_says_which_rule_removed_it_and_when(recorder: Recorder, keys: KeyDirectory) -> None:
    (old,) = calls_on(recorder, 40)
    rule(30)
    retain(keys)
    assert f"removed by retention rule “30 days” on {today().isoformat()}" in problems(old)
    record = reader.call_read(Call.objects.get(id=old.id))
    assert {part.kind: part.removed for part in record.parts} == {
        "admission": True,
        "segment": True,
        "close": False,
    }
    assert record.chain_ok
    removal = Removal.objects.get()
    meta = json.loads(bytes(Entry.objects.get(id=removal.entry_id).meta))
    assert meta["event"] == "evidence.expired" and meta["detail"]["calls"] == 1
    assert meta["detail"]["root"] == bytes(removal.root).hex()
    assert removal.members() == {old.id.bytes}


def test_a_run_happens_once_a_day_however_often_the_bell_rings(
    recorder: Recorder, keys: KeyDirectory
) -> None:
    calls_on(recorder, 40, 41)
    rule(30)
    assert [retain(keys), retain(keys), retain(keys)] == [2, 0, 0]
    assert Job.objects.filter(kind="retention").count() == 1
    assert Removal.objects.count() == 2  # one for each day


def test_without_a_rule_there_is_no_run(recorder: Recorder, keys: KeyDirectory) -> None:
    calls_on(recorder, 400)
    assert retain(keys) == 0 and not Job.objects.exists()


def test_a_changed_rule_is_followed_the_same_day(recorder: Recorder, keys: KeyDirectory) -> None:
    (call,) = calls_on(recorder, 20)
    made = rule(30)
    assert retain(keys) == 0 and readable(call)
    made.payload_days = 10
    changing.rule_save(rule=made, by=DAVE, proposed_by="alice")
    assert retain(keys) == 1 and not readable(call)


def test_settled_days_are_not_looked_at_again(recorder: Recorder, keys: KeyDirectory) -> None:
    calls_on(recorder, 40, 50)
    rule(30)
    retain(keys)
    assert EvidenceDay.objects.filter(day=ago(40)).exclude(settled="").exists()
    with patch.object(run, "groups", side_effect=AssertionError):
        assert retain(keys) == 0


def test_a_rule_that_changes_during_a_run_stops_it(recorder: Recorder, keys: KeyDirectory) -> None:
    """What was decided by the rule of before is not carried out any more."""
    (call,) = calls_on(recorder, 40)
    made = rule(30)
    real = removing.remove

    def meanwhile(*args: Any, **said: Any) -> int:
        RetentionRule.objects.filter(pk=made.pk).update(payload_days=None)
        return real(*args, **said)

    with patch.object(run, "remove", meanwhile):
        assert retain(keys) == 0
    assert retain(keys) == 0 and readable(call)


def test_an_open_call_is_not_touched(recorder: Recorder, keys: KeyDirectory) -> None:
    admission = asks(call_id=then(ago(40)))
    run_async(recorder.admit(admission))
    rule(30)
    assert retain(keys) == 0
    assert CallKey.objects.filter(id=admission.call_id).exists()
    assert keys.generations(PAYLOAD, ago(40)) == [1]


def test_rows_go_when_their_own_time_is_up(recorder: Recorder, keys: KeyDirectory) -> None:
    oldest, older = calls_on(recorder, 90, 40)
    rule(30, 60)
    retain(keys)
    assert not Call.objects.filter(id=oldest.id).exists()
    assert Call.objects.filter(id=older.id).exists()
    assert Entry.objects.filter(call_id=oldest.id).count() == 3
    assert not Session.objects.filter(id=oldest.session_id, closed_at__isnull=False).exists()
    assert verified() == ""
    assert set(Removal.objects.values_list("kind", "day")) == {
        ("expired", ago(90)),
        ("rows", ago(90)),
        ("expired", ago(40)),
    }


def test_many_calls_go_in_batches(recorder: Recorder, keys: KeyDirectory) -> None:
    calls_on(recorder, *[40] * 7)
    rule(30)
    with patch.object(run, "AT_ONCE", 3):
        assert retain(keys) == 7
    assert sorted(Removal.objects.values_list("count", flat=True)) == [1, 3, 3]
    assert verified() == ""


# --- keys -------------------------------------------------------------------------------------------
def test_the_key_of_a_day_goes_with_the_last_of_it(recorder: Recorder, keys: KeyDirectory) -> None:
    calls_on(recorder, 40)
    restricted = Decision(action="masked", highest="restricted")
    (kept,) = calls_on(recorder, 40, decision=restricted)
    rule(30)
    longer = rule(60, level="restricted")
    retain(keys)
    assert keys.generations(PAYLOAD, ago(40)) == [1] and readable(kept)
    longer.delete()
    retain(keys)
    assert keys.generations(PAYLOAD, ago(40)) == []
    assert not (keys._path / f"payload-{ago(40)}.key").exists()
    events = [json.loads(bytes(e.meta)) for e in Entry.objects.filter(kind="event")]
    assert [e["detail"]["keys"] for e in events if e["event"] == "evidence.key_destroyed"] == [
        [f"payload-{ago(40)}"]
    ]


def test_what_expired_is_unreadable_in_a_backup_as_well(recorder: Recorder, keys: KeyDirectory) -> None:
    old, young = calls_on(recorder, 40, 5)
    backup = Backup.made()
    rule(30)
    retain(keys)
    backup.restore()
    assert CallKey.objects.filter(id=old.id).exists() and Payload.objects.count() > 2
    assert not readable(old) and not findable(old, keys)
    assert readable(young) and findable(young, keys)
    assert "is gone" in problems(old)


def test_what_a_backup_brings_back_is_removed_again(recorder: Recorder, keys: KeyDirectory) -> None:
    (old,) = calls_on(recorder, 40)
    backup = Backup.made()
    made = rule(30)
    retain(keys)
    backup.restore()
    made.payload_days = 31  # the next day's run, by its rules
    made.save()
    assert retain(keys) == 1
    assert not CallKey.objects.filter(id=old.id).exists() and verified() == ""


def test_a_store_that_knows_of_no_removal_destroys_no_key(recorder: Recorder, keys: KeyDirectory) -> None:
    """Somebody starts with an empty database, or the wrong one, on the directory of the real one."""
    keys.day(PAYLOAD, start_of(ago(300)))
    calls_on(recorder, 40)
    rule(30)
    retain(keys)
    assert emptying.keys_go(ago(300), keys) == 0
    assert keys.generations(PAYLOAD, ago(300)) == [1]


def test_the_key_of_a_month_goes_when_none_of_it_needs_it(recorder: Recorder, keys: KeyDirectory) -> None:
    """From before days had keys of their own."""
    (old,) = calls_on(recorder, 400)
    name = f"payload-{ago(400):%Y-%m}"
    (keys._path / f"{name}.key").write_bytes(bytes(32))
    CallKey.objects.filter(id=old.id).update(wrapped_by=name)
    (keys._path / f"payload-{ago(400)}.key").unlink()
    assert emptying.month_key_goes(ago(400), keys) == 0
    rule(30)
    retain(keys)
    assert not (keys._path / f"{name}.key").exists()


# --- holds ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "said",
    [
        lambda call: {"subject": call.subject},
        lambda call: {"session_id": call.session_id},
        lambda call: {"call_id": call.id},
        lambda call: {"area": call.area, "endpoint": call.endpoint},
        lambda call: {"since": call.started_at, "until": call.started_at},
    ],
)
def test_what_is_held_is_kept_until_the_hold_is_lifted(
    recorder: Recorder, keys: KeyDirectory, said: Callable[[Call], dict[str, Any]]
) -> None:
    (call,) = calls_on(recorder, 40)
    rule(30)
    placed = hold(**said(call))
    assert retain(keys) == 0 and readable(call) and keys.generations(PAYLOAD, ago(40)) == [1]
    assert holds.hold_lift(hold=placed, by=DAVE, proposed_by="alice")
    assert not holds.hold_lift(hold=placed, by=DAVE, proposed_by="alice")
    assert retain(keys) == 1 and not readable(call)
    events = [json.loads(bytes(e.meta))["event"] for e in Entry.objects.filter(kind="event").order_by("id")]
    assert events[:2] == ["hold.placed", "hold.lifted"]


def test_a_hold_of_others_keeps_nothing_of_this(recorder: Recorder, keys: KeyDirectory) -> None:
    (call,) = calls_on(recorder, 40)
    rule(30)
    hold(subject="local:bob", area=call.area)
    assert retain(keys) == 1


def test_a_hold_that_is_placed_during_a_run_counts(recorder: Recorder, keys: KeyDirectory) -> None:
    (call,) = calls_on(recorder, 40)
    rule(30)
    real = removing.remove

    def meanwhile(*args: Any, **said: Any) -> int:
        if not LegalHold.objects.exists():
            hold(call_id=call.id)
        return real(*args, **said)

    with patch.object(run, "remove", meanwhile):
        assert retain(keys) == 0
    assert retain(keys) == 0 and readable(call)


@pytest.mark.django_db
@pytest.mark.parametrize("sql", ["DELETE FROM audit_legalhold", "DELETE FROM audit_removal"])
def test_what_was_held_and_removed_is_not_forgotten(recorder: Recorder, keys: KeyDirectory, sql: str) -> None:
    calls_on(recorder, 40)
    rule(30)
    retain(keys)
    hold(subject="local:alice")
    with pytest.raises(Error, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


# --- workers that die, and two of them --------------------------------------------------------------
STEPS = ["remove", "_tombstone", "_content_goes", "event", "keys_go", "destroyed", "_settled", "finish"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_that_dies_anywhere_is_made_up_for(
    recorder: Recorder, keys: KeyDirectory, step: str, when: str
) -> None:
    calls = calls_on(recorder, 40, 40, 41, 5)
    rule(30)
    place: dict[str, tuple[Any, str]] = {
        "remove": (run, "remove"),
        "_tombstone": (removing, "_tombstone"),
        "_content_goes": (removing, "_content_goes"),
        "event": (removing, "event"),
        "keys_go": (emptying, "keys_go"),
        "destroyed": (keys, "destroy"),
        "_settled": (run._Run, "_settled"),
        "finish": (run.jobs, "finish"),
    }
    owner, name = place[step]
    real = getattr(owner, name)

    def dies(*args: Any, **said: Any) -> Any:
        if when == "after":
            real(*args, **said)
        raise SystemExit(step)

    with patch.object(owner, name, dies), pytest.raises(SystemExit):
        retain(keys)
    Job.objects.update(leased_until=None)  # the lease ran out
    retain(keys)
    assert [readable(call) for call in calls] == [False, False, False, True]
    assert keys.generations(PAYLOAD, ago(40)) == keys.generations(PAYLOAD, ago(41)) == []
    assert verified() == "" and list(broken()) == []
    assert sum(Removal.objects.values_list("count", flat=True)) == 3  # each call once
    assert Job.objects.get(kind="retention").state == "done"


def test_the_key_of_a_day_goes_also_where_a_worker_died_after_its_last_row(
    recorder: Recorder, keys: KeyDirectory
) -> None:
    """Nothing leads to that day any more but its key."""
    calls = calls_on(recorder, 40, 41)
    backup = Backup.made()
    rule(30, 30)
    with patch.object(emptying, "keys_go", side_effect=SystemExit), pytest.raises(SystemExit):
        retain(keys)
    Job.objects.update(leased_until=None)
    retain(keys)
    assert keys.generations(PAYLOAD, ago(40)) == keys.generations(PAYLOAD, ago(41)) == []
    assert not Call.objects.filter(id__in=[call.id for call in calls]).exists()
    backup.restore()
    assert not any(readable(call) for call in calls)


def test_two_that_remove_the_same_remove_it_once(recorder: Recorder, keys: KeyDirectory) -> None:
    """A worker whose lease ran out goes on beside the one that took over."""
    calls_on(recorder, 40)
    rule(30)
    real = removing.remove

    def both(*args: Any, **said: Any) -> int:
        return real(*args, **said) + real(*args, **said)

    with patch.object(run, "remove", both):
        assert retain(keys) == 1
    assert Removal.objects.count() == 1 and verified() == ""


def test_two_workers_that_remove_at_the_same_moment_share_the_work(
    recorder: Recorder, keys: KeyDirectory
) -> None:
    """Real threads with connections of their own, past the lease that keeps them apart."""
    calls = calls_on(recorder, *[40] * 6)
    rule(30)
    said = run.Said.now()
    cause = removing.Cause(kind="expired", why="30 days", job_id=ids.new(), digest=said.digest)

    def work(each: Call) -> int:
        try:
            return removing.remove([each.id], day=ago(40), area=each.area, cause=cause)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        removed = list(pool.map(work, [*calls, *reversed(calls)]))
    assert sum(removed) == 6 == Removal.objects.count()
    assert verified() == "" and list(broken()) == []


def test_while_one_works_another_finds_nothing_to_do(recorder: Recorder, keys: KeyDirectory) -> None:
    calls_on(recorder, 40)
    rule(30)
    inside: list[int] = []
    real = removing.remove

    def meanwhile(*args: Any, **said: Any) -> int:
        inside.append(retain(keys))
        return real(*args, **said)

    with patch.object(run, "remove", meanwhile):
        assert retain(keys) == 1
    assert inside == [0]


# --- the dry run ------------------------------------------------------------------------------------
def test_the_dry_run_says_what_the_run_does(recorder: Recorder, keys: KeyDirectory) -> None:
    held_one, *_ = calls_on(recorder, 40, 41, 42, 5)
    hold(call_id=held_one.id)
    rule(30)
    dry = due.dry_run()
    (line,) = dry.lines
    assert (line.what, line.rule, line.endpoint, line.level) == (
        "payloads",
        "30 days",
        "chat",
        "confidential",
    )
    assert (line.calls, line.held, line.first, line.last) == (3, 1, ago(42), ago(40))
    assert dry.going == 2 == retain(keys)
    assert due.dry_run().going == 0


def test_rules_can_be_tried_before_they_are_in_force(recorder: Recorder) -> None:
    calls_on(recorder, 40, 5)
    assert due.dry_run([a_rule("tried", 30)]).going == 1
    assert due.dry_run().going == 0


def test_the_oldest_overdue_payload_is_known(recorder: Recorder, keys: KeyDirectory) -> None:
    old, older = calls_on(recorder, 40, 50)
    assert due.oldest_overdue() is None
    rule(30)
    assert due.oldest_overdue() == older.started_at
    hold(call_id=older.id)
    assert due.oldest_overdue() == old.started_at
    retain(keys)
    assert due.oldest_overdue() is None


# --- tampering --------------------------------------------------------------------------------------
def test_a_removal_that_no_event_speaks_of_excuses_nothing(recorder: Recorder, keys: KeyDirectory) -> None:
    old, young = calls_on(recorder, 40, 5)
    rule(30)
    retain(keys)
    real = Removal.objects.get()
    forged = Removal.objects.create(
        at=ids.now(),
        kind="expired",
        day=ago(5),
        area="clinic",
        why="30 days",
        job_id=real.job_id,
        count=1,
        root=real.root,
        calls=young.id.bytes,
        entry_id=real.entry_id,
    )
    Payload.objects.filter(started_at=young.started_at).delete()
    Call.objects.filter(id=young.id).update(removal_id=forged.pk)
    assert "no removal says why" in problems(young)
    assert verified().count("no removal says why") == 2
    assert "removed by retention rule" in problems(old)


# --- partitions -------------------------------------------------------------------------------------
def test_a_month_that_is_wholly_due_goes_with_its_partitions(recorder: Recorder, keys: KeyDirectory) -> None:
    """PostgreSQL drops them; SQLite deletes the rows. What is left is the same."""
    with a_month(ago(100)) as (first, following):
        days = [(today() - first).days - ahead for ahead in (0, 3, 20)]
        calls = calls_on(recorder, *days)
        rule(10)
        assert retain(keys) == 3
        assert not any(map(readable, calls)) and verified() == ""
        assert not Payload.objects.filter(started_at__lt=start_of(following)).exists()
        assert not Fingerprint.objects.filter(started_at__lt=start_of(following)).exists()
        assert Call.objects.filter(started_at__lt=start_of(following)).count() == 3
        if months.PARTITIONED:
            gone = partitions.name("audit_payload", start_of(first))
            assert not months._there(gone) and months._there(partitions.name("audit_entry", start_of(first)))


def test_a_month_without_partitions_goes_row_by_row(recorder: Recorder, keys: KeyDirectory) -> None:
    calls = calls_on(recorder, 130, 131)
    rule(10)
    assert retain(keys) == 2 and not any(map(readable, calls)) and verified() == ""
    for model in (Payload, Fingerprint, CallKey):
        assert not model._default_manager.filter(started_at__lt=start_of(ago(100))).exists()

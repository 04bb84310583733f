"""Erasure on request: at once in the store, and for good once the days have new keys."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.db.models import Model

from audit import crypto, ids, indexing, sweeps
from audit.deriving import New
from audit.flagged.collecting import flags_derive
from audit.keynames import start_of
from audit.keys import PAYLOAD, KeyDirectory
from audit.models import (
    Call,
    CallKey,
    Entry,
    EvidenceDay,
    Fact,
    Fingerprint,
    Flag,
    Job,
    Payload,
    Removal,
    Word,
)
from audit.reader import records_read
from audit.recorder import Recorder
from audit.records import Recordable
from audit.retention import days, emptying, erasure, rekeying, removing
from audit.retention.erasure import ErasureRefused, Selection, outlook
from audit.search.dayskeys import keys_by_day
from audit.search.indexing import READ, terms_derive, words_of
from audit.search.rekeying import words_move
from audit.search.terms import word_digest
from audit.search.writing import terms_write

from .kept import (
    VALUE,
    Backup,
    ago,
    calls_on,
    erase,
    findable,
    hold,
    problems,
    readable,
    request,
    retain,
    rule,
    then,
    verified,
)
from .world import ALICE, ANSWER, BOB, DONE, asks, broken
from .world import run as run_async

ALICE_ID = UUID(str(ALICE.person_id))


def g(day: int, generation: int = 1) -> str:
    return f"payload-{ago(day)}" + (f"-g{generation}" if generation > 1 else "")


def word(call: Call, keys: KeyDirectory) -> None:
    """The words of this call, as a search finds them."""
    terms_write(Word, [words_of(call.id, records_read([call], READ)[call.id])])
    assert has_word(call, keys)


def has_word(call: Call, keys: KeyDirectory) -> bool:
    day = keys_by_day().get(days.day_of(call.started_at), ())
    digests = [word_digest(key, "write") for key in day]
    return Word.objects.filter(call_id=call.id, started_at=call.started_at, digest__in=digests).exists()


# --- at once ----------------------------------------------------------------------------------------
def test_erased_calls_are_unreadable_at_once(recorder: Recorder, keys: KeyDirectory) -> None:
    gone, stays = calls_on(recorder, 9, 9)
    request(gone)
    assert erasure.sweep() == 1 and erasure.sweep() == 0
    assert not readable(gone) and not findable(gone, keys)
    assert readable(stays) and findable(stays, keys)
    assert f"erased on request (request 1) on {days.today().isoformat()}" in problems(gone)
    assert verified() == "" and list(broken()) == []
    job = Job.objects.get(kind="erasure")
    assert job.state == "done" and job.result is not None and job.result["calls"] == 1


def test_what_was_erased_leaves_a_tombstone_that_names_both_people(
    recorder: Recorder, keys: KeyDirectory
) -> None:
    (gone,) = calls_on(recorder, 9)
    erase(gone, keys=keys)
    meta = json.loads(bytes(Entry.objects.get(id=Removal.objects.get().entry_id).meta))
    assert (meta["event"], meta["area"]) == ("evidence.erased", "clinic")
    detail = meta["detail"]
    assert (detail["proposed_by"], detail["confirmed_by"], detail["calls"]) == ("alice", "dave", 1)


def test_all_calls_of_one_caller_up_to_a_moment(recorder: Recorder, keys: KeyDirectory) -> None:
    mine = calls_on(recorder, 9, 5, 2)
    (other,) = calls_on(recorder, 9, who=BOB)
    request(callers=(ALICE_ID,), since=start_of(ago(6)), until=start_of(ago(3)))
    erasure.sweep()
    assert [readable(call) for call in mine] == [True, False, True] and readable(other)


def test_what_is_held_stays_and_the_rest_goes(recorder: Recorder, keys: KeyDirectory) -> None:
    held, gone = calls_on(recorder, 9, 9)
    hold(call_id=held.id)
    found = outlook(Selection(calls=(held.id, gone.id)))
    assert (found.calls, found.held, found.gone, found.areas) == (2, 1, 0, ("clinic",))
    erase(held, gone, keys=keys)
    assert readable(held) and findable(held, keys) and not readable(gone)
    job = Job.objects.get(kind="erasure")
    assert job.state == "done" and job.result is not None and job.result["held"] == 1


def test_a_call_that_is_open_is_erased_once_it_is_closed(recorder: Recorder, keys: KeyDirectory) -> None:
    admission = asks(call_id=then(ago(2)))
    run_async(recorder.admit(admission))
    request(Call.objects.get(id=admission.call_id))
    assert erasure.sweep() == 0
    job = Job.objects.get(kind="erasure")
    assert job.finished_at is None and job.due_at > ids.now()
    run_async(recorder.segment(admission.call_id, ANSWER, final=True))
    recorder.close(admission.call_id, DONE)
    recorder.stop(5)
    Job.objects.update(due_at=ids.now())
    assert erasure.sweep() == 1
    assert not Payload.objects.filter(started_at=ids.time_of(admission.call_id)).exists()


def test_what_retention_removed_already_is_left_alone(recorder: Recorder, keys: KeyDirectory) -> None:
    (gone,) = calls_on(recorder, 40)
    rule(30)
    retain(keys)
    erase(gone, keys=keys)
    assert "retention rule" in problems(gone) and Removal.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    "said",
    [
        {},
        {"callers": [str(ids.new())]},
        {
            "subject": "local:alice",
            "until": "2026-01-01T00:00:00+00:00",
        },  # nobody is selected by a typed name
        {"calls": ["nonsense"]},
        {"calls": 7},
        {"calls": ["7c9e6679-7425-40de-944b-e07fc1f90ae7"]},  # holds no time
        {"calls": ["ffffffff-ffff-7fff-bfff-ffffffffffff"]},  # of a year that no calendar has
        {"calls": [str(ids.new())], "callers": [str(ids.new())]},
    ],
)
def test_a_request_that_names_nothing_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ErasureRefused):
        outlook(Selection.of(said))


@pytest.mark.django_db
def test_calls_that_are_not_there_are_refused() -> None:
    with pytest.raises(ErasureRefused, match="no such calls"):
        outlook(Selection(calls=(ids.new(),)))


def test_too_many_calls_are_to_be_narrowed_down(recorder: Recorder) -> None:
    calls_on(recorder, 9, 9, 9)
    with patch.object(erasure, "MOST", 2), pytest.raises(ErasureRefused, match="more than 2"):
        outlook(Selection(callers=(ALICE_ID,), until=ids.now()))


# --- for good ---------------------------------------------------------------------------------------
def test_a_backup_from_before_opens_and_finds_nothing_of_what_was_erased(
    recorder: Recorder, keys: KeyDirectory
) -> None:
    gone, same_day, other_day = calls_on(recorder, 9, 9, 8)
    for call in (gone, same_day):
        word(call, keys)
    before = Backup.made()
    erase(gone, keys=keys)
    assert (keys.generations(PAYLOAD, ago(9)), keys.generations(PAYLOAD, ago(8))) == ([2], [1])
    for call in (same_day, other_day):
        assert readable(call) and findable(call, keys)
    assert has_word(same_day, keys) and not has_word(gone, keys)

    after = Backup.made()
    before.restore()
    assert CallKey.objects.filter(id=gone.id).exists()  # it is in there
    assert not readable(gone) and not findable(gone, keys) and not has_word(gone, keys)
    assert not readable(same_day)  # the price
    assert readable(other_day) and findable(other_day, keys)

    after.restore()
    assert readable(same_day) and findable(same_day, keys) and has_word(same_day, keys)
    assert not readable(gone) and verified() == ""


def test_a_backup_from_before_does_not_take_the_new_key_with_it(
    recorder: Recorder, keys: KeyDirectory
) -> None:
    """It was made between the erasure and the new key, so it thinks that it has to make one."""
    gone, stays = calls_on(recorder, 9, 9)
    request(gone)
    erasure.sweep()
    between = Backup.made()
    rekeying.sweep(keys)
    after = Backup.made()
    between.restore()
    rekeying.sweep(keys)
    assert not readable(stays) and 2 in keys.generations(PAYLOAD, ago(9))
    after.restore()
    assert readable(stays) and findable(stays, keys)


def test_today_gets_its_new_key_when_it_is_over(recorder: Recorder, keys: KeyDirectory) -> None:
    gone, stays = calls_on(recorder, 0, 0)
    erase(gone, keys=keys)
    today = ago(0)
    assert not readable(gone) and keys.generations(PAYLOAD, today) == [1]
    tomorrow = start_of(today + timedelta(days=1))
    with patch.object(ids, "now", lambda: tomorrow + timedelta(minutes=59)):
        assert rekeying.sweep(keys) == []
    with patch.object(ids, "now", lambda: tomorrow + timedelta(minutes=61)):
        assert rekeying.sweep(keys) == [today]
    assert keys.generations(PAYLOAD, today) == [2]
    assert readable(stays) and findable(stays, keys)


def test_each_erasure_makes_a_further_generation(recorder: Recorder, keys: KeyDirectory) -> None:
    one, two, three = calls_on(recorder, 9, 9, 9)
    erase(one, keys=keys)
    between = Backup.made()
    erase(two, keys=keys)
    assert keys.generations(PAYLOAD, ago(9)) == [3]
    assert [readable(call) for call in (one, two, three)] == [False, False, True]
    assert findable(three, keys)
    between.restore()
    assert not readable(two) and not findable(two, keys)


def test_a_day_of_which_everything_was_erased_needs_no_key(recorder: Recorder, keys: KeyDirectory) -> None:
    (gone,) = calls_on(recorder, 9)
    before = Backup.made()
    erase(gone, keys=keys)
    assert g(9) not in keys.periods(PAYLOAD)
    before.restore()
    assert not readable(gone) and not findable(gone, keys)


def test_a_month_whose_key_wraps_it_gets_keys_for_each_of_its_days(
    recorder: Recorder, keys: KeyDirectory
) -> None:
    """From before days had keys of their own: the month's key goes when the last day has moved."""
    first = days.today().replace(day=1) - timedelta(days=40)
    first = first.replace(day=1)
    back = (days.today() - first).days
    gone, same_month = calls_on(recorder, back, back - 20)
    month, noise = f"payload-{first:%Y-%m}", crypto.Noise()
    (keys._path / f"{month}.key").write_bytes(bytes(range(32)))
    for row in CallKey.objects.filter(id__in=[gone.id, same_month.id]):
        place = crypto.key_place(row.id.bytes, row.wrapped_by)
        key = crypto.unseal(AESGCM(keys.find(row.wrapped_by)), bytes(row.wrapped), place)
        wrapped = crypto.seal(AESGCM(bytes(range(32))), key, crypto.key_place(row.id.bytes, month), noise)
        CallKey.objects.filter(id=row.id).update(wrapped_by=month, wrapped=wrapped)
    for row in Fingerprint.objects.filter(call_id__in=[gone.id, same_month.id]):
        Fingerprint.objects.filter(pk=row.pk).update(digest=VALUE[:16], generation=0)
    before = Backup.made()
    erase(gone, keys=keys)
    assert readable(same_month) and findable(same_month, keys) and month not in keys.periods(PAYLOAD)
    assert not Fingerprint.objects.filter(call_id=same_month.id, generation=0).exists()
    before.restore()
    assert not readable(gone)


def test_a_key_row_that_never_opened_does_not_stop_the_others(recorder: Recorder, keys: KeyDirectory) -> None:
    gone, odd, stays = calls_on(recorder, 9, 9, 9)
    CallKey.objects.filter(id=odd.id).update(wrapped=b"\x01" + bytes(60))
    erase(gone, keys=keys)
    assert readable(stays) and not readable(odd) and keys.generations(PAYLOAD, ago(9)) == [2]


# --- workers that die, and two of them --------------------------------------------------------------
STEPS: list[tuple[Any, str]] = [
    (erasure, "remove"),
    (erasure, "ask_rekeying"),
    (removing, "event"),
    (erasure.jobs, "finish"),
    (rekeying, "_target"),
    (KeyDirectory, "generation"),
    (rekeying, "_keys_after"),
    (rekeying, "_move"),
    (emptying, "destroy"),
    (KeyDirectory, "destroy"),
    (emptying, "event"),
    (rekeying, "_done"),
]


@pytest.mark.parametrize(("owner", "name"), STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_that_dies_anywhere_is_made_up_for(
    recorder: Recorder, keys: KeyDirectory, owner: Any, name: str, when: str
) -> None:
    gone, *stay = calls_on(recorder, 9, 9, 9)
    before = Backup.made()
    real = getattr(owner, name)

    def dies(*args: Any, **said: Any) -> Any:
        if when == "after":
            real(*args, **said)
        raise SystemExit(name)

    with patch.object(owner, name, dies), pytest.raises(SystemExit):
        erase(gone, keys=keys)
    Job.objects.update(leased_until=None)  # the lease ran out
    erasure.sweep()
    rekeying.sweep(keys)
    assert all(readable(call) and findable(call, keys) for call in stay)
    assert not readable(gone) and keys.generations(PAYLOAD, ago(9)) == [2]
    assert Removal.objects.count() == 1 and verified() == "" and list(broken()) == []
    assert not EvidenceDay.objects.exclude(rekey_asked_at=None, rekey_to=None).exists()
    before.restore()
    assert not readable(gone) and not findable(gone, keys)


def test_two_that_move_a_day_at_once_move_it_to_the_same_key(recorder: Recorder, keys: KeyDirectory) -> None:
    gone, *stay = calls_on(recorder, 9, 9, 9)
    request(gone)
    erasure.sweep()
    real, inside = rekeying._move, []

    def meanwhile(model: type[Model], *args: Any) -> None:
        if not inside:
            inside.append(None)
            rekeying.sweep(KeyDirectory(keys._path))
        real(model, *args)

    with patch.object(rekeying, "_move", meanwhile):
        rekeying.sweep(keys)
    assert keys.generations(PAYLOAD, ago(9)) == [2]
    assert all(readable(call) and findable(call, keys) for call in stay)


def test_what_is_erased_while_its_day_moves_makes_it_move_again(
    recorder: Recorder, keys: KeyDirectory
) -> None:
    """Its key may have been moved already, and a backup made just then."""
    one, two, three = calls_on(recorder, 9, 9, 9)
    request(one)
    erasure.sweep()
    real, backups = rekeying._old_keys_go, []

    def meanwhile(*args: Any) -> None:
        if not backups:
            backups.append(Backup.made())
            request(two)
            erasure.sweep()
        real(*args)

    with patch.object(rekeying, "_old_keys_go", meanwhile):
        rekeying.sweep(keys)
    rekeying.sweep(keys)
    assert keys.generations(PAYLOAD, ago(9)) == [3] and readable(three)
    backups[0].restore()
    assert not readable(two) and not findable(two, keys)


def test_a_long_day_is_moved_in_many_turns(recorder: Recorder, keys: KeyDirectory) -> None:
    gone, *stay = calls_on(recorder, *[9] * 7)
    request(gone)
    erasure.sweep()
    with patch.object(rekeying, "AT_ONCE", 2), patch.object(rekeying, "TURN", 0.0):
        turns = 0
        while EvidenceDay.objects.exclude(rekey_asked_at=None).exists():
            rekeying.sweep(keys)
            turns += 1
            assert all(readable(call) and findable(call, keys) for call in stay)
            assert turns < 20
    assert turns > 3 and keys.generations(PAYLOAD, ago(9)) == [2]


# --- what is read before and written after ------------------------------------------------------------
def test_words_that_were_read_before_an_erasure_are_not_written_after_it(
    recorder: Recorder, keys: KeyDirectory
) -> None:
    gone, stays = calls_on(recorder, 9, 9)
    new = New(closed=[gone, stays], events=[])
    writes = [derivation(new) for derivation in (terms_derive, flags_derive)]
    request(gone)
    erasure.sweep()
    for write in writes:
        write()
    assert not Word.objects.filter(call_id=gone.id).exists()
    assert has_word(stays, keys)
    assert Fact.objects.filter(call_id=gone.id).exists()  # the row is still listed, and so still found


def test_of_a_row_that_is_gone_nothing_is_written(recorder: Recorder, keys: KeyDirectory) -> None:
    (gone,) = calls_on(recorder, 9)
    gone.gate = "flag"
    new = New(closed=[gone], events=[])
    writes = [derivation(new) for derivation in (terms_derive, flags_derive)]
    rule(1, 2)
    retain(keys)
    assert not Call.objects.filter(id=gone.id).exists()
    for write in writes:
        write()
    assert not Word.objects.exists() and not Fact.objects.filter(call_id=gone.id).exists()
    assert not Flag.objects.exists()


def test_words_that_a_new_key_reads_before_an_erasure_are_not_written_after_it(
    recorder: Recorder, keys: KeyDirectory
) -> None:
    gone, stays = calls_on(recorder, 9, 9)
    old = keys.days(PAYLOAD, ago(9))
    new = keys.generation(PAYLOAD, ago(9), 2)
    write = words_move([gone.id, stays.id], [key.key for key in old], new.key)
    request(gone)
    erasure.sweep()
    write()
    assert not Word.objects.filter(call_id=gone.id).exists()
    assert has_word(stays, keys)


def test_values_that_waited_for_their_index_do_not_come_back(recorder: Recorder, keys: KeyDirectory) -> None:
    with patch("audit.indexing.index_pending", lambda: 0):
        gone, stays = calls_on(recorder, 9, 9)
        request(gone)
        assert erasure.sweep() == 1
    assert indexing.index_pending() > 0
    assert not Fingerprint.objects.filter(call_id=gone.id).exists()
    assert findable(stays, keys)


def test_what_is_derived_late_makes_no_destroyed_key_anew(recorder: Recorder, keys: KeyDirectory) -> None:
    (call,) = calls_on(recorder, 0)
    keys.destroy(f"payload-{ago(0)}")
    terms_derive(New(closed=[call], events=[]))()
    assert keys.generations(PAYLOAD, ago(0)) == []
    assert not Word.objects.exists()


def test_a_call_that_ends_after_its_day_got_a_new_key_is_found_by_what_its_answer_held(
    recorder: Recorder, keys: KeyDirectory
) -> None:
    late = asks(call_id=then(ago(9)), request=Recordable(b"write"))

    async def admit() -> None:
        await recorder.admit(late)

    async def close() -> None:
        await recorder.segment(late.call_id, ANSWER, final=True)
        recorder.close(late.call_id, replace(DONE, fingerprints=(("EMAIL", VALUE),)))
        await recorder.refuse(asks(call_id=then(ago(0)), request=None), DONE)

    run_async(admit())
    erase(*calls_on(recorder, 9), keys=keys)
    assert keys.generations(PAYLOAD, ago(9)) == [2]
    run_async(close())
    indexing.index_pending()
    call = Call.objects.get(id=late.call_id)
    assert findable(call, keys) and readable(call)
    terms_derive(New(closed=[call], events=[]))()
    assert has_word(call, keys)


@pytest.mark.parametrize("alone", [True, False])
def test_what_ends_a_second_time_after_it_was_erased_makes_no_key_and_is_not_found(
    recorder: Recorder, keys: KeyDirectory, alone: bool
) -> None:
    """Its process was thought dead, so its call was closed for it; then the day was emptied, or moved."""
    others = calls_on(recorder, 10 if alone else 9)
    late = asks(call_id=then(ago(9)))

    async def admit() -> None:
        await recorder.admit(late)

    async def go_on() -> None:
        await recorder.segment(late.call_id, ANSWER, final=True)
        recorder.close(late.call_id, replace(DONE, fingerprints=(("EMAIL", VALUE),)))
        await recorder.refuse(asks(call_id=then(ago(0)), request=None), DONE)

    run_async(admit())
    call = Call.objects.get(id=late.call_id)
    assert sweeps._close([call]) == 1
    before = Backup.made()
    erase(call, keys=keys)
    emptying.keys_go(ago(9), keys)
    left = [] if alone else [2]
    assert keys.generations(PAYLOAD, ago(9)) == left
    run_async(go_on())
    indexing.index_pending()
    assert keys.generations(PAYLOAD, ago(9)) == left
    assert not readable(call) and not findable(call, keys)
    assert all(readable(other) and findable(other, keys) for other in others)
    assert verified() == "" and list(broken()) == []
    before.restore()
    assert not readable(call) and not findable(call, keys)

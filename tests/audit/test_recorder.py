"""What the recorder promises its callers: durable on return, sealed, chained, closed once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from audit import ids
from audit.models import Call, CallKey, Entry, Instance, Payload, Session
from audit.reader import call_read
from audit.recorder import Recorder, StoreUnavailable
from audit.records import Close, Decision, Recordable, What

from .world import ANSWER, BOB, DONE, REQUEST, STRANGER, asks, broken, run

REFUSED = Close(action="refused", status=403, complete=False, code="no_access")


def test_an_admission_is_durable_when_admit_returns(recorder: Recorder) -> None:
    admission = asks()
    run(recorder.admit(admission))
    call = Call.objects.get(id=admission.call_id)
    assert (call.name, call.model, call.action, call.closed_at) == ("alice", "demo", "masked", None)
    assert call.counts == {"EMAIL": 1} and call.groups == ["support"]
    assert call.started_at == ids.time_of(admission.call_id)
    assert Entry.objects.get(call_id=call.id).kind == "admission"


def test_a_call_reads_back_as_it_was_recorded(recorder: Recorder) -> None:
    admission = asks()

    async def ask() -> None:
        await recorder.admit(admission)
        await recorder.segment(admission.call_id, Recordable(b"data: one\n\n"))
        await recorder.segment(admission.call_id, ANSWER, final=True)
        recorder.close(admission.call_id, DONE)

    run(ask())
    recorder.stop(5)
    record = call_read(Call.objects.get(id=admission.call_id))
    assert record.chain_ok and not record.problems
    assert record.request == REQUEST
    assert record.response == (Recordable(b"data: one\n\n"), ANSWER)
    assert [part.kind for part in record.parts] == ["admission", "segment", "segment", "close"]
    assert [part.meta.get("final") for part in record.parts[1:3]] == [False, True]
    assert record.call.finish_reason == "stop" and record.call.complete
    assert list(broken()) == []


def test_the_admission_entry_holds_what_the_projection_shows(recorder: Recorder) -> None:
    admission = asks()
    run(recorder.admit(admission))
    meta = json.loads(bytes(Entry.objects.get(call_id=admission.call_id).meta))
    assert meta["who"]["subject"] == "local:alice"
    assert meta["what"]["policy"] == "default@1"
    assert meta["decision"]["counts"] == {"EMAIL": 1}
    assert meta["request_hmac"] == admission.request_hmac.hex()
    assert meta["session"] == Call.objects.get().session_id.hex  # type: ignore[union-attr] # it has one


def test_nothing_in_the_store_is_readable_without_the_key_of_the_day(recorder: Recorder) -> None:
    run(recorder.admit(asks(request=Recordable(b"a sentence that only the keys open" * 100))))
    sealed = bytes(Payload.objects.get().sealed)
    assert b"sentence" not in sealed and len(sealed) < 500  # and it is compressed
    assert len(bytes(CallKey.objects.get().wrapped)) == 1 + 12 + 32 + 16


def test_many_callers_share_commits(recorder: Recorder) -> None:
    async def ask() -> None:
        admission = asks()
        await recorder.admit(admission)
        await recorder.segment(admission.call_id, ANSWER, final=True)
        recorder.close(admission.call_id, DONE)

    async def crowd() -> None:
        await asyncio.gather(*(ask() for _ in range(200)))

    run(crowd())
    recorder.stop(5)
    assert Call.objects.filter(complete=True).count() == 200
    assert recorder.commits < 300  # of 600 things to record
    assert list(broken()) == []


def test_a_refusal_is_one_commit_of_admission_and_close(recorder: Recorder) -> None:
    before = recorder.commits
    run(recorder.refuse(asks(decision=Decision(action="refused", code="no_access"), request=None), REFUSED))
    assert recorder.commits == before + 1
    call = Call.objects.get()
    assert (call.status, call.code, call.complete) == (403, "no_access", False)
    assert call.closed_at is not None
    assert not CallKey.objects.exists()  # nothing was sealed


def test_a_blocked_call_keeps_its_masked_request(recorder: Recorder) -> None:
    run(recorder.refuse(asks(), REFUSED))
    assert call_read(Call.objects.get()).request == REQUEST


def test_only_the_first_close_counts(recorder: Recorder) -> None:
    admission = asks()
    run(recorder.admit(admission))
    recorder.close(admission.call_id, DONE)
    recorder.close(admission.call_id, REFUSED)
    recorder.stop(5)
    assert Call.objects.get().status == 200
    assert Entry.objects.filter(kind="close").count() == 1


def test_a_segment_needs_an_open_call(recorder: Recorder) -> None:
    with pytest.raises(StoreUnavailable):
        run(recorder.segment(ids.new(), ANSWER))
    admission = asks()
    run(recorder.refuse(admission, REFUSED))
    with pytest.raises(StoreUnavailable):
        run(recorder.segment(admission.call_id, ANSWER))
    assert Payload.objects.count() == 1


def test_the_same_call_is_not_admitted_twice(recorder: Recorder) -> None:
    admission = asks()
    run(recorder.admit(admission))

    async def twice() -> list[Any]:
        return await asyncio.gather(
            recorder.admit(admission), recorder.admit(asks(BOB)), return_exceptions=True
        )

    again, other = run(twice())
    assert isinstance(again, StoreUnavailable) and other is None  # bob does not pay for it
    assert Call.objects.count() == 2
    assert list(broken()) == []


@pytest.mark.parametrize("text", ["nul\0nul", "lone \ud800 surrogate", "x" * 2000, "‮right to left"])
def test_hostile_names_neither_fail_nor_escape(recorder: Recorder, text: str) -> None:
    what = What(endpoint="chat", model=text, path=text, method=text)
    run(recorder.admit(asks(what=what)))
    call = Call.objects.get()
    assert len(call.model) <= 255 and "\0" not in call.model
    assert list(broken()) == []


def test_who_is_unknown_has_no_session(recorder: Recorder) -> None:
    run(recorder.refuse(asks(STRANGER, request=None), REFUSED))
    assert Call.objects.get().session_id is None


def test_a_cancelled_caller_leaves_no_open_call(recorder: Recorder) -> None:
    async def leave() -> None:
        waiting = asyncio.ensure_future(recorder.admit(asks()))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.sleep(0.2)

    run(leave())
    recorder.stop(5)
    assert not Call.objects.filter(closed_at=None).exists()
    assert set(Call.objects.values_list("code", flat=True)) <= {"not_sent"}


def test_stop_writes_what_was_handed_in_and_says_so(recorder: Recorder) -> None:
    admissions = [asks() for _ in range(50)]

    async def ask() -> None:
        await asyncio.gather(*(recorder.admit(admission) for admission in admissions))

    run(ask())
    for admission in admissions:
        recorder.close(admission.call_id, DONE)
    recorder.stop(5)
    assert not Call.objects.filter(closed_at=None).exists()
    assert Instance.objects.get(id=recorder.instance).stopped_at is not None
    assert not recorder.healthy
    with pytest.raises(StoreUnavailable):
        run(recorder.admit(asks()))


def test_what_a_recorder_left_open_is_closed_by_the_next(recorders: Callable[[], Recorder]) -> None:
    admission = asks()
    first = recorders()
    run(first.admit(admission))
    first.stop(5)
    assert Call.objects.get().closed_at is None
    recorders()
    call = Call.objects.get()
    assert (call.complete, call.code) == (False, "instance_lost")
    assert Entry.objects.filter(call_id=call.id, kind="close").count() == 1
    assert list(broken()) == []


def test_a_living_recorder_keeps_its_calls(recorders: Callable[[], Recorder]) -> None:
    admission = asks()
    first = recorders()
    run(first.admit(admission))
    recorders()
    assert Call.objects.get().closed_at is None


def test_two_recorders_write_beside_each_other(recorders: Callable[[], Recorder]) -> None:
    one, two = recorders(), recorders()

    async def both() -> None:
        work = [recorder.admit(asks()) for recorder in (one, two) for _ in range(30)]
        await asyncio.gather(*work)

    run(both())
    assert Call.objects.count() == 60
    assert Session.objects.count() == 1  # alice's, whoever recorded it
    assert list(broken()) == []


def test_a_flood_is_counted_and_sampled(recorder: Recorder) -> None:
    sampled = sum(
        recorder.count_refusal(code="unknown_key", network=f"192.0.2.{n % 99}") for n in range(5000)
    )
    assert sampled == 10
    recorder.stop(5)
    entry = Entry.objects.get(kind="event")
    meta = json.loads(bytes(entry.meta))
    assert meta["codes"] == {"unknown_key": 5000}
    assert sum(meta["networks"].values()) == 5000 and len(meta["networks"]) <= 51


def test_records_do_not_print_what_they_hold() -> None:
    assert "***" not in repr(REQUEST) and "EMAIL" not in repr(REQUEST)

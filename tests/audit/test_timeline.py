"""What happened to one call: what the gateway wrote, what people did about it, and who has looked."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from audit import evidence, timeline
from audit.events import event
from audit.models import Call, Entry
from audit.reader import call_read
from audit.recorder import Recorder
from audit.records import Close, Decision, Recordable, Release, Who
from audit.timeline import Moment

from .world import ANSWER, CHAT, DONE, MASKED, REQUEST, asks, run

DAVE = Who(subject="local:dave", name="dave", kind="person")
RITA = Who(subject="local:rita", name="rita", kind="person")
HELD = Decision(action="held", gate="hold", rules=("1",), approval="0197c000-0000-7000-8000-000000000001")
RELEASED = Decision(action="released", gate="hold", rules=("1",), approval=HELD.approval, risk=7)
LEFT = Recordable(b'{"messages":[{"role":"user","content":"as it left"}]}')
VIEW = Recordable(b'{"messages":[{"role":"user","content":"write to [EMAIL 1]"}]}')


def held(recorder: Recorder, *, left: Recordable = LEFT, answer: Recordable | None = ANSWER) -> Call:
    """A call of alice's that waited and was let go."""
    admission = asks(decision=HELD)
    number = admission.call_id
    run(recorder.admit(admission, view=VIEW))
    event("approval.opened", by=RITA, call_id=number)
    seen: dict[str, Any] = {"choice": "approve", "emergency": False, "seen": "00"}
    words = Recordable("for the \u202eward".encode())
    event("approval.voted", by=RITA, call_id=number, detail=seen, note=words)
    event("approval.approved", by=RITA, call_id=number)

    async def leave() -> None:
        await recorder.release(
            number, Release(what=CHAT, decision=RELEASED, sent_digest=b"s" * 32, request=left)
        )
        if answer:
            await recorder.segment(number, answer, final=True)
        recorder.close(number, DONE)

    run(leave())
    recorder.stop(5)
    return Call.objects.get(id=admission.call_id)


def told(call: Call) -> list[tuple[str, str]]:
    return [(each.who, each.what) for each in timeline.timeline(call_read(call)).moments]


def test_a_held_call_tells_who_let_it_go_and_why(recorder: Recorder) -> None:
    call = held(recorder)
    found = timeline.timeline(call_read(call)).moments
    assert told(call) == [
        ("", "Recorded"),
        ("rita", "opened the held request, as a reviewer"),
        ("rita", "voted to approve"),
        ("rita", "approved the request"),
        ("", "Judged anew, by the rules of that moment"),
        ("", "The first piece of the response left"),
        ("", "Ended"),
    ]
    vote: Moment = found[2]
    assert "".join(part.text for segment in vote.why for part in segment.parts) == "for the U+202Eward"
    assert [each.note for each in found if each.what == "Recorded"] == ["held"]
    assert all(each.after is not None for each in found[1:] if not each.who)
    assert timeline.approvals_of(call_read(call)) == (HELD.approval,)


def test_who_has_opened_it_before_is_told(recorder: Recorder, client: Client) -> None:
    call = held(recorder)
    for name in ("dave", "erin"):
        person = get_user_model().objects.create_user(name, password="pw")
        person.user_permissions.add(Permission.objects.get(codename="view_call"))
        client.force_login(person)
        page = client.get(f"/audit/calls/{call.id}/").content.decode()
    opened = [who for who, what in told(call) if what == "opened this record"]
    assert opened == ["dave", "erin"]
    assert page.count("opened this record") == 2


def test_an_emergency_and_what_nobody_has_a_word_for(recorder: Recorder) -> None:
    call = held(recorder)
    event("approval.voted", by=RITA, call_id=call.id, detail={"choice": "approve", "emergency": True})
    event("approval.superseded", call_id=call.id, detail={"because": "judged otherwise"})
    event("call.marked", by=DAVE, call_id=call.id, detail={"choice": ["odd"]})
    found = timeline.timeline(call_read(call)).moments[-3:]
    assert found[0].what == "voted to approve, alone, in an emergency"
    assert (found[1].who, found[1].what, found[1].note) == ("", "The approval is void", "judged otherwise")
    assert (found[2].who, found[2].what, found[2].name) == ("dave", "", "call.marked")


def test_a_much_opened_record_keeps_its_decision_and_its_latest_readers(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = held(recorder)
    monkeypatch.setattr(timeline, "FIRST", 4)
    monkeypatch.setattr(timeline, "LATEST", 2)
    for at in range(7):
        event("call.opened", by=Who(name=f"reader {at}", kind="person"), call_id=call.id)
    found = timeline.timeline(call_read(call))
    readers = [each.who for each in found.moments if each.what == "opened this record"]
    assert readers == ["reader 0", "reader 5", "reader 6"] and found.left_out == 4
    assert any(each.what == "voted to approve" for each in found.moments)


def test_a_changed_event_is_told_as_changed(recorder: Recorder) -> None:
    call = held(recorder)
    odd = json.dumps({"event": "call.opened", "by": [], "detail": 3, "note": {}}).encode()
    entry = Entry.objects.filter(kind="event", call_id=call.id).order_by("id")[0]
    entry.meta = odd
    moment = timeline._event(entry)
    assert (moment.who, moment.what, moment.problem) == ("", "opened this record", "was changed")
    entry.meta = b"not json"
    assert timeline._event(entry).what == ""


def test_what_left_is_shown_first_and_what_came_beside_it(recorder: Recorder) -> None:
    found = evidence.evidence(call_read(held(recorder)))
    requests = found["requests"]
    assert requests.left and requests.came is not None and requests.reviewed is not None
    (message,) = requests.shown.messages
    assert message.blocks[0].text[0].parts[0].text == "as it left"
    assert found["judged_again"].risk == 7


def test_what_left_as_it_came_is_shown_once(recorder: Recorder) -> None:
    requests = evidence.evidence(call_read(held(recorder, left=REQUEST)))["requests"]
    assert requests.left and requests.came is None


def test_a_call_that_was_not_held_left_as_it_came(recorder: Recorder) -> None:
    admission = asks(decision=MASKED)
    run(recorder.admit(admission))
    recorder.stop(5)
    found = evidence.evidence(call_read(Call.objects.get()))
    assert not found["requests"].left and found["requests"].reviewed is None
    assert found["approvals"] == ()


def test_times_are_counted_from_when_the_call_was_let_go(recorder: Recorder) -> None:
    record = call_read(held(recorder))
    times, end = evidence.paces(record)
    release = next(part for part in record.parts if part.kind == "release")
    segment = next(part for part in record.parts if part.kind == "segment")
    assert times == ((segment.at - release.at) // 1000,) and end >= times[0]


DONE_AT: Any = object()


def ended(code: str) -> Close:
    return Close(action="failed", status=200, complete=False, code=code)


@pytest.mark.parametrize(
    ("close", "streaming", "cut", "text"),
    [
        (DONE, True, False, "Complete."),
        (ended("upstream_cut"), True, True, "not whole"),
        (ended("upstream_cut"), False, True, "This is not the model's answer"),
        (ended("client_gone"), True, True, "the client left"),
        (ended("odd_code"), True, True, "odd_code"),
    ],
)
def test_a_response_says_how_it_ended(close: Close, streaming: bool, cut: bool, text: str) -> None:
    said: dict[str, Any] = {"complete": close.complete, "code": close.code, "status": close.status}
    found = evidence.ending_of(Call(closed_at=DONE_AT, streaming=streaming, timings={}, **said))
    assert found.cut is cut and text in found.text


def test_a_response_with_a_hole_in_its_record_is_never_said_to_be_whole(recorder: Recorder) -> None:
    record = call_read(held(recorder))
    assert not evidence.ending(record).cut
    without = replace(record, parts=tuple(part for part in record.parts if part.kind != "segment"))
    assert "0 of 1 pieces" in evidence.ending(without).text and evidence.ending(without).cut
    unread = tuple(
        replace(part, payload=None, problem="its key was erased") if part.kind == "segment" else part
        for part in record.parts
    )
    found = evidence.ending(replace(record, parts=unread))
    assert found.cut and "1 of 1 pieces cannot be shown: its key was erased." in found.text


def test_a_call_that_was_judged_again_and_goes_on_waiting_did_not_leave(recorder: Recorder) -> None:
    record = call_read(held(recorder))
    meta = {"decision": {"action": "held", "gate": "hold"}}
    waits = tuple(replace(part, meta=meta) if part.kind == "release" else part for part in record.parts)
    requests = evidence.evidence(replace(record, parts=waits))["requests"]
    assert requests.again and not requests.left


def test_an_open_call_is_never_said_to_be_complete() -> None:
    found = evidence.ending_of(Call(closed_at=None, complete=None, code="", streaming=True))
    assert found.cut and "open" in found.text


def test_the_page_reads_its_record_in_a_fixed_number_of_queries(
    recorder: Recorder, django_assert_max_num_queries: Any
) -> None:
    call = held(recorder)
    with django_assert_max_num_queries(6):
        evidence.evidence(call_read(call))

"""A session as one conversation: what is new in each call; and that each of them is opened, and on record."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from audit import ids, reader, replay
from audit.conversation import NOTHING, Fresh, Said, exchanges, fresh, said
from audit.models import Call, CallKey, Entry, Session
from audit.recorder import Recorder
from audit.records import NOT_KEPT, Close, Recordable, What
from audit.replay import Payload

from .world import CHAT, DONE, asks, run


def chat(*texts: str, **rest: Any) -> Recordable:
    roles = ("user", "assistant")
    messages = [{"role": roles[at % 2], "content": text} for at, text in enumerate(texts)]
    return Recordable(json.dumps({**rest, "messages": messages}).encode())


def answering(text: str) -> Payload:
    return replay.response([(answered(text).data, b"[]")], streamed=False)


def answered(text: str) -> Recordable:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return Recordable(json.dumps({"choices": [choice]}).encode())


def new_in(now: Recordable, before: Said = NOTHING, answer: Payload | None = None) -> Fresh:
    return fresh(replay.request(now.data, now.marks), said(now), before, answer)


def texts(found: Fresh) -> list[str]:
    assert found.payload is not None
    return ["".join(p.text for s in m.blocks[0].text for p in s.parts) for m in found.payload.messages]


# --- what is new ------------------------------------------------------------------------------------
def test_the_first_call_is_new_as_a_whole() -> None:
    found = new_in(chat("hello", model="m"))
    assert texts(found) == ["hello"] and found.payload and found.payload.lines
    assert (found.repeated, found.dropped) == (0, 0)


def test_history_and_the_answer_to_it_are_left_out() -> None:
    found = new_in(
        chat("hello", "hi!", "and now?", model="m"), said(chat("hello", model="m")), answering("hi!")
    )
    assert texts(found) == ["and now?"]
    assert (found.repeated, found.answer_repeated, found.dropped) == (2, True, 0)
    assert found.payload and found.payload.lines == ()  # the rest is as before


def test_an_answer_that_comes_back_otherwise_is_new() -> None:
    found = new_in(chat("hello", "bye!", "why?"), said(chat("hello")), answering("hi!"))
    assert texts(found) == ["bye!", "why?"] and not found.answer_repeated


def test_an_answer_with_hidden_characters_is_known_again() -> None:
    found = new_in(chat("a", "x\u200by", "b"), said(chat("a")), answering("x\u200by"))
    assert texts(found) == ["b"]


def test_a_history_that_was_cut_says_how_much_is_gone() -> None:
    before = said(chat("one", "two", "three"))
    found = new_in(chat("one", "four"), before, answering("four"))
    assert texts(found) == ["four"] and (found.repeated, found.dropped) == (1, 2)


def test_a_call_that_is_sent_again_has_nothing_new() -> None:
    found = new_in(chat("hello", model="m"), said(chat("hello", model="m")), None)
    assert found.payload is None and found.repeated == 1


def test_a_number_is_no_text_that_looks_like_it() -> None:
    one, other = Recordable(b'{"messages":[{"role":"user","content":"x","n":1}]}'), b'"n":"1"}]}'
    found = new_in(Recordable(one.data.replace(b'"n":1}]}', other)), said(one))
    assert found.repeated == 0


def test_a_document_is_compared_as_a_whole() -> None:
    form = Recordable(b'{"age":40}')
    assert new_in(form, said(form)).same
    assert new_in(Recordable(b'{"age":41}'), said(form)).payload is not None
    assert not new_in(Recordable(b"\xff not json"), said(form)).same
    assert new_in(Recordable(NOT_KEPT), said(Recordable(NOT_KEPT))).payload is not None


# --- the page ---------------------------------------------------------------------------------------
@pytest.fixture
def dave(client: Client, recorder: Recorder) -> Client:
    person = get_user_model().objects.create_user("dave", password="pw")
    person.user_permissions.add(Permission.objects.get(codename="view_call"))
    client.force_login(person)
    return client


def talk(recorder: Recorder, *turns: tuple[Recordable, Recordable | None], what: What = CHAT) -> Session:
    """One session of alice's."""
    numbers = []
    for request, answer in turns:
        admission = asks(request=request, session_hint=b"talk", what=what)
        numbers.append(admission.call_id)

        async def ask(admission: Any = admission, answer: Recordable | None = answer) -> None:
            await recorder.admit(admission)
            if answer is not None:
                await recorder.segment(admission.call_id, answer, final=True)
            recorder.close(admission.call_id, DONE if answer else CUT)

        run(ask())
    recorder.stop(5)
    session = Call.objects.get(id=numbers[0]).session_id
    assert session is not None
    return Session.objects.get(id=session)


CUT = Close(action="failed", status=502, complete=False, code="upstream_cut")


def test_a_session_reads_as_a_conversation(recorder: Recorder, dave: Client) -> None:
    session = talk(
        recorder,
        (chat("hello"), answered("hi!")),
        (chat("hello", "hi!", "and <b>now</b>?"), answered("nothing")),
        (chat("hello", "hi!", "and <b>now</b>?", "nothing", "well"), None),
    )
    page = dave.get(f"/audit/sessions/{session.pk}/conversation/").content.decode()
    assert page.count("hello") == 1 and page.count("hi!") == 1
    assert "and &lt;b&gt;now&lt;/b&gt;?" in page
    assert "2 earlier messages, as in" in page and "4 earlier messages, as in" in page
    assert "Nothing was released to the client." in page


def test_each_call_of_the_page_is_opened_on_record(recorder: Recorder, dave: Client) -> None:
    session = talk(recorder, (chat("a"), answered("b")), (chat("a", "b", "c"), answered("d")))
    dave.get(f"/audit/sessions/{session.pk}/conversation/")
    calls = set(Call.objects.values_list("id", flat=True))
    events = Entry.objects.filter(kind="event", call_id__in=calls)
    assert {entry.call_id for entry in events} == calls
    for entry in events:
        meta = json.loads(bytes(entry.meta))
        assert (meta["event"], meta["by"]["subject"]) == ("call.opened", "local:dave")
        assert meta["detail"] == {"session": str(session.pk)}
    page = dave.get(f"/audit/calls/{min(calls)}/").content.decode()
    assert "opened this record, in the conversation of its session" in page


def test_nothing_is_shown_if_the_opening_cannot_be_recorded(
    recorder: Recorder, dave: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = talk(recorder, (chat("a"), answered("b")))

    def broken(*args: Any, **named: Any) -> int:
        raise RuntimeError("the store is away")

    monkeypatch.setattr(reader, "event", broken)
    with pytest.raises(RuntimeError):
        dave.get(f"/audit/sessions/{session.pk}/conversation/")


def test_a_page_has_its_end_and_the_next_is_compared_with_it(
    recorder: Recorder, dave: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.views.CALLS", 2)
    session = talk(
        recorder,
        (chat("one"), answered("1")),
        (chat("one", "1", "two"), answered("2")),
        (chat("one", "1", "two", "2", "three"), answered("3")),
    )
    address = f"/audit/sessions/{session.pk}/conversation/"
    first = dave.get(address).content.decode()
    assert "three" not in first and "Later calls" in first
    _, second, third = list(Call.objects.order_by("id"))
    assert not Entry.objects.filter(kind="event", call_id=third.id).exists()
    later = dave.get(address, {"after": str(second.id)}).content.decode()
    assert "three" in later and "4 earlier messages" in later and "Later calls" not in later
    assert Entry.objects.filter(kind="event", call_id=second.id).count() == 2  # read again, to compare
    assert dave.get(address, {"after": "nonsense"}).status_code == 400
    assert "No calls here" in dave.get(address, {"after": str(ids.new())}).content.decode()


def test_many_calls_are_read_in_as_many_queries_as_few(
    recorder: Recorder, dave: Client, django_assert_max_num_queries: Any
) -> None:
    session = talk(recorder, *[(chat(f"question {at}"), answered("yes")) for at in range(8)])
    calls = list(Call.objects.filter(session_id=session.pk))
    with django_assert_max_num_queries(4):
        records = reader.calls_read(calls)
    assert [record.call.id for record in records] == [call.id for call in calls]
    assert all(record.chain_ok and record.request for record in records)
    assert records[3] == reader.call_read(calls[3])


def test_what_is_missing_is_said_and_breaks_no_comparison(recorder: Recorder, dave: Client) -> None:
    session = talk(recorder, (chat("a"), answered("b")), (chat("a", "b", "c"), answered("d")))
    first = Call.objects.order_by("id")[0]
    CallKey.objects.filter(id=first.id).delete()
    found = exchanges(reader.calls_read(list(Call.objects.order_by("id"))))
    assert "key is missing" in found[0].request_missing and found[0].fresh.payload is None
    assert texts(found[1].fresh) == ["a", "b", "c"]
    assert "key is missing" in dave.get(f"/audit/sessions/{session.pk}/conversation/").content.decode()


def test_a_call_that_did_not_come_to_its_end_says_by_which_code(recorder: Recorder, dave: Client) -> None:
    session = talk(recorder, (chat("a"), None))
    page = dave.get(f"/audit/sessions/{session.pk}/conversation/").content.decode()
    assert "<code>upstream_cut</code>" in page


def test_whoever_may_not_audit_opens_nothing(recorder: Recorder, client: Client) -> None:
    session = talk(recorder, (chat("a"), answered("b")))
    client.force_login(get_user_model().objects.create_user("carol", password="pw"))
    assert client.get(f"/audit/sessions/{session.pk}/conversation/").status_code == 403
    assert not Entry.objects.filter(kind="event").exists()

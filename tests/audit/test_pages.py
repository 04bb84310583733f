"""The auditors' pages: who may open them, what they list, and that opening a call is recorded first."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from audit import ids, pages
from audit.checkpoints import checkpoint_make, signing_key
from audit.events import event
from audit.integrity import integrity
from audit.keys import KeyDirectory
from audit.listing import found_of, milliseconds, waterfall
from audit.models import Anchor, Call, Entry, Session, Sink, Store
from audit.walls import EVERYWHERE

pytestmark = pytest.mark.django_db


@pytest.fixture
def dave(client: Client) -> Client:
    """A browser that is logged in as an auditor."""
    person = get_user_model().objects.create_user("dave", password="pw")
    person.user_permissions.add(Permission.objects.get(codename="view_call"))
    client.force_login(person)
    return client


def session_at(moment: datetime, name: str = "alice") -> Session:
    return Session.objects.create(
        key=uuid4().bytes * 2,
        thread=bytes(32),
        hinted=False,
        started_at=moment,
        subject=f"local:{name}",
        name=name,
        kind="person",
        area="hospital",
        endpoint="chat",
    )


def call_in(session: Session | None, action: str = "masked", **fields: Any) -> Call:
    number = ids.new()
    call = Call(
        id=number,
        started_at=ids.time_of(number),
        instance_id=uuid4(),
        stream_id=uuid4(),
        session_id=session.id if session else None,
        name="alice" if session else "",
        endpoint="chat",
        action=action,
        groups=["support"],
        reasons=[],
        rules=[],
        streaming=False,
        request_hmac=b"",
        sent_digest=b"\x01" * 32,
        request_size=10,
        **{"model": "demo", "counts": {"EMAIL": 1}, **fields},
    )
    call.save(force_insert=True)
    return call


def text(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, path
    return response.content.decode()


@pytest.mark.parametrize("path", ["/audit/", "/audit/calls/", f"/audit/sessions/{UUID(int=1)}/"])
def test_only_auditors_come_in(client: Client, path: str) -> None:
    assert client.get(path).headers["Location"].startswith("/login/")
    client.force_login(get_user_model().objects.create_user("carol"))
    assert client.get(path).status_code == 403


def test_a_session_adds_up_its_calls(dave: Client) -> None:
    session = session_at(timezone.now())
    call_in(session)
    call_in(session, action="blocked", model="other")
    (row,) = pages.sessions_page(None, EVERYWHERE).rows
    assert (row.calls, row.models) == ("2", ("other", "demo"))
    assert [(item.data_class, item.count) for item in row.found] == [("EMAIL", 2)]
    assert [(item.name, item.count) for item in row.actions] == [("masked", 1), ("blocked", 1)]
    shown = text(dave, "/audit/")
    assert f"/audit/sessions/{session.id}/" in shown
    assert "EMAIL ×2" in shown


def test_a_session_of_many_calls_leaves_the_others_their_sums(
    dave: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = session_at(timezone.now()), session_at(timezone.now())
    call_in(small)
    for _ in range(5):
        call_in(large, counts={})
    monkeypatch.setattr(pages, "MAX_SUMMED", 4)
    first, second = pages.sessions_page(None, EVERYWHERE).rows
    assert (first.id, first.calls, first.newest) == (large.id, "2+", 2)
    assert (second.id, second.calls, second.newest) == (small.id, "1", None)
    assert [(item.data_class, item.count) for item in second.found] == [("EMAIL", 1)]
    assert "nothing in the newest 2" in text(dave, "/audit/")
    assert "of the newest 4" in text(dave, f"/audit/sessions/{large.id}/")
    monkeypatch.setattr(pages, "MAX_SUMMED", 6)
    assert [row.calls for row in pages.sessions_page(None, EVERYWHERE).rows] == ["5", "1"]


def test_the_name_of_a_model_is_shown_as_it_was_sent(dave: Client) -> None:
    session = session_at(timezone.now())
    call_in(session, model="<b>&")
    call_in(session, model="other")
    for path in ("/audit/", f"/audit/sessions/{session.id}/"):
        assert "other, &lt;b&gt;&amp;<" in text(dave, path)


def test_an_empty_list_says_how_to_begin(dave: Client) -> None:
    assert "No calls yet" in text(dave, "/audit/")
    assert "No calls yet" in text(dave, "/audit/calls/")


def test_sessions_are_paged_by_id_without_gap_or_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE", 2)
    made = [session_at(timezone.now()).id for _ in range(5)]
    seen: list[UUID] = []
    before: UUID | None = None
    while True:
        page = pages.sessions_page(before, EVERYWHERE)
        seen += [row.id for row in page.rows]
        before = page.older
        if before is None:
            break
    assert seen == sorted(made, reverse=True)


def test_calls_of_a_session_are_in_the_order_they_were_made(
    dave: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGE", 2)
    session = session_at(timezone.now())
    made = [call_in(session).id for _ in range(3)]
    first = pages.calls_of_session(session, None, EVERYWHERE)
    second = pages.calls_of_session(session, first.older, EVERYWHERE)
    assert [row.id for row in (*first.rows, *second.rows)] == made
    assert "Later calls" in text(dave, f"/audit/sessions/{session.id}/")


def test_a_call_knows_the_calls_around_it() -> None:
    session = session_at(timezone.now())
    first, second, third = (call_in(session) for _ in range(3))
    assert pages.neighbours(second, EVERYWHERE) == (first.id, third.id)
    assert pages.neighbours(first, EVERYWHERE) == (None, second.id)
    assert pages.neighbours(call_in(None), EVERYWHERE) == (None, None)


def test_refused_callers_whom_nobody_knows_are_listed_too(dave: Client) -> None:
    call_in(None, action="refused", code="invalid_api_key")
    assert "invalid_api_key" in text(dave, "/audit/calls/?action=refused")
    assert "invalid_api_key" not in text(dave, "/audit/calls/?action=masked")


def test_a_list_of_one_action_looks_back_one_day(monkeypatch: pytest.MonkeyPatch) -> None:
    call_in(None, action="blocked")
    now = timezone.now()
    assert len(pages.calls_page(None, "blocked", now, EVERYWHERE).rows) == 1
    assert pages.calls_page(None, "blocked", now + timedelta(hours=25), EVERYWHERE).rows == []


@pytest.mark.parametrize("query", ["?before=nonsense", "?action=nonsense", "?before=" + "0" * 40])
def test_nonsense_in_the_address_is_a_bad_request(dave: Client, query: str) -> None:
    assert dave.get("/audit/calls/" + query).status_code == 400


def test_opening_a_call_leaves_an_event_that_names_the_reader(dave: Client) -> None:
    call = call_in(session_at(timezone.now()))
    shown = text(dave, f"/audit/calls/{call.id}/")
    assert "alice" in shown
    assert "01" * 32 in shown
    (opened,) = Entry.objects.filter(kind="event", call_id=call.id)
    assert b"call.opened" in bytes(opened.meta)
    assert b"local:dave" in bytes(opened.meta)


def test_lists_leave_no_event_and_nothing_may_be_posted(dave: Client) -> None:
    session = session_at(timezone.now())
    call = call_in(session)
    for path in ("/audit/", "/audit/calls/", f"/audit/sessions/{session.id}/"):
        text(dave, path)
    assert not Entry.objects.filter(kind="event", call_id=call.id).exists()
    assert dave.post("/audit/").status_code == 405


def test_a_call_that_does_not_exist_is_not_found(dave: Client) -> None:
    assert dave.get(f"/audit/calls/{uuid4()}/").status_code == 404


def test_pages_are_not_kept_by_browsers_or_proxies(dave: Client) -> None:
    assert "no-store" in dave.get("/audit/").headers["Cache-Control"]


def test_a_page_of_sessions_takes_a_fixed_number_of_queries(
    dave: Client, django_assert_max_num_queries: Any
) -> None:
    for _ in range(10):
        call_in(session_at(timezone.now()))
    with django_assert_max_num_queries(9):
        text(dave, "/audit/")


def test_the_waterfall_covers_the_phases_in_order() -> None:
    bars = waterfall({"record": 1.0, "upstream_first_byte": 8.0, "total": 12.0, "auth": 1.0})
    assert [bar.label for bar in bars] == ["identify, route", "model: first byte", "record response"]
    assert [(bar.start, bar.width) for bar in bars] == [(0, 100), (100, 800), (900, 100)]
    assert [bar.kind for bar in bars] == ["ours", "away", "record"]
    assert waterfall(None) == ()


def test_counts_of_both_directions_add_up() -> None:
    found = found_of({"CARD": 1}, None, {"CARD": 2, "EMAIL": 1, "NONE": 0})
    assert [(item.data_class, item.count) for item in found] == [("CARD", 3), ("EMAIL", 1)]


@pytest.mark.parametrize(("value", "shown"), [(0.24, "0.2 ms"), (412.3, "412 ms"), (12_345, "12.3 s")])
def test_durations_read_well(value: float, shown: str) -> None:
    assert milliseconds(value) == shown


# --- integrity --------------------------------------------------------------------------------------
def test_integrity_says_what_is_stated_and_who_was_told(dave: Client) -> None:
    empty = dave.get("/audit/integrity/").content.decode()
    assert "Nothing stated yet" in empty
    keys = KeyDirectory.make(settings.AUDIT_KEY_DIR)
    Store.objects.get_or_create(pk=1, defaults={"key_check": keys.check(), "created_at": timezone.now()})
    event("policy.published")
    row = checkpoint_make(keys)
    assert row is not None
    alone = dave.get("/audit/integrity/").content.decode()
    assert "No place outside has been told yet" in alone and "look at this" in alone
    anchor = Anchor.objects.create(name="directory /anchor", number=row.number, told_at=timezone.now())
    fine = dave.get("/audit/integrity/").content.decode()
    assert "all told" in fine and bytes(row.digest).hex()[:16] in fine
    assert signing_key(keys).public_key().public_bytes_raw().hex() in fine
    Anchor.objects.filter(pk=anchor.pk).update(error="has another checkpoint 1")
    assert "has another checkpoint 1" in dave.get("/audit/integrity/").content.decode()
    assert "look at this" in dave.get("/audit/integrity/").content.decode()


def test_integrity_says_how_far_every_sink_got(dave: Client) -> None:
    keys = KeyDirectory.make(settings.AUDIT_KEY_DIR)
    Store.objects.get_or_create(pk=1, defaults={"key_check": keys.check(), "created_at": timezone.now()})
    Anchor.objects.create(name="directory /anchor", number=1, told_at=timezone.now())
    for _ in range(3):
        event("policy.published")
    checkpoint_make(keys)
    assert "Sinks" not in text(dave, "/audit/integrity/")
    now = timezone.now()
    sink = Sink.objects.create(name="siem <b>", began_at=now)
    late = Sink.objects.create(name="gone", began_at=now - timedelta(hours=1), active=False)
    shown = text(dave, "/audit/integrity/")
    assert "siem &lt;b&gt;" in shown and "nothing yet" in shown and "gone" not in shown
    assert ">3</td>" in shown and "all told" in shown
    Sink.objects.filter(pk=sink.pk).update(error="does not listen")
    shown = text(dave, "/audit/integrity/")
    assert "does not listen" in shown and "look at this" in shown
    Sink.objects.filter(pk=late.pk).update(active=True)
    assert integrity().sinks[0].trouble


def test_a_sink_is_counted_behind_so_far_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.integrity.MOST", 2)
    Sink.objects.create(name="siem", began_at=timezone.now())
    for behind in (1, 2, None):
        event("policy.published")
        assert integrity().sinks[0].behind == behind


def test_integrity_is_for_auditors(client: Client) -> None:
    client.force_login(get_user_model().objects.create_user("carol", password="pw"))
    assert client.get("/audit/integrity/").status_code == 403

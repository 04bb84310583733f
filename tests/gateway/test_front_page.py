"""The front page: what needs this person now, from rows that exist; a client developer sees their doors."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.utils import timezone

from audit import ids
from audit.models import Call, Instance, Sink
from gateway.console.overview import LIMIT, hours_of, today_of
from gateway.identity.keys import api_key_create
from gateway.models import AccessRule, Area, Endpoint, User
from policies import services
from policies.models import Rule

pytestmark = pytest.mark.django_db


@pytest.fixture
def dave() -> User:
    """Audits; no administrator."""
    dave = User.objects.create_user("dave", password="pw")
    dave.user_permissions.add(Permission.objects.get(codename="view_call"))
    return dave


@pytest.fixture
def alice() -> User:
    """Calls models through the group support."""
    alice = User.objects.create_user("alice", password="pw")
    alice.groups.add(Group.objects.create(name="support"))
    return alice


@pytest.fixture
def page(client: Client) -> Iterator[Any]:
    def get(user: User) -> str:
        client.force_login(user)
        response = client.get("/")
        assert response.status_code == 200
        return response.content.decode()

    yield get


def open_door(group: Group) -> Endpoint:
    area = Area.objects.create(slug="hospital", name="Hospital")
    draft = services.schema_create(area_id=area.pk, slug="s", name="Clinical", by=None)
    policy = services.policy_create(area_id=area.pk, slug="p", name="Careful", schema=draft.schema, by=None)
    Rule.objects.create(version=policy, name="Opaque", matcher="opaque", gate=3)
    endpoint = Endpoint.objects.create(area=area, slug="chat", name="Ward chat", origin="https://m.example")
    AccessRule.objects.create(group=group, endpoint=endpoint, policy=policy.policy)
    return endpoint


def recorded(action: str, **fields: Any) -> Call:
    now = timezone.now()
    call = Call(
        id=ids.new(),
        started_at=now,
        instance_id=ids.new(),
        stream_id=ids.new(),
        name="alice",
        endpoint="chat",
        action=action,
        groups=[],
        reasons=[],
        rules=[],
        counts=fields.pop("counts", {}),
        streaming=False,
        request_hmac=b"",
        sent_digest=b"",
        request_size=1,
        closed_at=now,
        status=200,
        complete=True,
        **fields,
    )
    call.save(force_insert=True)
    return call


def row(action: str, at: datetime, **fields: Any) -> dict[str, Any]:
    return {
        "started_at": at,
        "action": action,
        "counts": {},
        "response_counts": None,
        "complete": True,
        "timings": None,
    } | fields


def test_nobody_sees_it_without_logging_in(client: Client) -> None:
    response = client.get("/")
    assert response.status_code == 302
    assert response.headers["Location"] == "/login/?next=/"


def test_a_client_developer_sees_the_endpoints_and_keys_that_are_theirs(page: Any, alice: User) -> None:
    open_door(alice.groups.get())
    key, _ = api_key_create(name="laptop", user=alice, by=None, expires_at=timezone.now() + timedelta(days=5))
    shown = page(alice)
    assert "http://testserver/proxy/chat/v1" in shown
    assert key.prefix in shown
    assert "expiring" in shown
    assert "What needs you now" not in shown


def test_a_stranger_is_told_how_access_comes_about(page: Any) -> None:
    shown = page(User.objects.create_user("carol"))
    assert "No endpoint is open to you" in shown


def test_an_auditor_sees_what_was_stopped_and_found_today(page: Any, dave: User) -> None:
    Instance.objects.create(host="h", boot="b", pid=1, process_start="1", **_alive())
    recorded("masked", counts={"EMAIL": 3})
    recorded("blocked", counts={"CARD": 1})
    shown = page(dave)
    assert "1 call was blocked today." in shown
    assert 'class="row-link"' in shown
    for name, count in (("EMAIL", 3), ("CARD", 1)):
        assert f'<th scope="row">{name}</th>' in shown
        assert f'<td class="num">{count}</td>' in shown


def _alive() -> dict[str, datetime]:
    return {"started_at": timezone.now(), "heartbeat_at": timezone.now()}


def test_a_silent_recorder_comes_first(page: Any, dave: User) -> None:
    Instance.objects.create(
        host="h",
        boot="b",
        pid=1,
        process_start="1",
        started_at=timezone.now(),
        heartbeat_at=timezone.now() - timedelta(minutes=5),
    )
    assert "The recorder is silent." in page(dave)


def test_an_empty_store_says_what_to_do_next(page: Any, dave: User, alice: User) -> None:
    dave.groups.set(alice.groups.all())
    open_door(alice.groups.get())
    shown = page(dave)
    assert "No calls yet" in shown
    assert "curl http://testserver/proxy/chat/v1/chat/completions" in shown


def test_what_a_person_may_not_see_is_not_offered(page: Any, dave: User) -> None:
    shown = page(dave)
    assert 'href="/audit/"' in shown
    assert 'href="/admin/"' not in shown


def test_recorded_text_cannot_become_markup(page: Any, dave: User) -> None:
    recorded("masked", model="<script>alert(1)</script>", code="<b>")
    shown = page(dave)
    assert "<script>alert" not in shown
    assert "&lt;script&gt;alert(1)" in shown


def test_today_begins_at_midnight_in_utc() -> None:
    now = datetime(2026, 3, 1, 0, 30, tzinfo=UTC)
    rows = [row("masked", now), row("blocked", now - timedelta(minutes=31))]
    today = today_of(rows, now)
    assert (today.calls, today.blocked) == (1, 0)


def test_the_hours_of_a_day_are_all_drawn_and_the_stopped_ones_apart() -> None:
    now = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    rows = [row("masked", now), row("refused", now), row("passed", now - timedelta(hours=23))]
    hours = hours_of(rows, now)
    assert len(hours.bars) == 24
    assert hours.bars[-1].height == 49
    assert hours.bars[-1].stopped_height == 49
    assert hours.summary == "3 calls in 24 hours, 1 of them stopped; at most 2 in one hour"


def test_figures_say_when_they_cover_only_the_latest_calls() -> None:
    now = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    assert today_of([row("masked", now)] * LIMIT, now).capped == LIMIT


def test_logging_out_takes_a_post(client: Client, alice: User) -> None:
    client.force_login(alice)
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/").status_code == 302


# --- sinks ------------------------------------------------------------------------------------------
def test_a_sink_that_is_late_is_said_to_whoever_audits(dave: User, alice: User, page: Any) -> None:
    began = timezone.now() - timedelta(minutes=4)
    Sink.objects.create(name="soc", began_at=began)
    shown = page(dave)
    assert "1 sink has not got everything for some minutes." in shown and "waits for soc" in shown
    assert "/audit/integrity/" in shown
    assert "not got everything" not in page(alice)
    Sink.objects.update(drained_at=timezone.now())
    assert "not got everything" not in page(dave)

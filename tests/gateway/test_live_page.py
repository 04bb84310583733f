"""`/live/`: who sees which calls, cuts them, and sets and lifts which locks."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from audit import ids
from audit.models import Entry
from gateway import services
from gateway.console.living import SILENT, lasts, live_calls
from gateway.models import Cut, Lock, ServiceAccount, User
from tests.gateway.live import World, instance, other_endpoint
from tests.gateway.world import key_of

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def world() -> World:
    return World()


def page(client: Client, user: User) -> str:
    client.force_login(user)
    got = client.get("/live/")
    assert got.status_code == 200
    return got.content.decode()


def post(client: Client, user: User, path: str, **said: str) -> tuple[int, str]:
    """Status, and the page that follows."""
    client.force_login(user)
    got = client.post(f"/live/{path}", said, follow=True)
    return got.status_code, got.content.decode()


def events(name: str) -> list[dict[str, Any]]:
    found = [json.loads(bytes(each.meta)) for each in Entry.objects.filter(kind="event").order_by("id")]
    return [each for each in found if each["event"] == name]


def test_everybody_sees_the_calls_of_their_areas_and_nobody_else_any(client: Client, world: World) -> None:
    everywhere = page(client, world.omar)
    assert "Alice Abara" in everywhere and "Lab rat" in everywhere
    ward = page(client, world.olga)
    assert "Alice Abara" in ward and "Lab rat" not in ward
    lab = page(client, world.dave)
    assert "Alice Abara" not in lab and "Lab rat" in lab and "live-cut" not in lab and ">Cut<" not in lab
    client.force_login(world.carol)
    assert client.get("/live/").status_code == 403
    client.logout()
    assert client.get("/live/").status_code == 302


def test_a_call_is_shown_by_facts_and_what_of_it_may_be_locked(client: Client, world: World) -> None:
    ward = page(client, world.olga)
    for fact in ("chat", "demo", "EMAIL", "up to confidential", "House@1", "gate1, 4711"):
        assert fact in ward
    assert 'value="endpoint:chat"' in ward and 'value="area:ward"' in ward
    assert 'value="user:alice"' not in ward  # a person belongs to no area
    everywhere = page(client, world.omar)
    for target in ("user:alice", f"key:{world.key.prefix}", "group:support", "endpoint:mice"):
        assert f'value="{target}"' in everywhere


def test_a_service_account_is_locked_by_whoever_operates_its_area(world: World) -> None:
    account = ServiceAccount.objects.create(area=world.ward, name="nightly", owner=world.alice)
    world.call("ward", "chat", person_id=account.pk, kind="service", key_prefix="pst_12345678")
    (_, call) = live_calls(holder=world.olga, now=timezone.now()).calls
    assert [each.value for each in call.targets] == [
        "service:nightly",
        "key:pst_12345678",
        "endpoint:chat",
        "area:ward",
    ]


def test_only_what_runs_in_a_living_process_is_live(world: World) -> None:
    for other in (instance(stopped=True), instance(silent=SILENT + timedelta(seconds=1))):
        world.call("ward", "chat", instance_id=other.pk)
    now = timezone.now()
    world.call("ward", "chat", closed_at=now, status=200, complete=True)
    calls = live_calls(holder=world.omar, now=now).calls
    assert [each.id for each in calls] == [world.in_ward.pk, world.in_lab.pk]


def test_without_calls_the_page_says_so(client: Client, world: World) -> None:
    world.instance.delete()
    assert "Nothing runs" in page(client, world.omar)


def test_looking_is_no_event(client: Client, world: World) -> None:
    before = Entry.objects.count()
    page(client, world.omar)
    assert Entry.objects.count() == before


def test_a_cut_is_a_row_and_an_event_once(client: Client, world: World) -> None:
    call = world.in_ward
    said = {"reason": "mails ana@example.com all day"}
    assert "is being ended" in post(client, world.olga, f"{call.pk}/cut/", **said)[1]
    cut = Cut.objects.get()
    assert (cut.call_id, cut.area, cut.created_by) == (call.pk, world.ward, world.olga)
    (event,) = events("call.cut")
    assert (event["area"], event["note"]) == ("ward", "mails [EMAIL] all day") and cut.reason == event["note"]
    status, again = post(client, world.omar, f"{call.pk}/cut/")
    assert status == 200 and "being ended already" in again
    assert "Being ended" in again  # instead of the button
    assert Cut.objects.count() == len(events("call.cut")) == 1


def test_a_call_that_has_ended_is_not_cut(client: Client, world: World) -> None:
    done = world.call("ward", "chat", closed_at=timezone.now(), status=200, complete=True)
    assert "had ended before" in post(client, world.olga, f"{done.pk}/cut/")[1]
    assert not Cut.objects.exists()


def test_nobody_cuts_across_a_wall(client: Client, world: World) -> None:
    assert post(client, world.olga, f"{world.in_lab.pk}/cut/")[0] == 404
    assert post(client, world.dave, f"{world.in_lab.pk}/cut/")[0] == 403
    assert post(client, world.omar, f"{ids.new()}/cut/")[0] == 404
    assert post(client, world.omar, f"{'f' * 8}-ffff-ffff-ffff-{'f' * 12}/cut/")[0] == 404
    client.force_login(world.omar)
    assert client.get(f"/live/{world.in_lab.pk}/cut/").status_code == 405
    assert not Cut.objects.exists()


def test_everything_is_stopped_in_one_click_and_freed_in_one(client: Client, world: World) -> None:
    assert "Stop all calls" in page(client, world.omar)
    assert "Stop all calls" not in page(client, world.olga)
    assert "All calls are stopped" in post(client, world.omar, "lock/", target="everything")[1]
    lock = Lock.objects.get()
    assert lock.everything and lock.reason and events("lock.set")[0]["detail"] == {"on": "everything"}
    seen = page(client, world.olga)
    assert "Everything is locked" in seen and "Lift" not in seen
    assert post(client, world.olga, f"locks/{lock.pk}/lift/")[0] == 403
    assert "is lifted" in post(client, world.omar, f"locks/{lock.pk}/lift/")[1]
    assert "lifted before" in post(client, world.omar, f"locks/{lock.pk}/lift/")[1]


@pytest.mark.parametrize(
    ("target", "olga"),
    [
        ("everything", "403"),
        ("user:alice", "nothing of that name"),
        ("group:support", "nothing of that name"),
        ("endpoint:chat", "is locked"),
        ("endpoint:mice", "nothing of that name"),
        ("area:ward", "is locked"),
        ("area:lab", "nothing of that name"),
    ],
)
def test_locks_are_set_where_somebody_operates(client: Client, world: World, target: str, olga: str) -> None:
    """What lies elsewhere is answered like what is not there."""
    other_endpoint(world.lab)
    status, told = post(client, world.olga, "lock/", target=target)
    assert olga in (told if status == 200 else str(status))
    assert Lock.objects.count() == (olga == "is locked")
    assert post(client, world.omar, "lock/", target=target)[0] == 200
    assert post(client, world.dave, "lock/", target=target)[0] == 403


def test_a_key_is_locked_by_its_prefix_and_shown_by_it(client: Client, world: World) -> None:
    told = post(client, world.olga, "lock/", target=f"key:{world.key.prefix}")[1]
    assert "nothing of that name" in told and not Lock.objects.exists()
    shown = post(client, world.omar, "lock/", target=f"key:{world.key.prefix}", reason="leaked")[1]
    assert world.key.prefix in shown and "leaked" in shown and "API key" in shown
    assert Lock.objects.get().api_key == world.key


@pytest.mark.parametrize("target", ["", "user:nobody", "key:", "planet:mars", "group:\0", "area:x", "all"])
def test_what_nobody_knows_is_not_locked(client: Client, world: World, target: str) -> None:
    assert "nothing of that name" in post(client, world.omar, "lock/", target=target)[1]
    assert not Lock.objects.exists()


def test_a_reason_is_taken_whole_or_not_at_all(client: Client, world: World) -> None:
    """Half of a card is found by no detector, so a reason is not cut where a card may stand."""
    half = "x" * 289 + " 4111 1111 1111 1111"
    for path in ("lock/", f"{world.in_ward.pk}/cut/"):
        assert post(client, world.omar, path, target="user:alice", reason=half)[0] == 400
    assert not Lock.objects.exists() and not Cut.objects.exists()
    assert post(client, world.omar, "lock/", target="user:alice", reason=half[-300:])[0] == 200
    assert "4111 1111" not in Lock.objects.get().reason


def test_a_lock_has_exactly_one_target(world: World) -> None:
    for target in (
        {},
        {"user": world.alice, "everything": True},
        {"user": world.alice, "group": world.support},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            services.lock_set(by=None, reason="both", **target)  # type: ignore[arg-type]


def test_locks_of_other_areas_are_not_seen(world: World) -> None:
    other = other_endpoint(world.lab)
    key, _ = key_of(world.alice)
    for target in ({"endpoint": other}, {"area": world.lab}, {"user": world.alice}, {"api_key": key}):
        services.lock_set(by=None, reason="x", **target)
    services.lock_set(by=None, reason="x", endpoint=world.chat)
    services.lock_set(by=None, reason="x", everything=True)
    assert {each.target_name for each in services.locks_seen(world.olga)} == {"chat", "everything"}
    assert services.locks_seen(world.omar).count() == 6
    assert services.locks_seen(world.carol).count() == 0


@pytest.mark.parametrize(
    ("seconds", "words"), [(-1, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7260, "2 h 1 min")]
)
def test_how_long_a_call_lasts(seconds: int, words: str) -> None:
    assert lasts(timedelta(seconds=seconds)) == words

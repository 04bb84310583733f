"""Which keys a process knows, and what it costs to come with one that it has not met."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from django.utils import timezone

from gateway.identity.accounts import service_account_change
from gateway.identity.discovery import ProviderDown
from gateway.identity.keys import api_key_create, api_key_revoke, digest
from gateway.models import AccessRule, ApiKey, Lock, Revision, ServiceAccount, User
from gateway.proxy import meeting, met, snapshot
from gateway.proxy.admission import RequestHead
from gateway.proxy.bearer import Bearer
from gateway.proxy.errors import Forbidden, ProxyError, Unauthenticated, Unavailable
from gateway.proxy.holding import barred
from gateway.proxy.live import Live
from gateway.proxy.routes import Caller
from gateway.proxy.snapshot import Snapshots
from tests.gateway.world import area, endpoint, key_of, person, published_policy

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


class World:
    """alice and bob hold a key each; a process has read the configuration and has met neither."""

    def __init__(self) -> None:
        self.alice = person("alice", group="support")
        row, secret = key_of(self.alice)
        self.row, self.key = row, secret.reveal()
        self.bobs = key_of(person("bob"))[1].reveal()
        self.snapshots = Snapshots()
        self.snapshots.refresh()
        self.bearer = Bearer(self.snapshots)
        self.asked: list[list[bytes]] = []
        meeting = self.bearer._key_meeting
        read = meeting._read

        def counted(digests: Collection[bytes]) -> Any:
            self.asked.append(list(digests))
            return read(digests)

        meeting._read = counted  # type: ignore[method-assign]

    async def come(self, key: str) -> Caller:
        head = RequestHead("POST", "/proxy/chat", {b"authorization": f"Bearer {key}".encode()}, "192.0.2.1")
        return await self.bearer.caller(head)

    def call(self, key: str = "") -> Caller:
        return asyncio.run(self.come(key or self.key))

    def refused(self, key: str = "", kind: type[ProxyError] = Unauthenticated) -> str:
        with pytest.raises(kind) as refusal:
            self.call(key)
        return refusal.value.code

    def holds(self) -> set[bytes]:
        return set(self.snapshots.current().callers)


@pytest.fixture
def world() -> Iterator[World]:
    running = World()
    yield running
    running.bearer.stop()


def wrong(number: int = 0) -> str:
    return f"pst_Abcdefgh_{number:043d}"


def test_a_snapshot_holds_the_keys_that_called_however_many_there_are(world: World) -> None:
    assert world.holds() == set()
    assert world.call().person_id == world.alice.pk
    touch()
    world.snapshots.refresh()
    assert world.holds() == {digest(world.key)}


def test_the_store_is_asked_once_for_a_key_by_its_digest(world: World) -> None:
    first, second = world.call(), world.call()
    assert first is second and world.asked == [[digest(world.key)]]
    touch()
    world.snapshots.refresh()
    assert replace(world.call(), since=first.since) == first and len(world.asked) == 1


def touch() -> None:
    """Some change of the configuration."""
    endpoint(f"other-{time.monotonic_ns()}")


def test_many_that_come_at_once_are_few_questions(world: World) -> None:
    async def burst() -> list[Any]:
        keys = [world.key, world.bobs, *[wrong(number) for number in range(100)]]
        return await asyncio.gather(*[world.come(key) for key in keys * 2], return_exceptions=True)

    found = asyncio.run(burst())
    assert [each.subject for each in found if isinstance(each, Caller)] == ["local:alice", "local:bob"] * 2
    assert sum(isinstance(each, Unauthenticated) for each in found) == 200
    assert len(world.asked) <= 2 and sum(map(len, world.asked)) == 102


def test_a_wrong_key_is_asked_once_and_is_no_part_of_anything(world: World) -> None:
    assert world.refused(wrong()) == world.refused(wrong()) == "invalid_api_key"
    assert world.asked == [[digest(wrong())]]
    touch()
    world.snapshots.refresh()
    assert world.holds() == set() and world.snapshots.keys.names() == []


@pytest.mark.parametrize("text", ["pst_short", "nothing", "pst_" + "x" * 300])
def test_what_is_no_key_is_asked_of_nobody(world: World, text: str) -> None:
    assert world.refused(text) == "invalid_api_key" and world.asked == []


def test_wrong_keys_push_nobody_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(met, "MET", 2)
    monkeypatch.setattr(met, "NOBODY", 3)
    world.call()
    for number in range(6):
        world.refused(wrong(number))
    assert len(world.snapshots.keys._nobody) == 3
    touch()
    world.snapshots.refresh()
    assert world.holds() == {digest(world.key)}


def test_only_so_many_are_kept_and_whoever_was_forgotten_is_asked_for_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(met, "MET", 1)
    world.call(), world.call(world.bobs)
    touch()
    world.snapshots.refresh()
    assert world.holds() == {digest(world.bobs)}
    assert world.call().subject == "local:alice"


def test_a_key_that_was_nobodys_works_as_soon_as_it_is_made(world: World) -> None:
    world.refused(wrong())
    row, _ = api_key_create(
        name="job", user=world.alice, expires_at=timezone.now() + timedelta(days=1), by=None
    )
    ApiKey.objects.filter(pk=row.pk).update(digest=digest(wrong()))
    world.snapshots.refresh()
    assert world.call(wrong()).person_id == world.alice.pk


def restored(world: World) -> None:
    """Back to an early revision; there the key is revoked."""
    Revision.objects.update(value=1)
    world.snapshots.refresh()
    api_key_revoke(key=world.row, by=None)
    world.snapshots.refresh()


def test_a_store_that_was_restored_gives_the_answers_from_then_on(world: World) -> None:
    for _ in range(9):
        touch()
    caller = world.call()
    world.refused(wrong())
    restored(world)
    world.refused()
    with pytest.raises(Unauthenticated):  # a call under way, too
        world.snapshots.current().again(caller, time.time())
    world.refused(wrong())
    assert world.asked.count([digest(wrong())]) == 2


def test_an_answer_of_before_the_store_was_restored_comes_too_late(world: World) -> None:
    for _ in range(9):
        touch()
    meeting = world.bearer._key_meeting
    read = meeting._read

    def late(digests: Collection[bytes]) -> Any:
        answer = read(digests)
        if len(world.asked) == 1:
            restored(world)
        return answer

    meeting._read = late  # type: ignore[method-assign]
    world.refused()


def test_a_clock_that_runs_ahead_for_a_while_ends_no_lock(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def set_clock(ahead: timedelta) -> None:
        seconds = ahead.total_seconds()
        clock = SimpleNamespace(time=lambda: time.time() + seconds, monotonic=time.monotonic)
        monkeypatch.setattr(snapshot, "time", clock)
        monkeypatch.setattr(
            snapshot, "datetime", SimpleNamespace(now=lambda zone: datetime.now(zone) + ahead)
        )
        world.snapshots.refresh()

    until = timezone.now() + timedelta(hours=1)
    world.call()
    Lock.objects.create(user=world.alice, reason="lost", expires_at=until)
    set_clock(timedelta(0))
    world.refused(kind=Forbidden)
    set_clock(timedelta(hours=2))
    assert world.call()
    set_clock(timedelta(0))
    world.refused(kind=Forbidden)


CHANGES = [
    ("revoked", lambda w: api_key_revoke(key=w.row, by=None), Unauthenticated),
    ("expired", lambda w: ApiKey.objects.update(expires_at=timezone.now()), Unauthenticated),
    ("locked", lambda w: Lock.objects.create(api_key=w.row, reason="lost"), Forbidden),
    ("its holder locked", lambda w: Lock.objects.create(user=w.alice, reason="lost"), Forbidden),
    ("its holder gone", lambda w: User.objects.update(is_active=False), Forbidden),
]


@pytest.mark.parametrize(("change", "kind"), [each[1:] for each in CHANGES], ids=[e[0] for e in CHANGES])
@pytest.mark.parametrize("read_first", [False, True])
def test_an_answer_from_before_a_change_counts_no_more_after_it(
    world: World, change: Any, kind: type[ProxyError], read_first: bool
) -> None:
    caller = world.call()
    if read_first:  # a snapshot has the key, else only the answer does
        touch()
        world.snapshots.refresh()
    change(world)
    world.snapshots.refresh()
    world.refused(kind=kind)
    with pytest.raises(kind):
        world.snapshots.current().again(caller, time.time())


def test_an_answer_that_is_late_does_not_outlive_what_happened_meanwhile(world: World) -> None:
    """The key is revoked, and a snapshot built, while the store's answer is on its way."""
    meeting = world.bearer._key_meeting
    read = meeting._read

    def late(digests: Collection[bytes]) -> Any:
        answer = read(digests)
        if len(world.asked) == 1:
            api_key_revoke(key=world.row, by=None)
            world.snapshots.refresh()
        return answer

    meeting._read = late  # type: ignore[method-assign]
    world.refused()
    assert len(world.asked) == 2


def test_whoever_is_met_while_a_snapshot_is_built_is_in_it(world: World) -> None:
    """Else the call would be cut by that snapshot."""
    meeting = world.bearer._key_meeting
    read = meeting._read

    def late(digests: Collection[bytes]) -> Any:
        answer = read(digests)
        touch()
        world.snapshots.refresh()
        return answer

    meeting._read = late  # type: ignore[method-assign]
    caller = world.call()
    assert world.holds() == {digest(world.key)}
    assert world.snapshots.current().again(caller, time.time()) == caller


def test_a_call_goes_on_in_the_snapshot_that_has_not_seen_its_key(world: World) -> None:
    caller = world.call()
    assert world.snapshots.current().again(caller, time.time()) is caller
    touch()
    late = world.call(world.bobs)
    assert world.snapshots.current().again(late, time.time()) is late  # asked at a later revision
    with pytest.raises(Unauthenticated):
        world.snapshots.current().again(late, late.expires_at)


def test_the_rights_of_a_new_key_are_its_holders(world: World) -> None:
    rule = AccessRule.objects.create(
        group=world.alice.groups.get(), endpoint=endpoint("chat"), policy=published_policy()
    )
    world.snapshots.refresh()
    view, caller = world.snapshots.current(), world.call()
    target, path = view.target("/proxy/chat/v1/chat/completions")
    assert view.grant(caller, target, path, "192.0.2.1", "m", time.time()).id == rule.pk


def test_whoever_made_a_key_decides_about_no_request_that_comes_with_it(world: World) -> None:
    """They have seen it: the request may be theirs (P9)."""
    ada = person("ada")
    until = timezone.now() + timedelta(days=1)
    _, secret = api_key_create(name="job", user=world.alice, expires_at=until, by=ada)
    for _ in range(2):
        assert barred(world.call(secret.reveal()), world.snapshots) == (ada.pk,)
        touch()
        world.snapshots.refresh()


def test_whoever_answers_for_a_program_now_decides_about_none_of_its_requests(world: World) -> None:
    """An approval that was opened before names who answered for it then (P9)."""
    olga, bob = person("olga"), person("bert")
    robot = ServiceAccount.objects.create(area=area("batch"), name="robot", owner=olga)
    until = timezone.now() + timedelta(days=1)
    _, secret = api_key_create(name="job", service_account=robot, expires_at=until, by=None)
    world.snapshots.refresh()
    assert barred(world.call(secret.reveal()), world.snapshots) == (olga.pk,)
    service_account_change(account=robot, owner=bob, by=None)
    world.snapshots.refresh()
    assert barred(world.call(secret.reveal()), world.snapshots) == (bob.pk,)


def test_a_store_that_is_away_refuses_new_keys_and_serves_the_others(world: World) -> None:
    world.call()

    def away(digests: Collection[bytes]) -> Any:
        raise ProviderDown("OperationalError")

    meeting = world.bearer._key_meeting
    read, meeting._read = meeting._read, away  # type: ignore[method-assign]
    assert world.call().subject == "local:alice"
    assert world.refused(world.bobs, Unavailable) == "identity_unavailable"
    meeting._read = read  # type: ignore[method-assign]
    assert world.call(world.bobs).subject == "local:bob"


class Going:
    def __init__(self, caller: Caller) -> None:
        self.ledger = SimpleNamespace(caller=caller)


def test_a_call_that_goes_on_keeps_its_caller_in_mind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(met, "MET", 2)
    live = Live(world.snapshots)
    live.enter(cast(Any, Going(world.call())))
    for number in range(3):
        world.call(key_of(person(f"p{number}"))[1].reveal())
        live._stay_met()
    touch()
    world.snapshots.refresh()
    assert digest(world.key) in world.holds() and len(world.holds()) == 2


def test_a_stale_view_refuses_whoever_was_met(world: World) -> None:
    world.call()
    world.snapshots._read_at = float("-inf")
    assert world.refused(kind=Unavailable) == "configuration_stale"


def test_a_flood_of_wrong_keys_waits_in_bounds_and_delays_nobody_who_is_known(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meeting, "WAITING", 20)
    world.call()
    world.asked.clear()

    async def flood() -> tuple[list[BaseException | Caller], Caller, int]:
        coming = [asyncio.create_task(world.come(wrong(number))) for number in range(100)]
        await asyncio.sleep(0)
        known = await world.come(world.key)
        running = sum(not each.done() for each in coming)
        return await asyncio.gather(*coming, return_exceptions=True), known, running

    answers, known, running = asyncio.run(flood())
    assert known.subject == "local:alice" and running >= 20  # it did not wait for them
    assert {type(each) for each in answers} == {Unauthenticated, Unavailable}
    assert sum(map(len, world.asked)) <= 40

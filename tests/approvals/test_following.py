"""Who follows the queue hears what changed where they may look, and is out when they may not any more."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from asgiref.testing import ApplicationCommunicator
from django.db import DatabaseError, connections
from django.utils import timezone

from approvals import following, hints
from approvals.broker import Broker
from approvals.consumers import PATH, ReviewSocket
from approvals.following import OVER, RESTART, Follower, Following
from approvals.models import Approval
from gateway.identity.reach import EVERYWHERE, Reach

from .test_broker import served
from .ward import Ward

pytestmark = pytest.mark.django_db(transaction=True)

WARD = Reach(False, frozenset({uuid4()}), frozenset({"ward"}))


RITA = UUID(int=1)


@dataclass
class Right:
    """One that can be taken away."""

    now: Reach | Exception | None = WARD
    person_id: UUID = RITA

    def reach(self) -> Reach | None:
        if isinstance(self.now, Exception):
            raise self.now
        return self.now


class Heard:
    def __init__(self, follows: Following, right: Right, reach: Reach = WARD) -> None:
        self.changed: list[UUID] = []
        self.many, self.ended = False, 0
        self.follower = Follower(right, reach, tell=self._tell, end=self._end)
        self.joined = follows.join(self.follower)

    def _tell(self, changed: list[UUID], many: bool) -> None:
        self.changed += changed
        self.many |= many

    def _end(self, code: int) -> None:
        self.ended = code


@pytest.fixture
def follows(monkeypatch: pytest.MonkeyPatch) -> Iterator[Following]:
    monkeypatch.setattr(following, "POLL", 0.02)
    monkeypatch.setattr(following, "CHECK", 0.05)
    one = Following()
    yield one
    one.stop()


def until(met: Callable[[], Any], seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while not met():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def primed(follows: Following) -> bool:
    return until(lambda: follows._primed)


def test_what_changes_is_told_once_and_only_where_they_may_look(ward: Ward, follows: Following) -> None:
    mine, all_of_it = Heard(follows, Right()), Heard(follows, Right(EVERYWHERE), EVERYWHERE)
    assert primed(follows)
    here, there = ward.asks(), ward.asks(area="other")
    assert until(lambda: len(all_of_it.changed) == 2 and mine.changed)
    time.sleep(0.2)
    assert mine.changed == [here.pk]
    assert set(all_of_it.changed) == {here.pk, there.pk}
    Approval.objects.filter(pk=here.pk).update(changed_at=timezone.now())
    assert until(lambda: mine.changed == [here.pk, here.pk])


def test_a_change_that_comes_late_or_from_a_clock_that_is_behind_is_told(
    ward: Ward, follows: Following
) -> None:
    mine = Heard(follows, Right())
    assert primed(follows)
    late = ward.asks(changed_at=timezone.now() - timedelta(seconds=8))
    ahead = ward.asks(changed_at=timezone.now() + timedelta(seconds=8))
    assert until(lambda: {late.pk, ahead.pk} <= set(mine.changed))


def test_a_hint_is_quicker_than_the_poll(
    ward: Ward, follows: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "POLL", 60.0)
    mine = Heard(follows, Right())
    assert primed(follows)
    waits = ward.asks()
    hints.heard(waits.pk)
    assert until(lambda: mine.changed == [waits.pk])


@pytest.mark.parametrize("redis_is_away", [False, True])
def test_what_a_call_opens_is_told_at_once(
    ward: Ward, follows: Following, monkeypatch: pytest.MonkeyPatch, settings: Any, redis_is_away: bool
) -> None:
    """Not by the poll, which would be in a minute; a Redis that is away keeps nobody from hearing it here."""
    monkeypatch.setattr(following, "POLL", 60.0)
    settings.REDIS_URL = "redis://127.0.0.1:1/0" if redis_is_away else ""
    mine = Heard(follows, Right())
    assert primed(follows)
    waits = ward.asks()
    served(lambda broker: _opened(broker, waits.pk))
    assert until(lambda: mine.changed == [waits.pk])


def test_with_the_hint_lost_it_is_told_all_the_same(
    ward: Ward, follows: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(approval_id: UUID) -> None:
        raise OSError("nobody listens")

    monkeypatch.setattr(hints, "tell", lost)
    mine = Heard(follows, Right())
    assert primed(follows)
    waits = ward.asks()
    served(lambda broker: _opened(broker, waits.pk))
    assert until(lambda: mine.changed == [waits.pk])


async def _opened(broker: Broker, approval_id: UUID) -> None:
    broker.opened(approval_id)
    await broker.open_of(approval_id)  # the threads have had their turn


def test_more_than_it_tells_one_by_one_is_told_as_many(
    ward: Ward, follows: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "MANY", 3)
    mine = Heard(follows, Right())
    assert primed(follows)
    for _ in range(5):
        ward.asks()
    assert until(lambda: mine.many)


@pytest.mark.parametrize("lost", [None, DatabaseError("down")], ids=["the right", "the database"])
def test_who_may_not_look_any_more_is_out(
    ward: Ward, follows: Following, monkeypatch: pytest.MonkeyPatch, lost: Any
) -> None:
    monkeypatch.setattr(following, "UNKNOWN_AT_MOST", 0.2)
    right, stays = Right(), Right(person_id=UUID(int=2))
    mine, theirs = Heard(follows, right), Heard(follows, stays)
    right.now = lost
    assert until(lambda: mine.ended == OVER)
    ward.asks()
    assert until(lambda: theirs.changed)
    assert (mine.changed, theirs.ended) == ([], 0)


def test_an_area_that_was_lost_is_not_told_of(ward: Ward, follows: Following) -> None:
    right = Right(EVERYWHERE)
    mine = Heard(follows, right, EVERYWHERE)
    right.now = WARD
    assert until(lambda: mine.follower.reach is WARD)
    ward.asks(area="other")
    here = ward.asks()
    assert until(lambda: mine.changed)
    assert mine.changed == [here.pk]


def test_a_database_that_fails_for_a_while_is_asked_again(
    ward: Ward, follows: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Heard(follows, Right())
    assert primed(follows)
    real, failed = Following._changes, []

    def once_not(self: Following, now: Any) -> Any:
        if not failed:
            failed.append(1)
            raise DatabaseError("down")
        return real(self, now)

    monkeypatch.setattr(Following, "_changes", once_not)
    waits = ward.asks()
    assert until(lambda: mine.changed == [waits.pk]) and failed


def test_one_person_or_process_holds_so_many_lines(
    follows: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "OF_ONE_PERSON", 2)
    monkeypatch.setattr(following, "FOLLOWERS", 3)
    first = Heard(follows, Right())
    assert [Heard(follows, Right()).joined for _ in range(2)] == [True, False]
    others = [Heard(follows, Right(person_id=uuid4())).joined for _ in range(2)]
    assert others == [True, False]
    follows.leave(first.follower)
    assert Heard(follows, Right()).joined


def test_when_the_process_stops_everybody_may_come_back(follows: Following) -> None:
    mine = Heard(follows, Right())
    follows.stop()
    assert mine.ended == RESTART
    assert not Heard(follows, Right()).joined


# --- the socket itself --------------------------------------------------------------------------------


def talk(follows: Following, admit: Any, then: Callable[[ApplicationCommunicator], Any]) -> Any:
    async def main() -> Any:
        application = ReviewSocket(following=follows, admit=admit)
        line = ApplicationCommunicator(application, {"type": "websocket", "path": PATH, "headers": []})
        await line.send_input({"type": "websocket.connect"})
        if (await line.receive_output(5))["type"] != "websocket.accept":
            return "refused"
        try:
            return await then(line)
        finally:
            await line.send_input({"type": "websocket.disconnect", "code": 1000})
            await line.wait(5)

    return asyncio.run(main())


def test_the_socket_says_ids_and_nothing_else(ward: Ward, follows: Following) -> None:
    async def listens(line: ApplicationCommunicator) -> Any:
        await asyncio.to_thread(primed, follows)
        await asyncio.to_thread(asks)
        return json.loads((await line.receive_output(5))["text"])

    def asks() -> None:
        waits.append(ward.asks())
        connections.close_all()

    waits: list[Approval] = []
    said = talk(follows, lambda scope: (Right(), WARD), listens)
    assert said == {"changed": [str(waits[0].pk)], "many": False}
    assert not follows._followers


@pytest.mark.parametrize("problem", [None, DatabaseError("down")], ids=["nobody", "not known"])
def test_who_is_not_known_does_not_come_in(follows: Following, problem: Any) -> None:
    def admit(scope: Any) -> None:
        if problem:
            raise problem

    assert talk(follows, admit, closed) == "refused"


async def closed(line: ApplicationCommunicator) -> Any:
    while (message := await line.receive_output(5))["type"] != "websocket.close":
        pass
    return message["code"]


def test_a_lost_right_closes_the_socket_and_so_does_a_word_from_the_client(follows: Following) -> None:
    right = Right()

    async def loses(line: ApplicationCommunicator) -> Any:
        right.now = None
        return await closed(line)

    async def speaks(line: ApplicationCommunicator) -> Any:
        await line.send_input({"type": "websocket.receive", "text": "hello"})
        return await closed(line)

    assert talk(follows, lambda scope: (right, WARD), loses) == OVER
    assert talk(follows, lambda scope: (Right(), WARD), speaks) == 1003


def test_after_a_pause_nobody_is_told_by_the_right_of_before_it(follows: Following) -> None:
    """As after an outage of the database: what changed meanwhile is read by who may look now."""
    ward, right = Ward(), Right()
    rita = Heard(follows, right)
    follows._stopped = True  # the thread rests, so that the steps are ours
    assert follows._thread is not None
    follows._wake.set()
    follows._thread.join()
    follows._look()
    right.now = None
    ward.asks()
    rita.follower.checked -= 60
    follows._once()
    assert rita.changed == [] and rita.ended == OVER

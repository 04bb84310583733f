"""When keys were last used: told in batches, about once a minute, and by no call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.db.utils import OperationalError
from django.test.utils import CaptureQueriesContext

from gateway.identity import last_used as service
from gateway.identity.last_used import key_used
from gateway.models import ApiKey, Revision
from gateway.proxy import last_used
from gateway.proxy.last_used import LastUsed
from policies.history import history_of
from tests.gateway import world

pytestmark = pytest.mark.django_db
NOON = datetime(2030, 5, 1, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOON.timestamp()

    def __call__(self) -> float:
        return self.now


def use(used: LastUsed, clock: Clock, key: ApiKey, address: str = "192.0.2.1") -> None:
    used.saw(key.pk, address, clock.now)


def test_a_key_is_told_once_a_minute_with_its_latest_use() -> None:
    key, _ = world.key_of(world.person("alice"))
    clock = Clock()
    used = LastUsed(clock=clock)
    use(used, clock, key)
    used.settle()
    key.refresh_from_db()
    assert (key.last_used_at, key.last_used_from) == (NOON, "192.0.2.1")
    for second in (10, 30, 50):
        clock.now = NOON.timestamp() + second
        use(used, clock, key, f"192.0.2.{second}")
        with CaptureQueriesContext(
            connection,
        ) as queries:
            used.settle()
        assert len(queries) == 0
    clock.now = NOON.timestamp() + 61
    used.settle()
    key.refresh_from_db()
    assert (key.last_used_at, key.last_used_from) == (NOON + timedelta(seconds=50), "192.0.2.50")


def test_telling_is_no_change_of_the_configuration() -> None:
    key, _ = world.key_of(world.person("alice"))
    clock = Clock()
    used = LastUsed(clock=clock)
    revision, history = Revision.objects.get().value, history_of(ApiKey).count()
    use(used, clock, key)
    used.settle()
    assert (Revision.objects.get().value, history_of(ApiKey).count()) == (revision, history)


def test_the_later_of_two_processes_stands() -> None:
    key, _ = world.key_of(world.person("alice"))
    early, late = Clock(), Clock()
    late.now += 30
    first, second = LastUsed(clock=early), LastUsed(clock=late)
    use(first, early, key, "192.0.2.1")
    use(second, late, key, "192.0.2.2")
    second.settle()
    first.settle()
    key.refresh_from_db()
    assert key.last_used_from == "192.0.2.2"


def test_what_a_store_that_is_down_missed_is_told_later(monkeypatch: pytest.MonkeyPatch) -> None:
    key, _ = world.key_of(world.person("alice"))
    clock = Clock()
    used = LastUsed(clock=clock)
    use(used, clock, key)

    def down(**uses: object) -> None:
        raise OperationalError

    with monkeypatch.context() as broken:
        broken.setattr(last_used, "uses_told", down)
        with pytest.raises(OperationalError):
            used.settle()
        used._safely()
    used.settle()
    key.refresh_from_db()
    assert key.last_used_at == NOON


def test_many_keys_are_short_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "BATCH", 2)
    alice, clock = world.person("alice"), Clock()
    used = LastUsed(clock=clock)
    keys = [world.key_of(alice)[0] for _ in range(5)]
    for key in keys:
        use(used, clock, key)
    used.settle()
    assert ApiKey.objects.filter(last_used_at=NOON).count() == 5


def test_off_the_data_path_a_use_is_written_at_once_and_then_rarely() -> None:
    key, _ = world.key_of(world.person("alice"))
    key_used(key=key, address="192.0.2.9", now=NOON)
    key.refresh_from_db()
    assert key.last_used_from == "192.0.2.9"
    with CaptureQueriesContext(connection) as queries:
        key_used(key=key, address="192.0.2.10", now=NOON + timedelta(seconds=59))
    assert len(queries) == 0


def test_callers_without_a_key_leave_nothing() -> None:
    used = LastUsed(clock=Clock())
    used.saw(None, "192.0.2.1", 1.0)
    with CaptureQueriesContext(connection) as queries:
        used.settle()
    assert len(queries) == 0

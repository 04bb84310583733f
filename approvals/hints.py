"""A word to whoever waits that an approval has changed. The database is the truth and is polled in any case:
a hint only makes it faster, and may get lost.

Other processes hear it through Redis, where there is one; one that fails is left alone for a while, so that
nobody who decides waits for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final, final
from uuid import UUID

import redis
from django.conf import settings
from django.db import transaction

log = logging.getLogger(__name__)

CHANNEL: Final = "postern.approvals"
_TIMEOUT: Final = 0.25  # seconds that a decision may wait for Redis
_LEFT_ALONE: Final = 5.0  # seconds after a failure
_SILENCE: Final = 1.0  # seconds between two looks of the listener at whether it should end

Listener = Callable[[UUID], None]
_listeners: list[Listener] = []


def listen(listener: Listener) -> Callable[[], None]:
    """Have `listener` called, from any thread, for each change; returns what ends that."""
    _listeners.append(listener)
    return lambda: _listeners.remove(listener)


def changed(approval_id: UUID) -> None:
    """Tell everybody, once the transaction has committed."""
    transaction.on_commit(lambda: tell(approval_id), robust=True)


def tell(approval_id: UUID) -> None:
    """The same of what has been committed. May wait for Redis, `_TIMEOUT` long."""
    heard(approval_id)
    _publisher.publish(approval_id)


def heard(approval_id: UUID) -> None:
    """Tell whoever listens in this process."""
    for listener in [*_listeners]:
        listener(approval_id)


@final
class _Publisher:
    def __init__(self) -> None:
        self._client: redis.Redis | None = None
        self._not_before = 0.0

    def publish(self, approval_id: UUID) -> None:
        if not settings.REDIS_URL or time.monotonic() < self._not_before:
            return
        try:
            if self._client is None:
                self._client = _connected(_TIMEOUT)
            self._client.publish(CHANNEL, approval_id.bytes)
        except redis.RedisError as error:
            log.warning("a change of an approval was not passed on: %s", type(error).__name__)
            self._not_before = time.monotonic() + _LEFT_ALONE


_publisher = _Publisher()


def _connected(timeout: float | None) -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=_TIMEOUT, socket_timeout=timeout, health_check_interval=5
    )


@final
class Ear:
    """Hears what other processes say. One thread, where Redis is configured."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="postern-approvals-ear", daemon=True)

    def start(self) -> None:
        if settings.REDIS_URL:
            self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._listen()
            except Exception as error:  # whatever it is: polling goes on, and Redis may come back
                log.warning("changes of approvals are not heard: %s", type(error).__name__)
                self._stopped.wait(1.0)

    def _listen(self) -> None:
        with _connected(_SILENCE) as client, client.pubsub(ignore_subscribe_messages=True) as channel:
            channel.subscribe(CHANNEL)
            while not self._stopped.is_set():
                _passed_on(channel.get_message(timeout=_SILENCE))


def _passed_on(message: Any) -> None:
    if message is None:
        return
    try:
        approval_id = UUID(bytes=message["data"])
    except (ValueError, TypeError):  # nobody of ours says that
        return
    heard(approval_id)

"""Compiles what came into force beside the thread that follows the configuration.

A large schema takes seconds to compile on a machine that has not seen it. Meanwhile locks, keys and access
rules are followed as ever, and the versions that were in force before go on judging. After `LATE` seconds
they may not any more: calls under that policy are refused until the new ones are ready (P12).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final
from uuid import UUID

from policies import store
from policies.engine.policy import Policy
from policies.models import PolicyVersion, SchemaVersion
from policies.store import NotInForce

log = logging.getLogger(__name__)

BRIEF: Final = 0.3
"""Seconds that a rebuild waits for all that is being compiled: small schemas are ready by then."""

LATE: Final = 30.0
"""Seconds. Less would turn a large schema on a busy machine into an outage; a lock stops calls at once."""


class NotReady(LookupError):
    """The versions in force are still being compiled, and nothing may judge in their place."""


class Compiling:
    """One per process; asked by the one thread that follows the configuration."""

    def __init__(self, done: Callable[[], None]) -> None:
        """`done` is called, in another thread, whenever something became ready."""
        self._done = done
        self._last: dict[UUID, Policy] = {}  # policy -> what judged last
        self._behind: dict[UUID, float] = {}  # policy -> since when that is not what is in force
        self._tasks: dict[tuple[UUID, UUID], _Task] = {}
        self._until = 0.0
        self.pending = False  # something that was asked for since `begin` is not ready

    def begin(self, *, patient: bool) -> None:
        """A rebuild begins; a patient one waits for everything, since nothing is in force yet."""
        self.pending = False
        self._tasks = {key: task for key, task in self._tasks.items() if not task.is_kept}
        self._until = float("inf") if patient else time.monotonic() + BRIEF

    def get(self, policy_id: UUID, version: PolicyVersion, schema_version: SchemaVersion) -> Policy:
        """The compiled versions, or those before them; raise `NotReady` or `NotInForce` without either."""
        policy = store.held(version, schema_version) or self._compiled(version, schema_version)
        if policy is not None:
            self._last[policy_id] = policy
            self._behind.pop(policy_id, None)
            return policy
        self.pending = True
        since = self._behind.setdefault(policy_id, time.monotonic())
        last = self._last.get(policy_id)
        if last is None or time.monotonic() - since > LATE:
            raise NotReady
        return last

    def _compiled(self, version: PolicyVersion, schema_version: SchemaVersion) -> Policy | None:
        """None: not yet, or it went wrong in a way that may pass."""
        key = version.pk, schema_version.pk
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = _Task(store.prepared(version, schema_version), self._done)
        if not task.wait(self._until - time.monotonic()):
            return None
        del self._tasks[key]
        return task.result()


class _Task:
    """One compilation, in a thread that the process does not wait for."""

    def __init__(self, make: Callable[[], Policy], done: Callable[[], None]) -> None:
        self._make, self._done = make, done
        self._ended = threading.Event()
        self._policy: Policy | None = None
        self._problem = ""
        threading.Thread(target=self._run, name="postern-compiling", daemon=True).start()

    def wait(self, seconds: float) -> bool:
        return self._ended.wait(None if seconds == float("inf") else max(seconds, 0))

    @property
    def is_kept(self) -> bool:
        """Whether the store remembers the result, so that nobody needs this any more."""
        return self._policy is not None

    def result(self) -> Policy | None:
        if self._problem:
            raise NotInForce(self._problem)
        return self._policy

    def _run(self) -> None:
        try:
            self._policy = self._make()
        except NotInForce as error:
            self._problem = str(error)
        except Exception as error:  # whatever it is, the other policies go on and this one is tried again
            log.error("compiling failed: %s", type(error).__name__)
        finally:
            self._ended.set()
            if self._policy is not None:
                self._done()

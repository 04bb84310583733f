"""Notices which keys are used; a thread beside the calls tells the store. A call pays a dictionary entry."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, final
from uuid import UUID

from django.db.utils import Error as DatabaseError

from gateway.identity.last_used import EVERY, Use, uses_told
from gateway.proxy.beside import Beside

log = logging.getLogger(__name__)

STEP: Final = 5.0
"""Seconds between two looks at what is new."""


@final
class LastUsed:
    """One per process. What a killed process loses is the last seconds of it."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._seen: dict[UUID, tuple[float, str]] = {}
        self._told: dict[UUID, float] = {}
        self._beside = Beside("postern-last-used", STEP, self._safely)

    def start(self) -> None:
        self._beside.start()

    def stop(self) -> None:
        """Tell the rest."""
        self._told.clear()
        self._beside.stop()

    def saw(self, key_id: UUID | None, address: str, now: float) -> None:
        """A valid key was shown. None: the caller came with something else."""
        if key_id is not None:
            self._seen[key_id] = (now, address)

    def settle(self) -> None:
        """Tell of each key at most once a minute. Raises a database error, and tells it again later."""
        now = self._clock()
        oldest = now - EVERY.total_seconds()
        due = {
            key_id: use
            for key_id, use in self._seen.copy().items()
            if self._told.get(key_id, float("-inf")) <= oldest
        }
        uses_told(uses=[Use(key_id, _moment(at), address) for key_id, (at, address) in due.items()])
        for key_id, use in due.items():
            self._told[key_id] = now
            if self._seen.get(key_id) == use:  # else it was used again meanwhile
                self._seen.pop(key_id, None)
        self._told = {key_id: at for key_id, at in self._told.items() if at > oldest}

    def _safely(self) -> None:
        try:
            self.settle()
        except DatabaseError as error:
            log.warning("the last use of keys could not be told: %s", type(error).__name__)
        except Exception as error:  # whatever it is, the next look may be better
            log.error("the last use of keys could not be told: %s", type(error).__name__)


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)

"""Sign-ins that failed, on record: a code, a way and a network, never what was typed or sent.

A flood is counted, not written: one process notes `MOST` a minute, and the next note says how many were left
out before it.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from audit.events import event
from audit.records import Who

log = logging.getLogger(__name__)

MOST: Final = 30
WINDOW: Final = 60.0


class _Noted:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since, self._count, self._left_out = float("-inf"), 0, 0

    def take(self) -> int | None:
        """How many were left out before this one; None where this one is left out."""
        with self._lock:
            now = time.monotonic()
            if now - self._since >= WINDOW:
                self._since, self._count = now, 0
            if self._count >= MOST:
                self._left_out += 1
                return None
            self._count += 1
            left_out, self._left_out = self._left_out, 0
            return left_out


_noted = _Noted()


def sign_in_failed(
    *, method: str, code: str, network: str, issuer: str = "", detail: str = "", about: str = ""
) -> None:
    """Note it. `about` names the account where it is one of ours: `gateway.user <id>`."""
    log.warning("sign-in failed: method=%s code=%s detail=%s network=%s", method, code, detail, network)
    left_out = _noted.take()
    if left_out is None:
        return
    facts = {"method": method, "code": code, "reason": detail, "issuer": issuer, "left_out": left_out}
    event("signin.failed", by=Who(kind="nobody", network=network), about=about, detail=facts)

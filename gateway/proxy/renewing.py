"""Access tokens for endpoints whose secret is a client's: fetched beside the data path, renewed ahead.

One thread per process looks at all of them; each is fetched by one worker at a time. While a renewal fails,
the token that is there goes on until it runs out; then the endpoint refuses.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, final

from gateway.credentials.oauth import AccessToken, Client, TokenFailed, token_fetch
from gateway.credentials.placing import Placed, in_header

log = logging.getLogger(__name__)

LOOK: Final = 0.5
WORKERS: Final = 4
AHEAD: Final = 0.2
"""This share of a token's life before its end it is renewed."""

MARGIN: Final = 5.0
"""Seconds before its end from which on a token is not sent any more, at most a tenth of its life: on the way
it would run out."""

WAITS: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds after each failure in a row."""


@final
class AccessTokens:
    """The tokens of one client, one after the other."""

    def __init__(self, client: Client, header: str, scheme: str) -> None:
        self.client, self.header, self.scheme = client, header, scheme
        self._placed: Placed | None = None
        self._ends = self._renew_at = 0.0  # time.monotonic()
        self._failures = 0
        self._lock = threading.Lock()

    @property
    def identity(self) -> tuple[Client, str, str]:
        return self.client, self.header, self.scheme

    def placed(self) -> Placed | None:
        """The token as it is sent; None where there is none that is good."""
        placed = self._placed
        return placed if time.monotonic() < self._ends else None

    def is_due(self) -> bool:
        return time.monotonic() >= self._renew_at and not self._lock.locked()

    def renew(self, fetch: Callable[[Client], AccessToken] = token_fetch) -> None:
        """Fetch one, unless somebody does already."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._take(fetch(self.client))
        except TokenFailed as failure:
            self._later(failure.code)
        except Exception as error:  # whoever renews must not end before the process does
            self._later(type(error).__name__)
        finally:
            self._lock.release()

    def _take(self, token: AccessToken) -> None:
        self._placed = in_header(self.header, self.scheme, token.value)
        self._failures = 0
        self._ends = token.asked_at + token.good_for - min(MARGIN, token.good_for / 10)
        self._renew_at = token.asked_at + token.good_for * (1 - AHEAD)

    def _later(self, code: str) -> None:
        wait = WAITS[min(self._failures, len(WAITS) - 1)]
        self._failures += 1
        self._renew_at = time.monotonic() + wait
        log.warning("no access token for client %s: %s", self.client.client_id, code)


class Renewing:
    """Everybody's tokens."""

    def __init__(self, fetch: Callable[[Client], AccessToken] = token_fetch) -> None:
        self._fetch = fetch
        self._all: dict[object, AccessTokens] = {}
        self._wake = threading.Event()
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="postern-tokens")

    def same(self, tokens: AccessTokens) -> AccessTokens:
        """The one that is there already for the same client and header, with the token that it has."""
        return self._all.get(tokens.identity, tokens)

    def keep(self, wanted: Iterable[AccessTokens]) -> None:
        """From now on renew these and no others."""
        self._all = {each.identity: each for each in wanted}
        self._wake.set()

    def start(self) -> None:
        self._thread = threading.Thread(target=self._follow, name="postern-renewing", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        self._workers.shutdown(wait=False, cancel_futures=True)

    def look(self) -> None:
        """Have renewed what is due."""
        for tokens in [*self._all.values()]:
            if tokens.is_due():
                self._workers.submit(tokens.renew, self._fetch)

    def _follow(self) -> None:
        while not self._stopped:
            self._wake.wait(LOOK)
            self._wake.clear()
            if not self._stopped:
                self.look()

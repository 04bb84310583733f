"""Who comes in: a directory that shows its token in `Authorization`, and nobody else. Cookies are not looked
at, so there is nothing that another site could make a browser send."""

from __future__ import annotations

import time
from collections import OrderedDict
from threading import Lock
from typing import Final

from django.http import HttpRequest
from scim2_models import SCIMException, UnauthorizedException

from gateway.identity.directory_tokens import directory_of
from gateway.identity.tries import around
from gateway.models import DirectoryToken

FAILURES: Final = 30
WINDOW_SECONDS: Final = 60
ADDRESSES: Final = 1000


class TooManyRequests(SCIMException):
    status = 429
    _default_detail = "Too many requests with a token that is not known. Wait a minute."


class Failures:
    """How often each address failed lately, in this process. Only failures are slowed: a directory whose
    token is good always comes in, even from behind the same front proxy."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._since: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def another(self, address: str) -> bool:
        """Count one more. False: there were too many."""
        now = time.monotonic()
        with self._lock:
            began, count = self._since.pop(address, (now, 0))
            if now - began > WINDOW_SECONDS:
                began, count = now, 0
            self._since[address] = (began, count + 1)
            if len(self._since) > ADDRESSES:
                self._since.popitem(last=False)
        return count < FAILURES


failures = Failures()


def directory_asking(request: HttpRequest) -> DirectoryToken:
    """Raises `UnauthorizedException` and `TooManyRequests`."""
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    directory = directory_of(token.strip()) if scheme.lower() == "bearer" else None
    if directory is not None:
        return directory
    if not failures.another(around(request.META.get("REMOTE_ADDR", ""))):
        raise TooManyRequests
    raise UnauthorizedException(detail="This token is not known, or it has ended.")

"""Sees every connection that this process begins, before it begins: Python's own audit hooks tell. Only what
a test allows goes on; all else is noted and refused, so that nothing leaves."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from .cases import Case

_NUMBERS = re.compile(r"[0-9a-fx.:\[\]%]+\Z", re.I)


class Watch:
    """`began`: (address, port) of every connection and datagram that was tried."""

    def __init__(self) -> None:
        self.on = False
        self.began: list[tuple[str, int]] = []
        self.allowed: set[tuple[str, int]] = set()
        self.other: list[str] = []  # programs started and files opened by URL

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            self._told(arguments[1])
        elif event in ("subprocess.Popen", "os.system") or event.startswith(
            ("urllib.", "ftplib.", "smtplib.")
        ):
            self.other.append(event)

    def _told(self, address: Any) -> None:
        if not isinstance(address, tuple):
            self.began.append((str(address), 0))  # a unix socket
            raise ConnectionRefusedError("not in this test")
        where = (str(address[0]), int(address[1]))
        self.began.append(where)
        if where not in self.allowed:
            raise ConnectionRefusedError("not in this test")


WATCH = Watch()
sys.addaudithook(WATCH.hook)  # for good: there is no taking it away


@contextmanager
def watched(*allowed: tuple[str, int]) -> Iterator[Watch]:
    WATCH.began, WATCH.other, WATCH.allowed, WATCH.on = [], [], set(allowed), True
    try:
        yield WATCH
    finally:
        WATCH.on = False


def resolve_as(case: Case, patch: pytest.MonkeyPatch) -> None:
    """Names say what the case says, each time the next; numbers are read by the system itself."""
    real, asked = socket.getaddrinfo, dict[str, int]()

    def resolve(host: Any, port: Any, *rest: Any, **more: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name not in case.answers:
            if _NUMBERS.match(name) or name.lower().rstrip(".") == "localhost":
                return real(name, port, *rest, **more)
            raise socket.gaierror(socket.EAI_NONAME, "not in this test")
        answers = case.answers[name]
        turn = asked[name] = asked.get(name, -1) + 1
        kind = more.get("type") or (rest[1] if len(rest) > 1 else 0) or socket.SOCK_STREAM
        return [_entry(each, port, kind) for each in answers[min(turn, len(answers) - 1)].split("|")]

    patch.setattr(socket, "getaddrinfo", resolve)


def _entry(address: str, port: Any, kind: Any) -> tuple[Any, ...]:
    if ":" in address:
        plain, _, scope = address.partition("%")
        return (socket.AF_INET6, kind, 0, "", (plain, port, 0, int(scope or 0)))
    return (socket.AF_INET, kind, 0, "", (address, port))

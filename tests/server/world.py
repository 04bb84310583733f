"""The demo world as real processes, on a database of its own: what the server tests drive."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psutil
import psycopg

from tests.services import postgresql, quiet_port

ROOT = Path(__file__).resolve().parent.parent.parent
STORE = "world.sqlite3"
START_SECONDS = 240  # of a machine that others use as well


@dataclass(frozen=True, slots=True)
class World:
    """A running demo."""

    facts: dict[str, Any]
    root: Path
    process: subprocess.Popen[bytes]
    database_url: str

    @property
    def url(self) -> str:
        return str(self.facts["url"])

    @property
    def model(self) -> str:
        return str(self.facts["demo_model_url"])

    def endpoint(self, kind: str) -> str:
        """The address of the endpoint of this kind."""
        return str(next(e["url"] for e in self.facts["endpoints"] if e["kind"] == kind))

    def key(self, person: str) -> str:
        return str(self.facts["api_keys"][person])

    def process_named(self, role: str) -> psutil.Process:
        """The child that plays this role: gateway, worker or model."""
        marks = {"gateway": "serve", "worker": "celery", "model": "gateway.console.demo_model"}
        for child in psutil.Process(self.process.pid).children(recursive=True):
            if marks[role] in child.cmdline():
                return child
        raise LookupError(role)

    @property
    def data(self) -> Path:
        """Where this demo keeps its keys and its log."""
        return self.root / "demo" / str(urlsplit(self.url).port)

    @property
    def store_url(self) -> str:
        return self.database_url or f"sqlite:///{self.root / STORE}"

    def log(self) -> str:
        return (self.data / "demo.log").read_text()


@contextmanager
def running_world(
    root: Path, *, upstream_url: str = "", more: Mapping[str, str] | None = None
) -> Iterator[World]:
    """Start `manage.py demo` under `root` and stop it afterwards; `more` are settings beside its own."""
    with fresh_database() as database_url:
        if not database_url:
            shutil.copy2(migrated(), root / STORE)
        url = database_url or f"sqlite:///{root / STORE}"
        env = {**os.environ, **(more or {}), "DATA_DIR": str(root), "DATABASE_URL": url}
        argv = [sys.executable, "manage.py", "demo", "--port", str(quiet_port(count=2))]
        argv += ["--upstream-url", upstream_url] if upstream_url else []
        output = root / "output.txt"
        with output.open("wb") as log:
            process = subprocess.Popen(argv, cwd=ROOT, env=env, stdout=log, stderr=log)
        try:
            yield World(_facts(root, process, output), root, process, database_url)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _facts(root: Path, process: subprocess.Popen[bytes], output: Path) -> dict[str, Any]:
    deadline = time.monotonic() + START_SECONDS
    file = root / "demo.json"
    while not file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the demo did not start:\n{output.read_text()}")
        time.sleep(0.05)
    facts: dict[str, Any] = json.loads(file.read_text())
    return facts


def on_postgresql() -> bool:
    """Whether this pass of the suite is the one on PostgreSQL."""
    return os.environ.get("DATABASE_URL", "").startswith("postgres")


@cache
def migrated() -> str:
    """A store with every table and nothing in them: on SQLite a file to copy, else a database to make others
    by. Made once in each process: migrating takes longer than everything else of a start."""
    folder = Path(tempfile.mkdtemp(prefix="postern-migrated-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    found, url = str(folder / STORE), f"sqlite:///{folder / STORE}"
    if on_postgresql():
        found = f"migrated_{uuid4().hex[:12]}"
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{found}"')
        url = urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{found}"))
    env = {**os.environ, "DATA_DIR": str(folder), "DATABASE_URL": url, "SECRET_KEY": uuid4().hex * 2}
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=env, check=True)
    return found


@contextmanager
def private_database() -> Iterator[str]:
    """ "" for the demo's own SQLite file, or a PostgreSQL server that nobody else uses."""
    if not on_postgresql():
        yield ""
        return
    with postgresql() as url:
        yield url


@contextmanager
def fresh_database() -> Iterator[str]:
    """ "" for an SQLite file of one's own, or a migrated database on the suite's PostgreSQL."""
    if not on_postgresql():
        yield ""
        return
    server = os.environ["DATABASE_URL"]
    name = f"world_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{migrated()}"')
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

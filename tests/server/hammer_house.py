"""A gateway as `manage.py serve` runs it, on a store of its own: started, killed and asked by role.

Unlike the demo's world it survives its supervisor: secrets, store and keys stay where they are, so that what
comes back after a kill is the same gateway.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.services import quiet_port

from .world import ROOT, fresh_database, migrated

START_SECONDS = 240
NOT_OURS = ("SECRET_KEY", "MASTER_KEYS", "DATABASE_PASSWORD", "DEBUG", "AUDIT_KEY_DIR", "CACHE_DIR")
PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages", "json": "/classify"}
ROLES = {"gateway": "serve", "worker": "celery"}


class House:
    """One process tree and everything it needs to start again."""

    def __init__(self, root: Path, *, model_url: str, database_url: str = "", redis_url: str = "") -> None:
        self.root = root
        self.port = quiet_port()
        self.database_url = database_url or f"sqlite:///{root / 'postern.sqlite3'}"
        self.redis_url = redis_url
        self.log = root / "serve.log"
        self.env = environment(root, self.database_url, redis_url)
        self.process: subprocess.Popen[bytes] | None = None
        if not database_url:
            shutil.copy2(migrated(), root / "postern.sqlite3")
        self.facts = self._seed(model_url)

    def python(self, *argv: str, given: str = "") -> str:
        """What Python prints, run with this house's settings."""
        return python(self.env, *argv, given=given)

    def _seed(self, model_url: str) -> dict[str, Any]:
        out = self.root / "world.json"
        argv = [sys.executable, "manage.py", "seed_demo", "--model-url", model_url, "--out", str(out)]
        done = subprocess.run(argv, cwd=ROOT, env=self.env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"the world could not be made:\n{done.stderr}")
        facts: dict[str, Any] = json.loads(out.read_text())
        return facts

    @property
    def keys(self) -> Path:
        return Path(self.env["AUDIT_KEY_DIR"])

    def key(self, person: str) -> str:
        return str(self.facts["api_keys"][person])

    def path(self, kind: str) -> str:
        slug = next(each["slug"] for each in self.facts["endpoints"] if each["kind"] == kind)
        return f"/proxy/{slug}" + PATHS[kind]

    # --- the tree -----------------------------------------------------------------------------------
    def start(self) -> None:
        argv = [sys.executable, "manage.py", "serve", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(argv, cwd=ROOT, env=self.env, stdout=log, stderr=log)

    def supervisor(self) -> psutil.Process:
        assert self.process is not None
        return psutil.Process(self.process.pid)

    def children(self) -> list[psutil.Process]:
        try:
            return self.supervisor().children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def find(self, role: str, *, seconds: float = 20, other_than: int = 0) -> psutil.Process:
        """The process that plays this role now; waits for one that is just being started."""
        if role == "supervisor":
            return self.supervisor()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for child in self.children():
                if child.pid != other_than and ROLES[role] in _arguments(child):
                    return child
            time.sleep(0.01)
        raise AssertionError(f"no {role} within {seconds:.0f} s:\n{self.last_words()}")

    def bury_supervisor(self, *, seconds: float = 5) -> list[psutil.Process]:
        """After its kill: returns who outlived it."""
        assert self.process is not None
        self.process.wait(10)
        return still_there(self._tree, seconds=seconds)

    def remember_tree(self) -> None:
        """Note who is there, for `bury_supervisor`: the orphans of a dead parent cannot be asked for."""
        self._tree = self.children()

    def stop(self) -> int:
        """SIGTERM; the supervisor's exit status. Leaves nobody, whatever happens."""
        if self.process is None:
            return 0
        everyone = self.children()
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(40)
        finally:
            for process in [*everyone, *self.children()]:
                _kill(process)
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()

    # --- asking -------------------------------------------------------------------------------------
    def is_listening(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=2).close()
        except OSError:
            return False
        return True

    def is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                return connection.recv(12) == b"HTTP/1.1 200"
        except OSError:
            return False

    def wait_ready(self, *, seconds: float = START_SECONDS) -> None:
        if not wait_for(self.is_ready, seconds=seconds):
            raise AssertionError(f"not ready within {seconds:.0f} s:\n{self.last_words()}")

    def ended_by_themselves(self) -> list[str]:
        """Processes that were not killed and ended nevertheless, each with what was printed before."""
        log = self.log.read_text(errors="replace")
        found = re.finditer(r"\S+ ended with status (?!-9;)-?\d+", log)
        return [f"{line[0]}:\n{log[max(0, line.start() - 2000) : line.start()]}" for line in found]

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""


def python(env: dict[str, str], *argv: str, given: str = "") -> str:
    """What Python prints, run with these settings; `given` is its standard input."""
    done = subprocess.run(
        [sys.executable, *argv],
        cwd=ROOT,
        env={**env, "DJANGO_SETTINGS_MODULE": "gateway.settings"},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def environment(root: Path, database_url: str, redis_url: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.removesuffix("_FILE") not in NOT_OURS}
    return {
        **kept,
        "DATA_DIR": str(root),
        "AUDIT_KEY_DIR": str(root / "audit-keys"),
        "CACHE_DIR": str(root / "cache"),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": secrets.token_urlsafe(48),
        "MASTER_KEYS": "hammer:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
        "PLAIN_HTTP": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def still_there(processes: list[psutil.Process], *, seconds: float) -> list[psutil.Process]:
    """Those that have not ended within the time."""
    wait_for(lambda: not any(map(is_alive, processes)), seconds=seconds)
    return [process for process in processes if is_alive(process)]


def wait_for(met: Callable[[], bool], *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not met():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@contextmanager
def running_house(
    root: Path, *, model_url: str, database_url: str | None = None, redis_url: str = ""
) -> Iterator[House]:
    """A gateway that is ready. None: a fresh database on whatever the suite runs on."""
    with fresh_database() if database_url is None else nullcontext(database_url) as url:
        house = House(root, model_url=model_url, database_url=url, redis_url=redis_url)
        house.start()
        try:
            house.wait_ready()
            yield house
        finally:
            house.stop()


@contextmanager
def second_gateway(house: House) -> Iterator[int]:
    """Another process on the same store, on a port of its own."""
    port = quiet_port()
    argv = [sys.executable, "manage.py", "serve", "--only", "gateway", "--port", str(port)]
    with (house.root / "second.log").open("ab") as log:
        process = subprocess.Popen(argv, cwd=ROOT, env=house.env, stdout=log, stderr=log)
    try:
        assert wait_for(lambda: _answers(port), seconds=60)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _answers(port: int) -> bool:
    with suppress(requests.RequestException):
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=2).ok
    return False

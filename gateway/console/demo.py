"""The demo's own corner: its directory, its random secrets, the file that scripts read, and the proof.

Everything listens on loopback, and every secret lives for one run.
"""

from __future__ import annotations

import base64
import fcntl
import http.client
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PROMPT = "My card is 4111 1111 1111 1111 and my mail is alice@example.com. What now?"
OURS = ("SECRET_KEY", "SECRET_KEY_FILE", "SECRET_KEY_PREVIOUS", "MASTER_KEYS", "MASTER_KEYS_FILE", "DEBUG")


class DemoError(Exception):
    """The demo cannot run, in words for whoever started it."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where one demo keeps its things; one per port, so that several can run."""

    root: Path
    port: int

    @property
    def data(self) -> Path:
        return self.root / "demo" / str(self.port)

    @property
    def log(self) -> Path:
        return self.data / "demo.log"

    @property
    def world(self) -> Path:
        return self.data / "world.json"

    @property
    def announcement(self) -> Path:
        return self.data / "announcement.txt"

    @property
    def published(self) -> Path:
        """What scripts read: the demo started last."""
        return self.root / "demo.json"

    @property
    def lock(self) -> Path:
        return self.root / "demo" / f"{self.port}.lock"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold this site: its lock names the process that runs it."""
        self.lock.parent.mkdir(parents=True, exist_ok=True)
        with self.lock.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DemoError(f"A demo already runs on port {self.port}: make demo-stop") from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def holder(self) -> int | None:
        """The process that runs this site, if one does."""
        try:
            with self.lock.open("r") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(file.read() or 0) or None
        except FileNotFoundError:
            pass
        return None

    def clear(self) -> None:
        """An empty directory: the keys of the last run are gone, so is what they could open."""
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(parents=True, mode=0o700)

    def publish(self, facts: Mapping[str, Any]) -> None:
        draft = self.published.with_suffix(f".{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(facts, indent=2) + "\n")
        draft.replace(self.published)

    def withdraw(self) -> None:
        """Take the published file back, unless another demo has written it since."""
        try:
            ours = json.loads(self.published.read_text()).get("pid") == os.getpid()
        except (OSError, ValueError):
            return
        if ours:
            self.published.unlink(missing_ok=True)


def environment(site: Site, ambient: Mapping[str, str]) -> dict[str, str]:
    """The environment of every process of the demo: fresh secrets, loopback only, the caller's database."""
    kept = {name: value for name, value in ambient.items() if name not in OURS}
    kept.setdefault("DATABASE_URL", "")
    return {
        **kept,
        "DATABASE_URL": kept["DATABASE_URL"] or f"sqlite:///{site.data / 'postern.sqlite3'}",
        "DATA_DIR": str(site.data),
        "AUDIT_KEY_DIR": str(site.data / "audit-keys"),
        "CACHE_DIR": str(site.data / "cache"),
        "SECRET_KEY": secrets.token_urlsafe(48),
        "MASTER_KEYS": "demo:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
        "PLAIN_HTTP": "1",
        "ENVIRONMENT": "demo",
        "PYTHONUNBUFFERED": "1",
    }


def call(
    url: str, *, body: Any = None, key: str = "", timeout: float = 10
) -> tuple[int, dict[str, str], Any]:
    """One request to a process of the demo: status, headers, parsed JSON (None when it is none)."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    data = None if body is None else json.dumps(body)
    try:
        connection.request("GET" if body is None else "POST", parts.path, data, headers)
        response = connection.getresponse()
        payload = response.read()
    finally:
        connection.close()
    try:
        parsed = json.loads(payload)
    except ValueError:
        parsed = None
    return response.status, {name.lower(): value for name, value in response.getheaders()}, parsed


def wait_until_ready(url: str, *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if call(url, timeout=2)[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise DemoError(f"{url} did not become ready within {seconds:.0f} s.")


def chat_body(prompt: str = PROMPT) -> dict[str, Any]:
    return {"model": "demo", "messages": [{"role": "user", "content": prompt}]}


def proof(facts: Mapping[str, Any]) -> list[str]:
    """Send the prompt through the gateway, then read what the model got from the model itself."""
    key = facts["api_keys"]["alice"]
    chat = next(entry for entry in facts["endpoints"] if entry["kind"] == "openai")
    status, headers, answer = call(chat["url"] + "/v1/chat/completions", body=chat_body(), key=key)
    if status != 200:
        raise DemoError(f"The first call through the gateway was answered with {status}: {answer}")
    _, _, received = call(facts["demo_model_url"] + "/received")
    seen = received[-1]["body"]
    if "4111" in seen or "alice@example.com" in seen:
        raise DemoError("The model received what should have been masked.")
    return [
        "What alice sent:",
        f"  {PROMPT}",
        f"What the model received ({facts['demo_model_url']}/received):",
        f"  {seen}",
        "What alice got back:",
        f"  {answer['choices'][0]['message']['content']}",
        *(f"  {name}: {value}" for name, value in headers.items() if name.startswith("x-postern")),
    ]


def announcement(facts: Mapping[str, Any], shown: list[str]) -> str:
    """What a person needs to look around."""
    chat = next(entry for entry in facts["endpoints"] if entry["kind"] == "openai")
    logins = [
        f"  {person['name']:<8} {person['password']}   {', '.join(person['roles'] or person['groups'])}"
        for person in facts["people"]
    ]
    lines = [
        "",
        f"Postern is running on {facts['url']}/",
        "",
        "Log in as",
        *logins,
        "",
        "Ask the model through it",
        f"  curl -s {chat['url']}/v1/chat/completions \\",
        f"    -H 'Authorization: Bearer {facts['api_keys']['alice']}' -H 'Content-Type: application/json' \\",
        f"    -d '{json.dumps(chat_body())}'",
        "",
        *shown,
        "",
        f"See the call: {facts['url']}/audit/     For scripts: {facts['file']}",
        "Stop it with: make demo-stop",
        "",
    ]
    return "\n".join(lines)

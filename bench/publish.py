"""How long a call waits while a large schema is published: `python -m bench.publish`.

One client calls without a pause. Meanwhile a schema of 500 classes, each with a pattern and a list of words,
is published: as from another machine, so that this one has to compile it, and by a click in the console of
the very process that serves the calls. What counts is the longest call of each round; the rounds without a
publish say what is usual.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from bench.__main__ import CHAT, process
from bench.payloads import http_request, request_body
from tests.services import free_port, postgresql

SECONDS, PUBLISH_AFTER, ROUNDS, SETTLES = 20.0, 2.0, 2, 8.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.publish", description=__doc__)
    parser.add_argument("--classes", type=int, default=500)
    parser.add_argument("--stores", default="sqlite,postgresql")
    parser.add_argument("--as", dest="role", choices=["prepare", "publish"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        _inside(options.role, options.classes)
        return
    for store in options.stores.split(","):
        with contextlib.ExitStack() as stack:
            database = stack.enter_context(postgresql()) if store == "postgresql" else ""
            house = stack.enter_context(_house(database))
            for kind in ("none", "elsewhere", "here"):
                for _ in range(ROUNDS):
                    time.sleep(SETTLES)  # what the round before published may still be being compiled
                    print(f"{store:<11} {_round(house, kind, options.classes)}", flush=True)


class _House:
    """A gateway under measurement and what it takes to publish in it."""

    def __init__(self, env: dict[str, str], port: int, key: str) -> None:
        self.env, self.port, self.key = env, port, key
        self.site = f"http://127.0.0.1:{port}"

    def run(self, *argv: str, **more: str) -> str:
        command = [sys.executable, "-m", *argv]
        env = {**os.environ, **self.env, **more}
        return subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True, text=True).stdout

    def as_role(self, role: str, classes: int) -> dict[str, Any]:
        """As on another machine: what is compiled there is not there for the gateway to load."""
        with tempfile.TemporaryDirectory(prefix="postern-bench-") as cache:
            argv = ("bench.publish", "--as", role, "--classes", str(classes))
            told: dict[str, Any] = json.loads(self.run(*argv, CACHE_DIR=cache))
        return told

    def load(self) -> dict[str, Any]:
        request = http_request(CHAT, request_body(stream=False), self.key)
        job = {"request": base64.b64encode(request).decode(), "connections": 1, "seconds": SECONDS}
        done = subprocess.run(
            [sys.executable, "-m", "bench.load"],
            input=json.dumps({**job, "port": self.port}).encode(),
            stdout=subprocess.PIPE,
            check=True,
        )
        measured: dict[str, Any] = json.loads(done.stdout)
        return measured


@contextlib.contextmanager
def _house(database: str) -> Iterator[_House]:
    with tempfile.TemporaryDirectory(prefix="postern-bench-") as home:
        env = {
            "DATA_DIR": home,
            "DATABASE_URL": database or f"sqlite:///{Path(home) / 'bench.sqlite3'}",
            "SECRET_KEY": secrets.token_urlsafe(48),
            "MASTER_KEYS": "bench:" + base64.b64encode(secrets.token_bytes(32)).decode(),
            "PLAIN_HTTP": "1",
        }
        model, port = free_port(), free_port()
        origin = f"http://127.0.0.1:{model}"
        key = _House(env, port, "").run("bench.world", origin).strip()
        with (
            process("bench.model", str(model), port=model, env={}, apart=True),
            process("bench.server", "governed", str(port), port=port, env=env),
        ):
            time.sleep(1)
            yield _House(env, port, key)


def _round(house: _House, kind: str, classes: int) -> str:
    told = house.as_role("prepare", classes) if kind != "none" else {}
    spent: list[float] = []

    def publish() -> None:
        time.sleep(PUBLISH_AFTER)
        began = time.perf_counter()
        if kind == "elsewhere":
            house.as_role("publish", classes)
        else:
            _click(house.site, told)
        spent.append(time.perf_counter() - began)

    thread = threading.Thread(target=publish)
    if kind != "none":
        thread.start()
    measured = house.load()
    if kind != "none":
        thread.join()
    took = f" publish={spent[0]:.1f}s" if spent else ""
    return (
        f"publish {kind:<9} calls={measured['requests']} bad={measured['bad']} "
        f"p50={1000 * measured['p50']:.1f}ms p99={1000 * measured['p99']:.1f}ms "
        f"longest={1000 * measured['longest']:.0f}ms{took}"
    )


def _click(site: str, told: dict[str, Any]) -> None:
    with requests.Session() as browser:
        page = browser.get(f"{site}/login/")
        token = browser.cookies["csrftoken"]
        form = {"username": told["name"], "password": told["password"], "csrfmiddlewaretoken": token}
        browser.post(page.url, data=form, allow_redirects=False).raise_for_status()
        token = browser.cookies["csrftoken"]
        form = {"csrfmiddlewaretoken": token}
        done = browser.post(site + told["publish"], data=form, allow_redirects=False, timeout=60)
        if done.status_code != 302:
            raise SystemExit(f"the publish was answered with {done.status_code}")


def _inside(role: str, classes: int) -> None:
    """In a process that has the store: make a draft, or publish it."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.settings")
    import django

    django.setup()
    from policies import services
    from policies.models import SchemaVersion, State

    if role == "prepare":
        json.dump(_prepare(classes), sys.stdout)
        return
    draft = SchemaVersion.objects.get(state=State.DRAFT)
    services.schema_version_publish(version=draft, by=None)
    json.dump({}, sys.stdout)


def _prepare(classes: int) -> dict[str, str]:
    from django.urls import reverse

    from gateway.models import User
    from policies import services
    from policies.models import DataClass, Detector, DetectorKind, Schema, SchemaVersion, State

    schema = Schema.objects.get()
    live = SchemaVersion.objects.get(schema=schema, state=State.PUBLISHED)
    draft = services.schema_version_clone_to_draft(version=live, by=None)
    DataClass.objects.filter(version=draft, slug__startswith="MADE_").delete()
    made = [
        DataClass(version=draft, slug=f"MADE_{number}", name="Made", position=100 + number)
        for number in range(classes)
    ]
    DataClass.objects.bulk_create(made)
    salt = "".join(secrets.choice("ABCDEFGHKLMNPQRS") for _ in range(5))  # nothing is remembered from before
    Detector.objects.bulk_create(
        each
        for number, row in enumerate(made)
        for each in (
            Detector(data_class=row, kind=DetectorKind.REGEX, value=rf"\b{salt}{number}-[0-9]{{4,8}}[A-Z]\b"),
            Detector(
                data_class=row,
                kind=DetectorKind.TERMS,
                value="\n".join(f"{salt}w{number}x{n}" for n in range(5)),
                position=1,
            ),
        )
    )
    password = secrets.token_urlsafe(16)
    person, _ = User.objects.get_or_create(username="bench", is_staff=True, is_superuser=True)
    person.set_password(password)
    person.save()
    address = reverse("admin:policies_schemaversion_publish", args=[draft.pk])
    return {"name": "bench", "password": password, "publish": address}


if __name__ == "__main__":
    main()

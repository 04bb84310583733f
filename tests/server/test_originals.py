"""A policy that keeps originals, on a real server: two people see one call's, store and keys show nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
import yaml

from audit.originals import private_key_make

from .world import ROOT, World, on_postgresql, running_world

pytestmark = pytest.mark.database

CANARY = "canary.of.originals@example.com"
ASKED = {"model": "demo", "messages": [{"role": "user", "content": f"write to {CANARY}, please"}]}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with keeping_world(tmp_path_factory.mktemp("originals"), tmp_path_factory.mktemp("private")) as running:
        yield running


@contextmanager
def keeping_world(root: Path, apart: Path, *, upstream_url: str = "") -> Iterator[World]:
    """A demo whose policies keep originals; the private key lies apart."""
    _, public = private_key_make(apart)
    keys = {"AUDIT_ORIGINALS_KEY": public.text(), "AUDIT_ORIGINALS_KEY_DIR": str(apart)}
    with running_world(root, more=keys, upstream_url=upstream_url) as running:
        before = str(asked(running).headers["x-postern-policy"])
        keep_originals(running, root / "area.yaml")
        deadline = time.monotonic() + 20
        while asked(running).headers["x-postern-policy"] == before:
            assert time.monotonic() < deadline, "the policy was not taken over"
            time.sleep(0.2)
        yield running


def manage(world: World, *arguments: str) -> str:
    return python(world, "manage.py", *arguments)


def python(world: World, *arguments: str, **more: str) -> str:
    """A process beside the demo, on its store; `more`: of its settings."""
    env = {
        **os.environ,
        **more,
        "DATABASE_URL": world.store_url,
        "DATA_DIR": str(world.data),
        "AUDIT_KEY_DIR": str(world.data / "audit-keys"),
        "DJANGO_SETTINGS_MODULE": "gateway.settings",
    }
    argv = [sys.executable, *arguments]
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def keep_originals(world: World, file: Path) -> None:
    """By policy as code: export, say so, apply."""
    area: Any = yaml.safe_load(manage(world, "policy", "export", "--area", "default"))
    for policy in area["policies"]:
        policy["keeps_original"] = True
    file.write_text(yaml.safe_dump(area, allow_unicode=True))
    assert "keeps_original: false → true" in manage(world, "policy", "plan", str(file))
    manage(world, "policy", "apply", str(file))


def asked(world: World, text: dict[str, Any] = ASKED) -> requests.Response:
    answer = requests.post(
        world.endpoint("openai") + "/v1/chat/completions",
        json=text,
        headers={"Authorization": f"Bearer {world.key('alice')}"},
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
    return answer


class Person:
    """Somebody at a browser."""

    def __init__(self, world: World, name: str) -> None:
        self._url, self._browser = world.url, requests.Session()
        password = next(each["password"] for each in world.facts["people"] if each["name"] == name)
        assert self.sends("/login/", username=name, password=password).status_code == 302

    def gets(self, path: str) -> requests.Response:
        return self._browser.get(self._url + path, timeout=20)

    def sends(self, path: str, at: str = "", **form: str) -> requests.Response:
        """A form of the page `at`, or of the address itself."""
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.gets(at or path).text)
        assert found
        body = {**form, "csrfmiddlewaretoken": found[1]}
        return self._browser.post(self._url + path, data=body, allow_redirects=False, timeout=20)


def test_two_people_see_what_was_sent_and_nobody_else_does(world: World) -> None:
    call = f"/audit/calls/{asked(world).headers['x-postern-call']}/"
    original = call + "original/"
    dave, ada, bob = (Person(world, name) for name in ("dave", "admin", "bob"))
    shown = dave.gets(call).text
    assert "The originals of request and response are sealed" in shown and CANARY not in shown
    assert dave.gets(original).status_code == 404
    assert dave.sends(original + "ask/", call, reason=f"complaint of {CANARY}").status_code == 302
    waiting = dave.gets(original)
    assert "Waits for a second person" in waiting.text and CANARY not in waiting.text
    proposal = re.search(r"/proposals/[0-9a-f-]+/", waiting.text)
    assert proposal
    page = ada.gets(proposal[0]).text
    seen = re.search(r'name="seen" value="([0-9a-f]+)"', page)
    assert seen and CANARY not in page
    assert ada.sends(proposal[0] + "confirm/", proposal[0], seen=seen[1]).status_code == 302
    answer = dave.gets(original)
    assert answer.text.count(CANARY) >= 1 and "no-store" in answer.headers["cache-control"]
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert ada.gets(original).status_code == 404 and bob.gets(original).status_code == 403
    assert CANARY not in dave.gets(call).text


DRAFT = """
import django
django.setup()
from policies import services
from policies.engine.types import Style
from policies.models import Policy
from policies.versions import policy_version_in_force
before = policy_version_in_force(Policy.objects.get(slug="support").pk)
draft = services.policy_version_clone_to_draft(version=before, by=None)
draft.default_transform = Style.LABEL
draft.save(update_fields=("default_transform",))
print(draft.pk)
"""
"""A draft that masks in another way."""


def proposed(world: World, admin: Person) -> str:
    """A preview on the originals of the last hour; returns the proposal's id."""
    draft = python(world, "-c", DRAFT).strip()
    page = f"/preview/policy/{draft}/originals/"
    html = admin.gets(page).text
    endpoint = re.search(r'<option value="([0-9a-f-]+)"[^>]*>[^<]*chat', html, re.IGNORECASE)
    assert endpoint, html
    now = datetime.now(UTC)
    form = {
        "endpoint": endpoint[1],
        "since": f"{now - timedelta(hours=1):%Y-%m-%d %H:%M}",
        "until": f"{now + timedelta(minutes=1):%Y-%m-%d %H:%M}",
        "calls": "100",
        "reason": f"complaint of {CANARY}",
    }
    answer = admin.sends(page, **form)
    assert answer.status_code == 302, answer.text
    return answer.headers["Location"].split("/")[-2]


def test_a_draft_is_tried_on_originals_and_no_word_of_them_is_shown(world: World) -> None:
    asked(world)
    ada, dave = Person(world, "admin"), Person(world, "dave")
    proposal = proposed(world, ada)
    address, two = f"/preview/originals/{proposal}/", f"/proposals/{proposal}/"
    assert "Waits for a second person" in ada.gets(address).text
    seen = re.search(r'name="seen" value="([0-9a-f]+)"', dave.gets(two).text)
    assert seen and dave.sends(two + "confirm/", two, seen=seen[1]).status_code == 302
    assert "Let it run" in ada.gets(address).text
    assert ada.sends(address + "run/", address).status_code == 302
    done = ada.gets(address).text
    judged = re.search(r"Calls judged again</dt><dd>(\d+)", done)
    assert judged and int(judged[1]) >= 1 and "EMAIL confidential, label" in done
    assert CANARY not in done and "canary.of" not in done


def test_the_value_is_in_no_file_and_no_row(world: World) -> None:
    asked(world)
    for path in (world.root / "demo").rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path
    if on_postgresql():
        assert CANARY not in "\n".join(rows(world.store_url))


def rows(url: str) -> Iterator[str]:
    """Every row of every table as text, bytes as what they would be as text."""
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            for (row,) in connection.execute(f'SELECT t::text FROM "{table}" AS t'.encode()).fetchall():
                yield re.sub(r"\\x([0-9a-f]+)", lambda each: bytes.fromhex(each[1]).decode("latin-1"), row)


def test_streams_and_other_calls_go_on_as_before(world: World) -> None:
    answer = asked(world, {**ASKED, "stream": True})
    dave = Person(world, "dave")
    page = dave.gets(f"/audit/calls/{answer.headers['x-postern-call']}/").text
    assert "The originals of request and response are sealed" in page
    assert "What was looked at" in page


def test_the_record_with_originals_verifies(world: World) -> None:
    manage(world, "audit_verify")

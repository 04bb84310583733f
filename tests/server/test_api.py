"""The REST API as a pipeline meets it: over HTTP, against running processes, felt by the next calls."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from .world import World, running_world

pytestmark = pytest.mark.database
BADGE = "ACME-BADGE-4711"


def browser(world: World) -> requests.Session:
    """The demo's administrator, signed in as a browser does it."""
    session = requests.Session()
    person = next(each for each in world.facts["people"] if each["name"] == "admin")
    session.get(f"{world.url}/login/", timeout=10)
    form = {"username": "admin", "password": person["password"]}
    form["csrfmiddlewaretoken"] = session.cookies["csrftoken"]
    done = session.post(f"{world.url}/login/", data=form, timeout=20, allow_redirects=False)
    assert done.status_code == 302, done.text
    session.headers["X-CSRFToken"] = session.cookies["csrftoken"]
    return session


def masked(world: World) -> str:
    body = {"model": "m", "messages": [{"role": "user", "content": f"Who has {BADGE}?"}]}
    headers = {"Authorization": f"Bearer {world.key('alice')}"}
    url = f"{world.endpoint('openai')}/v1/chat/completions"
    return requests.post(url, json=body, headers=headers, timeout=10).headers.get("x-postern-masked", "")


def test_a_reviewed_file_reaches_the_next_calls(tmp_path: Path) -> None:
    with running_world(tmp_path) as world:
        api, root = browser(world), f"{world.url}/api/v1"
        exported = api.get(f"{root}/policy/export", headers={"Accept": "application/yaml"}, timeout=10)
        file: dict[str, Any] = yaml.safe_load(exported.content)
        detector = {"kind": "regex", "value": r"\bACME-BADGE-[0-9]{4}\b"}
        badge = {"slug": "BADGE", "name": "Badge", "level": "confidential", "detectors": [detector]}
        file["schemas"][0]["classes"].append(badge | {"examples": [{"text": BADGE}]})
        assert "BADGE" not in masked(world)

        plan = api.post(f"{root}/policy/plan", json=file, timeout=20).json()
        assert [each["name"] for each in plan["changes"]] == ["acme"]
        done = api.post(f"{root}/policy/apply", params={"expect": plan["digest"]}, json=file, timeout=30)
        assert (done.status_code, done.json()) == (200, plan)
        answered = time.monotonic()
        while "BADGE=1" not in masked(world):
            assert time.monotonic() - answered < 5
            time.sleep(0.1)
        again = api.post(f"{root}/policy/plan", json=file, timeout=20).json()
        assert again["changes"] == []

        for refused, status in (
            (requests.get(f"{root}/areas", timeout=10), 401),
            (requests.get(f"{root}/areas", headers={"x-api-key": world.key("alice")}, timeout=10), 403),
            (api.post(f"{root}/policy/apply", json=file, headers={"X-CSRFToken": "no"}, timeout=20), 403),
        ):
            assert refused.status_code == status
            assert refused.headers["Content-Type"] == "application/problem+json"
        assert api.get(f"{root}/openapi.json", timeout=20).json()["openapi"].startswith("3.1")
        assert "Traceback" not in world.log()

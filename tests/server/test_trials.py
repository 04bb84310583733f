"""The playground beside the data path, and a preview that the real worker works on."""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Iterator

import pytest
import requests

from .test_calls import received
from .world import World

pytestmark = pytest.mark.database

CANARY = "heron-lantern-quartz"
BODIES = {
    "clean": {"model": "demo", "messages": [{"role": "user", "content": "What is the weather?"}]},
    "masked": {
        "model": "demo",
        "messages": [{"role": "user", "content": "Mail jo@example.com, +1 202 555 0143"}],
    },
    "restricted": {"model": "demo", "messages": [{"role": "user", "content": "Card 4111 1111 1111 1111"}]},
    "opaque": {
        "model": "demo",
        "messages": [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/1"}}]}
        ],
    },
}


@pytest.fixture
def ada(world: World) -> Iterator[requests.Session]:
    """A browser session of the demo's administrator."""
    password = next(each["password"] for each in world.facts["people"] if each["name"] == "admin")
    with requests.Session() as session:
        session.get(world.url + "/login/", timeout=20)
        answer = post(session, world, "/login/", username="admin", password=password)
        assert "sessionid" in session.cookies, answer.status_code
        yield session


def post(session: requests.Session, world: World, path: str, **fields: str) -> requests.Response:
    token = {"csrfmiddlewaretoken": session.cookies["csrftoken"]}
    return session.post(world.url + path, data={**fields, **token}, timeout=60)


def option(page: str, label: str) -> str:
    """The value of the choice with this label."""
    found = re.search(rf'<option value="([0-9a-f-]+)"[^>]*>{re.escape(label)}', html.unescape(page))
    assert found, label
    return found.group(1)


def played(session: requests.Session, world: World, payload: str) -> str:
    """The playground's page for what alice would send to the chat endpoint."""
    page = session.get(world.url + "/playground/", timeout=20).text
    chosen = {"caller": option(page, "alice ·"), "endpoint": option(page, "Chat")}
    given = {"payload": payload, "form": "json", "family": "openai", "direction": "request"}
    answer = post(session, world, "/playground/", **given, **chosen)
    assert answer.status_code == 200
    return answer.text


def words(page: str) -> str:
    """What a reader sees."""
    return html.unescape(re.sub(r"<[^>]+>", "", page))


@pytest.mark.parametrize("name", BODIES)
def test_the_playground_says_what_the_data_path_does(world: World, ada: requests.Session, name: str) -> None:
    headers = {"Authorization": f"Bearer {world.key('alice')}"}
    address = world.endpoint("openai") + "/v1/chat/completions"
    answer = requests.post(address, json=BODIES[name], headers=headers, timeout=20)
    page = played(ada, world, json.dumps(BODIES[name]))
    action = answer.headers["x-postern-action"]
    assert f'class="verdict verdict-{action}"' in page
    if answer.status_code == 200:
        sent = json.loads(received(world).splitlines()[-1])
        assert sent["messages"][0]["content"] in words(page)
    else:
        assert answer.json()["error"]["code"] in page


def test_a_payload_that_was_tried_is_nowhere(world: World, ada: requests.Session) -> None:
    body = {"model": "demo", "messages": [{"role": "user", "content": f"{CANARY} jo@example.com"}]}
    assert CANARY in played(ada, world, json.dumps(body))
    assert "invalid_json" in played(ada, world, "{" + CANARY)
    time.sleep(1)
    holding = [
        path.name for path in world.data.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()
    ]
    assert holding == []
    assert CANARY not in received(world)


def test_the_worker_makes_a_preview_within_seconds(world: World, ada: requests.Session) -> None:
    headers = {"Authorization": f"Bearer {world.key('alice')}"}
    address = world.endpoint("openai") + "/v1/chat/completions"
    for name in ("clean", "masked"):
        requests.post(address, json=BODIES[name], headers=headers, timeout=20)
    version = option(ada.get(world.url + "/playground/", timeout=20).text, "Support v1")
    draft = post(ada, world, f"/admin/policies/policyversion/{version}/clone/").url.split("/")[-3]
    started = post(ada, world, f"/preview/policy/{draft}/", unit="calls", number="50")
    assert "/preview/" in started.url and started.status_code == 200
    ends = time.monotonic() + 20
    while "Refresh" in (page := ada.get(started.url, timeout=20)).headers:
        assert time.monotonic() < ends, "nobody took it"
        time.sleep(0.2)
    assert re.search(r"Verdict would change\s*0\s*calls", words(page.text))
    assert "Support v2" in page.text

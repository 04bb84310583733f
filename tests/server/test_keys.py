"""Keys as their holders meet them: code from the page that runs, rotation, revocation, the device flow."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import openai
import pytest
import requests

from .world import World

pytestmark = pytest.mark.database

FOLLOWS_SECONDS = 5.0
GRANT = "urn:ietf:params:oauth:grant-type:device_code"
KEY = re.compile(r"pst_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in their browser."""

    world: World
    session: requests.Session

    def get(self, path: str) -> str:
        return self.session.get(self.world.url + path, timeout=20).text

    def post(self, path: str, form: Any = None) -> requests.Response:
        token = self.session.cookies["csrftoken"]
        headers = {"X-CSRFToken": token, "Referer": self.world.url}
        return self.session.post(self.world.url + path, data=form or {}, headers=headers, timeout=20)

    def new_key(self, **form: Any) -> str:
        found = KEY.search(self.post("/keys/create/", {"name": "job", "days": "7", **form}).text)
        assert found
        return found[0]

    def id_of(self, key: str) -> str:
        """From the page: the forms that rotate and revoke name it."""
        row = self.get("/keys/").split(f"{key[:12]}…", 1)[1]
        found = re.search(r"/keys/([0-9a-f-]{36})/", row)
        assert found
        return found[1]


def signed_in(world: World, name: str) -> Person:
    session = requests.Session()
    person = next(each for each in world.facts["people"] if each["name"] == name)
    session.get(f"{world.url}/login/", timeout=10)
    form = {"username": name, "password": person["password"]}
    form["csrfmiddlewaretoken"] = session.cookies["csrftoken"]
    done = session.post(f"{world.url}/login/", data=form, timeout=20, allow_redirects=False)
    assert done.status_code == 302, done.text
    return Person(world, session)


@pytest.fixture(scope="module")
def alice(world: World) -> Person:
    return signed_in(world, "alice")


def chat(world: World, key: str, model: str = "m") -> requests.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    url = f"{world.endpoint('openai')}/v1/chat/completions"
    return requests.post(url, json=body, headers={"Authorization": f"Bearer {key}"}, timeout=10)


def until(status: int, world: World, key: str, model: str = "m") -> requests.Response:
    """Call until the processes have heard of it."""
    began = time.monotonic()
    while (answer := chat(world, key, model)).status_code != status:
        assert time.monotonic() - began < FOLLOWS_SECONDS, answer.text
        time.sleep(0.05)
    return answer


def code_of(page: str, endpoint: str) -> dict[str, str]:
    """The snippets of one endpoint on the page, by the names that they have there."""
    code = rf'<code id="code-{endpoint}-\d+">(.*?)</code>'
    pattern = rf"<summary>([^<]+?)\s*</summary>(?:(?!</details>).)*?{code}"
    return {name: html.unescape(code) for name, code in re.findall(pattern, page, re.S)}


def run(name: str, code: str, key: str) -> str:
    argv = ["bash", "-c", code] if name == "curl" else [sys.executable, "-c", code]
    env = {**os.environ, "POSTERN_KEY": key}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_code_on_the_page_runs_as_it_stands(alice: Person, world: World) -> None:
    key = alice.new_key()
    until(200, world, key)
    page = alice.get("/keys/")
    slugs = {each["kind"]: each["url"].rsplit("/", 1)[1] for each in world.facts["endpoints"]}
    found = code_of(page, slugs["openai"])
    assert set(found) == {"curl", "python-requests", "openai", "langchain"}
    for name in ("curl", "python-requests", "openai"):
        said = run(name, found[name], key)
        assert "ana@example.com" not in said and "***" in said, (name, said)
    plain = code_of(page, slugs["json"])
    assert set(plain) == {"curl", "python-requests"}
    for name, code in plain.items():
        assert "ana@example.com" not in run(name, code, key)


def test_the_old_and_the_new_key_work_while_they_overlap(alice: Person, world: World) -> None:
    old = alice.new_key()
    until(200, world, old)
    shown = KEY.search(alice.post(f"/keys/{alice.id_of(old)}/rotate/", {"overlap": "1"}).text)
    assert shown
    new = shown[0]
    until(200, world, new)
    for key in (old, new, old, new):
        assert chat(world, key).status_code == 200
    second = KEY.search(alice.post(f"/keys/{alice.id_of(new)}/rotate/", {"overlap": "0"}).text)
    assert second
    until(401, world, new)
    until(200, world, second[0])
    assert chat(world, old).status_code == 200  # its own hour is not over


def test_a_revoked_key_is_refused_within_seconds(alice: Person, world: World) -> None:
    key = alice.new_key()
    until(200, world, key)
    alice.post(f"/keys/{alice.id_of(key)}/revoke/", {"because": "leaked"})
    assert until(401, world, key).json()["error"]["code"] == "invalid_api_key"


def test_a_key_is_held_to_its_scope(alice: Person, world: World) -> None:
    key = alice.new_key(models="small", networks="127.0.0.0/8")
    until(200, world, key, "small")
    refused = chat(world, key, "large")
    assert (refused.status_code, refused.headers["x-should-retry"]) == (403, "false")
    assert refused.json()["error"]["code"] == "key_not_allowed_here"
    classify, headers = f"{world.endpoint('json')}/classify", {"x-api-key": key}
    without_model = requests.post(classify, json={"text": "x"}, headers=headers, timeout=10)
    assert (without_model.status_code, without_model.json()["code"]) == (403, "key_not_allowed_here")
    client = openai.OpenAI(base_url=f"{world.endpoint('openai')}/v1", api_key=key)
    with pytest.raises(openai.PermissionDeniedError, match="other models"):
        client.chat.completions.create(model="large", messages=[{"role": "user", "content": "x"}])
    elsewhere = alice.new_key(networks="192.0.2.0/24")
    assert until(403, world, elsewhere).json()["error"]["code"] == "key_not_allowed_here"
    slug = next(each["url"].rsplit("/", 1)[1] for each in world.facts["endpoints"] if each["kind"] == "json")
    plain = alice.new_key(endpoints=[slug])
    assert until(403, world, plain).json()["error"]["code"] == "key_not_allowed_here"
    answer = requests.post(classify, json={"text": "x"}, headers={"x-api-key": plain}, timeout=10)
    assert answer.status_code == 200, answer.text


def test_the_page_says_when_and_from_where_a_key_was_used(alice: Person, world: World) -> None:
    key = alice.new_key()
    until(200, world, key)
    began = time.monotonic()
    while True:
        row = alice.get("/keys/").split(f"{key[:12]}…", 1)[1].split("</tr>", 1)[0]
        if "127.0.0.1" in row:
            break
        assert "never" in row and time.monotonic() - began < 15
        time.sleep(0.5)


# --- the device flow --------------------------------------------------------------------------------------


def poll(world: World, code: str) -> dict[str, Any]:
    form = {"grant_type": GRANT, "device_code": code, "client_id": "acme-cli"}
    said: dict[str, Any] = requests.post(f"{world.url}/device/token", data=form, timeout=10).json()
    return said


def test_a_command_line_is_let_in_and_calls_a_model(alice: Person, world: World) -> None:
    asked = requests.post(f"{world.url}/device/authorize", data={"client_id": "acme-cli"}, timeout=10)
    assert (asked.status_code, asked.headers["Cache-Control"].count("no-store")) == (200, 1)
    said = asked.json()
    assert said["verification_uri"] == f"{world.url}/device/"
    assert poll(world, said["device_code"]) == {"error": "authorization_pending"}
    assert poll(world, said["device_code"]) == {"error": "slow_down"}
    assert "acme-cli" in alice.post("/device/", {"code": said["user_code"].lower()}).text
    alice.post("/device/decide/", {"code": said["user_code"], "decision": "approve"})
    time.sleep(said["interval"])
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: poll(world, said["device_code"]), range(4)))
    tokens = [each["access_token"] for each in answers if "access_token" in each]
    assert len(tokens) == 1, answers
    assert {each.get("error") for each in answers} <= {None, "slow_down", "invalid_grant"}
    until(200, world, tokens[0])
    page = alice.get("/keys/")
    assert f"{tokens[0][:12]}…" in page and tokens[0] not in page
    alice.post("/keys/personal/end/")
    until(401, world, tokens[0])
    assert tokens[0] not in world.log() and said["user_code"] not in world.log()


def test_a_command_line_is_turned_away(alice: Person, world: World) -> None:
    said = requests.post(f"{world.url}/device/authorize", data={"client_id": "acme-cli"}, timeout=10).json()
    alice.post("/device/decide/", {"code": said["user_code"], "decision": "deny"})
    assert poll(world, said["device_code"]) == {"error": "access_denied"}

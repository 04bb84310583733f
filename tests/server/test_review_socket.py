"""The reviewers' WebSocket on a real server: who comes in, what they hear, and when they are out."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from .approving import SSN, Model
from .hammer_house import House, running_house, second_gateway
from .scripted import scripted_model

pytestmark = pytest.mark.database

OVER = 4401
OUT = {
    "the role is taken": "RoleGrant.objects.filter(role='reviewer').delete()",
    "they leave the group": "User.objects.get(username='bob').groups.clear()",
    "they are locked": "Lock.objects.create(user=User.objects.get(username='bob'))",
    "they are made inactive": "User.objects.filter(username='bob').update(is_active=False)",
}
BEGIN = """
import django
django.setup()
from django.contrib.auth.models import Group
from gateway.identity.authz import role_grant
from gateway.models import Lock, RoleGrant, User
"""
BACK = """
Lock.objects.all().delete()
User.objects.update(is_active=True)
group = Group.objects.get(name="reviewers")
role_grant(group=group, role="reviewer", by=None)
User.objects.get(username="bob").groups.add(group, Group.objects.get(name="clinicians"))
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    root: Path = tmp_path_factory.mktemp("review-socket")
    with scripted_model(Model) as model, running_house(root, model_url=model.url) as running:
        yield running


def site(house: House, port: int = 0) -> str:
    return f"http://127.0.0.1:{port or house.port}"


def signed_in(house: House, person: str) -> requests.Session:
    password = next(each["password"] for each in house.facts["people"] if each["name"] == person)
    browser, address = requests.Session(), site(house) + "/login/"
    body = {"username": person, "password": password, "csrfmiddlewaretoken": token(browser, address)}
    answer = browser.post(address, data=body, allow_redirects=False, timeout=20)
    assert answer.status_code == 302, answer.text
    return browser


def token(browser: requests.Session, address: str) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', browser.get(address, timeout=20).text)
    assert found
    return found.group(1)


@contextmanager
def line(
    house: House,
    browser: requests.Session | None,
    *,
    origin: str = "",
    path: str = "/ws/review/",
    port: int = 0,
) -> Iterator[ClientConnection]:
    cookies = browser.cookies.get_dict() if browser else {}
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    address = site(house, port)
    with connect(
        address.replace("http", "ws", 1) + path,
        origin=origin or address,  # type: ignore[arg-type]
        additional_headers={"Cookie": cookie} if cookie else {},
        proxy=None,
    ) as connection:
        yield connection


def refused(house: House, browser: requests.Session | None, **how: Any) -> bool:
    try:
        with line(house, browser, **how):
            return False
    except InvalidStatus as answer:
        return answer.response.status_code == 403


def hold(house: House, text: str) -> None:
    """bob asks for what needs a person."""
    body = {"model": "m", "messages": [{"role": "user", "content": f"{text} {SSN}"}]}
    headers = {"Authorization": f"Bearer {house.key('bob')}", "Prefer": "wait=0"}
    answer = requests.post(site(house) + house.path("openai"), json=body, headers=headers, timeout=20)
    assert answer.json()["error"]["code"] == "approval_required", answer.text


def hears(connection: ClientConnection) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(connection.recv(timeout=10))
    return said


def closes(connection: ClientConnection) -> int:
    """The code, when it comes; what is said before does not matter."""
    try:
        while True:
            connection.recv(timeout=10)
    except ConnectionClosed as closed:
        assert closed.rcvd is not None
        return closed.rcvd.code


def test_it_is_open_to_who_may_look_from_our_own_pages(house: House) -> None:
    for person in ("bob", "dave", "admin"):
        assert not refused(house, signed_in(house, person)), person
    bob = signed_in(house, "bob")
    assert refused(house, None)
    assert refused(house, signed_in(house, "carol"))
    assert refused(house, bob, origin="https://evil.example")
    assert refused(house, bob, path="/ws/other/")
    assert refused(house, bob, path="/")


def test_what_waits_is_heard_on_every_process_at_once(house: House) -> None:
    with second_gateway(house) as other:
        bob = signed_in(house, "bob")
        with line(house, bob) as here, line(house, bob, port=other) as there:
            time.sleep(0.6)  # both have looked once
            began = time.monotonic()
            hold(house, "now")
            first, second = hears(here), hears(there)
            assert time.monotonic() - began < 5
            assert first == second
            assert len(first["changed"]) == 1 and not first["many"]
            assert set(first) == {"changed", "many"}
            rows = bob.get(site(house) + "/review/rows/?everyone=1", timeout=20).text
            assert f"/review/{first['changed'][0]}/" in rows


@pytest.mark.parametrize("because", OUT)
def test_who_may_not_look_any_more_is_out_within_seconds(house: House, because: str) -> None:
    with line(house, signed_in(house, "bob")) as connection:
        began = time.monotonic()
        house.python("-c", BEGIN + OUT[because])
        gone = time.monotonic()
        try:
            assert closes(connection) == OVER
            assert time.monotonic() - gone < 5, gone - began
        finally:
            house.python("-c", BEGIN + BACK)


def test_signing_out_ends_it(house: House) -> None:
    bob = signed_in(house, "bob")
    with line(house, bob) as connection, line(house, signed_in(house, "bob")) as another:
        body = {"csrfmiddlewaretoken": token(bob, site(house) + "/")}
        assert bob.post(site(house) + "/logout/", data=body, timeout=20).ok
        assert closes(connection) == OVER
        hold(house, "after one of two signed out")
        assert hears(another)["changed"]


def test_a_word_from_the_client_ends_it(house: House) -> None:
    with line(house, signed_in(house, "bob")) as connection:
        connection.send("x" * 100_000)
        assert closes(connection) == 1003


def test_a_process_that_stops_does_not_wait_for_those_who_listen(house: House) -> None:
    bob = signed_in(house, "bob")
    with second_gateway(house) as other:
        connection = connect(
            site(house, other).replace("http", "ws", 1) + "/ws/review/",
            origin=site(house, other),  # type: ignore[arg-type]
            additional_headers={"Cookie": "; ".join(f"{k}={v}" for k, v in bob.cookies.get_dict().items())},
            proxy=None,
        )
        began = time.monotonic()
    assert time.monotonic() - began < 15
    with pytest.raises(ConnectionClosed):
        while True:
            connection.recv(timeout=10)

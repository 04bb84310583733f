"""Who is on record: what the credential says, and nothing that a client writes into a header (P14)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from unittest.mock import patch

import pytest
import requests

from .hammer_oracle import Reader
from .world import World, running_world

pytestmark = pytest.mark.database
CLIENT = "198.51.100.7"
WHO = 'person_id, subject, name, kind, owner_id, key_id, key_prefix, "groups", network'

FORGED = {
    "X-Forwarded-User": "bob",
    "X-Forwarded-Email": "bob@example.com",
    "X-Forwarded-Groups": "admins",
    "X-Forwarded-Preferred-Username": "bob",
    "X-Remote-User": "bob",
    "Remote-User": "bob",
    "X-User": "bob",
    "X-User-Id": "bob",
    "X-Auth-Request-User": "bob",
    "X-Auth-Request-Groups": "admins",
    "X-Authenticated-User": "bob",
    "X-Consumer-Username": "bob",
    "X-Webauth-User": "bob",
    "X-Amzn-Oidc-Identity": "bob",
    "X-Amzn-Oidc-Data": "e30.e30.e30",
    "X-MS-Client-Principal": "e30=",
    "X-MS-Client-Principal-Name": "bob",
    "X-Goog-Authenticated-User-Email": "accounts.google.com:bob@example.com",
    "X-Postern-User": "bob",
    "X-Postern-Subject": "bob",
    "X-Postern-Caller": "bob",
    "X-Postern-Groups": "admins",
    "X-Postern-Network": CLIENT,
    "X-Postern-Key": "bob",
    "X-Real-Ip": CLIENT,
    "True-Client-Ip": CLIENT,
    "Cf-Connecting-Ip": CLIENT,
    "Forwarded": f"for={CLIENT};by=bob",
    "Openai-Organization": "bob",
    "From": "bob@example.com",
    "Cookie": "sessionid=x; user=bob",
}


def call(world: World, **headers: str) -> requests.Response:
    return requests.post(
        f"{world.endpoint('json')}/classify",
        json={"note": "hello", "user": "bob", "metadata": {"user_id": "bob"}},
        headers={"Authorization": f"Bearer {world.key('alice')}", **headers},
        timeout=10,
    )


def on_record(world: World, answer: requests.Response) -> tuple[Any, ...]:
    """Who made the call that this answers."""
    wanted = answer.headers["x-postern-call"].replace("-", "")
    with closing(Reader(world.store_url)) as reader:
        rows = reader.rows(f"SELECT id, {WHO} FROM audit_call")
        found = {str(row[0]).replace("-", ""): tuple(row[1:]) for row in rows}
    return found[wanted]


def test_no_header_of_a_client_changes_who_is_on_record(world: World) -> None:
    plain = on_record(world, call(world))
    assert plain[-1] == "127.0.0.1"
    for name, value in FORGED.items():
        answer = call(world, **{name: value})
        assert answer.status_code == 200, (name, answer.text)
        assert on_record(world, answer) == plain, name
    together = {**FORGED, "X-Forwarded-For": CLIENT}
    assert on_record(world, call(world, **together)) == plain


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A gateway whose front proxy is on this machine."""
    with (
        patch.dict(os.environ, TRUSTED_PROXIES="127.0.0.1"),
        running_world(tmp_path_factory.mktemp("behind")) as running,
    ):
        yield running


def test_behind_a_trusted_proxy_the_clients_network_is_on_record(behind: World) -> None:
    assert on_record(behind, call(behind))[-1] == "127.0.0.1"
    forwarded = call(behind, **{"X-Forwarded-For": f"203.0.113.9, {CLIENT}", "X-Forwarded-User": "bob"})
    assert on_record(behind, forwarded)[-1] == CLIENT
    assert on_record(behind, forwarded)[:-1] == on_record(behind, call(behind))[:-1]


def test_what_the_proxy_garbles_is_refused_on_the_data_path_and_in_the_console(behind: World) -> None:
    answer = call(behind, **{"X-Forwarded-For": "unknown"})
    assert answer.status_code == 400 and "invalid_forwarded_for" in answer.text
    page = requests.get(f"{behind.url}/login/", headers={"X-Forwarded-For": "unknown"}, timeout=10)
    assert page.status_code == 400
    fine = requests.get(f"{behind.url}/login/", headers={"X-Forwarded-For": CLIENT}, timeout=10)
    assert fine.status_code == 200

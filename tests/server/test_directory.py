"""A directory at the real door: whom it switches off or takes out of a group calls no model five seconds
later, on two processes, by any key."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import requests
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server

from .hammer_house import House, running_house, second_gateway
from .scripted import response, scripted_model

pytestmark = pytest.mark.database

WITHIN_SECONDS = 5.0
HANDS_OVER = """
import django, json
django.setup()
from datetime import timedelta
from django.contrib.auth.models import Group
from django.utils import timezone
from gateway.identity.directory_groups import group_hand_over, person_hand_over
from gateway.identity.directory_tokens import directory_token_create
from gateway.models import User
until = timezone.now() + timedelta(days=1)
row, token = directory_token_create(name="Entra", expires_at=until, by=None)
alice = User.objects.get(username="alice")
person_hand_over(user=alice, directory=row, by=None)
group = alice.groups.get()
group_hand_over(group=group, directory=row, by=None)
print(json.dumps([token.reveal(), str(alice.pk), str(group.pk)]))
"""


class Directory:
    """One directory that pushes to a running house."""

    def __init__(self, house: House) -> None:
        token, self.alice, self.group = json.loads(house.python("-c", HANDS_OVER))
        self.base = f"http://127.0.0.1:{house.port}/scim/v2"
        self.token = token
        self.http = requests.Session()
        self.http.headers.update(
            {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json"}
        )

    def patch(self, where: str, /, **operation: Any) -> None:
        body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation]}
        answer = self.http.patch(self.base + where, json=body, timeout=20)
        assert answer.ok, answer.text


def said_yes() -> list[bytes]:
    body = {"id": "1", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}}]}
    return response("200 OK", "application/json", json.dumps(body).encode(), "connection: close")


def status(house: House, port: int) -> int:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello?"}]}
    headers = {"Authorization": f"Bearer {house.key('alice')}"}
    url = f"http://127.0.0.1:{port}{house.path('openai')}"
    return requests.post(url, json=body, headers=headers, timeout=20).status_code


def until(house: House, ports: list[int], met: Callable[[int], bool]) -> float:
    """Seconds until every process answers so."""
    began = time.monotonic()
    while not all(met(status(house, port)) for port in ports):
        assert time.monotonic() - began < WITHIN_SECONDS
        time.sleep(0.05)
    return time.monotonic() - began


def test_whom_a_directory_stops_is_stopped_on_every_process(tmp_path: Path) -> None:
    with (
        scripted_model() as model,
        running_house(tmp_path, model_url=model.url) as house,
        second_gateway(house) as second,
    ):
        model.script = said_yes()
        ports = [house.port, second]
        entra = Directory(house)
        person, group = f"/Users/{entra.alice}", f"/Groups/{entra.group}"
        served, refused = (lambda code: code == 200), (lambda code: code in (401, 403))
        until(house, ports, served)

        entra.patch(person, op="Replace", path="active", value="False")
        until(house, ports, refused)
        entra.patch(person, op="Replace", path="active", value="True")
        until(house, ports, served)

        entra.patch(group, op="Remove", path=f'members[value eq "{entra.alice}"]')
        until(house, ports, refused)
        entra.patch(group, op="Add", path="members", value=[{"value": entra.alice}])
        until(house, ports, served)

        assert entra.http.delete(entra.base + person, timeout=20).status_code == 204
        until(house, ports, refused)

        headers = {"Authorization": f"Bearer {entra.token}"}
        with httpx2.Client(base_url=entra.base, headers=headers, timeout=20) as client:
            results = check_server(SyncSCIMClient(client))
        assert [each for each in results if each.status in (Status.ERROR, Status.CRITICAL)] == []

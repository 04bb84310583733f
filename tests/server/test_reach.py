"""A held call reaches people and programs: the status address and webhooks, by real processes."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
import requests

from tests.gateway.receiver import Receiver, receiver, verified

from .approving import SSN, Scene, running_scene
from .hammer_house import wait_for

pytestmark = pytest.mark.database
CANARY = "kanari"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with running_scene(tmp_path_factory.mktemp("reach")) as scene:
        yield scene


@pytest.fixture
def there() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def look(scene: Scene, approval_id: str, person: str = "bob", header: str = "x-api-key") -> requests.Response:
    url = f"http://127.0.0.1:{scene.ports[1]}/approvals/{approval_id}"
    return requests.get(url, headers={header: scene.house.key(person)}, timeout=10)


def test_whoever_asked_looks_up_how_it_stands_and_webhooks_tell(scene: Scene, there: Receiver) -> None:
    secret = scene.tell("hook", there.url)
    asking = scene.ask(f"{CANARY}-text {SSN} reach", extra_headers={"x-postern-purpose": f"{CANARY}-purpose"})
    approval = scene.waiting()
    answer = look(scene, approval["id"])
    assert (answer.status_code, answer.json()["status"]) == (200, "pending")
    assert (answer.headers["cache-control"], answer.headers["retry-after"]) == ("no-store", "30")
    other = next(name for name in scene.house.facts["api_keys"] if name != "bob")
    for pk in (approval["id"], str(uuid4())):
        assert look(scene, pk, other).status_code == 404
        assert requests.get(answer.url.replace(approval["id"], pk), timeout=10).status_code == 404
    scene.tell("comment", approval["id"], "rita", f"{CANARY}-comment")
    assert look(scene, approval["id"]).json()["comments"][0]["text"] == f"{CANARY}-comment"

    assert wait_for(lambda: there.types == ["approval.opened"], seconds=20)
    assert scene.vote(approval) == ""
    assert asking.result() == "ok"
    assert look(scene, approval["id"]).json()["status"] == "consumed"
    assert wait_for(lambda: there.types == ["approval.opened", "approval.approved"], seconds=20)
    for headers, body in there.got:
        assert verified(secret, headers, body)
        assert CANARY.encode() not in body and SSN.encode() not in body
    assert there.messages[0]["data"]["approval_id"] == approval["id"]
    log = scene.house.log.read_text()
    assert CANARY not in log and SSN not in log and "T0-sealed" not in log

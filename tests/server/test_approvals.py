"""A held call and the person who decides about it, with two real gateways and the real SDK (P8 to P12)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from .approving import OTHER_SSN, SSN, Scene, running_scene
from .world import on_postgresql

pytestmark = pytest.mark.database

REDIS = ("", os.environ.get("REDIS_URL", "")) if on_postgresql() else ("",)
NOW = {"extra_headers": {"Prefer": "wait=0"}}


@pytest.fixture(scope="module", params=REDIS, ids=["without Redis", "with Redis"][: len(REDIS)])
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with running_scene(tmp_path_factory.mktemp("approvals"), request.param) as scene:
        yield scene


@pytest.fixture(autouse=True)
def nothing_open(scene: Scene) -> Iterator[None]:
    yield
    for row in scene.tell("open"):
        scene.tell("run_out", row["id"])
    scene.tell("sweep")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("at", [0, 1], ids=["this process", "the other process"])
def test_a_held_call_completes_as_a_normal_answer_once_somebody_approves(
    scene: Scene, stream: bool, at: int
) -> None:
    before = scene.upstream()
    asking = scene.ask(f"ssn {SSN} {stream} {at}", at=at, stream=stream)
    approval = scene.waiting()
    assert scene.upstream() == before
    assert scene.vote(approval) == ""
    assert asking.result() == ("thanks a lot" if stream else "ok")
    assert scene.upstream() == before + 1
    assert SSN.encode() not in scene.model.requests[-1]
    assert scene.status(approval) == "consumed"


def test_a_denied_call_is_refused_once_and_nothing_leaves(scene: Scene) -> None:
    before = scene.upstream()
    asking = scene.ask(f"ssn {SSN} denied", at=1)
    approval = scene.waiting()
    assert scene.vote(approval, "deny") == ""
    assert asking.result() == "approval_denied"
    assert isinstance(asking.error, openai.PermissionDeniedError)
    assert asking.error.response.headers["x-should-retry"] == "false"
    assert "looked at it" in str(asking.error)
    assert scene.ask(f"ssn {SSN} denied").result() == "approval_denied"
    assert scene.upstream() == before
    assert scene.status(approval) == "denied"


def test_who_cannot_wait_comes_back_and_the_grant_serves_once(scene: Scene) -> None:
    before = scene.upstream()
    first = scene.ask("ssn 123-45-6789 later", **NOW)
    assert first.result() == "approval_required"
    approval = scene.waiting()
    body: Any = first.error.body if isinstance(first.error, openai.APIStatusError) else {}
    assert body["approval"]["id"] == approval["id"]
    assert body["approval"]["status_url"].endswith(f"/approvals/{approval['id']}")
    assert scene.ask("ssn 123-45-6789 later", at=1, **NOW).result() == "approval_required"
    assert scene.waiting()["id"] == approval["id"]
    assert scene.vote(approval) == ""
    assert scene.ask("ssn 123-45-6789 later", at=1, **NOW).result() == "ok"
    assert scene.ask("ssn 123-45-6789 later", **NOW).result() == "approval_required"
    assert scene.waiting()["id"] != approval["id"]
    assert scene.upstream() == before + 1


def test_a_client_that_gives_up_and_tries_again_has_one_approval(scene: Scene) -> None:
    asking = scene.ask(f"ssn {SSN} hasty", client={"timeout": 2.5, "max_retries": 3})
    approval = scene.waiting()
    assert asking.result() == "approval_required"
    assert scene.waiting()["id"] == approval["id"]


def test_the_same_masked_text_about_another_patient_is_another_request(scene: Scene) -> None:
    scene.ask(f"ssn {SSN}", **NOW).result()
    first = scene.waiting()
    assert scene.vote(first) == ""
    assert scene.ask(f"ssn {OTHER_SSN}", **NOW).result() == "approval_required"
    assert scene.status(first) == "approved"

"""A held call and the person who decides about it, with two real gateways and the real SDK (P8 to P12)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import openai
import pytest
import requests

from .approving import OTHER_SSN, SSN, Scene, running_scene
from .bursts import burst
from .hammer_house import wait_for
from .scripted import response
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


@pytest.fixture(scope="module")
def keys(scene: Scene) -> list[str]:
    """Of eight callers whom the process knows."""
    keys: list[str] = scene.tell("callers", 8)
    assert wait_for(lambda: not burst(scene.ports[0], keys, ["known"] * 8).statuses["401"], seconds=20)
    for row in scene.tell("open"):
        scene.tell("run_out", row["id"])
    return keys


def test_three_hundred_who_ask_at_once_get_an_approval_each(scene: Scene, keys: list[str]) -> None:
    before = {row["id"] for row in scene.tell("open")}
    assert burst(scene.ports[0], keys, [f"each {number}" for number in range(300)]).statuses == {"202": 300}
    assert len({row["id"] for row in scene.tell("open")} - before) == 300


def test_three_hundred_who_ask_the_same_at_once_get_one_approval(scene: Scene, keys: list[str]) -> None:
    before = {row["id"] for row in scene.tell("open")}
    assert burst(scene.ports[0], keys[:1], ["the same"] * 300).statuses == {"202": 300}
    assert len({row["id"] for row in scene.tell("open")} - before) == 1


def test_of_many_at_once_a_caller_opens_as_many_as_they_may(scene: Scene, keys: list[str]) -> None:
    texts = [f"too many {number}" for number in range(80)]
    assert burst(scene.ports[0], keys[:1], texts).statuses == {"202": 50, "429": 30}


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


def test_a_grant_is_not_used_up_by_a_service_that_is_left_alone(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    once: dict[str, Any] = {"client": {"max_retries": 0}}
    assert scene.ask("ssn 123-45-6789 unwell", **NOW).result() == "approval_required"
    approval = scene.waiting()
    assert scene.vote(approval) == ""
    with monkeypatch.context() as broken:
        away = response("503 Service Unavailable", "application/json", b'{"error": {}}', "connection: close")
        broken.setattr(scene.model, "script_for", lambda request: away)
        for _ in range(5):
            assert scene.ask("hi", **once).result() != "ok"
        before = scene.upstream()
        assert scene.ask("ssn 123-45-6789 unwell", **NOW, **once).result() == "upstream_unhealthy"
        assert (scene.upstream(), scene.status(approval)) == (before, "approved")
    assert wait_for(lambda: scene.ask("hi", **once).result() == "ok", seconds=20)
    assert scene.ask("ssn 123-45-6789 unwell", **NOW).result() == "ok"
    assert scene.status(approval) == "consumed"


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


def test_a_policy_that_changed_meanwhile_makes_the_grant_void(scene: Scene) -> None:
    before = scene.upstream()
    asking = scene.ask(f"ssn {SSN} while it changes")
    approval = scene.waiting()
    scene.publish(valid_minutes=30)
    before_release = scene.upstream()
    assert scene.vote(approval) == ""
    assert asking.result() == "approval_void"
    assert scene.upstream() == before_release > before
    assert scene.status(approval) == "superseded"
    assert scene.ask(f"ssn {SSN} while it changes", **NOW).result() == "approval_required"


def test_a_policy_that_holds_no_more_lets_go_what_waited_and_needs_no_grant(scene: Scene) -> None:
    asking = scene.ask(f"ssn {SSN} until it may")
    approval = scene.waiting()
    scene.publish(gate=1)
    try:
        assert scene.vote(approval) == ""
        assert asking.result() == "ok"
        assert scene.status(approval) == "superseded"
    finally:
        scene.publish(holding=True)


def test_a_lock_ends_a_call_that_waits_and_the_grant_is_of_no_use(scene: Scene) -> None:
    asking = scene.ask(f"ssn {SSN} locked out", at=1)
    approval = scene.waiting()
    scene.tell("lock", "bob")
    try:
        assert asking.result(5) == "cut_locked"
        assert wait_for(lambda: scene.ask("hi").result() == "caller_locked", seconds=5)
        assert scene.vote(approval) == ""
        assert scene.ask(f"ssn {SSN} locked out", **NOW).result() == "caller_locked"
    finally:
        scene.tell("unlock")
    assert wait_for(lambda: scene.may_call("bob"), seconds=10)
    assert scene.status(approval) == "approved"
    assert not any(b"locked out" in request for request in scene.model.requests)


def test_who_prefers_not_to_wait_is_told_where_to_look(scene: Scene) -> None:
    raw = scene.sdk("bob", scene.ports[0]).chat.completions.with_raw_response.create(
        model="m",
        messages=[{"role": "user", "content": f"ssn {SSN} later, please"}],
        extra_headers={"Prefer": "respond-async", "X-Postern-Purpose": f"a claim of {OTHER_SSN}"},
    )
    approval = scene.waiting()
    assert raw.status_code == 202
    assert raw.headers["preference-applied"] == "respond-async"
    assert raw.headers["location"].endswith(approval["id"])
    assert approval["purpose"] == "a claim of [US_SSN]"
    scene.vote(approval)
    assert scene.ask(f"ssn {SSN} later, please", **NOW).result() == "ok"


def test_a_stream_is_kept_alive_where_the_policy_says_so(scene: Scene) -> None:
    scene.publish(keeps_alive=True)
    try:
        for choice, end in (("approve", "thanks a lot"), ("deny", "approval_denied")):
            known = frozenset(row["id"] for row in scene.tell("open"))
            asking = scene.ask(f"ssn {SSN} alive {choice}", stream=True, at=1)
            approval = scene.waiting(but=known)
            scene.vote(approval, choice)
            assert asking.result() == end
    finally:
        scene.publish(keeps_alive=False)


def test_a_caller_can_be_asked_what_it_is_for(scene: Scene) -> None:
    scene.publish(purpose_required=True)
    try:
        assert scene.ask(f"ssn {SSN} what for", **NOW).result() == "purpose_required"
        known = {"extra_headers": {"Prefer": "wait=0", "X-Postern-Purpose": "a claim"}}
        assert scene.ask(f"ssn {SSN} what for", **known).result() == "approval_required"
        assert scene.waiting()["purpose"] == "a claim"
        said = {"extra_body": {"metadata": {"purpose": "another claim"}}, **NOW}
        assert scene.ask(f"ssn {SSN} what else", **said).result() == "approval_required"
    finally:
        scene.publish(purpose_required=False)


def test_what_is_released_in_clear_leaves_as_it_came_and_is_recorded_masked(scene: Scene) -> None:
    scene.publish(clear_release=True, approvals_needed=2)
    try:
        asking = scene.ask(f"ssn {SSN} in clear")
        approval = scene.waiting()
        assert approval["needed"] == 2
        assert scene.vote(approval, by="rita") == ""
        assert not asking.ended.wait(1.5)
        assert "voted" in scene.vote(approval, by="rita")
        assert scene.vote(approval, by="ravi") == ""
        assert asking.result() == "ok"
        assert SSN.encode() in scene.model.requests[-1]
        assert SSN not in json.dumps(scene.tell("record", approval["call"]))
        scene.tell("make", "gwen", "emergency")
        asking = scene.ask(f"ssn {SSN} in an emergency")
        alone = scene.tell("vote", scene.waiting()["id"], "gwen", "approve", "now", True)
        assert (alone, asking.result()) == ("", "ok")
        assert SSN.encode() not in scene.model.requests[-1]  # one person's word unmasks nothing
    finally:
        scene.publish(clear_release=False, approvals_needed=1)


def test_nobody_decides_about_their_own_request(scene: Scene) -> None:
    asking = scene.ask(f"ssn {SSN} by myself")
    approval = scene.waiting()
    assert "own request" in scene.vote(approval, by="bob")
    assert scene.status(approval) == "pending"
    scene.vote(approval, "deny")
    asking.result()


def test_a_restored_backup_lets_nothing_out(scene: Scene) -> None:
    scene.ask(f"ssn {SSN} from long ago", **NOW).result()
    approval = scene.waiting()
    assert scene.vote(approval) == ""
    scene.tell("epoch")
    assert scene.ask(f"ssn {SSN} from long ago", **NOW).result() == "approval_required"
    assert scene.status(approval) == "superseded"


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
def test_the_anthropic_sdk_waits_and_is_refused_like_the_other(scene: Scene, streams: bool) -> None:
    url = f"http://127.0.0.1:{scene.ports[1]}{scene.house.path('anthropic').removesuffix('/v1/messages')}"
    client = anthropic.Anthropic(base_url=url, api_key=scene.house.key("bob"), max_retries=2)

    def ask(text: str) -> str:
        given: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}
        if streams:
            with client.messages.stream(**given) as stream:
                return "".join(stream.text_stream)
        return str(client.messages.create(**given).content[0].text)

    with ThreadPoolExecutor() as pool:
        before = scene.upstream()
        asking = pool.submit(ask, f"ssn {SSN} of a claim")
        approval = scene.waiting()
        assert scene.upstream() == before
        assert scene.vote(approval) == ""
        assert asking.result(30) == ("thanks a lot" if streams else "ok")
        assert scene.upstream() == before + 1
        assert SSN.encode() not in scene.model.requests[-1]
        asking = pool.submit(ask, f"ssn {SSN} of another")
        assert scene.vote(scene.waiting(), "deny") == ""
        with pytest.raises(anthropic.PermissionDeniedError) as denied:
            asking.result(30)
        assert denied.value.body["error"]["code"] == "approval_denied"  # type: ignore[index]
        assert denied.value.request_id == denied.value.response.headers["x-postern-call"]
        assert scene.upstream() == before + 1
        asking = pool.submit(
            lambda: client.with_options(timeout=2.5).messages.create(
                model="m", max_tokens=9, messages=[{"role": "user", "content": f"ssn {SSN} in a hurry"}]
            )
        )
        with pytest.raises(anthropic.PermissionDeniedError, match="Nobody has decided yet"):
            asking.result(30)
        assert scene.waiting()["endpoint"] != "chat"


def test_a_stream_that_is_kept_alive_completes_long_after_its_first_sign_of_life(scene: Scene) -> None:
    scene.publish(keeps_alive=True)
    try:
        asking = scene.ask(f"ssn {SSN} for long", stream=True)
        approval = scene.waiting()
        assert not asking.ended.wait(11)
        scene.vote(approval)
        assert asking.result() == "thanks a lot"
    finally:
        scene.publish(keeps_alive=False)


def test_a_stream_that_is_kept_alive_tells_of_its_denial_and_is_not_whole(scene: Scene) -> None:
    scene.publish(keeps_alive=True)
    try:
        address = f"http://127.0.0.1:{scene.ports[0]}{scene.house.path('openai')}"
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": f"ssn {SSN} raw"}]}
        head = {"Authorization": f"Bearer {scene.house.key('bob')}"}
        got = requests.post(address, json=body, headers=head, stream=True, timeout=40)
        lines = []
        with pytest.raises(requests.exceptions.ChunkedEncodingError):  # broken off, not ended
            for chunk in got.iter_content(None):  # the first comes after ten seconds
                if not lines:
                    scene.vote(scene.waiting(), "deny")
                lines += [chunk]
        text = b"".join(lines).decode()
        assert got.status_code == 200 and got.headers["x-postern-action"] == "held"
        assert text.startswith(": waiting for a decision\n\n")
        assert "approval_denied" in text and "[DONE]" not in text
    finally:
        scene.publish(keeps_alive=False)


def test_one_caller_does_not_flood_the_reviewers(scene: Scene) -> None:
    """Joining is free, asking anew is not."""
    texts = [f"ssn {SSN} flood {number}" for number in range(50)]
    assert {scene.ask(text, **NOW).result() for text in texts} == {"approval_required"}
    more = scene.ask(f"ssn {SSN} one more", client={"max_retries": 0}, **NOW)
    assert more.result() == "too_many_approvals"
    assert isinstance(more.error, openai.RateLimitError)
    assert scene.ask(texts[0], **NOW).result() == "approval_required"
    assert len(scene.tell("open")) == 50

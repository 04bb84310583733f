"""What the model's service may do to the gateway: leave, cut, redirect, refuse, babble, leak."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from .scripted import ScriptedModel, response, scripted_model, stream
from .world import World, running_world

CARD = "4111 1111 1111 1111"


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedModel]:
    with scripted_model() as running:
        running.script = response("200 OK", "application/json", answer("ok"))
        yield running


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, model: ScriptedModel) -> Iterator[World]:
    root: Path = tmp_path_factory.mktemp("upstreams")
    with running_world(root, upstream_url=model.url) as running:
        yield running


SHORT = [b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{"]
END = b"data: [DONE]\n\n"
HI: Any = [{"role": "user", "content": "hi"}]


def answer(content: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    return json.dumps({"id": "1", "object": "chat.completion", "model": "m", "choices": [choice]}).encode()


def delta(content: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
    chunk = {"id": "1", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def ask(world: World, **more: Any) -> tuple[int, dict[str, str], bytes, bool]:
    """Status, headers, body, and whether the body came to its proper end."""
    parts = urlsplit(world.endpoint("openai") + "/v1/chat/completions")
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **more}
    headers = {"authorization": f"Bearer {world.key('alice')}", "content-type": "application/json"}
    try:
        connection.request("POST", parts.path, json.dumps(body), headers)
        got = connection.getresponse()
        try:
            data, whole = got.read(), True
        except http.client.IncompleteRead as cut:
            data, whole = cut.partial, False
        return got.status, {name.lower(): value for name, value in got.getheaders()}, data, whole
    finally:
        connection.close()


def sdk(world: World) -> openai.OpenAI:
    """To be used in a `with`: it closes its connections."""
    return openai.OpenAI(base_url=world.endpoint("openai") + "/v1", api_key=world.key("alice"), max_retries=0)


def code(body: bytes) -> str:
    return str(json.loads(body)["error"]["code"])


@pytest.mark.parametrize(
    ("script", "status", "expected"),
    [
        (response("302 Found", "text/html", b"", "location: http://127.0.0.1:1/"), 502, "upstream_redirect"),
        (response("401 Unauthorized", "application/json", b'{"error":"bad key"}'), 502, "upstream_refused"),
        (response("200 OK", "text/html", b"<p>hello</p>"), 502, "upstream_unreadable"),
        (response("200 OK", "application/json", b"not json"), 502, "upstream_unreadable"),
        (response("200 OK", "application/json", b'{"no":"choices"}'), 502, "upstream_unreadable"),
        (
            response("200 OK", "application/json", answer("x"), "content-encoding: gzip"),
            502,
            "upstream_unreadable",
        ),
        (
            [b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{"],
            502,
            "upstream_cut",
        ),
        ([], 502, "upstream_failed"),
        ([b"garbage\r\n\r\n"], 502, "upstream_failed"),
    ],
)
def test_an_answer_that_cannot_be_passed_on_is_not(
    world: World, model: ScriptedModel, script: Any, status: int, expected: str
) -> None:
    model.script = script
    got, _, body, _ = ask(world)
    assert (got, code(body)) == (status, expected)
    assert b"127.0.0.1" not in body and b"hello" not in body and b"bad key" not in body


def test_an_error_of_the_model_is_passed_on_masked(world: World, model: ScriptedModel) -> None:
    error = json.dumps({"error": {"message": f"cannot charge {CARD}", "type": "x", "code": "slow"}}).encode()
    model.script = response(
        "429 Too Many Requests", "application/json", error, "retry-after: 7", "x-secret: 1"
    )
    status, headers, body, _ = ask(world)
    assert (status, headers["retry-after"], code(body)) == (429, "7", "slow")
    assert CARD.encode() not in body and "x-secret" not in headers


def test_a_service_that_is_away_is_a_clear_error(tmp_path: Path) -> None:
    with running_world(tmp_path, upstream_url="http://127.0.0.1:9") as lonely:
        status, _, body, _ = ask(lonely)
        assert (status, code(body)) == (502, "upstream_unreachable")
        assert b"127.0.0.1" not in body


def test_a_cut_stream_never_looks_whole(world: World, model: ScriptedModel) -> None:
    for end in (True, False):  # a clean end of the body without [DONE], and a body that breaks
        model.script = stream(delta("so far so good, " * 20), 0.2, delta("and on, "), end=end)
        status, _, body, whole = ask(world, stream=True)
        assert status == 200 and not whole
        assert b"[DONE]" not in body and b'"code":"upstream_cut"' in body
        assert b"so far" in body


def test_the_sdk_raises_on_a_cut_stream(world: World, model: ScriptedModel) -> None:
    model.script = stream(delta("so far so good, " * 20), 0.2, end=False)
    with sdk(world) as client, pytest.raises(openai.APIError):
        list(client.chat.completions.create(model="m", messages=HI, stream=True))


def test_babble_inside_a_stream_stops_it(world: World, model: ScriptedModel) -> None:
    model.script = stream(delta("fine, " * 50), 0.2, b"data: {broken\n\n", delta("after"), END)
    _, _, body, whole = ask(world, stream=True)
    assert not whole and b"after" not in body and b"[DONE]" not in body
    assert b'"code":"upstream_unreadable"' in body


def test_a_stream_that_was_not_asked_for_is_refused(world: World, model: ScriptedModel) -> None:
    model.script = stream(delta("x"), END)
    status, _, body, _ = ask(world)
    assert (status, code(body)) == (502, "upstream_unreadable")


def test_a_plain_answer_to_a_streaming_request_is_passed_on(world: World, model: ScriptedModel) -> None:
    model.script = response("200 OK", "application/json", answer(f"card {CARD}"))
    status, headers, body, _ = ask(world, stream=True)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert CARD.encode() not in body


def test_text_is_released_while_the_stream_goes_on(world: World, model: ScriptedModel) -> None:
    model.script = stream(
        delta("one two three four " * 20), 1.5, delta("five"), delta("", "stop"), b"data: [DONE]\n\n"
    )
    began = time.monotonic()
    with sdk(world) as client, client.chat.completions.create(model="m", messages=HI, stream=True) as chunks:
        assert next(chunk for chunk in chunks if chunk.choices[0].delta.content)
        assert time.monotonic() - began < 1.2


@pytest.mark.parametrize("streamed", [False, True])
def test_a_client_that_leaves_ends_the_call_upstream(
    world: World, model: ScriptedModel, streamed: bool
) -> None:
    model.left_after = None
    model.script = stream(delta("first words, " * 20), *[0.2] * 100) if streamed else [0.2] * 100
    parts = urlsplit(world.endpoint("openai"))
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": streamed})
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as client:
        client.sendall(
            f"POST {parts.path}/v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
            f"authorization: Bearer {world.key('alice')}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n{body}".encode()
        )
        time.sleep(0.7)
    deadline = time.monotonic() + 5
    while model.left_after is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert model.left_after is not None and model.left_after < 3


def test_the_credential_is_the_gateways_and_nothing_of_the_clients_head_travels(
    world: World, model: ScriptedModel
) -> None:
    model.script = response("200 OK", "application/json", answer("ok"))
    ask(world)
    head = model.requests[-1].partition(b"\r\n\r\n")[0]
    assert b"pst_" not in head and b"authorization: bearer " in head.lower()


def test_the_log_holds_no_payload_and_no_trace(world: World, model: ScriptedModel) -> None:
    model.script = response("200 OK", "application/json", b'{"no":"choices"}')
    ask(world, user=CARD)
    log = world.log()
    assert CARD not in log and world.key("alice") not in log
    assert "Traceback" not in log

"""Originals of streamed answers on a real server: whole, cut, stopped by a rule, and left by the client."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from .scripted import ScriptedModel, response, scripted_model, stream
from .test_originals import keeping_world, manage, python, rows
from .test_upstreams import END, answer, delta
from .world import World, on_postgresql

pytestmark = pytest.mark.database

CANARY = "canary.of.streams@example.com"
SECRET = "sk-proj-Ab3dEf6hIj9lMn2pQr5tUv8xYz1bCd4f"
SAID = (delta("write to canary.of."), delta("streams@example.com, please"), delta("", "stop"), END)
Opened = Callable[[str], tuple[Any, bytes, bool]]
OPENED = """
import base64, json, sys, time, uuid, django
django.setup()
from audit import ids, originals
from audit.models import Call
from audit.records import Who
number = uuid.UUID(sys.argv[1])
while not Call.objects.filter(id=number, closed_at__isnull=False).exists():
    time.sleep(0.1)
call = Call.objects.get(id=number)
carol, dave = (Who(person_id=uuid.uuid4(), subject=name) for name in ("carol", "dave"))
reveal = originals.reveal_make(call=call, person_id=carol.person_id, by=dave, proposal_id=uuid.uuid4())
found = originals.originals_open(call, reveal, carol, ids.now())
said = [[each.of, base64.b64encode(each.data).decode(), each.partial, each.problem] for each in found]
print(json.dumps({"code": call.code, "complete": call.complete, "extra": call.extra, "originals": said}))
"""


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedModel]:
    with scripted_model() as running:
        running.script = response("200 OK", "application/json", answer("ok"))
        yield running


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the private key lies."""
    return tmp_path_factory.mktemp("private")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, model: ScriptedModel, apart: Path) -> Iterator[World]:
    root = tmp_path_factory.mktemp("streamed")
    with keeping_world(root, apart, upstream_url=model.url) as running:
        yield running


def asked(world: World, name: str = "alice") -> tuple[str, bytes, bool]:
    """The call, what the client got, and whether that was an answer that came to its proper end."""
    sent = requests.post(
        world.endpoint("openai") + "/v1/chat/completions",
        json={"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]},
        headers={"Authorization": f"Bearer {world.key(name)}"},
        stream=True,
        timeout=20,
    )
    got = b""
    try:
        for piece in sent.iter_content(None):
            got += piece
    except requests.exceptions.RequestException:
        return str(sent.headers["x-postern-call"]), got, False
    return str(sent.headers["x-postern-call"]), got, sent.status_code == 200


@pytest.fixture
def opened(world: World, apart: Path) -> Opened:
    """The closed call, and of its answer's original: the bytes, and whether they are only a part."""
    return lambda call: of_answer(
        json.loads(python(world, "-c", OPENED, call, AUDIT_ORIGINALS_KEY_DIR=str(apart)))
    )


def of_answer(found: Any) -> tuple[Any, bytes, bool]:
    of = {each[0]: each[1:] for each in found["originals"]}
    assert [each[2] for each in of.values()] == [""] * len(of)
    assert len(of) == len(found["originals"])
    data, partial, _ = of["response"]
    return found, base64.b64decode(data), partial


def test_a_whole_stream_is_kept_as_it_came(world: World, model: ScriptedModel, opened: Opened) -> None:
    model.script = stream(*SAID)
    call, got, whole = asked(world)
    assert whole and CANARY.encode() not in got and b"***" in got
    found, data, partial = opened(call)
    assert (data, partial) == (b"".join(SAID), False)
    assert found["complete"] is True and "original_left" not in (found["extra"] or {})


def test_what_the_model_cut_is_kept_as_far_as_it_came(
    world: World, model: ScriptedModel, opened: Opened
) -> None:
    model.script = stream(*SAID[:2], end=False)
    call, got, whole = asked(world)
    assert not whole and CANARY.encode() not in got
    found, data, partial = opened(call)
    assert (data, partial) == (b"".join(SAID[:2]), True)
    assert (found["complete"], found["code"]) == (False, "upstream_cut")


def test_what_a_rule_stopped_is_kept_with_what_it_was_stopped_for(
    world: World, model: ScriptedModel, opened: Opened
) -> None:
    model.script = stream(SAID[0], delta(f"the key is {SECRET} and"), delta(" more"), 0.5, *SAID[2:])
    call, got, whole = asked(world, "bob")
    assert not whole and SECRET.encode() not in got
    found, data, partial = opened(call)
    assert SECRET.encode() in data and partial
    assert (found["code"], found["complete"]) == ("response_blocked", False)


def test_what_cannot_be_read_is_kept(world: World, model: ScriptedModel, opened: Opened) -> None:
    model.script = stream(SAID[0], b"data: {not json\n\n", *SAID[1:])
    call, _, whole = asked(world)
    assert not whole
    found, data, partial = opened(call)
    assert b"{not json" in data and partial and found["code"] == "upstream_unreadable"


def test_what_had_come_when_the_client_left_is_kept(
    world: World, model: ScriptedModel, opened: Opened
) -> None:
    many = [delta(f"word {number} ") for number in range(40)]
    model.script = stream(*SAID[:2], *many, 5.0, *SAID[2:])
    call = left(world)
    found, data, partial = opened(call)
    assert data.startswith(b"".join(SAID[:2])) and partial
    assert (found["code"], found["complete"]) == ("client_gone", False)


def left(world: World) -> str:
    """Read the first bytes of the answer and hang up."""
    parts = urlsplit(world.endpoint("openai") + "/v1/chat/completions")
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": f"Bearer {world.key('alice')}", "content-type": "application/json"}
    connection.request("POST", parts.path, json.dumps(body), headers)
    got = connection.getresponse()
    assert got.status == 200 and got.read(20)
    time.sleep(0.3)
    if connection.sock is not None:
        connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()
    return str(got.headers["x-postern-call"])


def test_nothing_of_them_is_in_a_file_or_a_row_and_the_record_verifies(world: World) -> None:
    for path in (world.root / "demo").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert CANARY.encode() not in data and SECRET.encode() not in data, path
    if on_postgresql():
        kept = "\n".join(rows(world.store_url))
        assert CANARY not in kept and SECRET not in kept
    manage(world, "audit_verify")

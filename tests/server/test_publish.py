"""Publishes in the middle of calls: no call fails, none sees two versions, every process follows in time."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from .hammer_house import House, running_house, second_gateway, wait_for
from .publisher import MARKER, SHOWN, class_of
from .scripted import response, scripted_model
from .world import on_postgresql

pytestmark = pytest.mark.database

PUBLISHES, PAUSE = 4, 4.0  # twice what a process may take to follow: each pair has calls
FOLLOWS_SECONDS = 2.0
READER = """
import django, json
django.setup()
from audit.models import Call
columns = "id", "policy", "schema", "counts", "response_counts", "status", "complete"
for row in Call.objects.values_list(*columns):
    print(json.dumps(row, default=str))
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """One call as its client saw it."""

    port: int
    began: float
    status: int
    call: str
    policy: str
    body: str


def answer() -> list[bytes]:
    message = {"role": "assistant", "content": f"It is {MARKER}."}
    body = {"id": "1", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    return response("200 OK", "application/json", json.dumps(body).encode(), "connection: close")


def ask_until(stop: threading.Event, house: House, port: int, seen: list[Asked]) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": f"What is {MARKER}?"}]}
    headers = {"Authorization": f"Bearer {house.key('alice')}"}
    with requests.Session() as client:
        while not stop.is_set():
            began = time.time()
            url = f"http://127.0.0.1:{port}{house.path('openai')}"
            got = client.post(url, json=body, headers=headers, timeout=20)
            told = got.headers
            seen.append(
                Asked(
                    port,
                    began,
                    got.status_code,
                    told.get("x-postern-call", ""),
                    told.get("x-postern-policy", ""),
                    got.text,
                )
            )
            stop.wait(0.01)


def lines(house: House, *argv: str) -> list[Any]:
    return [json.loads(line) for line in house.python(*argv).splitlines()]


def number(name: str) -> int:
    return int(name.rpartition("@")[2])


@dataclass(frozen=True, slots=True)
class Night:
    """What happened: publishes, calls as clients saw them, calls on the record."""

    published: list[Any]
    seen: list[Asked]
    recorded: dict[str, list[Any]]
    ports: set[int]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """On SQLite one process calls, on PostgreSQL two."""
    root: Path = tmp_path_factory.mktemp("publish")
    with scripted_model() as model, running_house(root, model_url=model.url) as house:
        model.script = answer()
        lines(house, "-m", "tests.server.publisher", "1", "0")
        time.sleep(FOLLOWS_SECONDS)
        if not on_postgresql():
            yield _disturbed(house, [house.port])
            return
        with second_gateway(house) as second:
            yield _disturbed(house, [house.port, second])


def _disturbed(house: House, ports: list[int]) -> Night:
    stop, seen = threading.Event(), list[Asked]()
    callers = [threading.Thread(target=ask_until, args=(stop, house, port, seen)) for port in ports * 2]
    for caller in callers:
        caller.start()
    try:
        published = lines(house, "-m", "tests.server.publisher", str(PUBLISHES), str(PAUSE))
        time.sleep(FOLLOWS_SECONDS)
    finally:
        stop.set()
        for caller in callers:
            caller.join()
    assert wait_for(lambda: all(row[6] is not None for row in lines(house, "-c", READER)), seconds=20)
    return Night(published, seen, {row[0]: row for row in lines(house, "-c", READER)}, set(ports))


def test_no_call_fails(night: Night) -> None:
    assert {each.port for each in night.seen} == night.ports
    assert {each.status for each in night.seen} == {200}
    assert len(night.seen) > 50


def test_every_record_has_one_pair_of_versions_and_did_what_they_say(night: Night) -> None:
    for each in night.seen:
        _, policy, schema, found, found_in_answer, status, complete = night.recorded[each.call]
        assert (policy, status, complete) == (each.policy, 200, True)
        assert MARKER not in each.body
        slug = class_of(number(schema))
        assert found == found_in_answer == {slug: 1}
        shown = f"[{slug}]" if SHOWN[number(policy) % 2] == "label" else "***"
        assert f"It is {shown}." in each.body


def test_the_pairs_are_those_that_were_in_force_together(night: Night) -> None:
    schemas, policies = ([turn[name] for turn in night.published] for name in ("schema", "policy"))
    before = (schemas[0] - 1, policies[0] - 1)
    pairs = [before, (schemas[0], before[1])]
    for index, pair in enumerate(zip(schemas, policies, strict=True)):
        pairs.append(pair)
        if index + 1 < len(schemas):
            pairs.append((schemas[index + 1], pair[1]))
    used = {(number(row[2]), number(row[1])) for row in night.recorded.values() if row[1]}
    assert used <= set(pairs)
    assert set(zip(schemas, policies, strict=True)) <= used


def test_every_process_follows_within_two_seconds(night: Night) -> None:
    for turn in night.published:
        late = [
            (each.port, round(each.began - turn["at"], 2), each.policy)
            for each in night.seen
            if each.began > turn["at"] + FOLLOWS_SECONDS and number(each.policy) < turn["policy"]
        ]
        assert late == []


def test_what_clients_were_told_is_a_version(night: Night) -> None:
    assert all(re.fullmatch(r"\S.*@\d+", each.policy) for each in night.seen)

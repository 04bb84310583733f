"""P7: what a policy masks is nowhere at rest, whatever way it came in, in no form in which it could hide.

Canaries go through a whole deployment: SQLite with everything in one process tree, or PostgreSQL and Redis.
Then all that the deployment has written, told or shown is searched. `docs/evidence.md` says what is covered.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from .canaries import Canary, Place, Searcher
from .canary_calls import headed, refused, understood
from .canary_house import Scene, running_scene
from .canary_people import Person, exported, held, looked_at, reasons, typed
from .canary_places import disk, kept_in_redis, server_disk, store
from .hammer_house import wait_for
from .hammer_oracle import Reader

pytestmark = [pytest.mark.database, pytest.mark.timeout(300)]

SHOWN = {
    "a chat", "a stream", "parts", "tools", "what a client adds", "a model's name", "a message",
    "fields", "keys", "broken JSON", "an image", "/v1/responses", "path 3", "blocked", "held, denied",
    "released, approved",
    "released, streamed",
}  # fmt: skip
"""Calls whose pages are looked at: each way of making a page, not each call."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A deployment through which everything has gone that these tests look for."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    root: Path = tmp_path_factory.mktemp("canaries") / "house"
    root.mkdir()
    with running_scene(root, seed) as scene:
        calls, approvals = sent(scene)
        handled(scene, calls, approvals)
        yield scene


def sent(scene: Scene) -> tuple[dict[str, str], dict[str, str]]:
    """Every call; ids by what they were for, of the held ones by how they end."""
    bodies, headers = scene.caller("bodies"), scene.caller("headers")
    understood(bodies)
    refused(bodies)
    headed(headers)
    said = reasons(scene.canaries["headers"], scene.control)
    erin = Person(scene.house, "erin", scene.told)
    approvals = held(bodies, erin, said)
    return bodies.calls | headers.calls, approvals


def handled(scene: Scene, calls: dict[str, str], approvals: dict[str, str]) -> None:
    """What people do about them, and what the worker makes of them meanwhile."""
    people, said = scene.canaries["people"], reasons(scene.canaries["people"], scene.control)
    admin, dave = (Person(scene.house, name, scene.told) for name in ("admin", "dave"))
    typed(admin, dave, people, said, calls["a chat"])
    files = exported(dave, people, said)
    scene.told += [(f"an export, {name}", [data]) for name, data in files.items()]
    shown = [call for what, call in calls.items() if what in SHOWN or what.startswith("model that")]
    looked_at([admin, dave], shown, list(approvals.values()))
    with closing(Reader(scene.house.database_url)) as reader:
        assert wait_for(lambda: is_settled(scene, reader), seconds=30), scene.house.last_words()


def is_settled(scene: Scene, reader: Reader) -> bool:
    """Whether the worker has told and derived what was recorded."""
    fields = reader.rows("SELECT count(*) FROM gateway_structuredfield")[0][0]
    flags = reader.rows("SELECT count(*) FROM audit_flag")[0][0]
    return bool(fields and flags and all(each.got for each in scene.outside.values()) and scene.mails.got)


def everything(scene: Scene) -> Iterator[Place]:
    """Where the search looks."""
    yield from store(scene.house)
    yield from disk(scene.house.root)
    yield from server_disk(scene.house)
    if scene.house.redis_url:
        yield from kept_in_redis(scene.house.redis_url)
    if scene.heard:
        yield "commands to Redis", scene.heard.heard
    for name, each in scene.outside.items():
        yield f"told to the {name}", [part for head, body in each.got for part in (repr(head).encode(), body)]
    yield "told by syslog", [scene.siem.read_bytes()]
    yield "mails", [message.encode() for _, message in scene.mails.got]
    yield "what the model received", scene.model.requests
    yield from scene.told


def test_no_canary_is_anywhere(scene: Scene) -> None:
    hits = Searcher(scene.everyone).search(everything(scene))
    assert not hits, "\n".join(map(str, hits))


def test_what_no_schema_knows_is_where_it_belongs(scene: Scene) -> None:
    """A word stood beside every canary. Where it is not found, nothing would have been."""
    hits = Searcher([Canary("the word", scene.control, whole=True)]).search(everything(scene))
    assert {hit.place for hit in hits} >= {
        "an unsealed payload",
        "an export, jsonl",
        "page /audit/calls/…/",
        "API calls/…",
        "table audit_entry.meta",
        "told to the sink",
        "told by syslog",
        "what the model received",
        "answer to a stream",
    }

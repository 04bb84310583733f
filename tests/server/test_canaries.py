"""P7: what a policy masks is nowhere at rest, whatever way it came in, in no form in which it could hide.

Canaries go through a whole deployment: SQLite with everything in one process tree, or PostgreSQL and Redis.
Then all that the deployment has written, told or shown is searched. `docs/evidence.md` says what is covered.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from . import canary_acts as acts
from .canaries import Canary, Place, Searcher
from .canary_acts import Cast
from .canary_calls import headed, refused, understood
from .canary_house import Scene, running_scene
from .canary_people import HELD, exported, held, looked_at, not_exported, reasons, typed
from .canary_places import disk, holds_the_schema, kept_in_redis, selections, server_disk, store
from .canary_waits import is_derived, said_by_syslog, told_everything, verified
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
    approvals = held(bodies, scene.person("erin"), said)
    return bodies.calls | headers.calls, approvals


def handled(scene: Scene, calls: dict[str, str], approvals: dict[str, str]) -> None:
    """What people do about them, and what the worker makes of them meanwhile."""
    people, said = scene.canaries["people"], reasons(scene.canaries["people"], scene.control)
    cast = Cast(*map(scene.person, ("admin", "frank", "dave", "bob", "erin")))
    shown = [call for what, call in calls.items() if what in SHOWN or what.startswith("model that")]
    with closing(Reader(scene.house.database_url)) as reader:
        acts.ended(cast, approvals, said)
        acts.stopped(cast, said)
        acts.cut(cast, scene.caller("bodies"), said)
        typed(cast.admin, cast.dave, people, said)
        assert wait_for(lambda: is_derived(reader), seconds=30), scene.house.last_words()
        acts.flagged(cast, said, reader)
        acts.reviewed(cast, said)
        acts.kept(cast, said, shown)
        scene.revealed = acts.revealed(cast, said, shown)
        acts.previewed(cast, said[-1])
        acts.mistaken(cast, said, lambda kind: value_of(people, kind))
        assert wait_for(lambda: acts.have_ended(approvals, reader), seconds=30), acts.states(reader)
        auditors = [cast.dave, cast.admin, cast.frank]
        not_exported(auditors, people)
        files = exported(auditors, said)
        looked_at([cast.admin, cast.dave], shown, list(approvals.values()))
        scene.told += [(f"an export, {name}", [data]) for name, data in files.items()]
        scene.told += verified(scene.house, cast.dave.asks("integrity").json()["key"], files)
        told_everything(scene, reader)


def value_of(canaries: Sequence[Canary], kind: str) -> str:
    return next(each.text for each in canaries if each.name.endswith(f"'s {kind}"))


def everything(scene: Scene) -> Iterator[Place]:
    """Where the search looks."""
    yield from store(scene.house)
    yield from selections(scene.house)
    yield from disk(scene.house.root)
    yield from server_disk(scene.house)
    if scene.house.redis_url:
        yield from kept_in_redis(scene.house.redis_url)
    if scene.heard:
        yield "commands to Redis", scene.heard.heard
    for name, each in scene.outside.items():
        yield f"told to the {name}", [part for head, body in each.got for part in (repr(head).encode(), body)]
    yield "told by syslog", said_by_syslog(scene.siem)
    yield "mails", [message.encode() for _, message in scene.mails.got]
    yield "what the model received", scene.model.requests
    yield from scene.told


def test_no_canary_is_anywhere(scene: Scene) -> None:
    hits = Searcher(scene.everyone).search(everything(scene))
    left = [hit for hit in hits if not (hit.canary.endswith(" listed word") and holds_the_schema(hit.place))]
    assert not left, "\n".join(map(str, left))


def test_every_act_with_words_is_on_record(scene: Scene) -> None:
    """Else what it said would have been found nowhere because nobody kept it."""
    with closing(Reader(scene.house.database_url)) as reader:
        found = Counter(
            meta["event"]
            for (raw,) in reader.rows("SELECT meta FROM audit_entry WHERE kind = 'event'")
            if scene.control in (meta := json.loads(bytes(raw)))["note"]
        )
        purposes = reader.rows("SELECT purpose FROM approvals_approval WHERE purpose <> ''")
    assert found == scene.acted
    assert len(purposes) == len(HELD) and all(scene.control in purpose for (purpose,) in purposes)


def test_an_original_is_shown_to_whoever_may_look(scene: Scene) -> None:
    """The one page that holds what was sent. It is looked at, so that whatever it leaves behind is found."""
    mine = [each for each in scene.canaries["bodies"] if each.name.endswith((" mail", " openai key"))]
    hits = Searcher(mine).search([("the original", scene.revealed)])
    assert {hit.canary for hit in hits} == {each.name for each in mine}


def test_what_no_schema_knows_is_where_it_belongs(scene: Scene) -> None:
    """A word stood beside every canary. Where it is not found, nothing would have been."""
    hits = Searcher([Canary("the word", scene.control, whole=True)]).search(everything(scene))
    if scene.heard:
        assert len(scene.heard.heard) > 100
    assert {hit.place for hit in hits} >= {
        "an unsealed payload",
        "an unsealed selection",
        "an export, jsonl",
        "page /audit/calls/…/",
        "API calls/…",
        "table audit_entry.meta",
        "table audit_flagact.text",
        "table audit_legalhold.reason",
        "page /proposals/…/",
        "page /access-review/endpoints/…/",
        "form /playground/",
        "form /review/…/decide/",
        "told to the sink",
        "told by syslog",
        "what the model received",
        "answer to a stream",
    }

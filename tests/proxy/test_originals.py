"""What is promised is kept, or nothing leaves: originals of the data path."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from audit import hybrid, ids
from audit.hybrid import PublicKey
from audit.recorder import Recorder, StoreUnavailable
from audit.records import Recordable, SealedOriginal
from gateway.proxy.admission import RequestHead
from gateway.proxy.echo import NO_ECHO, Echo, Needles
from gateway.proxy.errors import NoOriginals
from gateway.proxy.exchange import INLINE_BYTES, Exchange
from gateway.proxy.inspecting import inspect, read_whole
from gateway.proxy.ledger import Ledger
from gateway.proxy.originals import NO_ROOM, REPEATED, TOO_LARGE, UNRECORDED, Room, Streamed, streamed
from gateway.proxy.recording import Recording
from gateway.proxy.streaming import StreamExchange
from gateway.proxy.wire.openai import ChatCompletions
from policies.engine.verdict import NOTHING_KNOWN
from tests.proxy.world import CARD, KEYS, chat, policy

PRIVATE = X25519PrivateKey.generate()
PUBLIC = PublicKey(PRIVATE.public_key().public_bytes_raw())
BODY = chat(f"card {CARD}")


def call(*, keeps: bool = True, key: PublicKey | None = PUBLIC) -> Exchange:
    return Exchange(policy(keeps_original=keeps), ChatCompletions(), replace(KEYS, originals=key))


def head() -> RequestHead:
    return RequestHead(method="POST", path="/proxy/chat/v1/chat/completions", headers={}, network="")


def judged(made: Exchange, body: bytes = BODY) -> Ledger:
    """As the data path does."""
    ledger = Ledger()
    ledger.exchange = made
    asyncio.run(inspect(made, head(), body, NOTHING_KNOWN, keep=ledger.id))
    return ledger


@pytest.mark.parametrize("size", [0, INLINE_BYTES])
def test_the_request_goes_to_the_record_as_it_came_and_sealed(size: int) -> None:
    body = chat(f"card {CARD}" + " and more" * size)
    ledger = judged(call(), body)
    original = ledger.admission("masked").original
    assert original is not None and (original.of, original.size) == ("request", len(body))
    assert CARD.encode() not in original.sealed
    assert hybrid.opened(PRIVATE, ledger.id, "request", original.sealed) == body


def test_a_policy_that_does_not_ask_keeps_none() -> None:
    assert judged(call(keeps=False)).admission("masked").original is None


def test_without_a_key_the_call_is_refused_before_anything_else() -> None:
    made = call(key=None)
    with pytest.raises(NoOriginals) as refusal:
        judged(made)
    assert (refusal.value.status, refusal.value.code) == (503, "originals_unavailable")
    assert CARD not in str(refusal.value) and made.original is None


def test_a_held_call_that_is_judged_anew_is_not_sealed_twice() -> None:
    ledger = judged(call())
    assert ledger.admission("held").original is not None
    ledger.exchange = again = call()
    keep = None if ledger.keeps_original else ledger.id
    asyncio.run(inspect(again, head(), BODY, NOTHING_KNOWN, keep=keep))
    assert ledger.release("released", "1").original is None


def test_one_that_only_the_policy_of_now_keeps_is_sealed_when_it_is_released() -> None:
    ledger = judged(call(keeps=False))
    assert ledger.admission("held").original is None
    ledger.exchange = again = call()
    keep = None if ledger.keeps_original else ledger.id
    asyncio.run(inspect(again, head(), BODY, NOTHING_KNOWN, keep=keep))
    assert ledger.release("released", "1").original is not None


@pytest.mark.parametrize("status", [200, 400])
def test_a_whole_answer_is_kept_as_it_came(status: int) -> None:
    made, number = call(), ids.new()
    judged(made)
    answer = json.dumps({"choices": [{"index": 0, "message": {"content": f"card {CARD}"}}]}).encode()
    piece, original = asyncio.run(read_whole(made, number, status, answer))
    assert original is not None and CARD.encode() not in piece.sent
    assert hybrid.opened(PRIVATE, number, "response", original.sealed) == answer


# --- streams ------------------------------------------------------------------------------------------
EVENTS = [b'data: {"a":"4111 1111 1111 1111"}\n\n', b"data: more\n\n", b"data: [DONE]\n\n"]
PART = Recordable(b"masked")


class FakeRecorder:
    """Notes what comes. `store`: what happens while it is written."""

    def __init__(self, store: Callable[[], Any] | None = None) -> None:
        self.came: list[tuple[str, SealedOriginal | None]] = []
        self._store = store

    async def segment(self, call_id: Any, part: Any, *, final: bool, original: Any) -> None:
        await self._written("last" if final else "part", original)

    async def keep(self, call_id: Any, original: Any) -> None:
        await self._written("alone", original)

    async def _written(self, kind: str, original: SealedOriginal | None) -> None:
        if self._store is not None:
            await self._store()
        self.came.append((kind, original))


class Scene:
    def __init__(
        self, made: Exchange | None = None, room: Room | None = None, store: Callable[[], Any] | None = None
    ) -> None:
        self.exchange, self.ledger, self.room = made or call(), Ledger(), room or Room()
        self.ledger.exchange = self.exchange
        self.recorder = FakeRecorder(store)
        self.recording = Recording(cast(Recorder, self.recorder), self.ledger)
        self.take = self.recording.streams(self.exchange, self.room, NO_ECHO)

    @property
    def extra(self) -> dict[str, object]:
        """What the close says besides."""
        return dict(self.ledger.close("", complete=True, status=200).extra)

    def opened(self) -> list[tuple[str, bytes, bool]]:
        return [
            (kind, hybrid.opened(PRIVATE, self.ledger.id, "response", each.sealed), each.partial)
            for kind, each in self.recorder.came
            if each is not None
        ]


def test_a_stream_s_original_goes_on_record_with_the_part_that_ends_it() -> None:
    async def play() -> Scene:
        scene = Scene()
        for number, event in enumerate(EVENTS):
            scene.take(event)
            scene.exchange.outcome.whole = number == 2
            await scene.recording.part(PART)
        return scene

    scene = asyncio.run(play())
    assert [kind for kind, _ in scene.recorder.came] == ["part"] * 3
    assert scene.opened() == [("part", b"".join(EVENTS), False)]
    assert "original_left" not in scene.extra and scene.room.used == 0


def test_of_a_stream_that_was_cut_what_came_goes_with_the_last_words() -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.take(EVENTS[0])
        await scene.recording.part(PART)
        await scene.recording.part(PART, last=True)
        await scene.recording.rest()
        return scene

    scene = asyncio.run(play())
    assert scene.opened() == [("last", EVENTS[0], True)]
    assert scene.room.used == 0


def test_what_came_before_the_client_left_is_kept_alone() -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.take(EVENTS[0])
        await scene.recording.part(PART)
        await scene.recording.rest()
        return scene

    scene = asyncio.run(play())
    assert scene.opened() == [("alone", EVENTS[0], True)] and "original_left" not in scene.extra


def test_a_client_that_leaves_while_it_is_written_does_not_undo_it() -> None:
    async def play() -> Scene:
        durable = asyncio.Event()
        scene = Scene(store=durable.wait)
        scene.take(EVENTS[0])
        scene.exchange.outcome.whole = True
        writing = asyncio.create_task(scene.recording.part(PART))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        leaving = asyncio.create_task(scene.recording.rest())
        await asyncio.sleep(0)
        assert scene.recorder.came == [] and not leaving.done()
        durable.set()
        await leaving
        return scene

    scene = asyncio.run(play())
    assert scene.opened() == [("part", EVENTS[0], False)] and "original_left" not in scene.extra


@pytest.mark.parametrize("ends", ["part", "rest"])
def test_where_the_store_is_away_the_close_says_that_it_is_not_there(ends: str) -> None:
    async def away() -> None:
        raise StoreUnavailable("away")

    async def play() -> Scene:
        scene = Scene(store=away)
        scene.take(EVENTS[0])
        if ends == "part":
            with pytest.raises(StoreUnavailable):
                await scene.recording.part(PART, last=True)
        await scene.recording.rest()
        return scene

    scene = asyncio.run(play())
    assert scene.extra["original_left"] == UNRECORDED and scene.room.used == 0


def test_one_that_grows_too_large_is_let_go_and_the_close_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.proxy.originals.LARGEST", 100)

    async def play() -> Scene:
        scene = Scene()
        scene.take(b"x" * 100)
        assert scene.room.used > 100
        scene.take(b"x")
        assert scene.room.used == 0
        scene.take(b"x")
        await scene.recording.part(PART, last=True)
        return scene

    scene = asyncio.run(play())
    assert scene.opened() == [] and scene.recorder.came == [("last", None)]
    assert scene.extra["original_left"] == TOO_LARGE


def test_all_streams_together_take_no_more_than_their_room() -> None:
    room = Room(10_000)
    many = [Streamed(PUBLIC, ids.new(), room) for _ in range(100)]
    for _ in range(10):
        for each in many:
            each.take(b"x" * 100)
        assert room.used <= 10_000
    gone = [each for each in many if each.left == NO_ROOM]
    kept = [each for each in many if each.left == UNRECORDED]
    assert gone and kept and len(gone) + len(kept) == 100
    assert all(each.sealed(whole=True) is None for each in gone)
    assert all((made := each.sealed(whole=True)) and made.size == 1000 for each in kept)
    assert room.used == 0
    late = Streamed(PUBLIC, ids.new(), room)
    late.take(b"x")
    assert late.left == UNRECORDED  # there is room again


def test_a_call_that_ends_otherwise_gives_its_room_back() -> None:
    scene = Scene()
    scene.take(EVENTS[0])
    assert scene.room.used
    assert scene.extra["original_left"] == UNRECORDED and scene.room.used == 0


def test_where_the_policy_keeps_none_a_stream_is_not_collected() -> None:
    scene = Scene(call(keeps=False))
    scene.take(EVENTS[0])
    assert scene.room.used == 0 and scene.ledger.streamed is None and scene.extra == {}


def test_a_stream_without_a_key_is_refused() -> None:
    with pytest.raises(NoOriginals):
        Scene(call(key=None))


@pytest.mark.parametrize("repeats", [False, True])
def test_a_stream_that_repeats_the_gateways_secret_keeps_no_original(repeats: bool) -> None:
    """In pieces, so that no byte of the secret stands beside the next."""
    secret, echo, number, room = (
        "sk-upstream-9913577",
        Echo(Needles(["sk-upstream-9913577"])),
        ids.new(),
        Room(),
    )
    made = call()
    judged(made, chat("hi", stream=True))
    kept, stream = streamed(made, number, room, echo), StreamExchange(made, echo)
    assert kept is not None
    for piece in secret if repeats else "good morning":
        event = {"choices": [{"index": 0, "delta": {"content": piece}}]}
        chunk = b"data: " + json.dumps(event).encode() + b"\n\n"
        kept.take(chunk)
        assert secret.encode() not in stream.decode(chunk).sent
    original = kept.sealed(whole=True)
    assert (original is None) is repeats
    assert kept.left == (REPEATED if repeats else UNRECORDED) and room.used == 0

"""What is promised is kept, or nothing leaves: originals of the data path."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from audit import hybrid, ids
from audit.hybrid import PublicKey
from gateway.proxy.admission import RequestHead
from gateway.proxy.echo import Echo, Needles
from gateway.proxy.errors import NoOriginals
from gateway.proxy.exchange import INLINE_BYTES, Exchange
from gateway.proxy.inspecting import inspect, read_whole
from gateway.proxy.ledger import Ledger
from gateway.proxy.originals import REPEATED, Room, streamed
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
    assert kept.left == (REPEATED if repeats else "unrecorded") and room.used == 0

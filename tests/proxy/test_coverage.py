"""What was looked at is counted while it is looked at: texts, bytes, and what nobody can read."""

from __future__ import annotations

import json

import pytest

from gateway.proxy.exchange import Unreadable
from gateway.proxy.ledger import Ledger
from gateway.proxy.streaming import StreamExchange
from tests.proxy.world import CARD, EMAIL, HEAD, chat, exchange, rule

HELLO = "a text that nothing is found in"
IMAGE = "data:image/png;base64," + "QUJD" * 1000


@pytest.mark.parametrize("content", [HELLO, f"mail {EMAIL}", f"{HELLO}, ünïcode"])
def test_one_more_text_is_one_more_text_with_its_bytes(content: str) -> None:
    without, having = exchange(rule("EMAIL")), exchange(rule("EMAIL"))
    without.request(HEAD, chat(""))
    having.request(HEAD, chat(content))
    assert having.looked.texts == without.looked.texts + 1
    assert having.looked.size == without.looked.size + len(content.encode())


def test_many_texts_scanned_together_count_as_if_each_were_scanned_alone() -> None:
    texts = [f"the text number {number}, with ä {EMAIL}" for number in range(20)]
    call, empty = exchange(), exchange()
    call.request(HEAD, chat([{"type": "text", "text": text} for text in texts]))
    empty.request(HEAD, chat([{"type": "text", "text": ""} for _ in texts]))
    assert call.looked.texts - empty.looked.texts == 20
    assert call.looked.size - empty.looked.size == sum(len(text.encode()) for text in texts)


def test_an_image_is_not_counted_as_looked_at() -> None:
    text = {"type": "text", "text": HELLO}
    image = {"type": "image_url", "image_url": {"url": IMAGE}}
    plain, call = exchange(), exchange()
    plain.request(HEAD, chat([text]))
    call.request(HEAD, chat([text, image]))
    told = call.looked.told(call.policy.schema)
    ((kind, number, size),) = told.unread
    assert (kind, number) == ("image", 1) and size > len(IMAGE)
    assert told.size - plain.looked.size < 50  # the words around it at most


def test_the_recognisers_are_named_by_number_and_digest() -> None:
    call = exchange()
    call.request(HEAD, chat(HELLO))
    told = call.looked.told(call.policy.schema)
    assert told.recognisers == sum(len(one.detectors) for one in call.policy.schema.spec.classes)
    assert len(told.recogniser_set) == 16


def test_nothing_is_said_of_a_request_that_could_not_be_read() -> None:
    ledger = Ledger()
    ledger.exchange = exchange()
    with pytest.raises(Unreadable):
        ledger.exchange.request(HEAD, b"{")
    assert ledger.admission("refused", "invalid_json").looked is None


def streamed(text: str, size: int) -> tuple[int, int]:
    """Texts and bytes of one streamed answer, in pieces of this size."""
    call = exchange()
    call.request(HEAD, chat(HELLO, stream=True))
    stream = StreamExchange(call)
    for at in range(0, len(text), size):
        delta = {"choices": [{"index": 0, "delta": {"content": text[at : at + size]}}]}
        stream.decode(b"data: " + json.dumps(delta).encode() + b"\n\n")
    stream.decode(b"data: [DONE]\n\n")
    stream.flush()
    return call.looked_back.texts, call.looked_back.size


def test_a_streamed_text_is_one_however_it_is_cut() -> None:
    text = f"number {CARD}, and ünïcode besides"
    assert streamed(text, 1) == streamed(text, 7) == streamed(text, len(text))
    assert streamed(text, 7)[1] >= len(text.encode())


def test_a_close_says_what_of_the_answer_was_looked_at() -> None:
    ledger = Ledger()
    call = ledger.exchange = exchange()
    call.request(HEAD, chat(HELLO))
    assert "looked" not in ledger.close("", complete=True, status=200).extra
    call.response(json.dumps({"choices": [{"index": 0, "message": {"content": HELLO}}]}).encode())
    looked = ledger.close("", complete=True, status=200).extra["looked"]
    assert looked.texts >= 1 and looked.size >= len(HELLO)

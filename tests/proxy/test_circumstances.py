"""What a verdict depends on beside the payload, and what the record keeps of it."""

from __future__ import annotations

import json

import pytest

from audit.records import NOT_KEPT
from gateway.proxy.exchange import Exchange
from gateway.proxy.streaming import StreamExchange
from gateway.proxy.wire import sse
from policies.engine.sketch import OneRequest
from policies.engine.types import Circumstances, Gate, Matcher, Rule, Style
from tests.proxy.world import (
    BOTH,
    CARD,
    EMAIL,
    HEAD,
    SSN,
    blocking,
    chat,
    exchange,
    rule,
)

TOGETHER = Rule(
    id="t",
    name="together",
    directions=BOTH,
    matcher=Matcher.COMBINATION,
    value="EMAIL + US_SSN",
    gate=Gate.BLOCK,
)


def answer(content: str) -> bytes:
    message = {"role": "assistant", "content": content}
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()


def events(*texts: str) -> list[bytes]:
    chunks = [
        {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]} for text in texts
    ]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return [sse.encode(json.dumps(each).encode()) for each in (*chunks, end)] + [sse.encode(b"[DONE]")]


def streamed(call: Exchange, *texts: str) -> tuple[bytes, bool]:
    """What reached the client, and whether a rule stopped it."""
    stream, sent = StreamExchange(call), b""
    for chunk in events(*texts):
        piece = stream.decode(chunk)
        sent += piece.sent
        if piece.stop:
            return sent, True
    return sent + stream.flush().sent, False


def test_observing_ends_by_the_clock_of_the_call_without_a_publish() -> None:
    during, after = (exchange(blocking("EMAIL"), observe_until=100.0) for _ in range(2))
    verdict = during.request(HEAD, chat(f"{EMAIL} {CARD}"), Circumstances(now=99.9))
    assert (verdict.gate, verdict.observed) == (Gate.ALLOW, Gate.BLOCK)
    assert verdict.counts == {"EMAIL": 1, "CARD": 1}
    assert (dict(verdict.masked), dict(verdict.spared)) == ({"CARD": 1}, {"EMAIL": 1})
    verdict = after.request(HEAD, chat(EMAIL), Circumstances(now=100.0))
    assert (verdict.gate, verdict.observed, dict(verdict.spared)) == (Gate.BLOCK, None, {})


def test_while_observing_the_record_masks_what_left_in_clear() -> None:
    call = exchange(observe_until=100.0)
    call.request(HEAD, chat(EMAIL), Circumstances(now=1.0))
    assert EMAIL.encode() in call.outgoing
    assert call.recorded is not None
    assert EMAIL.encode() not in call.recorded.data + call.recorded.marks
    piece = call.response(answer(EMAIL))
    assert EMAIL.encode() in piece.sent
    assert EMAIL.encode() not in piece.record.data


def test_an_answer_is_treated_as_its_request_was() -> None:
    call = exchange(rule("EMAIL", transform=Style.LABEL), observe_until=100.0)
    call.request(HEAD, chat("hi"), Circumstances(now=1.0))
    sent, stopped = streamed(call, "write to bob@exa", "mple.com now")
    assert not stopped
    assert EMAIL.encode() in sent.replace(b'"}}]}\n\ndata: {"choices":[{"index":0,"delta":{"content":"', b"")


def test_who_says_nothing_of_the_time_is_not_observed() -> None:
    assert exchange(blocking("EMAIL"), observe_until=1e12).request(HEAD, chat(EMAIL)).gate is Gate.BLOCK


@pytest.mark.parametrize(
    "texts", [(f"{EMAIL} {SSN} x",), (f"{EMAIL} and ", "so on ", f"{SSN} x"), [*f"{EMAIL} {SSN} x"]]
)
def test_a_combination_is_seen_across_a_stream_as_in_a_whole_answer(texts: tuple[str, ...]) -> None:
    whole = exchange(TOGETHER)
    whole.request(HEAD, chat("hi", stream=True))
    assert whole.response(answer("".join(texts))).stop
    call = exchange(TOGETHER)
    call.request(HEAD, chat("hi", stream=True))
    sent, stopped = streamed(call, *texts)
    assert stopped
    assert SSN.encode() not in sent
    assert call.response_gate is Gate.BLOCK
    assert not streamed(exchange(TOGETHER), f"{EMAIL} {EMAIL} x")[1]


def test_the_score_of_a_stream_grows_as_it_passes() -> None:
    call = exchange(block_score=3)
    sent, stopped = streamed(call, f"{EMAIL} , ", f"{EMAIL} , ", f"{EMAIL} , ", f"{SSN} , end")
    assert stopped
    assert 1 <= sent.count(b"***") < 3  # how much passed before depends on what was held back
    assert SSN.encode() not in sent


def test_different_values_add_up_over_requests_even_when_they_are_blocked() -> None:
    limit = Rule(
        id="d",
        name="few cards",
        directions=BOTH,
        matcher=Matcher.DISTINCT,
        value="EMAIL",
        gate=Gate.BLOCK,
        at_least=3,
        window="day",
    )
    counter = OneRequest()
    around = Circumstances(distinct=counter)
    gates = [
        exchange(limit).request(HEAD, chat(f"{name}@example.com"), around).gate
        for name in ("a", "b", "a", "c", "a")
    ]
    assert gates == [Gate.ALLOW, Gate.ALLOW, Gate.ALLOW, Gate.BLOCK, Gate.BLOCK]
    assert exchange().request(HEAD, chat("d@example.com"), around).gate is Gate.ALLOW
    assert counter.estimate("EMAIL", "day") == 3, "policies that do not ask add nothing"


def test_a_policy_may_keep_findings_only() -> None:
    call = exchange(keeps_text=False)
    call.request(HEAD, chat(f"note {EMAIL}", stream=True))
    assert call.recorded is not None
    assert call.recorded.data == NOT_KEPT
    assert json.loads(call.recorded.marks)[0]["class"] == "EMAIL"
    assert b"note ***" in call.outgoing
    piece = call.response(answer(f"note {EMAIL}"))
    assert (piece.record.data, b"note ***" in piece.sent) == (NOT_KEPT, True)
    streaming = StreamExchange(call)
    pieces = [streaming.decode(chunk) for chunk in events(f"note {EMAIL}", " x")]
    assert {each.record.data for each in pieces} == {NOT_KEPT}
    assert any(b"***" in each.sent for each in pieces)
    assert any(b"EMAIL" in each.record.marks for each in pieces)


def test_the_score_says_what_it_is_made_of() -> None:
    verdict = exchange(rule("EMAIL", weight=7), count_cap=2).request(HEAD, chat(f"{EMAIL} " * 3 + CARD))
    assert [(part.points, part.text) for part in verdict.risk_parts] == [
        (7, "rule “about EMAIL”"),
        (2, "EMAIL: 2 (of 3) × 1"),
        (1, "CARD: 1 × 1"),
    ]
    assert verdict.risk == sum(part.points for part in verdict.risk_parts) == 10

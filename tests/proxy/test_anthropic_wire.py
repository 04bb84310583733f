"""Anthropic messages: what is text, what nobody here can read, and streams cut anywhere (P6)."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.proxy.exchange import Exchange, Unreadable
from gateway.proxy.streaming import StreamExchange
from gateway.proxy.wire.anthropic import CountTokens, Messages
from gateway.proxy.wire.base import ShapeError
from gateway.proxy.wire.sse import Decoder
from policies.engine.masker import Masker
from policies.engine.types import Direction, Gate, Verdict
from tests.proxy.test_streaming import cut, run, texts
from tests.proxy.world import API_KEY, CARD, EMAIL, HEAD, SSN, blocking, exchange, passing, policy

TOOL = {"name": "look", "input_schema": {"type": "object"}}


def request(**more: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **more}


def said_by(content: Any, **more: Any) -> dict[str, Any]:
    return request(messages=[{"role": "user", "content": content, **more}])


def ask(call: Exchange, body: dict[str, Any]) -> Verdict:
    return call.request(HEAD, json.dumps(body).encode())


# --- the request ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([], "not_an_object"),
        (request(model=""), "missing_model"),
        (request(model=7), "missing_model"),
        (request(messages=[]), "missing_messages"),
        (request(messages="hi"), "missing_messages"),
        (request(messages=["hi"]), "invalid_message"),
        (request(stream="yes"), "invalid_stream"),
        (said_by(7), "invalid_content"),
        (said_by([7]), "invalid_part"),
        (said_by([{"text": "no type"}]), "invalid_part"),
        (request(system={"text": "hi"}), "invalid_content"),
        (said_by([{"type": "tool_result", "content": {"a": 1}}]), "invalid_content"),
    ],
)
def test_another_shape_is_refused(body: Any, code: str) -> None:
    with pytest.raises(ShapeError) as refused:
        Messages().request(body)
    assert refused.value.code == code


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}


@pytest.mark.parametrize(
    ("body", "kind", "path"),
    [
        (said_by([IMAGE]), "image", ("messages", 0, "content", 0)),
        (said_by([PDF]), "file", ("messages", 0, "content", 0)),
        (
            said_by([{"type": "document", "source": {"type": "url", "url": "https://x"}}]),
            "file",
            ("messages", 0, "content", 0),
        ),
        (
            said_by([{"type": "document", "source": {"type": "content", "content": [IMAGE]}}]),
            "image",
            ("messages", 0, "content", 0, "source", "content", 0),
        ),
        (
            said_by([{"type": "tool_result", "tool_use_id": "t", "content": [IMAGE]}]),
            "image",
            ("messages", 0, "content", 0, "content", 0),
        ),
        (said_by([{"type": "redacted_thinking", "data": "x"}]), "unknown", ("messages", 0, "content", 0)),
        (said_by([{"type": "container_upload", "file_id": "f"}]), "file", ("messages", 0, "content", 0)),
        (
            said_by([{"type": "web_search_tool_result", "content": []}]),
            "hosted-tool",
            ("messages", 0, "content", 0),
        ),
        (said_by([{"type": "brand_new"}]), "unknown", ("messages", 0, "content", 0)),
        (request(tools=[TOOL, {"type": "web_search_20260318", "name": "w"}]), "hosted-tool", ("tools", 1)),
        (request(tools=[{"type": "brand_new_20300101"}]), "hosted-tool", ("tools", 0)),
        (request(tools=["x"]), "hosted-tool", ("tools", 0)),
        (request(mcp_servers=[{"url": "https://x"}]), "hosted-tool", ("mcp_servers",)),
        (request(container="c"), "hosted-tool", ("container",)),
    ],
)
def test_what_nobody_can_read_here_is_named(body: Any, kind: str, path: Any) -> None:
    assert [tuple(part) for part in Messages().request(body).opaque] == [(kind, path)]


@pytest.mark.parametrize(
    "body",
    [
        said_by([{"type": "text", "text": "a"}]),
        said_by([{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}}]),
        said_by([{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "a"}]}]),
        said_by([{"type": "tool_use", "id": "t", "name": "look", "input": {"a": "b"}}]),
        said_by([{"type": "thinking", "thinking": "hm", "signature": "short"}]),
        request(system=[{"type": "text", "text": "a"}]),
        request(tools=[TOOL, {**TOOL, "type": "custom"}, {"type": "bash_20250124", "name": "bash"}]),
        request(tools=[{"type": "text_editor_20250728"}, {"type": "computer_20250124"}]),
    ],
)
def test_text_and_the_callers_own_tools_are_not_opaque(body: Any) -> None:
    assert Messages().request(body).opaque == ()


def test_every_text_of_a_request_is_masked() -> None:
    call = exchange(wire=Messages())
    blocks = [
        {"type": "text", "text": f"mail {EMAIL}"},
        {"type": "tool_use", "id": "t", "name": "look", "input": {"card": CARD}},
        {"type": "tool_result", "tool_use_id": "t", "content": f"ssn {SSN}"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": EMAIL}},
    ]
    ask(call, request(system=f"of {EMAIL}", messages=[{"role": "user", "content": blocks}]))
    for raw in (EMAIL, CARD, SSN):
        assert raw.encode() not in call.outgoing
    assert call.verdict.counts == {"EMAIL": 3, "CARD": 1, "US_SSN": 1}
    assert call.recorded is not None and EMAIL.encode() not in call.recorded.data


def test_a_conversation_is_known_by_its_opening() -> None:
    later = [
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": "x"},
    ]
    first = Messages().request(request(system="be kind")).opening
    assert first == ("be kind", "hi")
    assert Messages().request(request(system="be kind", messages=later)).opening == first


def test_the_version_of_the_api_is_part_of_what_was_asked() -> None:
    one, other, unsaid = (exchange(wire=Messages()) for _ in range(3))
    body = json.dumps(request()).encode()
    one.request(HEAD._replace(version=b"2023-06-01"), body)
    other.request(HEAD._replace(version=b"2026-10-21"), body)
    unsaid.request(HEAD, body)
    assert len({one.request_hmac, other.request_hmac, unsaid.request_hmac}) == 3


def test_fields_are_tool_input_and_what_the_api_does_not_know() -> None:
    content = [{"type": "text", "text": "a"}, {"type": "tool_use", "input": {"a": 1}}]
    tree = request(metadata={"user_id": "u"}, messages=[{"role": "user", "content": content, "extra": 1}])
    assert set(Messages().structured(tree)) == {
        ("metadata",),
        ("messages", 0, "content", 1, "input"),
        ("messages", 0, "extra"),
    }


# --- the whole answer -------------------------------------------------------------------------------
def message(*content: dict[str, Any], **more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 5}
    envelope = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}
    return {**envelope, "content": [*content], "stop_reason": "end_turn", "usage": usage, **more}


def test_an_answer_is_masked_and_counted() -> None:
    call = exchange(wire=Messages())
    tool = {"type": "tool_use", "id": "t", "name": "look", "input": {"card": CARD, "n": 4111111111111111}}
    piece = call.response(json.dumps(message({"type": "text", "text": f"mail {EMAIL}"}, tool)).encode())
    answer = json.loads(piece.sent)
    assert answer["content"][0]["text"] == "mail ***"
    assert answer["content"][1]["input"] == {"card": "***", "n": "***"}
    assert (call.outcome.finish_reason, call.outcome.input_tokens, call.outcome.output_tokens) == (
        "end_turn",
        7,
        5,
    )


@pytest.mark.parametrize("body", [{}, {"content": "text"}, [], message({"no": "type"})])
def test_another_answer_is_refused(body: Any) -> None:
    with pytest.raises(Unreadable):
        exchange(wire=Messages()).response(json.dumps(body).encode())


def test_tokens_are_counted_and_not_spent() -> None:
    call = exchange(wire=CountTokens())
    assert call.response(b'{"input_tokens":12}').sent == b'{"input_tokens":12}'
    assert call.outcome.input_tokens is None
    for body in (b"{}", b"[]", b'{"input_tokens":"12"}'):
        with pytest.raises(Unreadable):
            exchange(wire=CountTokens()).response(body)
    with pytest.raises(ShapeError):
        CountTokens().request(request(stream=True))


# --- the stream -------------------------------------------------------------------------------------
Event = dict[str, Any]


def wire_bytes(*events: Event) -> bytes:
    return "".join(
        f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n" for event in events
    ).encode()


BEGIN: Event = {"type": "message_start", "message": message(stop_reason=None)}
DONE: list[Event] = [
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
    {"type": "message_stop"},
]


def start(index: int = 0, **block: Any) -> Event:
    block = block or {"type": "text", "text": ""}
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int = 0, kind: str = "text_delta", **more: Any) -> Event:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **more}}


def stop(index: int = 0) -> Event:
    return {"type": "content_block_stop", "index": index}


def spoken(pieces: list[str]) -> bytes:
    return wire_bytes(BEGIN, start(), *(delta(text=piece) for piece in pieces), stop(), *DONE)


def said(stream: bytes) -> dict[tuple[int, str], str]:
    """Text by block and member, as the SDK joins it; every event goes by the name of its type."""
    found: dict[tuple[int, str], str] = {}
    decoder = Decoder()
    for event in decoder.decode(stream) + decoder.flush():
        tree = json.loads(event.data)
        assert event.name == tree["type"]
        part = tree.get("content_block") or tree.get("delta") or {}
        for member, value in part.items():
            if isinstance(value, str) and member in ("text", "thinking", "partial_json", "signature"):
                key = tree["index"], member
                found[key] = found.get(key, "") + value
    return {key: value for key, value in found.items() if value}


def whole(text: str) -> str:
    return Masker(policy(), Direction.RESPONSE).text(text, "x").sent


@settings(max_examples=500, deadline=None)
@given(texts, st.data())
def test_any_split_of_text_and_bytes_gives_the_masked_whole(text: str, data: st.DataObject) -> None:
    edges = data.draw(st.lists(st.integers(0, len(text)), max_size=12))
    stream = spoken([text[begin:end] for begin, end in pairwise([0, *sorted(edges), len(text)])])
    byte_edges = data.draw(st.lists(st.integers(0, len(stream)), max_size=20))
    call = exchange(wire=Messages())
    sent, recorded, _ = run(call, cut(stream, byte_edges))
    assert said(sent).get((0, "text"), "") == whole(text)
    assert recorded == sent and call.outcome.whole


def test_single_bytes_and_nothing_raw() -> None:
    text = f"Card {CARD}, mail {EMAIL}; ssn {SSN}; key {API_KEY}! 日本語 😀 end"
    stream = spoken([text[at : at + 2] for at in range(0, len(text), 2)])
    sent, _, _ = run(exchange(wire=Messages()), [stream[at : at + 1] for at in range(len(stream))])
    assert said(sent) == {(0, "text"): whole(text)}


def test_text_that_a_block_begins_with_goes_on_in_its_deltas() -> None:
    stream = wire_bytes(BEGIN, start(type="text", text=CARD[:8]), delta(text=CARD[8:]), stop(), *DONE)
    sent, _, _ = run(exchange(wire=Messages()), [stream])
    assert said(sent) == {(0, "text"): "***"}


def test_blocks_and_kinds_of_text_do_not_mix() -> None:
    events = [BEGIN, start(type="thinking", thinking="", signature=""), start(1)]
    for left, right in zip(CARD, EMAIL.ljust(len(CARD)), strict=True):
        events += [delta(kind="thinking_delta", thinking=left), delta(1, text=right)]
    events += [delta(kind="signature_delta", signature="c2lnbmVk"), stop(), stop(1), *DONE]
    sent, _, _ = run(exchange(wire=Messages()), [wire_bytes(*events)])
    assert said(sent) == {
        (0, "thinking"): "***",
        (0, "signature"): "c2lnbmVk",
        (1, "text"): whole(EMAIL.ljust(len(CARD))),
    }


def test_tool_input_waits_until_it_is_json_and_stays_json() -> None:
    given_ = json.dumps({"card": CARD, "n": 4111111111111111, "to": [EMAIL]})
    parts = [
        delta(1, "input_json_delta", partial_json=given_[at : at + 3]) for at in range(0, len(given_), 3)
    ]
    tool = start(1, type="tool_use", id="t1", name="look", input={})
    none = start(2, type="tool_use", id="t2", name="now", input={})
    empty = delta(2, "input_json_delta", partial_json="")
    events = [BEGIN, tool, *parts, stop(1), none, empty, stop(2), *DONE]
    sent, _, _ = run(exchange(wire=Messages()), [wire_bytes(*events)])
    assert json.loads(said(sent)[1, "partial_json"]) == {"card": "***", "n": "***", "to": ["***"]}
    names = [event.name for event in Decoder().decode(sent)]
    assert names.index("content_block_delta") < names.index("content_block_stop")
    assert b'"t1"' in sent and b'"t2"' in sent and (2, "partial_json") not in said(sent)


def test_what_comes_whole_is_masked_whole() -> None:
    citation = {"type": "char_location", "cited_text": f"by {EMAIL}", "document_index": 0}
    stream = wire_bytes(BEGIN, start(), delta(kind="citations_delta", citation=citation), stop(), *DONE)
    sent, _, _ = run(exchange(wire=Messages()), [stream])
    assert b"by ***" in sent and EMAIL.encode() not in sent


def test_usage_pings_and_the_end_survive() -> None:
    call = exchange(wire=Messages())
    sent, _, _ = run(call, [wire_bytes(BEGIN, start(), {"type": "ping"}, delta(text="hi"), stop(), *DONE)])
    names = [event.name for event in Decoder().decode(sent)]
    assert names[0] == "message_start" and "ping" in names and names[-2:] == ["message_delta", "message_stop"]
    outcome = call.outcome
    assert (outcome.whole, outcome.finish_reason, outcome.input_tokens, outcome.output_tokens) == (
        True,
        "end_turn",
        7,
        9,
    )


def test_nothing_follows_the_end() -> None:
    sent, _, _ = run(exchange(wire=Messages()), [spoken(["a"]) + wire_bytes(start(1), delta(1, text="b"))])
    assert sent.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')


def test_a_stream_without_its_end_is_not_whole() -> None:
    call = exchange(wire=Messages())
    sent, _, _ = run(call, [wire_bytes(BEGIN, start(), delta(text=f"half {EMAIL}"))])
    assert not call.outcome.whole and EMAIL.encode() not in sent and b"message_stop" not in sent


def test_openais_end_is_not_anthropics() -> None:
    with pytest.raises(Unreadable):
        run(exchange(wire=Messages()), [wire_bytes(BEGIN) + b"data: [DONE]\n\n"])


def test_an_error_inside_the_stream_is_masked_and_ends_it() -> None:
    call = exchange(wire=Messages())
    failure = {"type": "error", "error": {"type": "overloaded_error", "message": f"by {EMAIL}"}}
    sent, _, _ = run(call, [wire_bytes(BEGIN, start(), delta(text="a"), failure, delta(text="after"))])
    assert call.outcome.failed and not call.outcome.whole
    assert b"event: error\n" in sent and b"by ***" in sent and b"after" not in sent


def test_a_rule_that_blocks_stops_before_the_unit_and_sends_no_end() -> None:
    stream = spoken(["all is well here, truly. ", "the card is ", CARD, " and more ", "and more"])
    parts = [stream[at : at + 5] for at in range(0, len(stream), 5)]
    sent, recorded, stopped = run(exchange(blocking("CARD"), wire=Messages()), parts)
    assert stopped
    assert b"4111" not in sent + recorded and b"and more" not in sent and b"message_stop" not in sent


def test_what_may_pass_is_masked_in_the_record() -> None:
    sent, recorded, _ = run(
        exchange(passing("EMAIL"), wire=Messages()), [spoken(["mail ", EMAIL, " now, ", "please do"])]
    )
    assert EMAIL in said(sent)[0, "text"] and EMAIL.encode() not in recorded
    assert next(event.name for event in Decoder().decode(recorded)) == "message_start"


REDACTED = start(1, type="redacted_thinking", data="b3BhcXVl")


def test_a_block_that_nobody_can_read_is_stopped_or_let_pass_by_the_policy() -> None:
    stream = wire_bytes(BEGIN, start(), delta(text="fine"), stop(), REDACTED, stop(1), *DONE)
    sent, recorded, stopped = run(exchange(wire=Messages()), [stream])
    assert stopped and b"fine" in sent and b"b3BhcXVl" not in sent + recorded
    sent, recorded, stopped = run(exchange(wire=Messages(), opaque_gate=Gate.ALLOW), [stream])
    assert not stopped and b"b3BhcXVl" in sent and b"b3BhcXVl" not in recorded
    assert b'{"opaque":"unknown"}' in recorded


@pytest.mark.parametrize(
    "events",
    [
        [{"type": "brand_new", "text": "x"}],
        [{"type": None}],
        [{"no": "type"}],
        [{"type": "content_block_start", "content_block": {"type": "text", "text": ""}}],
        [{"type": "content_block_start", "index": 0, "content_block": "text"}],
        [{"type": "content_block_start", "index": 0, "content_block": {"text": "x"}}],
        [start(), {"type": "content_block_delta", "index": 0, "delta": {"text": "no kind"}}],
        [start(), {"type": "content_block_delta", "index": "0", "delta": {"type": "text_delta"}}],
        [start(), {"type": "content_block_delta", "index": 0}],
        [start(), stop(), delta(text="after its end")],
        [{"type": "message_start", "message": message({"type": "text", "text": "full"})}],
        [{"type": "message_start"}],
    ],
)
def test_what_is_not_understood_stops_the_stream(events: list[Event]) -> None:
    stream = StreamExchange(exchange(wire=Messages()))
    with pytest.raises(Unreadable):
        for event in events:
            stream.decode(f"data: {json.dumps(event)}\n\n".encode())

"""A streamed answer cut anywhere gives the same masked text as the whole one (P6), and never leaks."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.proxy.exchange import Exchange, Unreadable
from gateway.proxy.streaming import StreamExchange
from gateway.proxy.wire.openai import ChatCompletions
from gateway.proxy.wire.sse import Decoder
from policies.engine.masker import Masker
from policies.engine.policy import Policy
from policies.engine.schema import Schema
from policies.engine.types import DataClass, Direction, Gate, KeyDetector, Level, PolicySpec, SchemaSpec
from tests.proxy.world import (
    API_KEY,
    CARD,
    EMAIL,
    HEAD,
    KEYS,
    SSN,
    blocking,
    chat,
    exchange,
    passing,
    policy,
    rule,
)

FRAGMENTS = [CARD, EMAIL, SSN, API_KEY, "10.0.0.1", "héllo", "日本語", "😀", " ", "\n", "and "]
FRAGMENTS += ["4111 ", "bob@", "123-"]
texts = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=8), max_size=12).map("".join)


def chunk(delta: dict[str, Any], *, finish: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    envelope = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**envelope, "choices": [choice], **more}


def wire_bytes(*chunks: dict[str, Any], done: bool = True) -> bytes:
    events = [json.dumps(item, ensure_ascii=False) for item in chunks] + ["[DONE]"] * done
    return "".join(f"data: {event}\n\n" for event in events).encode()


def content_stream(pieces: list[str]) -> bytes:
    first = chunk({"role": "assistant", "content": ""})
    return wire_bytes(first, *(chunk({"content": piece}) for piece in pieces), chunk({}, finish="stop"))


def run(call: Exchange, parts: list[bytes]) -> tuple[bytes, bytes, bool]:
    """All bytes sent, all bytes recorded, and whether a rule stopped it."""
    stream = StreamExchange(call)
    sent = recorded = b""
    for step in [*(lambda part=part: stream.decode(part) for part in parts), stream.flush]:
        piece = step()
        sent += piece.sent
        recorded += piece.record.data
        if piece.stop:
            return sent, recorded, True
    return sent, recorded, False


def said(stream: bytes) -> dict[Any, str]:
    """Text by channel, as a client would join it."""
    found: dict[Any, str] = defaultdict(str)
    decoder = Decoder()
    for event in decoder.decode(stream) + decoder.flush():
        if event.data == "[DONE]":
            continue
        for choice in json.loads(event.data).get("choices", []):
            for key, value in (choice.get("delta") or {}).items():
                if key == "tool_calls":
                    for item in value:
                        found[choice["index"], item["index"]] += item["function"].get("arguments", "")
                elif isinstance(value, str) and key != "role":
                    found[choice["index"], key] += value
    return {key: value for key, value in found.items() if value}


def whole(text: str) -> str:
    return Masker(policy(), Direction.RESPONSE).text(text, "x").sent


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(at), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@settings(max_examples=2000, deadline=None)
@given(texts, st.data())
def test_any_split_of_text_and_bytes_gives_the_masked_whole(text: str, data: st.DataObject) -> None:
    edges = data.draw(st.lists(st.integers(0, len(text)), max_size=12))
    pieces = [text[start:end] for start, end in pairwise([0, *sorted(edges), len(text)])]
    stream = content_stream(pieces)
    byte_edges = data.draw(st.lists(st.integers(0, len(stream)), max_size=20))
    sent, recorded, _ = run(exchange(), cut(stream, byte_edges))
    assert said(sent).get((0, "content"), "") == whole(text)
    assert recorded == sent


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_pieces_of_a_few_characters_in_single_bytes(size: int) -> None:
    text = f"Card {CARD}, mail {EMAIL}; ssn {SSN}; key {API_KEY}! 日本語 😀 10.0.0.1 end"
    stream = content_stream([text[at : at + size] for at in range(0, len(text), size)])
    sent, _, _ = run(exchange(), [stream[at : at + 1] for at in range(len(stream))])
    assert said(sent)[0, "content"] == whole(text)
    for raw in (CARD, EMAIL, SSN, API_KEY):
        assert raw not in said(sent)[0, "content"]


def test_every_two_way_cut_of_the_bytes() -> None:
    text = f"a {CARD} b {EMAIL} ü😀"
    stream = content_stream([text[:7], text[7:12], text[12:]])
    expected, _, _ = run(exchange(), [stream])
    for at in range(len(stream)):
        sent, _, _ = run(exchange(), [stream[:at], stream[at:]])
        assert said(sent) == said(expected) == {(0, "content"): whole(text)}


def test_choices_and_kinds_of_text_do_not_mix() -> None:
    chunks = []
    for left, right in zip(CARD, EMAIL.ljust(len(CARD)), strict=True):
        chunks += [chunk({"content": left, "reasoning_content": right}), chunk({"content": right}, index=1)]
    chunks += [chunk({}, finish="stop"), chunk({}, finish="stop", index=1)]
    sent, _, _ = run(exchange(), [wire_bytes(*chunks)])
    assert said(sent) == {
        (0, "content"): "***",
        (0, "reasoning_content"): whole(EMAIL.ljust(len(CARD))),
        (1, "content"): whole(EMAIL.ljust(len(CARD))),
    }


def tool(index: int, arguments: str, **more: Any) -> dict[str, Any]:
    return chunk({"tool_calls": [{"index": index, "function": {"arguments": arguments}, **more}]})


def test_tool_arguments_wait_until_they_are_json_and_stay_json() -> None:
    one, two = json.dumps({"card": CARD, "n": 4111111111111111}), json.dumps({"to": [EMAIL]})
    chunks = [chunk({"role": "assistant", "content": None}), tool(0, "", id="call_1", type="function")]
    chunks += [tool(0, one[at : at + 3]) for at in range(0, len(one), 3)]
    chunks += [tool(1, "", id="call_2", type="function")]
    chunks += [tool(1, two[at : at + 3]) for at in range(0, len(two), 3)]
    sent, _, _ = run(exchange(), [wire_bytes(*chunks, chunk({}, finish="tool_calls"))])
    spoken = said(sent)
    assert json.loads(spoken[0, 0]) == {"card": "***", "n": "***"}
    assert json.loads(spoken[0, 1]) == {"to": ["***"]}
    assert b"call_1" in sent and b"call_2" in sent


def test_text_comes_before_the_reason_it_ended() -> None:
    sent, _, _ = run(exchange(), [wire_bytes(chunk({"content": "the end"}, finish="length"))])
    events = [json.loads(event.data) for event in Decoder().decode(sent) if event.data != "[DONE]"]
    assert events[-1]["choices"][0]["finish_reason"] == "length"
    assert events[-1]["choices"][0]["delta"]["content"] == ""
    assert said(sent) == {(0, "content"): "the end"}
    assert sum(event["choices"][0]["finish_reason"] == "length" for event in events) == 1


def test_usage_ids_and_the_end_survive() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    last = {**chunk({}), "choices": [], "usage": usage}
    call = exchange()
    sent, _, _ = run(call, [content_stream(["hi"]).replace(b"data: [DONE]\n\n", b"") + wire_bytes(last)])
    assert json.loads(Decoder().decode(sent)[-2].data)["usage"] == usage
    assert sent.endswith(b"data: [DONE]\n\n")
    assert b'"id":"c1"' in sent
    outcome = call.outcome
    assert (outcome.whole, outcome.finish_reason, outcome.input_tokens, outcome.output_tokens) == (
        True,
        "stop",
        5,
        7,
    )


def test_a_stream_without_its_end_is_not_whole_and_says_so() -> None:
    call = exchange()
    sent, _, _ = run(call, [wire_bytes(chunk({"content": f"half {EMAIL}"}), done=False)])
    assert not call.outcome.whole
    assert b"[DONE]" not in sent
    assert EMAIL.encode() not in sent


def test_an_error_inside_the_stream_is_masked_and_ends_it() -> None:
    call = exchange()
    failure = {"error": {"message": f"overloaded by {EMAIL}"}}
    sent, _, _ = run(call, [wire_bytes(chunk({"content": "a"}), failure, chunk({"content": "after"}))])
    assert call.outcome.failed
    assert b"overloaded by ***" in sent and b"after" not in sent and b"[DONE]" not in sent


def test_a_rule_that_blocks_stops_before_the_unit_and_sends_no_end() -> None:
    stream = content_stream(["all is well here, truly. ", "the card is ", CARD, " and more ", "and more"])
    sent, recorded, stopped = run(
        exchange(blocking("CARD")), [stream[at : at + 5] for at in range(0, len(stream), 5)]
    )
    assert stopped
    assert b"4111" not in sent + recorded and b"and more" not in sent and b"[DONE]" not in sent
    assert "all is well here" in "".join(said(sent).values())


def test_what_may_pass_is_masked_in_the_record() -> None:
    sent, recorded, _ = run(
        exchange(passing("EMAIL")), [content_stream(["mail ", EMAIL, " now, ", "please do"])]
    )
    assert said(sent)[0, "content"] == f"mail {EMAIL} now, please do"
    assert said(recorded)[0, "content"] == "mail [EMAIL] now, please do"


def test_the_envelope_is_masked_too() -> None:
    sent, recorded, _ = run(
        exchange(), [wire_bytes({**chunk({"content": "x"}), "system_fingerprint": EMAIL})]
    )
    assert EMAIL.encode() not in sent + recorded


def test_what_every_event_repeats_counts_once() -> None:
    call = exchange(rule("EMAIL", gate=Gate.FLAG))
    events = [chunk({"content": "a"}, id="bob@example.com") for _ in range(9)]
    run(call, [wire_bytes(*events, chunk({"content": "b"}, id="eve@example.com"), chunk({}, finish="stop"))])
    assert call.counts == {"EMAIL": 2}
    assert call.response_reasons == ("EMAIL found; rule “about EMAIL” flags the call.",)


@pytest.mark.parametrize(
    "data",
    [
        b"data: not json\n\n",
        b"data: []\n\n",
        b'data: {"choices": 7}\n\n',
        b'data: {"choices": [{"index": 0, "delta": "x"}]}\n\n',
        b'data: {"a": 1, "a": 2}\n\n',
        b"data: \xff\n\n",
    ],
)
def test_what_is_not_understood_stops_the_stream(data: bytes) -> None:
    with pytest.raises(Unreadable):
        run(exchange(), [content_stream(["fine"]).replace(b"data: [DONE]\n\n", b""), data])


def test_channels_are_bounded() -> None:
    many = [chunk({f"k{number}": "x"}) for number in range(600)]
    with pytest.raises(Unreadable):
        run(exchange(), [wire_bytes(*many)])


def test_an_empty_finish_reason_ends_nothing() -> None:
    """Some servers send it with every event."""
    pieces = ["card 4111 11", "11 1111 1111", " bob@exa", "mple.com"]
    stream = wire_bytes(*(chunk({"content": piece}, finish="") for piece in pieces), chunk({}, finish="stop"))
    sent, recorded, _ = run(exchange(), [stream])
    assert said(sent) == said(recorded) == {(0, "content"): whole("".join(pieces))}


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_text_after_the_end_is_refused(finish: str) -> None:
    stream = wire_bytes(chunk({"content": "bob@exa"}, finish=finish), chunk({"content": "mple.com"}))
    with pytest.raises(Unreadable, match="after its end"):
        run(exchange(), [stream])


def test_a_field_rule_over_streamed_text_refuses_the_stream() -> None:
    """A stream cannot wait for the field to be complete, and must not pass it."""
    hidden = DataClass(
        slug="H", name="H", level=Level.RESTRICTED, detectors=(KeyDetector(names=("reasoning_content",)),)
    )
    schema = Schema(SchemaSpec(version_id="s", number=1, name="s", classes=(hidden,)), {})
    spec = PolicySpec(version_id="p", number=1, name="p", rules=())
    call = Exchange(Policy(spec, schema), ChatCompletions(), KEYS)
    with pytest.raises(Unreadable, match="rule about fields"):
        run(call, [wire_bytes(chunk({"reasoning_content": "hush"}))])


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_values_of_an_answer_can_be_traced_like_those_of_a_request(size: int) -> None:
    """In text, in tool arguments and beside them; each once, and the same digest as of a request."""
    asking = exchange()
    asking.request(HEAD, chat(f"{CARD} and {EMAIL}"))
    call = exchange()
    call.request(HEAD, chat("hello"))
    data = wire_bytes(
        chunk({"content": f"your card {CARD[:9]}"}),
        chunk({"content": f"{CARD[9:]}, I repeat: {CARD}. "}),
        tool(0, json.dumps({"to": EMAIL})),
        chunk({}, finish="stop"),
    )
    run(call, [data[at : at + size] for at in range(0, len(data), size)])
    assert sorted(call.met) == sorted(asking.fingerprints)


def test_values_of_a_whole_answer_can_be_traced() -> None:
    asking, call = exchange(), exchange()
    asking.request(HEAD, chat(CARD))
    call.request(HEAD, chat("hello"))
    call.response(json.dumps({"choices": [{"index": 0, "message": {"content": CARD}}]}).encode())
    assert tuple(call.met) == asking.fingerprints

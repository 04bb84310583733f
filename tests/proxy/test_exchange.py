"""Bytes in, verdict and masked bytes out: one call as a pure object."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.proxy.admission import RequestHead
from gateway.proxy.exchange import Exchange, Head, Unreadable
from gateway.proxy.wire.base import Slot
from gateway.proxy.wire.openai import ChatCompletions
from gateway.proxy.wire.plain import PlainJson
from policies.engine.candidate import Candidate
from policies.engine.masker import Masker
from policies.engine.policy import Policy
from policies.engine.schema import Schema
from policies.engine.types import (
    DataClass,
    Direction,
    Gate,
    KeyDetector,
    Level,
    PolicySpec,
    SchemaSpec,
    Style,
)
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
    rule,
)

ALL = f"card {CARD}, mail {EMAIL}, ssn {SSN}, key {API_KEY}"


def positions() -> dict[str, bytes]:
    """Every place of a chat request in which text can hide."""
    tool = {"id": "1", "type": "function", "function": {"name": "f", "arguments": json.dumps({"q": ALL})}}
    definition = {"type": "function", "function": {"name": "f", "description": ALL, "parameters": {}}}
    message: dict[str, dict[str, Any]] = {
        "system": {"role": "system", "content": ALL},
        "developer": {"role": "developer", "content": ALL},
        "user": {"role": "user", "content": ALL},
        "parts": {"role": "user", "content": [{"type": "text", "text": ALL}]},
        "assistant": {"role": "assistant", "content": ALL},
        "tool call": {"role": "assistant", "content": None, "tool_calls": [tool]},
        "function call": {"role": "assistant", "function_call": {"name": "f", "arguments": ALL}},
        "tool result": {"role": "tool", "tool_call_id": "1", "content": ALL},
        "refusal": {"role": "assistant", "refusal": ALL},
        "name": {"role": "user", "name": ALL, "content": "hi"},
    }
    bodies = {
        name: json.dumps({"model": "m", "messages": [value]}).encode() for name, value in message.items()
    }
    return bodies | {
        "user field": chat("hi", user=ALL),
        "metadata": chat("hi", metadata={"note": ALL}),
        "metadata key": chat("hi", metadata={ALL: "x"}),
        "tool definition": chat("hi", tools=[definition]),
        "stop": chat("hi", stop=[ALL]),
        "unknown field": chat("hi", novelty={"deep": [[{"er": ALL}]]}),
        "number": chat("hi", metadata={"n": 4111111111111111}),
    }


@pytest.mark.parametrize("name", positions())
def test_text_is_masked_wherever_it_sits(name: str) -> None:
    call = exchange()
    verdict = call.request(HEAD, positions()[name])
    assert verdict.masked
    for raw in (CARD, EMAIL, SSN, API_KEY, "4111111111111111"):
        assert raw.encode() not in call.outgoing
        assert call.recorded and raw.encode() not in call.recorded.data + call.recorded.marks
    json.loads(call.outgoing)


def test_masked_tool_arguments_are_still_json() -> None:
    call = exchange()
    call.request(HEAD, positions()["tool call"])
    arguments = json.loads(call.outgoing)["messages"][0]["tool_calls"][0]["function"]["arguments"]
    assert "***" in json.loads(arguments)["q"]


def test_what_goes_out_is_a_fresh_serialisation() -> None:
    call = exchange()
    call.request(
        HEAD, b'{ "model" : "m",\n "messages":[{"role":"user","content":"h\\u0069"}], "seed": 1.10 }'
    )
    assert call.outgoing == b'{"model":"m","messages":[{"role":"user","content":"hi"}],"seed":1.10}'


def test_numbers_beyond_64_bits_arrive_as_written() -> None:
    call = exchange()
    call.request(HEAD, chat("hi").replace(b'"model"', b'"seed": 123456789012345678901234567890, "model"'))
    assert b'"seed":123456789012345678901234567890' in call.outgoing


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b'{"model": "m"} x', "invalid_json"),
        (b'{"model": "m", "model": "n"}', "duplicate_key"),
        (b'{"model": NaN}', "not_finite"),
        (b'{"model": "\\ud800"}', "lone_surrogate"),
        (b'{"model": "\xff"}', "invalid_utf8"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "too_deep"),
        (b"[" * 100_000, "too_deep"),
        (b'{"messages": []}', "missing_model"),
    ],
)
def test_what_cannot_be_read_is_refused_without_quoting_it(body: bytes, code: str) -> None:
    with pytest.raises(Unreadable) as refusal:
        exchange().request(HEAD, body)
    assert refusal.value.code == code
    assert refusal.value.__cause__ is None


def test_the_strictest_rule_decides() -> None:
    call = exchange(rule("EMAIL", gate=Gate.HOLD), blocking("US_SSN"))
    assert call.request(HEAD, chat(EMAIL)).gate is Gate.HOLD
    assert call.request(HEAD, chat(f"{EMAIL} {SSN}")).gate is Gate.BLOCK


def test_a_class_that_may_pass_is_masked_in_the_record_all_the_same() -> None:
    call = exchange(passing("EMAIL"))
    call.request(HEAD, chat(f"mail {EMAIL}"))
    assert EMAIL.encode() in call.outgoing
    assert call.recorded and EMAIL.encode() not in call.recorded.data


def test_opaque_content_is_blocked_and_not_kept() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0KGgo" * 60}}
    call = exchange()
    verdict = call.request(HEAD, chat([{"type": "text", "text": EMAIL}, image]))
    assert verdict.gate is Gate.BLOCK
    assert call.recorded and b"iVBOR" not in call.recorded.data
    assert EMAIL.encode() not in call.recorded.data


def test_base64_in_an_ordinary_string_is_opaque() -> None:
    assert exchange().request(HEAD, chat("aGVsbG8gd29ybGQK" * 40)).gate is Gate.BLOCK


def test_opaque_content_passes_only_where_the_policy_says_so_and_is_still_not_kept() -> None:
    blob = "aGVsbG8gd29ybGQK" * 40
    call = exchange(opaque_gate=Gate.ALLOW)
    assert call.request(HEAD, chat(blob)).gate is Gate.ALLOW
    assert blob.encode() in call.outgoing
    assert call.recorded and blob.encode() not in call.recorded.data


def test_the_request_is_bound_to_its_original_not_to_its_masked_form() -> None:
    first, second, other = exchange(), exchange(), exchange()
    first.request(HEAD, chat(EMAIL))
    second.request(HEAD, chat("eve@example.com"))
    other.request(Head("POST", "/proxy/other/v1/chat/completions"), chat(EMAIL))
    assert first.outgoing == second.outgoing
    assert len({first.request_hmac, second.request_hmac, other.request_hmac}) == 3


def test_the_same_value_has_the_same_fingerprint_however_it_is_written() -> None:
    first, second = exchange(), exchange()
    first.request(HEAD, chat(f"my card: {CARD}"))
    second.request(HEAD, chat(f"{CARD.replace(' ', '-')} is it"))
    assert first.fingerprints == second.fingerprints
    assert [name for name, _ in first.fingerprints] == ["CARD"]


def test_calls_of_one_conversation_share_a_hint_and_others_do_not() -> None:
    first, later, other = exchange(), exchange(), exchange()
    first.request(HEAD, chat("hello"))
    messages = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "x"}]
    later.request(HEAD, json.dumps({"model": "m", "messages": messages}).encode())
    other.request(HEAD, chat("good day"))
    assert first.session_hint == later.session_hint != other.session_hint


def test_a_path_with_something_to_mask_is_not_clean() -> None:
    assert exchange().path_is_clean("/classify/v2")
    assert not exchange().path_is_clean(f"/classify/{EMAIL}")


def answer(content: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    return json.dumps({"id": "x", "choices": [choice], "usage": usage}).encode()


def test_the_answer_is_masked_and_its_usage_survives() -> None:
    call = exchange()
    call.request(HEAD, chat("hi"))
    piece = call.response(answer(f"it is {CARD}"))
    body = json.loads(piece.sent)
    assert body["choices"][0]["message"]["content"] == "it is ***"
    assert body["usage"]["total_tokens"] == 12
    assert CARD.encode() not in piece.record.data
    assert (call.outcome.finish_reason, call.outcome.input_tokens, call.outcome.output_tokens) == (
        "stop",
        5,
        7,
    )
    assert dict(call.counts) == {"CARD": 1}


def test_an_answer_that_a_rule_blocks_is_kept_from_the_client() -> None:
    call = exchange(blocking("CARD"))
    piece = call.response(answer(f"it is {CARD}"))
    assert piece.stop and piece.sent == b""


@pytest.mark.parametrize("body", [b"not json", b"{}", b'{"choices": 1}', answer([{"no": "type"}])])
def test_an_answer_of_another_shape_is_refused(body: bytes) -> None:
    with pytest.raises(Unreadable):
        exchange().response(body)


def test_an_error_document_needs_no_shape_but_is_masked() -> None:
    piece = exchange().error_response(json.dumps({"error": {"message": f"no {EMAIL}"}}).encode())
    assert json.loads(piece.sent) == {"error": {"message": "no ***"}}


def test_any_json_is_masked_by_key_string_and_number() -> None:
    call = exchange(wire=PlainJson())
    body = {"inputs": [{"text": EMAIL, "card": 4111111111111111, "ok": True, "nothing": None}]}
    call.request(HEAD, json.dumps(body).encode())
    assert json.loads(call.outgoing) == {
        "inputs": [{"text": "***", "card": "***", "ok": True, "nothing": None}]
    }


@pytest.mark.parametrize("body", [b"7", b'"text"', b"null"])
def test_a_bare_scalar_is_no_request(body: bytes) -> None:
    with pytest.raises(Unreadable):
        exchange(wire=PlainJson()).request(HEAD, body)


def test_removed_text_leaves_no_trace() -> None:
    call = exchange(rule("EMAIL", transform=Style.REMOVE), wire=PlainJson())
    call.request(HEAD, json.dumps({"a": f"x {EMAIL} y"}).encode())
    assert EMAIL.encode() not in call.outgoing


def test_keys_do_not_print() -> None:
    assert "r" * 8 not in repr(KEYS)


def with_rule_about_passwords() -> Exchange:
    password = DataClass(
        slug="PW", name="PW", level=Level.RESTRICTED, detectors=(KeyDetector(names=("password",)),)
    )
    schema = Schema(SchemaSpec(version_id="s", number=1, name="s", classes=(password,)), {})
    spec = PolicySpec(version_id="p", number=1, name="p", rules=(), opaque_gate=Gate.ALLOW)
    return Exchange(Policy(spec, schema), ChatCompletions(), KEYS)


def asking_a_tool(arguments: str, *parts: dict[str, Any]) -> bytes:
    function = {"name": "f", "arguments": arguments}
    calls = [{"id": "1", "type": "function", "function": function}]
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "hi"}, *parts]},
        {"role": "assistant", "content": None, "tool_calls": calls},
    ]
    return json.dumps({"model": "m", "messages": messages}).encode()


def test_the_record_masks_tool_arguments_beside_an_image_too() -> None:
    call = with_rule_about_passwords()
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    call.request(HEAD, asking_a_tool('{"password":"hunter2"}', image))
    assert b"hunter2" not in call.outgoing
    assert call.recorded is not None and b"hunter2" not in call.recorded.data


@pytest.mark.parametrize(
    "arguments",
    ['{"password":"hunter2","to":"x', '{"password":"hunter2",}', '{"password":1,"password":"hunter2"}'],
)
def test_arguments_that_are_half_a_document_are_refused(arguments: str) -> None:
    with pytest.raises(Unreadable) as refused:
        with_rule_about_passwords().request(HEAD, asking_a_tool(arguments))
    assert refused.value.code == "broken_arguments"


def test_the_end_is_told_in_the_apis_own_words_only() -> None:
    call = exchange()
    choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": CARD}
    call.response(json.dumps({"choices": [choice]}).encode())
    assert call.outcome.finish_reason == ""


@pytest.mark.parametrize("text", ["DATA:image/png;BASE64," + "iVBOR" * 200, " " + "aB3/" * 200 + " "])
def test_encoded_content_is_opaque_however_it_is_written(text: str) -> None:
    assert exchange().request(HEAD, chat(text)).gate is Gate.BLOCK


def test_an_opaque_model_name_is_not_recorded() -> None:
    call = exchange()
    call.request(HEAD, chat("hi", model="aB3/" * 200))
    assert call.model == ""


def test_values_of_a_call_print_nothing_of_it() -> None:
    """What lands in a traceback or a log line by mistake is harmless."""
    call = exchange(passing("EMAIL"))
    call.request(HEAD, chat(f"mail {EMAIL}"))
    head = RequestHead("POST", "/", {b"authorization": b"Bearer pst_key"}, "127.0.0.1")
    slot = Slot({"content": EMAIL}, "content", (0, "content"))
    masked = Masker(call.policy, Direction.REQUEST).text(EMAIL, "x")
    piece = call.response(json.dumps({"choices": [{"message": {"content": EMAIL}}]}).encode())
    values = (head, slot, call.shape, Candidate(EMAIL, EMAIL, ""), piece, call.recorded, masked.findings)
    assert EMAIL not in repr(values) and "pst_key" not in repr(values)

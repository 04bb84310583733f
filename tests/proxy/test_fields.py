"""Unclassified fields in the exchange: who asks for them, and where each API holds fields."""

from __future__ import annotations

import json
from typing import Any
from unittest import mock

import pytest

from gateway.proxy import exchange as module
from gateway.proxy.exchange import Exchange, Unreadable
from gateway.proxy.wire.anthropic import Messages
from gateway.proxy.wire.openai import ChatCompletions
from gateway.proxy.wire.plain import PlainJson
from policies.engine.errors import MaskError
from policies.engine.policy import Policy
from policies.engine.schema import Schema
from policies.engine.types import (
    DataClass,
    Gate,
    KeyDetector,
    Level,
    Matcher,
    PolicySpec,
    SchemaSpec,
    Verdict,
)
from policies.library.recognisers import LIBRARY

from .world import EMAIL, HEAD, KEYS, chat, exchange, policy, rule

HOLD = rule("", matcher=Matcher.UNCLASSIFIED, gate=Gate.HOLD)


def judged(body: bytes, *rules: Any, **more: Any) -> tuple[Exchange, Verdict]:
    call = exchange(*rules, **more)
    return call, call.request(HEAD, body)


def plain(document: Any) -> bytes:
    return json.dumps(document).encode()


def test_a_rule_about_unclassified_fields_sees_them() -> None:
    call, verdict = judged(plain({"customer": {"note": "tea", "mail": EMAIL}}), HOLD, wire=PlainJson())
    assert [field.path for field in call.fields] == ["customer.note"]
    assert verdict.gate is Gate.HOLD and "customer.note" in verdict.reasons[0].text


def test_a_rule_about_one_branch_leaves_the_others_alone() -> None:
    about = rule("patient", matcher=Matcher.UNCLASSIFIED, gate=Gate.BLOCK)
    _, verdict = judged(plain({"customer": {"note": "tea"}}), about, wire=PlainJson())
    assert verdict.gate is Gate.ALLOW


def test_a_rule_about_one_branch_is_not_lost_in_a_crowd() -> None:
    about = rule("patient", matcher=Matcher.UNCLASSIFIED, gate=Gate.BLOCK)
    words = [a + b for a in "abcdefghijklmnopqrstuvwxyz" for b in "ab"]
    crowd = [{one: {other: 1}, other: 1} for one in words for other in words[:20] if one != other]
    _, verdict = judged(plain({"crowd": crowd, "patient": {"note": "x"}}), about, wire=PlainJson())
    assert verdict.gate is Gate.BLOCK


def test_who_does_not_ask_does_not_pay() -> None:
    with mock.patch.object(module, "unclassified") as looked:
        judged(plain({"note": "tea"}), rule("EMAIL", gate=Gate.FLAG), wire=PlainJson())
    assert not looked.called


def test_a_call_that_is_listed_is_judged_like_any_other() -> None:
    body = plain({"note": "tea", "mail": EMAIL})
    listed = Exchange(policy(), PlainJson(), KEYS)
    listed.lists_fields = True
    assert listed.request(HEAD, body) == judged(body, wire=PlainJson())[1]
    assert [field.path for field in listed.fields] == ["note"]


def test_fields_that_cannot_be_told_stop_a_call_only_where_a_rule_asks() -> None:
    with mock.patch.object(module, "unclassified", side_effect=MaskError("too_many_findings")):
        listed = Exchange(policy(), PlainJson(), KEYS)
        listed.lists_fields = True
        assert listed.request(HEAD, plain({"note": "tea"})).gate is Gate.ALLOW
        with pytest.raises(Unreadable):
            judged(plain({"note": "tea"}), HOLD, wire=PlainJson())


def called(arguments: str) -> dict[str, Any]:
    function = {"name": "book", "arguments": arguments}
    return {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": function}]}


@pytest.mark.parametrize(
    ("more", "paths"),
    [
        ({}, []),
        ({"temperature": 0.5, "user": "u", "response_format": {"type": "json_object"}}, []),
        ({"metadata": {"ticket": "A1"}, "chatter": {"x": 1}}, ["metadata.ticket", "chatter.x"]),
        (
            {"messages": [{"role": "user", "content": '{"age": 3}', "mood": "good"}]},
            ["messages[*].mood"],
        ),
        (
            {"messages": [called('{"to": {"room": 7}}'), {"role": "tool", "content": '{"ok": true}'}]},
            ["messages[*].tool_calls[*].function.arguments.*.to.room"],
        ),
    ],
)
def test_a_chat_holds_fields_in_tool_arguments_and_in_what_the_api_does_not_know(
    more: dict[str, Any], paths: list[str]
) -> None:
    call, _ = judged(chat("hello", **more), HOLD)
    assert [field.path for field in call.fields] == paths


# --- what tools return --------------------------------------------------------------------------------
RESULT = {"patient": {"mrn": "A-778821", "ward": "north"}, "n": 1.50}
MRN = DataClass(slug="MRN", name="MRN", level=Level.RESTRICTED, detectors=(KeyDetector(names=("mrn",)),))


def with_records() -> Policy:
    known = Schema(SchemaSpec(version_id="s", number=1, name="test", classes=(MRN,)), LIBRARY)
    return Policy(PolicySpec(version_id="p", number=1, name="test", rules=()), known)


def openai_result(content: Any) -> dict[str, Any]:
    called = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "look her up"},
        {"role": "assistant", "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c1", "content": content},
    ]
    return {"model": "m", "messages": messages}


def anthropic_result(content: Any) -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": "t1", "content": content}
    return {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [block]}]}


@pytest.mark.parametrize(
    ("wire", "body"), [(ChatCompletions(), openai_result), (Messages(), anthropic_result)]
)
@pytest.mark.parametrize("parts", [False, True], ids=["text", "parts"])
def test_field_rules_reach_into_what_a_tool_returned(wire: Any, body: Any, parts: bool) -> None:
    text = json.dumps(RESULT)
    call = Exchange(with_records(), wire, KEYS)
    call.request(HEAD, json.dumps(body([{"type": "text", "text": text}] if parts else text)).encode())
    assert call.recorded is not None
    assert b"A-778821" not in call.outgoing and b"A-778821" not in call.recorded.data
    assert b"north" in call.outgoing and b"1.5" in call.outgoing


@pytest.mark.parametrize("text", ["[INFO] mrn A-1", '{"mrn": "A-778', "", "{}", '"mrn"', "\ud800"])
def test_what_only_begins_like_a_document_is_text(text: str) -> None:
    tree = openai_result(text)
    assert ChatCompletions().request(tree).embedded == (
        ("messages", 1, "tool_calls", 0, "function", "arguments"),
        *([("messages", 2, "content")] if text == "{}" else []),
    )

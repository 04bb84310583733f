"""Which rules flagged a call, in either direction, is told by its close."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gateway.proxy.exchange import Exchange
from gateway.proxy.ledger import Ledger
from policies.engine.types import Direction, Gate
from tests.proxy.test_streaming import content_stream, run
from tests.proxy.world import CARD, EMAIL, HEAD, chat, exchange, rule


def told(call: Exchange) -> Mapping[str, Any]:
    """The further facts of the call's close, but for what was looked at."""
    ledger = Ledger()
    ledger.exchange = call
    extra = ledger.close("", complete=True, status=200).extra
    return {name: said for name, said in extra.items() if name != "looked"}


def answer(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    return json.dumps({"model": "m", "choices": [{"index": 0, "message": message}]}).encode()


def test_a_rule_that_flags_the_request_is_named() -> None:
    call = exchange(rule("EMAIL", gate=Gate.FLAG))
    call.request(HEAD, chat(EMAIL))
    assert told(call) == {"request_flags": {"email": "about EMAIL"}}


def test_rules_that_flag_the_response_are_named_with_the_highest_level_found() -> None:
    call = exchange(rule("EMAIL", gate=Gate.FLAG), rule("CARD", gate=Gate.FLAG))
    call.request(HEAD, chat("hello"))
    run(call, [content_stream([f"mail {EMAIL} and then ", *["text " * 20] * 9, f"card {CARD}."])])
    said = told(call)
    assert said["response_flags"] == {"email": "about EMAIL", "card": "about CARD"}
    assert said["response_highest"] == "restricted"
    assert "request_flags" not in said


def test_what_is_stopped_is_not_flagged_as_well() -> None:
    call = exchange(rule("EMAIL", gate=Gate.FLAG), rule("CARD", gate=Gate.BLOCK))
    call.request(HEAD, chat(f"{EMAIL} {CARD}"))
    call.response(answer(f"{EMAIL} {CARD}"))
    assert {name for name in told(call) if "flags" in name} == set()


def test_a_request_that_was_flagged_stays_so_when_its_answer_is_stopped() -> None:
    stops = rule("CARD", gate=Gate.BLOCK, directions=frozenset({Direction.RESPONSE}))
    call = exchange(rule("EMAIL", gate=Gate.FLAG), stops)
    call.request(HEAD, chat(EMAIL))
    call.response(answer(CARD))
    assert told(call)["request_flags"] == {"email": "about EMAIL"}
    assert "response_flags" not in told(call)


def test_a_call_that_nothing_is_said_of_costs_nothing_more() -> None:
    call = exchange(rule("EMAIL", gate=Gate.FLAG))
    call.request(HEAD, chat("hello"))
    call.response(answer("hello"))
    assert told(call) == {}

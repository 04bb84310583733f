"""What an answer repeats of the secret that its request carried is masked, however written or cut (P17)."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.credentials.placing import basic, in_body, in_header, in_query
from gateway.credentials.secret import Secret
from gateway.proxy.echo import NO_ECHO, Echo, echo_of, spellings
from gateway.proxy.streaming import StreamExchange
from tests.proxy.world import HEAD, chat, exchange

SECRET = 'sk-can"ary/0123456789+='


def echo(plain: str = SECRET) -> Echo:
    return echo_of(in_header("Authorization", "Bearer", Secret(plain)))


@pytest.mark.parametrize("spelling", sorted(set(spellings(Secret(SECRET)))))
def test_every_spelling_of_it_is_masked(spelling: str) -> None:
    body = json.dumps({"said": f"you sent {spelling}!", spelling: [spelling]}).encode()
    found = echo()
    masked = found.masked(body)
    assert json.loads(masked) == {"said": "you sent ***!", "***": ["***"]} and found.found


def test_a_basic_header_is_masked_as_a_whole_and_by_its_password() -> None:
    placed = basic("svc", Secret("pass-word-1234"))
    token = base64.b64encode(b"svc:pass-word-1234").decode()
    masked = echo_of(placed).masked(json.dumps({"a": f"Basic {token}", "b": "pass-word-1234"}).encode())
    assert json.loads(masked) == {"a": "Basic ***", "b": "***"}


def test_unicode_escapes_and_numbers_hide_nothing() -> None:
    escaped = "".join(f"\\u{ord(each):04x}" for each in "sk-0123456789")
    assert json.loads(echo("sk-0123456789").masked(f'{{"a": "{escaped}"}}'.encode())) == {"a": "***"}
    assert json.loads(echo("sk/0123456789").masked(b'{"a": "sk\\/0123456789"}')) == {"a": "***"}
    assert json.loads(echo("1234567890123").masked(b'{"a": 1234567890123, "b": true}')) == {
        "a": "***",
        "b": True,
    }


def test_an_answer_without_it_is_the_same_object() -> None:
    body = json.dumps({"said": "nothing of the kind \u00e9"}).encode()
    assert echo().masked(body) is body
    assert not echo_of(None) and echo_of(None) is NO_ECHO
    assert echo_of(in_header("a", "", Secret("short"))) is NO_ECHO


def test_headers_that_repeat_it_are_known() -> None:
    found = echo_of(in_query("key", Secret("Canary-0123456789")))
    assert found.is_in(b"x-ratelimit-x", b"Canary-0123456789")
    assert found.is_in(b"x-ratelimit-canary-0123456789", b"1")
    assert not found.is_in(b"x-ratelimit-limit", b"100")


@given(st.lists(st.integers(0, 80), max_size=8), st.sampled_from(["", "sk-can", "x"]))
def test_growing_text_may_be_cut_anywhere(cuts: list[int], before: str) -> None:
    text = f"{before}see {SECRET} and {quote(SECRET, safe='')}, not {SECRET[:-3]}"
    channel, out, last = echo().channel(), "", 0
    for cut in [*sorted(cuts), len(text)]:
        out += channel.decode(text[last:cut])
        last = max(last, cut)
    out += channel.flush()
    assert out == f"{before}see *** and ***, not {SECRET[:-3]}"


def delta(content: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "1", "model": "m", "choices": [choice]}).encode() + b"\n\n"


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_a_stream_repeats_it_nowhere(size: int) -> None:
    call = exchange()
    call.request(HEAD, chat("hi", stream=True))
    said = f"your key is {SECRET}. Bye {SECRET[:6]}"
    stream = StreamExchange(call, echo_of(in_body("api_key", Secret(SECRET))))
    pieces = [stream.decode(delta(said[at : at + size])) for at in range(0, len(said), size)]
    pieces += [stream.decode(delta("", "stop") + b"data: [DONE]\n\n"), stream.flush()]
    for seen in (b"".join(p.sent for p in pieces), b"".join(p.record.data for p in pieces)):
        events = [json.loads(line[6:]) for line in seen.split(b"\n") if line.startswith(b"data: {")]
        text = "".join(each["choices"][0]["delta"].get("content", "") for each in events)
        assert text == f"your key is ***. Bye {SECRET[:6]}"

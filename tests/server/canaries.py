"""Values that must stay in, a model that gives away others, and the search for both in everything kept.

A value is looked for as it was written and without its spaces and dashes, each in clear, escaped, in
hexadecimal and in base64 at each of the three places that it can have between other bytes.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from zipfile import ZipFile, is_zipfile

import redis

from .hammer_oracle import files
from .scripted import Script, ScriptedModel, response, stream
from .test_upstreams import delta

Place = tuple[str, bytes]
GAPS: Final = b" \t\r\n-"

_PEM: Final = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC{}\n-----END PRIVATE KEY-----"
_JWT: Final = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ{}In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"

SENT: Final[Mapping[str, str]] = {
    "CARD": "4012 8888 8888 1881",
    "US_SSN": "536-90-4399",
    "API_KEY": "sk-ant-api03-" + "Ab3dEf9hIj" * 9 + "AA",
    "JWT": _JWT.format("jYW5hcnlvbmUi"),
    "PRIVATE_KEY": _PEM.format("CanarySent" * 6),
    "MRN": "MRN 4815162342",
    "EMAIL": "record.canary@example.com",
    "IBAN": "DE63 5001 0517 5407 3249 77",
}
"""By data class, what people write: all restricted ones of the demo's schema, two confidential ones."""

TOLD: Final[Mapping[str, str]] = {
    "CARD": "4532 0151 1283 0366",
    "US_SSN": "536-22-1874",
    "API_KEY": "sk-ant-api03-" + "Zy8xWv7uTs" * 9 + "AA",
    "JWT": _JWT.format("jYW5hcnl0d28i"),
    "PRIVATE_KEY": _PEM.format("CanaryTold" * 6),
    "MRN": "MRN 2342161584",
    "EMAIL": "mallory.canary@example.org",
    "IBAN": "DE57 5001 0517 5407 3249 88",
}
"""What the model answers with."""


def sentence(values: Mapping[str, str]) -> str:
    return "; ".join(f"the {name.lower()} is {value}" for name, value in values.items())


# --- the search -------------------------------------------------------------------------------------
def core(name: str, value: str) -> str:
    """The part of a value that gives it away: of a key its body, of a number with a name the number."""
    if name == "PRIVATE_KEY":
        return value.split("\n")[1]
    return value.removeprefix("MRN ")


def spellings(value: str) -> frozenset[bytes]:
    """Every way in which a value is looked for."""
    plain = value.encode()
    return frozenset(found for text in {plain, plain.translate(None, GAPS)} for found in _encoded(text))


def _encoded(text: bytes) -> Iterator[bytes]:
    yield text
    yield json.dumps(text.decode()).strip('"').encode()
    yield quote(text).encode()
    yield text.hex().encode()
    yield text.hex().upper().encode()
    for shift in range(3):
        yield from (_inner(text, shift, alphabet) for alphabet in (None, b"-_"))


def _inner(text: bytes, shift: int, alphabet: bytes | None) -> bytes:
    """The characters of base64 that this text alone decides, so many bytes behind a multiple of three."""
    whole = base64.b64encode(b"\0" * shift + text, alphabet)
    first, last = -(-shift * 8 // 6), (shift + len(text)) * 8 // 6
    return whole[first:last]


def hits(values: Iterable[str], places: Iterable[Place]) -> list[str]:
    """Where a value was found, in words. Places are also read as if they had no spaces and dashes."""
    wanted = [(value, spelling) for value in values for spelling in spellings(value)]
    found: dict[str, None] = {}
    for name, data in places:
        for text in (data, data.translate(None, GAPS)):
            found |= {f"{name}: {value}": None for value, spelling in wanted if spelling in text}
    return list(found)


# --- places -----------------------------------------------------------------------------------------
def below(root: Path, name: str) -> Iterator[Place]:
    """Every file of a directory, and what is in those that are archives."""
    for title, (data,) in files(root):
        yield f"{name}, {title}", data
        if is_zipfile(BytesIO(data)):
            yield from unzipped(data, f"{name}, {title}")


def unzipped(data: bytes, name: str) -> Iterator[Place]:
    with ZipFile(BytesIO(data)) as held:
        for each in held.namelist():
            yield f"{name}, {each}", held.read(each)


def in_redis(url: str) -> Iterator[Place]:
    """Every key with its value, of whatever type, in every database."""
    client = redis.Redis.from_url(url)
    for key in client.scan_iter(count=1000):
        yield f"redis {key!r}", key + b"\n" + b"\n".join(_values(client, key))
    client.close()


def _values(client: Any, key: bytes) -> Iterator[bytes]:
    kind = client.type(key)
    if kind == b"string":
        yield client.get(key) or b""
    elif kind == b"hash":
        yield from (part for pair in client.hgetall(key).items() for part in pair)
    elif kind == b"list":
        yield from client.lrange(key, 0, -1)
    elif kind == b"set":
        yield from client.smembers(key)
    elif kind == b"zset":
        yield from client.zrange(key, 0, -1)
    elif kind == b"stream":
        yield from (repr(entry).encode() for entry in client.xrange(key))


# --- the model --------------------------------------------------------------------------------------
class Leaker(ScriptedModel):
    """Answers with values of its own, in text and in arguments of a tool; streams cut them anywhere."""

    def script_for(self, request: bytes) -> Script:
        head, _, body = request.partition(b"\r\n\r\n")
        asked: Any = json.loads(body)
        kind = "messages" if b"/v1/messages" in head else "chat" if b"/chat/" in head else "json"
        if isinstance(asked, dict) and asked.get("stream"):
            return stream(*(_message_events() if kind == "messages" else _chat_events()))
        answer = {"messages": _message, "chat": _chat, "json": _classified}[kind]()
        return response("200 OK", "application/json", json.dumps(answer).encode(), "connection: close")


def _arguments() -> str:
    return json.dumps({"to": TOLD["EMAIL"], "note": sentence(TOLD), "nested": [{"card": TOLD["CARD"]}]})


def _pieces(text: str) -> list[str]:
    return re.findall(r".{1,9}", text, re.DOTALL)


def _classified() -> dict[str, Any]:
    return {"label": "other", "score": 0.5, "note": sentence(TOLD), "contact": {"mail": TOLD["EMAIL"]}}


def _chat() -> dict[str, Any]:
    called = {"name": "send", "arguments": _arguments()}
    message = {
        "role": "assistant",
        "content": sentence(TOLD),
        "tool_calls": [{"id": "call_1", "type": "function", "function": called}],
    }
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    return {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


def _chat_events() -> Iterator[bytes]:
    yield from map(delta, _pieces(sentence(TOLD)))
    called: dict[str, Any] = {"index": 0, "id": "call_1", "type": "function"}
    yield _chunk({"tool_calls": [{**called, "function": {"name": "send", "arguments": ""}}]})
    for piece in _pieces(_arguments()):
        yield _chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    yield _chunk({}, "tool_calls")
    yield b"data: [DONE]\n\n"


def _chunk(told: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": told, "finish_reason": finish}
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n".encode()


def _message() -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [
            {"type": "text", "text": sentence(TOLD)},
            {"type": "tool_use", "id": "toolu_1", "name": "send", "input": json.loads(_arguments())},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


def _message_events() -> Iterator[bytes]:
    begun = {**_message(), "content": [], "stop_reason": None}
    yield _event(type="message_start", message=begun)
    yield from _block(0, {"type": "text", "text": ""}, "text", sentence(TOLD))
    tool = {"type": "tool_use", "id": "toolu_1", "name": "send", "input": {}}
    yield from _block(1, tool, "partial_json", _arguments())
    ended = {"stop_reason": "tool_use", "stop_sequence": None}
    yield _event(type="message_delta", delta=ended, usage={"output_tokens": 4})
    yield _event(type="message_stop")


def _block(index: int, block: dict[str, Any], part: str, text: str) -> Iterator[bytes]:
    kind = "text_delta" if part == "text" else "input_json_delta"
    yield _event(type="content_block_start", index=index, content_block=block)
    for piece in _pieces(text):
        yield _event(type="content_block_delta", index=index, delta={"type": kind, part: piece})
    yield _event(type="content_block_stop", index=index)


def _event(**said: Any) -> bytes:
    return f"event: {said['type']}\ndata: {json.dumps(said)}\n\n".encode()

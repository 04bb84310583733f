"""The traffic that is measured: a 4 KB chat request with six findings, and answers to it."""

from __future__ import annotations

import json
from typing import Final

FILLER: Final = (
    "Please read the customer's letter below and answer in two short paragraphs: first what they ask for, "
    "then what our terms say about it. Keep the tone friendly and do not promise a date. "
)
FINDINGS: Final = (
    "Reach me at jane.roe@example.com or +1 212 555 0143. My card is 4111 1111 1111 1111, my social security "
    "number is 078-05-1120, the account DE89 3704 0044 0532 0130 00 and the server 203.0.113.7. "
)
ANSWER: Final = (
    "The customer asks for a refund of the second charge on card 5555 5555 5555 4444 and wants to be told by "
    "mail at jane.roe@example.com. "
) + (
    "Our terms allow a refund within thirty days when the item is unused and comes back in its box; a charge "
    "that was made twice is returned without any condition, and the bank decides when it arrives. "
) * 4
DELTA: Final = 12  # characters per streamed event


def request_body(*, stream: bool, size: int = 4096) -> bytes:
    """A chat request of `size` bytes."""
    text = FINDINGS
    while len(text) < size - 260:
        text += FILLER
    messages = [
        {"role": "system", "content": "You are a careful assistant of the support desk."},
        {"role": "user", "content": text[: size - 200]},
    ]
    body = {
        "model": "bench-model",
        "messages": messages,
        "temperature": 0.2,
        "max_tokens": 400,
        "stream": stream,
    }
    return _compact(body)


def answer_body() -> bytes:
    """A whole answer of about 1 KB with two findings."""
    message = {"role": "assistant", "content": ANSWER}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 900, "completion_tokens": 200, "total_tokens": 1100}
    return _compact(_envelope("chat.completion") | {"choices": [choice], "usage": usage})


def answer_events() -> list[bytes]:
    """The same answer as a stream of deltas of twelve characters."""
    pieces = [ANSWER[at : at + DELTA] for at in range(0, len(ANSWER), DELTA)]
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": piece}, None) for piece in pieces]
    deltas.append(({}, "stop"))
    envelope = _envelope("chat.completion.chunk")
    chunks = [
        envelope | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        for delta, reason in deltas
    ]
    return [b"data: " + _compact(chunk) + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]


def _compact(value: dict[str, object]) -> bytes:
    """JSON without spaces, as SDKs send it and model servers answer."""
    return json.dumps(value, separators=(",", ":")).encode()


def _envelope(kind: str) -> dict[str, object]:
    return {"id": "chatcmpl-bench", "object": kind, "created": 1_700_000_000, "model": "bench-model"}


def http_request(path: str, body: bytes, key: str) -> bytes:
    """The request as bytes on the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body

"""A model's service that says canaries wherever a service can, as the call's `model` tells it to."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from .canaries import Canary, sentence
from .scripted import Script, ScriptedModel, response, stream

CLOSE = "connection: close"


class CanaryModel(ScriptedModel):
    """`text` is what it says; `field` what it says under a name that a field rule knows."""

    text, field, control, mail, card = "", "", "", "", ""

    def learn(self, canaries: Sequence[Canary], control: str) -> None:
        self.text = f"{control} {sentence(canaries)} {control}"
        self.field = next(each.text for each in canaries if each.name.endswith(" field"))
        self.control = control
        self.mail = next(each.text for each in canaries if each.name.endswith(" mail"))
        self.card = next(each.text for each in canaries if each.name.endswith(" card")).replace(" ", "")

    def script_for(self, request: bytes) -> Script:
        head, _, body = request.partition(b"\r\n\r\n")
        found = re.search(rb'"(?:model|plan)" ?: ?"([a-z0-9-]+)', body)
        plan = found[1].decode() if found else "plain"
        if b"/v1/messages" in head.split(b"\r\n")[0]:
            return self._anthropic(b'"stream":true' in body.replace(b" ", b""))
        if b"/v1/" not in head.split(b"\r\n")[0]:
            return _json({"note": self.text, "mrn": self.field, "deep": [{"mrn": [self.field, 7]}]})
        if plan == "slow":  # by itself: it has to be ended
            return self._slow()
        makes: Callable[[CanaryModel], Script] = PLANS.get(plan, CanaryModel._plain)
        return makes(self)

    # --- OpenAI: one method for each thing that a service may do ---------------------------------------
    def _plain(self) -> Script:
        return _json(self._answer(message={"role": "assistant", "content": self.text}))

    def _tools(self) -> Script:
        arguments = json.dumps({"note": self.text, "mrn": self.field})
        call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": arguments}}
        return _json(self._answer(message={"role": "assistant", "content": None, "tool_calls": [call]}))

    def _beside(self) -> Script:
        """In every member that is not the answer's text."""
        answer = self._answer(message={"role": "assistant", "content": "ok", "refusal": self.text})
        more = {"id": self.mail, "system_fingerprint": self.mail, "service_tier": self.mail}
        answer["choices"][0]["finish_reason"] = self.mail
        answer["usage"] = {"prompt_tokens": self.mail, "completion_tokens": int(self.card), "note": self.mail}
        answer["created"] = int(self.card)
        return _json(answer | more | {"model": self.mail})

    def _headers(self) -> Script:
        names = ("x-request-id", "x-ratelimit-note", "retry-after", "set-cookie", "server", "openai-version")
        lines = [f"{name}: {self.mail}" for name in names]
        lines += [f"x-ratelimit-{self.card}: 1", f"x-ratelimit-limit-{self.card}: 1"]
        lines += [f"x-ratelimit-limit-tokens: {self.card}", f"retry-after-ms: {self.card}"]
        lines += [f"x-ratelimit-reset-tokens: 2026-01-01T{self.card}Z"]
        body = json.dumps(self._answer(message={"role": "assistant", "content": "ok"})).encode()
        return response("200 OK", "application/json", body, *lines, CLOSE)

    def _error(self) -> Script:
        error = {"error": {"message": self.text, "type": self.mail, "param": self.mail, "code": self.mail}}
        return response("400 Bad Request", "application/json", json.dumps(error).encode(), CLOSE)

    def _limit(self) -> Script:
        error = {"error": {"message": self.text, "type": "tokens", "param": None, "code": "rate"}}
        return response(
            "429 Too Many", "application/json", json.dumps(error).encode(), "retry-after: 1", CLOSE
        )

    def _failure(self) -> Script:
        return response(f"500 {self.mail}", "text/html", f"<h1>{self.text}</h1>".encode(), CLOSE)

    def _page(self) -> Script:
        return response("200 OK", f"text/{self.mail}", self.text.encode(), CLOSE)

    def _broken(self) -> Script:
        return response("200 OK", "application/json", f'{{"text": "{self.text}'.encode(), CLOSE)

    def _moved(self) -> Script:
        return response("302 Found", "text/plain", b"", f"location: http://127.0.0.1:9/?q={self.mail}", CLOSE)

    def _babble(self) -> Script:
        return [f"HTTP/9 {self.text}\r\n\r\n".encode()]

    def _half(self) -> Script:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99999\r\n\r\n"
        return [head, f'{{"id": "{self.text}'.encode()]

    def _stream(self) -> Script:
        return stream(*self._deltas(self.text), *END)

    def _bytewise(self) -> Script:
        """Every character in a delta of its own, every byte in a chunk of its own."""
        events = b"".join([*self._deltas(self.text, size=1), *END])
        return stream(*(events[at : at + 700] for at in range(0, len(events), 700)))

    def _cut(self) -> Script:
        events = b"".join(self._deltas(self.text, size=5))
        return stream(*(events[at : at + 97] for at in range(0, len(events) - 60, 97)), end=False)

    def _slow(self) -> Script:
        """Goes on until somebody ends it."""
        return [*stream(*self._deltas(self.text), end=False), 60.0]

    def _odd(self) -> Script:
        """A comment, an event that nobody knows, a name for it, and half an event at the end."""
        said = json.dumps({"error": {"message": self.text}})
        odd = f": {self.mail}\nevent: {self.mail}\nid: {self.mail}\ndata: {said}\n\ndata: {{".encode()
        return stream(*self._deltas("fine"), odd)

    def _streamed_tools(self) -> Script:
        arguments = json.dumps({"note": self.text, "mrn": self.field})
        calls = [
            {"index": 0, "function": {"arguments": arguments[at : at + 9]}}
            for at in range(0, len(arguments), 9)
        ]
        calls[0] |= {"id": "c1", "type": "function", "function": {"name": "look", "arguments": arguments[:9]}}
        return stream(*(_event({"tool_calls": [call]}) for call in calls), *END)

    def _deltas(self, text: str, size: int = 11) -> list[bytes]:
        return [_event({"content": text[at : at + size]}) for at in range(0, len(text), size)]

    def _answer(self, **more: Any) -> dict[str, Any]:
        choice = {"index": 0, "finish_reason": "stop", **more}
        return {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}

    # --- Anthropic -------------------------------------------------------------------------------------
    def _anthropic(self, streams: bool) -> Script:
        tool = {"type": "tool_use", "id": "t1", "name": "look", "input": {"mrn": self.field, "q": self.text}}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
        message |= {
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
        if not streams:
            content = [{"type": "text", "text": self.text}, tool]
            return _json(message | {"content": content, "stop_reason": "end_turn"})
        events: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
        events += _block(0, {"type": "text", "text": ""}, "text_delta", "text", self.text)
        events += _block(
            1, tool | {"input": {}}, "input_json_delta", "partial_json", json.dumps(tool["input"])
        )
        end = {"stop_reason": "end_turn", "stop_sequence": None}
        events += [{"type": "message_delta", "delta": end, "usage": {"output_tokens": 4}}]
        events += [{"type": "message_stop"}]
        return stream(*(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in events))


def _block(index: int, begun: dict[str, Any], kind: str, name: str, text: str) -> list[dict[str, Any]]:
    deltas = [{"type": kind, name: text[at : at + 7]} for at in range(0, len(text), 7)]
    return [
        {"type": "content_block_start", "index": index, "content_block": begun},
        *({"type": "content_block_delta", "index": index, "delta": each} for each in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _json(value: Any) -> Script:
    return response("200 OK", "application/json", json.dumps(value).encode(), CLOSE)


def _event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


END = (_event({}, "stop"), b"data: [DONE]\n\n")
PLANS: dict[str, Callable[[CanaryModel], Script]] = {
    "tools": CanaryModel._tools,
    "beside": CanaryModel._beside,
    "headers": CanaryModel._headers,
    "error": CanaryModel._error,
    "limit": CanaryModel._limit,
    "failure": CanaryModel._failure,
    "page": CanaryModel._page,
    "broken": CanaryModel._broken,
    "moved": CanaryModel._moved,
    "babble": CanaryModel._babble,
    "half": CanaryModel._half,
    "stream": CanaryModel._stream,
    "bytewise": CanaryModel._bytewise,
    "cut": CanaryModel._cut,
    "odd": CanaryModel._odd,
    "streamed-tools": CanaryModel._streamed_tools,
}
"""By the name of the model that a call asks for; every other one gets a plain answer."""

STREAMED = ("stream", "bytewise", "cut", "odd", "streamed-tools")

"""Calls that carry canaries: wherever a client can put text, rightly or wrongly."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .canaries import Canary, Place, sentence, spoken
from .canary_model import PLANS, STREAMED
from .hammer_clients import parse
from .hammer_house import House

USUAL = {"Content-Type": "application/json", "Prefer": "wait=0"}
"""Nobody waits for a person where chance makes a card out of an account's digits."""


@dataclass(slots=True)
class Caller:
    """Somebody at a bare socket. What they get is kept, to be searched as well."""

    house: House
    canaries: Sequence[Canary]
    control: str
    told: list[Place] = field(default_factory=list)
    calls: dict[str, str] = field(default_factory=dict)  # what it was for -> the call's id
    statuses: dict[str, int] = field(default_factory=dict)

    def value(self, kind: str) -> str:
        return next(each.text for each in self.canaries if each.name.endswith(f"'s {kind}"))

    def but(self, *kinds: str) -> str:
        """Words around every canary except these."""
        some = [each for each in self.canaries if each.name.partition("'s ")[2] not in kinds]
        return f"{self.control} {sentence(some)} {self.control}"

    def ask(
        self,
        what: str,
        path: str,
        body: Any,
        *,
        key: str = "alice",
        headers: Mapping[str, str] | None = None,
        method: str = "POST",
    ) -> bytes:
        """One call; returns all that came."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = {**USUAL, "Authorization": f"Bearer {self.house.key(key)}", **(headers or {})}
        head = "".join(f"{name}: {text}\r\n" for name, text in lines.items() if text)
        begin = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(data)}\r\n"
        got = self._exchange((begin + head + "Connection: close\r\n\r\n").encode() + data)
        self.told.append((f"answer to {what}", [got]))
        answer = parse(got)
        self.statuses[what] = answer.status if answer else 0
        if answer and answer.call:
            self.calls[what] = answer.call
        return answer.body if answer else b""

    def chat(self, what: str, text: Any, **more: Any) -> bytes:
        how = {name: more.pop(name) for name in ("key", "headers") if name in more}
        body = {"model": "m", "messages": [{"role": "user", "content": text}], **more}
        return self.ask(what, self.house.path("openai"), body, **how)

    def _exchange(self, data: bytes) -> bytes:
        got = b""
        with socket.create_connection(("127.0.0.1", self.house.port), timeout=30) as connection:
            connection.sendall(data)
            try:
                while part := connection.recv(1 << 16):
                    got += part
            except ConnectionResetError:
                pass  # a cut stream breaks its connection on purpose
        return got


def understood(who: Caller) -> None:
    """Calls that are served: plain, streamed, with tools, and to each kind of endpoint."""
    text, card = who.but("iban"), who.value("card")
    who.chat("a chat", text)
    who.chat("a chat about an account", who.but("card"))
    who.chat("a stream", who.but("iban"), stream=True, model="stream")
    who.chat("parts", [{"type": "text", "text": text}, {"type": "text", "text": card.replace(" ", "-")}])
    who.chat("what a client adds", "hi", user=who.value("mail"), metadata={who.value("ssn"): text})
    who.chat("a model's name", "hi", model=who.value("mail"))
    who.chat("another model's name", "hi", model=who.value("github token"))
    _tools(who)
    nested = json.dumps(json.dumps({"card": card, "mail": who.value("mail"), "ssn": who.value("ssn")}))
    who.chat("JSON in JSON", nested)
    who.chat("escapes", "".join(f"\\u{ord(char):04x}" for char in who.value("openai key")))
    messages = who.house.path("anthropic")
    asked = {"model": "m", "max_tokens": 9, "system": text, "messages": [{"role": "user", "content": text}]}
    who.ask("a message", messages, asked)
    who.ask("a streamed message", messages, asked | {"stream": True})
    who.ask("a count", f"{messages}/count_tokens", {k: v for k, v in asked.items() if k != "max_tokens"})
    _documents(who)
    for plan in PLANS:
        who.chat(f"model that answers: {plan}", who.control, model=plan, **_streaming(plan))
    for plan in ("error", "failure", "cut"):
        who.chat(f"model that answers bob: {plan}", who.control, model=plan, key="bob", **_streaming(plan))


def _streaming(plan: str) -> dict[str, bool]:
    return {"stream": True} if plan in STREAMED else {}


def _tools(who: Caller) -> None:
    arguments = json.dumps({"mrn": who.value("field"), "note": who.but("iban", "field")})
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": arguments}}
    told = {
        "role": "tool",
        "tool_call_id": "c1",
        "content": json.dumps({"mrn": who.value("field"), "note": who.but("iban", "field")}),
    }
    schema = {"type": "object", "properties": {"who": {"type": "string", "default": who.value("mail")}}}
    tool = {
        "type": "function",
        "function": {"name": "look", "description": who.but("iban"), "parameters": schema},
    }
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "tool_calls": [call]}, told]
    body = {"model": "m", "messages": messages, "tools": [tool]}
    who.ask("tools", who.house.path("openai"), body)


def _documents(who: Caller) -> None:
    """A classifier: fields by name, numbers, and keys that are values themselves."""
    path = who.house.path("json")
    number = int(who.value("card").replace(" ", ""))
    fields = {"mrn": who.value("field"), "patient": {"medical_record_number": [who.value("field")]}}
    who.ask("fields", path, {"note": who.but("iban", "field"), "card": number, **fields})
    keys = {who.value("mail"): 1, "by": {who.value("openai key"): {"free": who.control}}}
    who.ask("keys", path, keys)
    who.ask("one key", path, {who.value("card"): {"inner": {who.value("ssn"): "x"}}})
    who.ask("its path", f"{path}/{who.value('ssn')}", {"a": who.control})
    who.ask("its path, a key", f"{path}/{who.value('stripe key')}/x", {"a": who.control})


def refused(who: Caller) -> None:
    """Calls that nobody understands or lets pass. A refusal is a record, too."""
    chat, text = who.house.path("openai"), who.but("iban")
    base = chat.removesuffix("/chat/completions")
    body = {"model": "m", "input": text, "messages": [{"role": "user", "content": text}]}
    for path in ("responses", "embeddings", "completions", "moderations"):
        who.ask(f"/v1/{path}", f"{base}/{path}", body)
    for path in ("api/chat", "api/generate", "v2/models/m/infer", "v1/models/m:predict"):
        who.ask(path, f"{base.removesuffix('/v1')}/{path}", body)
    for number, each in enumerate(who.canaries):
        plain = each.text.replace(" ", "-").replace("+", "")
        who.ask(f"path {number}", f"{base}/{plain}", body)
        who.ask(f"endpoint {number}", f"/proxy/{plain}/v1/chat/completions", body)
        who.ask(f"query {number}", f"{chat}?q={plain}", body)
        who.ask(f"credential {number}", chat, body, headers={"Authorization": f"Bearer {each.text}"})
        who.ask(f"other credential {number}", chat, body, headers={"x-api-key": each.text})
    mail, key = who.value("mail"), who.value("openai key")
    who.ask("a method", chat, body, method=who.value("github token"))
    who.ask("a percent path", f"{base}/{mail.replace('@', '%40')}", body)
    who.ask("a basic credential", chat, body, headers={"Authorization": f"Basic {key}"})
    _misshapen(who, chat, text)
    image = {"type": "image_url", "image_url": {"url": f"https://x.example/{key}?to={mail}"}}
    who.chat("an image", [{"type": "text", "text": text}, image])
    disposition = f'form-data; name="file"; filename="{mail}.txt"'
    part = f"--b\r\nContent-Disposition: {disposition}\r\n\r\n{text}\r\n--b--\r\n"
    sent = {"Content-Type": "multipart/form-data; boundary=b"}
    who.ask("an upload", f"{base}/files", part.encode(), headers=sent)
    who.ask("an upload to chat", chat, part.encode(), headers=sent)
    who.chat("no right", text, key="carol")


def _misshapen(who: Caller, chat: str, text: str) -> None:
    mail, whole = (
        who.value("mail"),
        json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}),
    )
    for what, data in (
        ("broken JSON", whole.encode() + b"}"),
        ("cut JSON", whole.encode()[:-5]),
        ("no JSON", text.encode()),
        ("twice a key", f'{{"{mail}": 1, "{mail}": 2}}'.encode()),
        ("no number", f'{{"model": "m", "{mail}": NaN, "messages": []}}'.encode()),
        ("half a character", whole.replace(who.control, "\\ud800", 1).encode()),
        ("UTF-16", whole.encode("utf-16")),
        ("a wrong shape", json.dumps({"model": [text], "messages": {text: text}}).encode()),
        ("a wrong option", json.dumps({**json.loads(whole), "stream": text}).encode()),
        ("a wrong role", json.dumps({"model": "m", "messages": [{"role": mail, "content": 1}]}).encode()),
        (
            "an unknown part",
            json.dumps(
                {"model": "m", "messages": [{"role": "user", "content": [{"type": mail, mail: text}]}]}
            ).encode(),
        ),
        ("depth", (f'{{"{mail}":' * 200 + "1" + "}" * 200).encode()),
    ):
        who.ask(what, chat, data)
    who.ask("gzip", chat, gzip.compress(whole.encode()), headers={"Content-Encoding": "gzip"})
    who.ask("bad gzip", chat, gzip.compress(whole.encode())[:-9], headers={"Content-Encoding": "gzip"})
    who.ask("an encoding", chat, whole.encode(), headers={"Content-Encoding": mail})
    who.ask("a content type", chat, whole.encode(), headers={"Content-Type": f"text/{mail}"})
    who.ask("a charset", chat, whole.encode(), headers={"Content-Type": f"application/json; charset={mail}"})


def headed(who: Caller) -> None:
    """Everything in headers, of a call that is served and of one that is not."""
    chat = who.house.path("openai")
    body = {"model": "m", "messages": [{"role": "user", "content": who.control}]}
    for what, text in _lines(who.canaries):
        names = ("User-Agent", "Referer", "Cookie", "X-Request-Id", "X-Title", "OpenAI-Organization")
        more = {
            name: text
            for name in (*names, "Traceparent", "Baggage", "X-Postern-Session", "X-Postern-Purpose")
        }
        who.ask(f"headers with {what}", chat, body, headers=more)
    for name in ("X-Postern-Classification", "Prefer", "X-Forwarded-For", "X-Stainless-Read-Timeout"):
        who.ask(f"wrong {name}", chat, body, headers={name: who.value("mail")})
    message = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": who.control}]}
    for name in ("anthropic-version", "anthropic-beta"):
        who.ask(f"wrong {name}", who.house.path("anthropic"), message, headers={name: who.value("mail")})
    who.ask("a header's name", chat, body, headers={who.value("github token").replace("_", "-"): "x"})
    who.ask("a header's name, underscored", chat, body, headers={who.value("github token"): "x"})


def _lines(canaries: Sequence[Canary]) -> Iterator[tuple[str, str]]:
    """A field's value as a document: one that has a name for it."""
    for each in canaries:
        text = spoken(each)
        if "\n" not in text:
            yield each.name, text

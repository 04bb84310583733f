"""Clients that keep calling whatever happens, over bare sockets, and keep every byte they got.

What they ask is drawn from a seed: plain and streamed chats, a classifier, models that misbehave, clients
that leave, and requests that must be refused. Every call carries a nonce of its own, so that no two are
alike, and most carry canaries: values that must not be found in clear anywhere behind the gateway.
"""

from __future__ import annotations

import json
import random
import socket
import string
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

REFUSED = ("no key", "a stranger", "broken JSON", "an image", "held", "blocked")
KINDS = {"chat": 5, "stream": 8, "json": 3, "upset": 3, "leave": 1, "refused": 3}
ENDS = ("cut", "nodone", "mute", "fickle")
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----"
HEAD_END = b"\r\n\r\n"


class Canaries:
    """Values of four kinds, made from a seed. `clear` is every way in which they were written."""

    def __init__(self, chance: random.Random) -> None:
        self.cards = [_card(chance) for _ in range(6)]
        self.mails = [f"{_letters(chance, 8)}.{_letters(chance, 6)}@corp.example" for _ in range(6)]
        self.ssns = [
            f"{chance.randrange(500, 580)}-{chance.randrange(11, 70)}-{chance.randrange(1000, 9999)}"
            for _ in range(6)
        ]
        self.keys = ["sk-proj-" + _token(chance, 32) for _ in range(6)]
        self.clear = [
            text.encode()
            for text in [
                *self.cards,
                *(card.replace(" ", "") for card in self.cards),
                *(card.replace(" ", "-") for card in self.cards),
                *self.mails,
                *self.ssns,
                *self.keys,
            ]
        ]

    def sentence(self, chance: random.Random) -> str:
        """Some of them, among other words."""
        parts = [
            f"my card is {chance.choice(self.cards)}",
            f"pay with {chance.choice(self.cards).replace(' ', '')}",
            f"or {chance.choice(self.cards).replace(' ', '-')}",
            f"mail {chance.choice(self.mails)}",
            f"my ssn is {chance.choice(self.ssns)}",
            f"the key is {chance.choice(self.keys)}",
            "nothing else",
        ]
        return ", ".join(chance.sample(parts, chance.randrange(1, 5)))


def _card(chance: random.Random) -> str:
    digits = [4, *(chance.randrange(10) for _ in range(14))]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[::2])
    digits.append(-(doubled + sum(digits[1::2])) % 10)
    text = "".join(map(str, digits))
    return " ".join(text[at : at + 4] for at in range(0, 16, 4))


def _letters(chance: random.Random, count: int) -> str:
    return "".join(chance.choices("bcdfghjklmnpqrstvwxz", k=count))


def _token(chance: random.Random, count: int) -> str:
    return "".join(chance.choices(string.ascii_letters + string.digits, k=count))


@dataclass(slots=True)
class Told:
    """One call as its client lived it."""

    kind: str
    nonce: str
    got: bytearray = field(default_factory=bytearray)
    left: bool = False  # the client went away on purpose
    connected: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client can make of the bytes it got. `whole`: the framing says that nothing is missing."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool

    @property
    def call(self) -> str:
        return self.headers.get("x-postern-call", "")


def parse(got: bytes) -> Answer | None:
    """None where not even the head came."""
    head, end, rest = bytes(got).partition(HEAD_END)
    if not end:
        return None
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "chunked" in headers.get("transfer-encoding", ""):
        body, whole = _dechunked(rest)
    else:
        body = rest
        whole = headers.get("content-length") == str(len(rest))
    return Answer(int(status.split()[1]), headers, body, whole)


def _dechunked(data: bytes) -> tuple[bytes, bool]:
    """The payload so far, and whether the last chunk was there."""
    body = bytearray()
    while True:
        line, end, rest = data.partition(b"\r\n")
        if not end:
            return bytes(body), False
        size = int(line, 16)
        if size == 0:
            return bytes(body), rest.startswith(b"\r\n")
        body += rest[:size]
        if len(rest) < size + 2:
            return bytes(body), False
        data = rest[size + 2 :]


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask, as bytes."""

    kind: str
    nonce: str
    data: bytes
    leaves_after: int = 0  # bytes; 0 for a client that stays


class Asker:
    """Draws requests."""

    def __init__(
        self, chance: random.Random, canaries: Canaries, paths: dict[str, str], keys: dict[str, str]
    ) -> None:
        self._chance, self._canaries, self._paths, self._keys = chance, canaries, paths, keys

    def draw(self) -> Request:
        (kind,) = self._chance.choices(list(KINDS), list(KINDS.values()))
        if kind == "refused":
            kind = self._chance.choice(REFUSED)
        return self.make(kind)

    def make(self, kind: str, *, plan: str = "") -> Request:
        """A request of this kind; `plan` tells the model how to answer (`hammer_model.Plan`)."""
        nonce = "n" + _letters(self._chance, 14)
        if kind == "json":
            return self._classify(nonce, plan)
        if kind in REFUSED:
            return self._refused(kind, nonce)
        streamed = kind in ("stream", "leave") or (kind == "upset" and self._chance.random() < 0.5)
        text = f"{nonce}: {self._canaries.sentence(self._chance)}, and go on."
        body = {"model": plan or self._plan(kind), "messages": [{"role": "user", "content": text}]}
        if streamed:
            body["stream"] = True
        leaves = self._chance.randrange(1, 2000) if kind == "leave" else 0
        return Request(kind, nonce, self._post("openai", body), leaves)

    def _plan(self, kind: str) -> str:
        end = self._chance.choice(ENDS) if kind == "upset" else "whole"
        leak = self._chance.choice(("", "-leak"))
        pause = self._chance.choice((0, 0, 2, 5, 20, 60))
        return f"n{self._chance.randrange(1, 25)}d{pause}-{end}{leak}"

    def _classify(self, nonce: str, plan: str) -> Request:
        card = int(self._chance.choice(self._canaries.cards).replace(" ", ""))
        text = f"{nonce}: {self._canaries.sentence(self._chance)}"
        body = {"inputs": [{"text": text, "card": card}], "hammer": plan or self._plan("json")}
        return Request("json", nonce, self._post("json", body))

    def _refused(self, kind: str, nonce: str) -> Request:
        person, key, tail = "bob", "", ""
        if kind == "no key":
            key = "pst_" + _token(self._chance, 8) + "_" + _token(self._chance, 43)
        elif kind == "a stranger":
            person = "carol"
        elif kind == "held":
            tail = f" my ssn is {self._chance.choice(self._canaries.ssns)}"
        elif kind == "blocked":
            tail = f" {PEM} and {self._chance.choice(self._canaries.keys)}"
        content: Any = nonce + tail
        if kind == "an image":
            content = [{"type": "image_url", "image_url": {"url": f"https://x.example/{nonce}"}}]
        body = {"model": "n3d0-whole", "messages": [{"role": "user", "content": content}]}
        data = self._post("openai", body, person=person, key=key, broken=kind == "broken JSON")
        return Request(kind, nonce, data)

    def _post(
        self, kind: str, body: Any, *, person: str = "alice", key: str = "", broken: bool = False
    ) -> bytes:
        data = json.dumps(body).encode() + (b"}" if broken else b"")
        return (
            f"POST {self._paths[kind]} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {key or self._keys[person]}\r\nContent-Length: {len(data)}\r\n"
            "Connection: close\r\n\r\n"
        ).encode() + data


def ask(
    port: int, request: Request, *, got: Callable[[Told], None] | None = None, timeout: float = 30
) -> Told:
    """One call on a connection of its own; returns when the connection ended, however it did."""
    told = Told(request.kind, request.nonce)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
            told.connected = True
            connection.sendall(request.data)
            while part := connection.recv(65536):
                told.got += part
                if got is not None:
                    got(told)
                if request.leaves_after and len(told.got) >= request.leaves_after:
                    told.left = True
                    break
    except OSError:
        pass
    return told


class Crowd:
    """Several clients at once, each drawing from a seed of its own, until told to stop."""

    def __init__(
        self, port: int, askers: list[Asker], *, seed: int, got: Callable[[Told], None] | None = None
    ) -> None:
        self._port, self._got = port, got
        self._told: list[Told] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(asker, random.Random(f"{seed}-{number}")), daemon=True)
            for number, asker in enumerate(askers)
        ]

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(40)

    def take(self) -> list[Told]:
        """Calls that have ended since the last time."""
        with self._lock:
            told, self._told = self._told, []
        return told

    def _run(self, asker: Asker, chance: random.Random) -> None:
        while not self._stop.is_set():
            told = ask(self._port, asker.draw(), got=self._got)
            if told.connected:
                with self._lock:
                    self._told.append(told)
            time.sleep(chance.uniform(0, 0.03) if told.connected else 0.05)

"""Reads `verdicts.txt`: rules, a payload and its circumstances in words, and what has to come of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.proxy.exchange import DigestKeys, Exchange, Head
from gateway.proxy.wire.openai import ChatCompletions
from policies.engine.policy import Policy
from policies.engine.schema import Schema
from policies.engine.sketch import OneRequest
from policies.engine.types import (
    Circumstances,
    DataClass,
    Direction,
    Gate,
    Level,
    Matcher,
    PolicySpec,
    RegexDetector,
    Rule,
    SchemaSpec,
    Style,
    Verdict,
)

TABLE = Path(__file__).parent / "verdicts.txt"
NOW = 1_000.0
HEAD = Head("POST", "/proxy/chat/v1/chat/completions")
KEYS = DigestKeys(request=b"r" * 32, fingerprint=b"f" * 32, session=b"s" * 32)
PARTS: dict[str, dict[str, Any]] = {
    "image": {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}},
    "audio": {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
    "file": {"type": "file", "file": {"file_id": "f"}},
    "unknown": {"type": "hologram"},
}


def _class(slug: str, level: Level, weight: int, *tags: str) -> DataClass:
    """Found as its name in lower case with a digit: `card1`, `card2`."""
    detectors = (RegexDetector(pattern=rf"\b{slug.lower()}[0-9]\b", max_len=12),)
    return DataClass(
        slug=slug, name=slug, level=level, weight=weight, tags=frozenset(tags), detectors=detectors
    )


SCHEMA = Schema(
    SchemaSpec(
        version_id="s",
        number=1,
        name="table",
        classes=(
            _class("CITY", Level.PUBLIC, 0),
            _class("NAME", Level.INTERNAL, 1, "person"),
            _class("MAIL", Level.CONFIDENTIAL, 2, "person", "contact"),
            _class("ILLNESS", Level.CONFIDENTIAL, 5, "health"),
            _class("CARD", Level.RESTRICTED, 20, "pci"),
            _class("SECRET", Level.RESTRICTED, 30, "secret"),
        ),
    ),
    {},
)


@dataclass(frozen=True, slots=True)
class Row:
    """One case."""

    line: int
    rules: str
    text: str
    declared: str
    besides: str
    mode: str
    expected: tuple[str, ...]  # gate, text as it leaves, risk, reason

    def __str__(self) -> str:
        return f"line {self.line}: {self.rules} | {self.text}"


def rows() -> Iterator[Row]:
    for number, line in enumerate(TABLE.read_text().splitlines(), 1):
        if "|" in line and not line.startswith("#"):
            cells = [cell.strip() for cell in line.split("|")]
            yield Row(number, *cells[:5], tuple(cells[5:]))


def outcome(row: Row) -> tuple[str, ...]:
    """What the exchange makes of a case, in the table's words."""
    exchange = Exchange(Policy(_spec(row), SCHEMA), ChatCompletions(), KEYS)
    around = _circumstances(row)
    if before := _said(row, "before"):
        earlier = Exchange(exchange.policy, exchange.wire, KEYS)
        earlier.request(HEAD, _asked(before), around)
    if row.mode.startswith("answer"):
        exchange.request(HEAD, _asked("hello"))
        exchange.circumstances, exchange.policy = around, exchange.policy.at(around.now)
        piece = exchange.response(_answered(row.text, _listed(row, "opaque")))
        assert piece.verdict is not None
        return _told(piece.verdict, _text(json.loads(piece.sent)["choices"][0]) if piece.sent else "-")
    asked = _asked(row.text, _listed(row, "opaque"), _listed(row, "field"))
    verdict = exchange.request(HEAD, asked, around)
    leaves = "-" if verdict.gate is Gate.BLOCK else _text(json.loads(exchange.outgoing)["messages"][0])
    return _told(verdict, leaves)


def _told(verdict: Verdict, text: str) -> tuple[str, ...]:
    gate = verdict.gate.name.lower()
    if verdict.observed not in (None, verdict.gate):
        gate += f" (would {verdict.observed.name.lower()})"
    first = verdict.reasons[0].text.split("; rule")[0] if verdict.reasons else "-"
    return gate, text, str(verdict.risk), first


def _text(holder: Any) -> str:
    content = holder.get("message", holder)["content"]
    return content if isinstance(content, str) else str(content[0]["text"])


def _asked(text: str, opaque: tuple[str, ...] = (), fields: tuple[str, ...] = ()) -> bytes:
    parts = [{"type": "text", "text": text}, *(PARTS[kind] for kind in opaque)]
    content: Any = parts if opaque else text
    body = {"model": "m", "messages": [{"role": "user", "content": content}]}
    for path in fields:
        _put(body, path.split("."))
    return json.dumps(body).encode()


def _put(into: dict[str, Any], path: list[str]) -> None:
    """A member beside those of the API: `customer.orders[*].id`."""
    name, *rest = path
    if name.endswith("[*]"):
        item: dict[str, Any] = {}
        into[name.removesuffix("[*]")] = [item]
        _put(item, rest)
    elif rest:
        _put(into.setdefault(name, {}), rest)
    else:
        into[name] = "x"


def _answered(text: str, opaque: tuple[str, ...]) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if "audio" in opaque:
        message["audio"] = {"id": "a", "data": ""}
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()


def _circumstances(row: Row) -> Circumstances:
    return Circumstances(
        now=NOW,
        declared=None if row.declared == "-" else Level[row.declared.upper()],
        ceiling=Level[(_said(row, "ceiling") or "restricted").upper()],
        distinct=OneRequest(),
    )


def _said(row: Row, word: str) -> str:
    found = re.search(rf"{word} ([^;]+)", row.besides)
    return found[1].strip() if found else ""


def _listed(row: Row, word: str) -> tuple[str, ...]:
    return tuple(_said(row, word).split())


SETTINGS: list[tuple[str, Any]] = [
    (r"otherwise (\w+)", lambda found: {"default_transform": Style(found[1])}),
    (r"opaque by default (\w+)", lambda found: {"opaque_gate": Gate[found[1].upper()]}),
    (r"hold from (\d+)", lambda found: {"hold_score": int(found[1])}),
    (r"block from (\d+)", lambda found: {"block_score": int(found[1])}),
    (r"count up to (\d+)", lambda found: {"count_cap": int(found[1])}),
]
MATCHERS: list[tuple[str, Any]] = [
    (r"above declared", lambda found: {"matcher": Matcher.ABOVE_DECLARED}),
    (r"no level declared", lambda found: {"matcher": Matcher.UNLABELLED}),
    (r"unclassified ?(\S*)", lambda found: {"matcher": Matcher.UNCLASSIFIED, "value": found[1]}),
    (r"opaque ?(\S*)", lambda found: {"matcher": Matcher.OPAQUE, "value": found[1]}),
    (r"tag (\S+)", lambda found: {"matcher": Matcher.TAG, "value": found[1]}),
    (r"level (\S+)", lambda found: {"matcher": Matcher.LEVEL, "value": found[1]}),
    (r"(\d+) different ?(\S*) in an? (hour|day)", lambda found: _counted(Matcher.DISTINCT, found, found[3])),
    (r"(\d+) of (\S+)", lambda found: _counted(Matcher.BULK, found, "")),
    (r"(\S+( \+ \S+)+)", lambda found: {"matcher": Matcher.COMBINATION, "value": found[1]}),
    (r"(\S+)", lambda found: {"matcher": Matcher.CLASS, "value": found[1]}),
]


def _counted(matcher: Matcher, found: re.Match[str], window: str) -> dict[str, Any]:
    value = "" if found[2] == "anything" else found[2]
    return {"matcher": matcher, "value": value, "at_least": int(found[1]), "window": window}


def _spec(row: Row) -> PolicySpec:
    """`CARD: block; answer MAIL + CARD: hold +20; hold from 40; otherwise none`."""
    more: dict[str, Any] = {"observe_until": NOW + 1} if "observing" in row.mode else {}
    if "observed" in row.mode:
        more = {"observe_until": NOW}
    rules: list[Rule] = []
    for said in filter(None, (part.strip() for part in row.rules.split(";"))):
        if said == "-":
            continue
        if setting := _first(SETTINGS, said):
            more |= setting
        else:
            rules.append(_rule(said, len(rules) + 1))
    return PolicySpec(version_id="p", number=1, name="table", rules=tuple(rules), **more)


def _rule(said: str, number: int) -> Rule:
    about, _, does = said.partition(": ")
    way, _, rest = about.partition(" ")
    directions = frozenset(Direction)
    if way in ("request", "answer"):
        about = rest
        directions = frozenset({Direction.REQUEST if way == "request" else Direction.RESPONSE})
    made: dict[str, Any] = {}
    for word in does.split():
        if word.startswith("+"):
            made["weight"] = int(word)
        elif word.upper() in Gate.__members__:
            made["gate"] = Gate[word.upper()]
        else:
            made["transform"] = Style(word)
    matched = _first(MATCHERS, about)
    assert matched, said
    return Rule(id=f"r{number}", name=f"r{number}", directions=directions, **matched, **made)


def _first(table: list[tuple[str, Any]], said: str) -> dict[str, Any] | None:
    for pattern, make in table:
        if found := re.fullmatch(pattern, said):
            made: dict[str, Any] = make(found)
            return made
    return None

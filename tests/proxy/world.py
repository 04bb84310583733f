"""A small compiled world for tests of the exchange: classes, policies, payloads. No database."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from gateway.proxy.exchange import DigestKeys, Exchange, Head
from gateway.proxy.wire.base import Wire
from gateway.proxy.wire.openai import ChatCompletions
from policies.engine.policy import Policy
from policies.engine.schema import Schema
from policies.engine.types import (
    DataClass,
    Direction,
    Gate,
    Level,
    LibraryDetector,
    Matcher,
    PolicySpec,
    Rule,
    SchemaSpec,
    Style,
)
from policies.library.recognisers import LIBRARY

CARD, EMAIL, SSN = "4111 1111 1111 1111", "bob@example.com", "123-45-6789"
API_KEY = "sk-proj-Ab3dEf6hIj9lMn2pQr5tUv8xYz1bCd4f"
KEYS = DigestKeys(request=b"r" * 32, fingerprint=b"f" * 32, session=b"s" * 32)
HEAD = Head("POST", "/proxy/chat/v1/chat/completions")
BOTH = frozenset(Direction)

LEVELS = {
    "EMAIL": Level.CONFIDENTIAL,
    "CARD": Level.RESTRICTED,
    "US_SSN": Level.RESTRICTED,
    "IP_ADDRESS": Level.INTERNAL,
}


@cache
def schema() -> Schema:
    classes = [
        DataClass(slug=slug, name=slug, level=level, detectors=(LibraryDetector(name=slug),))
        for slug, level in LEVELS.items()
    ]
    keys = tuple(LibraryDetector(name=name) for name in LIBRARY if "KEY" in name or "TOKEN" in name)
    classes.append(DataClass(slug="SECRET", name="Secret", level=Level.RESTRICTED, detectors=keys))
    return Schema(SchemaSpec(version_id="s", number=1, name="test", classes=tuple(classes)), LIBRARY)


def rule(slug: str, **more: Any) -> Rule:
    more = {"directions": BOTH, "matcher": Matcher.CLASS, "value": slug, **more}
    return Rule(id=slug.lower(), name=f"about {slug}", **more)


def policy(*rules: Rule, **more: Any) -> Policy:
    return Policy(PolicySpec(version_id="p", number=1, name="test", rules=rules, **more), schema())


def exchange(*rules: Rule, wire: Wire | None = None, **more: Any) -> Exchange:
    return Exchange(policy(*rules, **more), wire or ChatCompletions(), KEYS)


def chat(content: Any, **more: Any) -> bytes:
    body = {"model": "m", "messages": [{"role": "user", "content": content}], **more}
    return json.dumps(body).encode()


def passing(slug: str, **more: Any) -> Rule:
    """A rule that lets a class pass in clear."""
    return rule(slug, transform=Style.NONE, **more)


def blocking(slug: str, **more: Any) -> Rule:
    return rule(slug, gate=Gate.BLOCK, **more)

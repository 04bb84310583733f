"""A small world for the record: alice asks, the recorder writes, the chain is read back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Iterator
from typing import Any, TypeVar
from uuid import UUID

from audit import ids, verifier
from audit.events import link
from audit.models import Entry
from audit.records import Admission, Close, Decision, Recordable, What, Who

T = TypeVar("T")

ALICE = Who(
    person_id=UUID(int=0xA11CE),
    subject="local:alice",
    name="alice",
    kind="person",
    key_prefix="pst_alice123",
    groups=("support",),
    network="127.0.0.1",
)
BOB = Who(person_id=UUID(int=0xB0B), subject="local:bob", name="bob", kind="person")
STRANGER = Who(network="192.0.2.9")
CHAT = What(
    area="clinic",
    endpoint_id=UUID(int=0xC4A7),
    endpoint="chat",
    api="openai.chat",
    method="POST",
    path="/v1/chat/completions",
    model="demo",
    policy="default@1",
    schema="pii@1",
)
MASKED = Decision(
    action="masked", reasons=("EMAIL",), rules=("1",), counts={"EMAIL": 1}, highest="confidential"
)
REQUEST = Recordable(b'{"messages":[{"role":"user","content":"write to ***"}]}', b'[{"class":"EMAIL"}]')
ANSWER = Recordable(b'{"choices":[{"message":{"content":"done"}}]}')
DONE = Close(
    action="masked", status=200, complete=True, finish_reason="stop", output_tokens=3, response_size=44
)


def asks(who: Who = ALICE, **changes: Any) -> Admission:
    """alice's request, unless said otherwise."""
    given: dict[str, Any] = {
        "call_id": ids.new(),
        "who": who,
        "what": CHAT,
        "decision": MASKED,
        "request_hmac": os.urandom(32),
        "sent_digest": os.urandom(32),
        "request_size": 80,
        "request": REQUEST,
    }
    return Admission(**{**given, **changes})


def run(work: Awaitable[T]) -> T:
    async def main() -> T:
        return await work

    return asyncio.run(main())


def broken() -> Iterator[str]:
    """Every break in the stored chains."""
    return verifier.problems(link(entry) for entry in Entry.objects.order_by("id"))

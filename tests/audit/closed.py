"""Calls as they stand once they are closed, for what is derived from them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import uuid4

from audit import ids
from audit.deriving import Derivation, New
from audit.models import Call, Entry
from tests.audit.world import ALICE


def closed_call(at: datetime | None = None, **fields: Any) -> Call:
    """alice's call to `chat`, answered, unless said otherwise."""
    number = ids.new() if at is None else ids.uuid7(int(at.timestamp() * 1000), uuid4().int)
    given: dict[str, Any] = {
        "id": number,
        "started_at": ids.time_of(number),
        "closed_at": ids.now(),
        "instance_id": uuid4(),
        "stream_id": uuid4(),
        "person_id": ALICE.person_id,
        "subject": ALICE.subject,
        "name": ALICE.name,
        "kind": ALICE.kind,
        "groups": ["support"],
        "area": "clinic",
        "endpoint": "chat",
        "model": "demo",
        "streaming": False,
        "action": "masked",
        "gate": "allow",
        "reasons": [],
        "rules": [],
        "counts": {"EMAIL": 1},
        "request_hmac": b"",
        "sent_digest": b"\x01" * 32,
        "request_size": 10,
        "status": 200,
        "complete": True,
        "timings": {"upstream_first_byte": 3.0, "total": 4.0},
    }
    call = Call(**{**given, **fields})
    call.save(force_insert=True)
    return call


def derived(derivation: Derivation, *calls: Call) -> None:
    """What a derivation makes of these calls, written."""
    derivation(New(closed=calls, events=[]))()


def told(name: str) -> int:
    """How many events of this name, or of names that begin so, are on the record."""
    metas = Entry.objects.filter(kind="event").values_list("meta", flat=True)
    return sum(json.loads(bytes(meta))["event"].startswith(name) for meta in metas)

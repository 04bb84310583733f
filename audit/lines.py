"""An entry as one line of JSON, as exports hold it; `audit.verifier` says which members it has. Pure."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from audit.chain import Link


def line(link: Link) -> str:
    """One entry of an export."""
    return json.dumps(as_json(link))


def as_json(link: Link) -> dict[str, Any]:
    return {
        "stream": str(link.stream),
        "sequence": link.sequence,
        "previous": link.previous.hex(),
        "digest": link.digest.hex(),
        "id": link.id,
        "call": str(link.call) if link.call else None,
        "started_at": link.started_at,
        "at": link.at,
        "kind": link.kind,
        "payload_digest": link.payload_digest.hex(),
        "meta": link.meta.hex(),
    }


def parse(text: str) -> Link:
    """The opposite of `line`; raises ValueError for anything else.

    In the one form that is written: a member that is there twice, or one more, would show a reader something
    that was not verified.
    """
    try:
        link = _link(json.loads(text))
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"not an entry: {error}") from None
    if line(link) != text.removesuffix("\n"):
        raise ValueError("not in the one form that entries are written in")
    return link


def _link(row: dict[str, Any]) -> Link:
    return Link(
        stream=UUID(row["stream"]),
        sequence=int(row["sequence"]),
        previous=bytes.fromhex(row["previous"]),
        digest=bytes.fromhex(row["digest"]),
        id=int(row["id"]),
        call=UUID(row["call"]) if row["call"] else None,
        started_at=int(row["started_at"]),
        at=int(row["at"]),
        kind=str(row["kind"]),
        payload_digest=bytes.fromhex(row["payload_digest"]),
        meta=bytes.fromhex(row["meta"]),
    )

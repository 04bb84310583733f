"""What a sink is told of an entry: one flat JSON object, made of the entry's metadata alone.

The same entry gives the same bytes, whenever and by whomever it is told. Names of members do not change;
what is empty is left out. There is no payload: none is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import orjson

from audit.rows import encode
from audit.sinks import Told

VERSION: Final = 1
Record = dict[str, Any]

_RENAMED: Final[dict[str, dict[str, str]]] = {
    "who": {"name": "who", "kind": "who_kind"},
    "decision": {"highest": "level"},
    "close": {"response_counts": "counts"},
}
_EVENT: Final = frozenset({"v", "event", "by", "area", "about", "detail", "note"})
_EMPTY: Final[tuple[Any, ...]] = (None, "", [], {})

DROPPED: Final = (
    "timings", "extra", "score", "rules", "reasons", "detail", "note", "spared", "groups", "actor", "counts",
    "sent_digest", "session", "policy_version_id", "schema_version_id", "access_rule_id",
    "endpoint_id", "owner_id", "key_id", "issued_subject", "issuer", "path", "about", "person_id", "subject",
    "model", "policy", "schema", "who", "endpoint", "area", "code",
)  # fmt: skip
"""What goes first from a message that is too long."""


def record_of(stream: UUID, entry: Told) -> Record:
    """The entry as it is told."""
    said: Record = {
        **_said(entry.kind, _read(entry.meta)),
        "v": VERSION,
        "kind": entry.kind,
        "time": stamp(entry.at),
        "stream": str(stream),
        "sequence": entry.sequence,
        "digest": entry.digest.hex(),
        "call": str(entry.call_id) if entry.call_id else None,
    }
    return {name: value for name, value in said.items() if value not in _EMPTY}


def line_of(record: Mapping[str, Any]) -> bytes:
    """As JSON with sorted members, without an end of line."""
    return encode(record)


def shortened(record: Record, room: int) -> bytes:
    """The JSON in at most so many bytes: members left out are named in `shortened`. At least 480."""
    line, short, gone = line_of(record), dict(record), []
    for name in DROPPED:
        if len(line) <= room:
            return line
        if name in short:
            del short[name]
            gone.append(name)
            line = line_of({**short, "shortened": gone})
    return line if len(line) <= room else line_of(_essence(record))


def _essence(record: Record) -> Record:
    """Names the entry, so that it can be looked up."""
    kept = ("v", "kind", "time", "stream", "sequence", "digest", "call", "action")
    return {name: record[name] for name in kept if name in record} | {"shortened": ["all"]}


def stamp(at: datetime) -> str:
    """RFC 3339 in UTC, to the millisecond, as entries are dated."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def _read(meta: bytes) -> Any:
    """What is not JSON was tampered with: that must not keep what comes after it from being told."""
    try:
        return orjson.loads(meta)
    except ValueError:
        pass
    try:
        return json.loads(meta)
    except ValueError:
        return None


def _said(kind: str, meta: Any) -> Record:
    if not isinstance(meta, dict):
        return {"unreadable": True}
    if kind == "event":
        return _event(meta)
    if kind == "close":
        return {**_part(meta, "close"), "parts": meta.get("parts")}
    plain = ("session", "request_size", "sent_digest", "epoch")
    parts = _part(meta, "who") | _part(meta, "what") | _part(meta, "decision")
    return {**parts, **{name: meta[name] for name in plain if name in meta}}


def _event(meta: Mapping[str, Any]) -> Record:
    """What the recorder itself says has members of its own; they are details, too."""
    detail = meta.get("detail") or {}
    more = {name: value for name, value in meta.items() if name not in _EVENT}
    said = {name: meta.get(name) for name in ("event", "area", "about", "note")}
    return {
        **said,
        "detail": {**detail, **more} if isinstance(detail, dict) else more,
        **_part({"who": meta.get("by")}, "who"),
    }


def _part(meta: Mapping[str, Any], name: str) -> Record:
    said = meta.get(name)
    if not isinstance(said, dict):
        return {}
    names = _RENAMED.get(name, {})
    return {names.get(each, str(each)): value for each, value in said.items()}

"""Whether a call's row says what its entries say. Pure but for the row that it is given.

Lists, searches and the head of a call's page read the row, which is no entry: whoever writes the database
can change it and no digest breaks. Each of its columns was made from the metadata of an entry, so each can be
held against that. What an entry does not say, because its version did not, is not compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from audit import ids, metas
from audit.chain import Link
from audit.models import Call
from audit.store import text

_WHO: Final = (
    "person_id",
    "subject",
    "name",
    "kind",
    "owner_id",
    "key_id",
    "key_prefix",
    "groups",
    "network",
)
_WHAT: Final = (
    "area",
    "endpoint_id",
    "endpoint",
    "api",
    "method",
    "path",
    "model",
    "streaming",
    "access_rule_id",
    "policy_version_id",
    "policy",
    "schema_version_id",
    "schema",
)
_DECISION: Final = ("gate", "reasons", "rules", "counts", "highest")
_CUT: Final = {"subject": 255, "name": 255, "network": 64, "method": 16, "path": 512, "model": 255}
_OPEN: Final[Mapping[str, Any]] = {
    "status": None,
    "complete": None,
    "finish_reason": "",
    "input_tokens": None,
    "output_tokens": None,
    "response_size": 0,
    "response_counts": None,
    "timings": None,
    "extra": None,
}
"""The end of a call that has none. Of a process that vanished, the end says little more."""


def row_differs(call: Call, links: Sequence[Link]) -> list[str]:
    """The columns that are not what the call's entries say, by name. `links`: the entries, in order."""
    admission = next((link for link in links if link.kind == "admission"), None)
    if admission is None:
        return ["id"]  # a row that no entry made
    said = metas.said(admission.meta)
    found = [*_begun(call, admission, said)]
    ends = [link for link in links if link.kind == "close"]
    if not ends:
        ended: list[list[str]] = [_unlike(call, _opened(said))]
    else:  # of two, the one whose time the row has is the one that counted
        ended = [_unlike(call, _closed(said, link)) for link in ends]
    return found + min(ended, key=len)


def _begun(call: Call, admission: Link, said: Mapping[str, Any]) -> Iterator[str]:
    who, what, decision = (metas.part(said, name) for name in ("who", "what", "decision"))
    wanted: dict[str, Any] = {name: who[name] for name in _WHO if name in who}
    wanted |= {name: what[name] for name in _WHAT if name in what}
    wanted |= {name: decision[name] for name in _DECISION if name in decision}
    wanted |= {name: said[name] for name in ("request_hmac", "sent_digest", "request_size") if name in said}
    if "session" in said:
        wanted["session_id"] = said["session"]
    wanted |= {"stream_id": str(admission.stream), "started_at": admission.started_at}
    yield from _unlike(call, wanted)


def _opened(said: Mapping[str, Any]) -> dict[str, Any]:
    decision = metas.part(said, "decision")
    return {**_OPEN, "closed_at": None} | {
        name: decision[name] for name in ("action", "code") if name in decision
    }


def _closed(said: Mapping[str, Any], link: Link) -> dict[str, Any]:
    close = metas.part(metas.said(link.meta), "close")
    wanted = {**_opened(said), "closed_at": link.at}
    wanted |= {name: close[name] for name in (*_OPEN, "action") if name in close}
    return wanted | ({"code": close["code"]} if close.get("code") else {})


def _unlike(call: Call, wanted: Mapping[str, Any]) -> list[str]:
    return [name for name, value in wanted.items() if not _same(name, getattr(call, name), value)]


def _same(name: str, stored: Any, said: Any) -> bool:
    if name in ("started_at", "closed_at"):
        return bool(said == (None if stored is None else ids.microseconds(stored)))
    if name in ("request_hmac", "sent_digest"):
        return bool(bytes(stored).hex() == said)
    if name.endswith("_id"):
        return bool((stored.hex if stored else None) == (str(said).replace("-", "") if said else None))
    if name in _CUT and isinstance(said, str):
        return bool(stored == text(said, _CUT[name]))
    if name == "finish_reason" and isinstance(said, str):
        return bool(stored == text(said, 64))
    return bool(stored == said)

"""Calls as the rows of a table: what a page prints, worked out once. Pure but for the models it reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from audit.models import Call

_AWAY = frozenset({"upstream_first_byte", "upstream_body", "upstream_stream", "send", "body", "hold"})
_RECORD = frozenset({"admit", "record"})
_LABELS = {
    "auth": "identify, route",
    "body": "read request",
    "scan": "inspect request",
    "admit": "record request",
    "hold": "wait for a decision",
    "upstream_first_byte": "model: first byte",
    "upstream_body": "model: body",
    "upstream_stream": "model: stream",
    "scan_response": "inspect response",
    "record": "record response",
    "send": "send to client",
}
_ORDER = {phase: place for place, phase in enumerate(_LABELS)}


@dataclass(frozen=True, slots=True)
class Found:
    """How often one data class was found."""

    data_class: str
    count: int
    level: str = "found"  # a badge's style: classes carry their level in the payload's own marks

    @property
    def title(self) -> str:
        return f"{self.data_class}: {self.count} found"


@dataclass(frozen=True, slots=True)
class Action:
    """How many calls of a session ended in one way."""

    name: str
    count: int


@dataclass(frozen=True, slots=True)
class Bar:
    """One phase of the waterfall, in thousandths of the whole. `kind` is ours, away or record."""

    label: str
    kind: str
    start: int
    width: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRow:
    """One line of a list of calls."""

    id: UUID
    session_id: UUID | None
    started_at: datetime
    name: str
    network: str
    endpoint: str
    model: str
    api: str
    streaming: bool
    action: str
    code: str
    status: int | None
    complete: bool | None
    found: tuple[Found, ...]
    took: str | None


def call_rows(calls: Iterable[Call]) -> list[CallRow]:
    return [call_row(call) for call in calls]


def call_row(call: Call) -> CallRow:
    return CallRow(
        id=call.id,
        session_id=call.session_id,
        started_at=call.started_at,
        name=call.name,
        network=call.network,
        endpoint=call.endpoint,
        model=call.model,
        api=call.api,
        streaming=call.streaming,
        action=call.action,
        code=call.code,
        status=call.status,
        complete=call.complete,
        found=found_of(call.counts, call.response_counts),
        took=took(call.timings),
    )


def found_of(*counts: Mapping[str, int] | None) -> tuple[Found, ...]:
    """Findings by class over any number of counts, most frequent first."""
    total: dict[str, int] = {}
    for part in counts:
        for name, count in (part or {}).items():
            total[name] = total.get(name, 0) + count
    ordered = sorted(total.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Found(name, count) for name, count in ordered if count)


def took(timings: Mapping[str, float] | None) -> str | None:
    """How long a call took, for people."""
    total = (timings or {}).get("total")
    return None if total is None else milliseconds(total)


def milliseconds(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1000:.1f} s"
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.1f} ms"


def waterfall(timings: Mapping[str, float] | None) -> tuple[Bar, ...]:
    """Phases one after the other, in the order of a call; the rest of the total is not drawn."""
    phases = [(name, spent) for name, spent in (timings or {}).items() if name != "total" and spent > 0]
    phases.sort(key=lambda phase: _ORDER.get(phase[0], len(_ORDER)))  # the store keeps no order
    whole = sum(spent for _, spent in phases) or 1.0
    bars: list[Bar] = []
    before = 0.0
    for name, spent in phases:
        start = min(round(1000 * before / whole), 994)
        width = max(round(1000 * spent / whole), 6)
        label = _LABELS.get(name, name.replace("_", " "))
        bars.append(Bar(label, _kind(name), start, width, milliseconds(spent)))
        before += spent
    return tuple(bars)


def _kind(phase: str) -> str:
    if phase in _AWAY:
        return "away"
    return "record" if phase in _RECORD else "ours"

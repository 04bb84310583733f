"""What people did, as the record has it: searches, openings, traces, exports, publications, decisions.

Read from the stream of events, newest first, by keyset. What narrows a list is looked for in a bounded number
of events; the page says how far back that was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, final
from uuid import UUID

from audit import chain
from audit.models import Entry, Stream
from audit.walls import Areas

PAGE: Final = 50
LOOKED_AT: Final = 5_000
"""Events that one page looks through."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One event. `by` is a name, `subject` the same for programs."""

    id: int
    at: datetime
    name: str
    by: str
    subject: str
    area: str
    about: str
    call: UUID | None
    detail: Mapping[str, Any]
    note: str

    @property
    def facts(self) -> list[tuple[str, str]]:
        """The detail as pairs, without what is empty."""
        return [
            (key.replace("_", " "), _said(value)) for key, value in self.detail.items() if value not in _EMPTY
        ]


_EMPTY: Final[tuple[Any, ...]] = ("", None, [], {})


@final
@dataclass(frozen=True, slots=True)
class Acts:
    """A page. `older`: the event to go on before. `back_to`: looked through so far, and there is more."""

    rows: list[Act]
    older: int | None = None
    back_to: datetime | None = None


def acts(
    areas: Areas,
    *,
    own: str = "",
    by: str = "",
    name: str = "",
    since: datetime | None = None,
    before: int | None = None,
    limit: int = PAGE,
) -> Acts:
    """Events of the areas, and those of whoever reads (`own`, a subject) wherever they are.

    `by` narrows to one subject or name, `name` to events that begin so.
    """
    found: list[Act] = []
    last: Act | None = None
    for entry in _entries(before):
        last = _act(entry)
        if since is not None and last.at < since:
            return Acts(found)
        if not _visible(last, areas, own) or not _wanted(last, by, name):
            continue
        if len(found) == limit:
            return Acts(found, found[-1].id)
        found.append(last)
    if last is None or last.id & ((1 << chain.SEQUENCE_BITS) - 1) <= 1:
        return Acts(found)
    return Acts(found, last.id, last.at)


def _entries(before: int | None) -> list[Entry]:
    stream = Stream.objects.filter(kind="events").first()
    if stream is None:
        return []
    first, end = chain.entry_id(stream.number, 0), chain.entry_id(stream.number + 1, 0)
    rows = Entry.objects.filter(id__gt=first, id__lt=min(before or end, end), kind="event")
    return list(rows.order_by("-id").only("id", "at", "call_id", "meta")[:LOOKED_AT])


def _visible(act: Act, areas: Areas, own: str) -> bool:
    return areas is None or act.area in areas or bool(own and act.subject == own)


def _wanted(act: Act, by: str, name: str) -> bool:
    return (not by or by in (act.subject, act.by)) and act.name.startswith(name)


def _act(entry: Entry) -> Act:
    """An entry that somebody changed may hold anything."""
    try:
        meta = json.loads(bytes(entry.meta))
    except (ValueError, RecursionError):
        meta = {}
    meta = meta if isinstance(meta, dict) else {}
    by, detail = meta.get("by"), meta.get("detail")
    by = by if isinstance(by, dict) else {}
    return Act(
        id=entry.id,
        at=entry.at,
        name=str(meta.get("event", "")),
        by=str(by.get("name") or by.get("subject") or ""),
        subject=str(by.get("subject") or ""),
        area=str(meta.get("area") or ""),
        about=str(meta.get("about") or ""),
        call=entry.call_id,
        detail=detail if isinstance(detail, dict) else {},
        note=str(meta.get("note") or ""),
    )


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_said(each)}" for key, each in value.items())
    return ", ".join(map(_said, value)) if isinstance(value, list) else str(value)

"""Opening a held call for whoever decides about it: what they are shown, and that they were shown it (P16).

Reviewers are no auditors: they see the request of the call that waits, with numbered labels, and nothing else
of the record. Whether they may see it is the approval's business; here its area is held against the call's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final
from uuid import UUID

from django.db import transaction

from audit import ids, replay
from audit.events import event
from audit.inert import Mark
from audit.models import Call
from audit.reader import CallRecord, call_read
from audit.records import Recordable, Who
from audit.replay import Payload

MAX_FINDINGS = 2_000
"""Findings that a page lists with a link each; their number is said in any case."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A held request as its page shows it. `request` is None where it cannot be shown: `missing` says why."""

    request: Payload | None = None
    missing: str = ""
    findings: tuple[Mark, ...] = ()
    further: int = 0  # findings beyond those listed
    tampered: bool = False  # the record does not fit together: nobody should decide on it


def held_open(*, approval_id: UUID, call_id: UUID, area: str, by: Who) -> Held:
    """Read what a reviewer is shown of a held call. That it was opened is durable before anything is
    returned."""
    with transaction.atomic(durable=True):
        about = f"approval {approval_id}"
        event("approval.opened", by=by, area=area, about=about, call_id=call_id)
    call = _call(call_id, area)
    return Held(missing="The call is not on record.") if call is None else _held(call_read(call))


def _call(call_id: UUID, area: str) -> Call | None:
    try:
        return Call.objects.filter(id=call_id, started_at=ids.time_of(call_id), area=area).first()
    except (ValueError, OverflowError):  # an id that holds no time
        return None


def _held(record: CallRecord) -> Held:
    if not record.chain_ok or record.unlike:
        return Held(missing="The record of this call was changed. Tell whoever audits.", tampered=True)
    found: Recordable | None = record.view or record.request
    if found is None:
        kept = [part for part in record.parts if part.kind in ("view", "admission")]
        problem = next((part.problem for part in kept if part.problem), "")
        return Held(missing=f"The request cannot be shown: {problem}." if problem else _NOTHING)
    return _shown(found)


_NOTHING = "Nothing of the request was kept."


def _shown(found: Recordable) -> Held:
    marks = [replace(mark, number=at) for at, mark in enumerate(replay.read_marks(found.marks), 1)]
    return Held(
        request=replay.request_of(found.data, marks),
        findings=tuple(marks[:MAX_FINDINGS]),
        further=max(0, len(marks) - MAX_FINDINGS),
    )

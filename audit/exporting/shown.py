"""An export as a line of the page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.utils import timezone

from audit.exporting.asked import Asked, Changed, Progress, covers
from audit.exporting.chosen import in_words
from audit.exporting.keeping import lasts
from audit.models import Job
from audit.walls import Areas

LATE: Final = timedelta(minutes=1)
"""The worker looks every five seconds: by then something is wrong."""

_STATES: Final = {"pending": "waiting", "running": "running", "done": "ready", "failed": "failed"}
_MOVING: Final = ("waiting", "running", "proving")
_BADGES: Final = {"ready": "ok", "failed": "error", **dict.fromkeys(_MOVING, "pending")}
FORM_NAMES: Final = {"jsonl": "JSONL", "csv": "CSV", "ocsf": "OCSF"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the list says of one export."""

    id: UUID
    asked_at: datetime
    state: str
    badge: str
    form: str
    payloads: bool
    selection: str
    areas: str
    reason: str
    rows: int
    open_calls: int
    closing: bool
    unanchored: tuple[str, ...]
    late: bool
    problem: str
    problems: int
    problem_names: tuple[str, ...]
    size: int
    sha256: str
    until: datetime | None
    may_fetch: bool

    @property
    def moving(self) -> bool:
        return self.state in _MOVING


_UNKNOWN: Final = Asked(
    person=UUID(int=0),
    subject="",
    name="",
    form="",
    payloads=False,
    selection={},
    sealed="",
    areas=[],
    reason="",
    until="",
)
"""Stands where the store does not say what was asked for."""


def shown(job: Job, areas: Areas) -> Shown:
    """`areas`: where whoever looks may export."""
    result, problem = job.result or {}, ""
    try:
        asked, progress = Asked.of(job), Progress.of(job)
    except Changed as changed:
        asked, progress, problem = _UNKNOWN, Progress(), str(changed)
    state = str(result.get("ended") or _STATES[job.state])
    if state == "running" and progress.stage == "proving":
        state = "proving"
    return Shown(
        id=job.pk,
        asked_at=job.created_at,
        state=state,
        badge=_BADGES.get(state, "mute"),
        form=FORM_NAMES.get(asked.form, asked.form),
        payloads=asked.payloads,
        selection=in_words(asked.selection),
        areas="all areas" if asked.areas is None else ", ".join(asked.areas) or "no area",
        reason=asked.reason,
        rows=progress.rows,
        open_calls=progress.open_calls,
        closing=progress.stage == "closing",
        unanchored=tuple(progress.unanchored),
        late=_late(job),
        problem=str(result.get("problem", "") or problem),
        problems=progress.problem_count,
        problem_names=tuple(progress.problems),
        size=_number(result.get("size")),
        sha256=str(result.get("sha256", "")),
        until=job.finished_at + lasts() if state == "ready" and job.finished_at else None,
        may_fetch=state == "ready" and not problem and covers(areas, asked.within),
    )


def _late(job: Job) -> bool:
    """Whether nobody works on it, though somebody should."""
    if job.finished_at is not None:
        return False
    begins = job.due_at if job.state == "running" else job.created_at
    return timezone.now() - max(job.leased_until or begins, job.created_at) > LATE


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0

"""Long work as due rows under a lease: taken by one worker at a time, resumed by another, ended once.

Every step is one update that names the state it starts from, and counts its rows: a worker whose lease ran
out, or whose job was cancelled meanwhile, learns so by changing nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from audit import ids
from audit.models import Job

LEASE: Final = timedelta(seconds=60)
"""How long a worker may be silent before another one takes over."""

TRIES: Final = 5
"""How often a job is taken up without getting any further; then it has failed."""


def begin(
    *,
    kind: str,
    options: Mapping[str, Any],
    asked_by: str,
    result: Mapping[str, Any],
    job_id: UUID | None = None,
) -> Job:
    """A job that is due at once. `job_id`: one that was named before, as in an event."""
    moment = ids.now()
    return Job.objects.create(
        id=job_id or ids.new(),
        kind=kind,
        options=dict(options),
        result=dict(result),
        asked_by=asked_by,
        created_at=moment,
        due_at=moment,
    )


def claim(kind: str) -> Job | None:
    """The oldest due job of a kind, leased to the caller. None: there is none, or one is being worked on."""
    moment = ids.now()
    waiting = Job.objects.filter(kind=kind, finished_at=None, due_at__lte=moment)
    if waiting.filter(leased_until__gt=moment).exists():
        return None
    for job in waiting.order_by("due_at", "id")[:10]:
        mine = waiting.filter(pk=job.pk, leased_until=job.leased_until)
        until = moment + LEASE
        result = {**(job.result or {}), "tries": int((job.result or {}).get("tries", 0)) + 1}
        if mine.update(state="running", leased_until=until, result=result):
            job.state, job.leased_until, job.result = "running", until, result
            return job
    return None


def take(job_id: UUID, *, kind: str) -> Job | None:
    """This job, leased to the caller. None: it has ended, or is being worked on."""
    moment = ids.now()
    job = Job.objects.filter(pk=job_id, kind=kind, finished_at=None).first()
    if job is None or (job.leased_until is not None and job.leased_until > moment):
        return None
    until = moment + LEASE
    if not _mine(job).update(state="running", leased_until=until):
        return None
    job.state, job.leased_until = "running", until
    return job


def keep(job: Job, result: Mapping[str, Any]) -> bool:
    """Save how far the caller got and extend the lease. False: the job is no longer the caller's."""
    until = max(ids.now() + LEASE, (job.leased_until or ids.now()) + timedelta(milliseconds=1))
    saved = {**result, "tries": 0}
    if not _mine(job).update(leased_until=until, result=saved):
        return False
    job.leased_until, job.result = until, saved
    return True


def release(job: Job) -> None:
    """Let the next worker go on with it at once."""
    _mine(job).update(leased_until=None)


def later(job: Job, pause: timedelta) -> None:
    """Let the next worker go on with it after a pause."""
    _mine(job).update(leased_until=None, due_at=ids.now() + pause)


def finish(job: Job, *, state: str, result: Mapping[str, Any]) -> bool:
    """End a job of the caller's. False: it ended otherwise, or is another worker's."""
    ended = {"state": state, "finished_at": ids.now(), "leased_until": None, "result": dict(result)}
    return bool(_mine(job).update(**ended))


def cancel(job_id: UUID, *, kind: str) -> bool:
    """End a job from outside; whoever works on it notices at the next step. False: it had ended."""
    job = Job.objects.filter(pk=job_id, kind=kind, finished_at=None).first()
    if job is None:
        return False
    result = {**(job.result or {}), "ended": "cancelled"}
    ended = {"state": "failed", "finished_at": ids.now(), "leased_until": None, "result": result}
    return bool(Job.objects.filter(pk=job_id, finished_at=None).update(**ended))


def _mine(job: Job) -> Any:
    return Job.objects.filter(pk=job.pk, finished_at=None, leased_until=job.leased_until)

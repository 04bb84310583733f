"""Exports that hold what was erased meanwhile: their files go, and their state says so.

Called after the evidence is gone, so that whatever reads from then on finds nothing of it.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Collection
from uuid import UUID

from django.db import transaction

from audit import ids
from audit.events import event
from audit.exporting.asked import KIND, area_of
from audit.exporting.files import Place
from audit.exporting.manifest import ENTRIES
from audit.models import Job

BECAUSE = "erased"


def exports_take_back(calls: Collection[UUID], beat: Callable[[], object]) -> int:
    """Remove every export with payloads that holds one of these calls, finished or under way. Returns how
    many. What holds metadata only says no more than the record still does.

    One that is under way is asked for anew: nobody knows yet what is in it. `beat` is called between two
    exports, as a large one takes seconds to look through.
    """
    wanted = {str(call) for call in calls}
    if not wanted:
        return 0
    jobs = Job.objects.filter(kind=KIND, options__payloads=True)
    begun = list(jobs.filter(state="running"))
    taken = sum(map(_take_back, begun))
    for job in jobs.filter(state="done"):
        taken += _holds(Place(job.pk), wanted) and _take_back(job)
        beat()
    return taken


def _holds(place: Place, calls: Collection[str]) -> bool:
    """Whether the finished file has an entry of one of these. One that nobody can read may."""
    try:
        with zipfile.ZipFile(place.finished) as archive, archive.open(ENTRIES) as lines:
            return any(json.loads(line)["call"] in calls for line in lines)
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return True


def _take_back(job: Job) -> bool:
    """False: it has ended otherwise by now."""
    now = ids.now()
    with transaction.atomic():
        mine = Job.objects.filter(pk=job.pk, state=job.state)
        result = {**(job.result or {}), "ended": BECAUSE}
        ended = {"state": "failed", "result": result, "finished_at": job.finished_at or now}
        if not mine.update(**ended, leased_until=None):
            return False
        event("export.erased", area=area_of(job), about=f"export {job.pk}")
    Place(job.pk).discard()
    return True

"""The work on an export, a few calls at a time.

`sweep` takes what is due and saves after each step how far it got; so it may be run by anybody, be killed
anywhere, and ends once. What was written behind the last saved step is cut off and written again.
"""

from __future__ import annotations

import errno
import logging
import time
from typing import Final, final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.utils import Error as DatabaseError

from audit import ids, jobs
from audit.events import NOBODY, event
from audit.exporting import anchoring
from audit.exporting.asked import KIND, Asked, Changed, Progress, area_of, may_have
from audit.exporting.asking import chosen
from audit.exporting.chosen import index_renew, page
from audit.exporting.closing import close
from audit.exporting.facts import facts_of
from audit.exporting.files import Busy, Place, Writing
from audit.exporting.formats import Form
from audit.exporting.payloads import payloads_of
from audit.exporting.proving import Unproven
from audit.keys import KeysUnavailable
from audit.lines import line
from audit.models import Job
from audit.reader import CallRecord, calls_read
from audit.records import Who

log = logging.getLogger(__name__)

STEP: Final = 100  # calls between two saves
STEP_WITH_PAYLOADS: Final = 20
TURN: Final = 20.0  # seconds that one sweep works; others want the worker too
BEAT: Final = 10.0  # seconds between two signs of life while the file is made
MOST_ENTRIES: Final = 1_000_000
"""Whoever checks an export has to remember all its entries."""

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Stop(Exception):
    """It cannot be made. The text says why, to whoever asked for it."""


class Lost(Exception):
    """It was cancelled, or another worker has it by now."""


def sweep() -> int:
    """Work on what is due for a while; returns how many calls were written."""
    ends, done = time.monotonic() + TURN, 0
    while time.monotonic() < ends and (job := jobs.claim(KIND)) is not None:
        done += _attempt(job, ends)
    return done


def _attempt(job: Job, ends: float) -> int:
    place, work = Place(job.pk), None
    try:
        with place.held():
            work = Work(job, place, ends)
            work.go()
    except (Busy, DatabaseError) as error:  # the lease runs out and a later sweep goes on
        log.warning("export %s: %s", job.pk, type(error).__name__)
    except Lost:
        if Job.objects.filter(pk=job.pk, finished_at__isnull=False).exclude(state="done").exists():
            place.discard()
    except Exception as error:
        log.error("export %s failed: %s", job.pk, type(error).__name__)
        _fail(job, place, _why(error))
    return work.written if work else 0


def _why(error: Exception) -> str:
    """For whoever asked; nothing of a record, and no path."""
    if isinstance(error, Stop | Unproven | Changed):
        return str(error)
    if isinstance(error, KeysUnavailable):
        return "The key directory (AUDIT_KEY_DIR) cannot be used: nothing can be signed."
    if isinstance(error, OSError):
        full = error.errno in _FULL
        why = "no space is left" if full else (error.strerror or type(error).__name__)
        return f"It could not be written to AUDIT_EXPORT_DIR: {why}. What was written is removed."
    return f"It failed ({type(error).__name__}). The log has the time."


def _fail(job: Job, place: Place, problem: str) -> None:
    place.discard()
    with transaction.atomic():
        if jobs.finish(job, state="failed", result={**(job.result or {}), "problem": problem}):
            facts = {"problem": problem}
            event("export.failed", by=_asker(job), area=area_of(job), about=f"export {job.pk}", detail=facts)


def _asker(job: Job) -> Who:
    try:
        return Asked.of(job).by
    except Changed:
        return NOBODY


@final
class Work:
    """One turn at one export."""

    def __init__(self, job: Job, place: Place, ends: float) -> None:
        self._job, self._place, self._ends = job, place, ends
        self._asked, self._progress = Asked.of(job), Progress.of(job)
        self._form = Form(self._asked.form, settings.VERSION)
        self._selection = chosen(job, self._asked)
        self._beaten = time.monotonic()
        self.written = 0

    def go(self) -> None:
        if (self._job.result or {}).get("tries", 0) > jobs.TRIES:
            raise Stop("The worker stopped several times at the same place.")
        writing = Writing(self._place, self._asked.form, self._progress)
        try:
            if not writing.resumed:
                self._progress = Progress()
                writing.anew()
            read = self._progress.stage != "reading" or self._read(writing)
        finally:
            writing.close()
        if read and self._anchored():
            self._close()

    def _read(self, writing: Writing) -> bool:
        """Write the rows; False when the turn is over before they are all written."""
        progress, selection, areas = self._progress, self._selection, self._asked.within
        if not progress.cursor:
            index_renew(selection, areas, self._keep)
            writing.add(self._form.head(), "")
        while True:
            self._check()
            some = STEP_WITH_PAYLOADS if self._asked.payloads else STEP
            before = UUID(progress.cursor or self._asked.until)
            calls, older = page(selection, areas, before=before, limit=some)
            for record in calls_read(calls, payloads=self._asked.payloads):
                self._add(writing, record)
            progress.cursor = str(older or self._asked.until)
            progress.stage = "reading" if older else "closing"
            progress.data, progress.entries = writing.save()
            self._keep()
            if not older:
                return True
            if time.monotonic() >= self._ends:
                jobs.release(self._job)
                return False

    def _anchored(self) -> bool:
        """Whether the anchors have the checkpoints that its proof needs, or have been waited for long enough.
        False: it is looked at again after a pause."""
        progress = self._progress
        if not progress.since:
            self._check()
            progress.stated, progress.since = anchoring.stated(self._place), ids.now().isoformat()
        progress.unanchored = anchoring.lacking(progress.stated)
        if not progress.unanchored or anchoring.too_long(progress.since):
            progress.stage = "closing"
            return True
        progress.stage = "proving"
        self._keep()
        jobs.later(self._job, anchoring.PAUSE)
        return False

    def _check(self) -> None:
        """Before each step: whether it may go on, and is not too large."""
        progress, most = self._progress, settings.AUDIT_EXPORT_MB
        if not may_have(self._asked):
            raise Stop("You may not export what lies in these areas any more.")
        if progress.data + progress.entries > most << 20:
            so_far = f"after {progress.rows:,} calls it has more than {most:,} MB (AUDIT_EXPORT_MB)"
            raise Stop(f"It is too large: {so_far}. Select fewer, or leave out requests and responses.")
        if progress.entry_count > MOST_ENTRIES:
            raise Stop(f"It is too large: more than {MOST_ENTRIES:,} entries. Select fewer calls.")

    def _add(self, writing: Writing, record: CallRecord) -> None:
        progress, call, areas = self._progress, record.call.id, self._asked.within
        if not record.links:
            progress.problem(f"call {call}: nothing of it is on record but its line in the lists")
            return
        facts = facts_of(record.links)
        if areas is not None and facts["area"] not in areas:
            progress.problem(f"call {call}: its entries say that it lay elsewhere, so it is left out")
            return
        if not record.chain_ok:
            progress.problem(f"call {call}: its entries were changed")
        if record.unlike:
            progress.problem(f"call {call}: its line in the lists is not what its entries say")
        payloads = payloads_of(record) if self._asked.payloads else None
        entries = "".join(f"{line(link)}\n" for link in record.links)
        writing.add(self._form.row(record.links, payloads), entries)
        progress.rows += 1
        progress.open_calls += facts["state"] == "open"
        progress.entry_count += len(record.links)
        self.written += 1

    def _close(self) -> None:
        """Make the file. Raises `Lost` when it is not wanted any more."""
        self._check()
        made = close(self._job, self._asked, self._progress, self._place, self._beat)
        facts = {"sha256": made.digest, "size": made.size, "checkpoints": made.checkpoints}
        with transaction.atomic():
            if not jobs.finish(self._job, state="done", result={**self._progress.as_json(), **facts}):
                raise Lost
            asked, about = self._asked, f"export {self._job.pk}"
            facts |= {"calls": self._progress.rows, "problems": self._progress.problem_count}
            facts |= {"unanchored": self._progress.unanchored}
            event("export.made", by=asked.by, area=asked.area, about=about, detail=facts)
        self._place.clear()

    def _beat(self) -> None:
        """Show that somebody still works on it; asked often, done now and then."""
        if time.monotonic() - self._beaten > BEAT:
            self._beaten = time.monotonic()
            self._check()
            self._keep()

    def _keep(self) -> None:
        if not jobs.keep(self._job, self._progress.as_json()):
            raise Lost

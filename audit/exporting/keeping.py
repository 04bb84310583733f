"""Exports do not lie about: what is old enough goes, and so does what belongs to no export that is there."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings

from audit import ids
from audit.exporting.asked import KIND
from audit.exporting.asking import export_remove
from audit.exporting.files import Place, lying
from audit.models import Job


def exports_forget() -> int:
    """Remove what has run out, and files of exports that ended otherwise. Returns how many ran out."""
    due = Job.objects.filter(kind=KIND, state="done", finished_at__lte=ids.now() - lasts())
    gone = sum(export_remove(job=job, because="expired") for job in due)
    for job_id in lying():
        if not Job.objects.filter(pk=job_id, kind=KIND, state__in=("pending", "running", "done")).exists():
            Place(job_id).discard()
    return gone


def lasts() -> timedelta:
    """How long an export can be fetched."""
    return timedelta(days=settings.AUDIT_EXPORT_DAYS)

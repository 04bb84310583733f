"""Doorbells for the sweeps; the schedule is in the settings. A task carries nothing."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings

from audit import deriving, indexing, sweeps
from audit.exporting import keeping, working
from audit.keys import KeyDirectory
from audit.retention import erasure, rekeying, run


@shared_task
def close_sessions() -> None:
    sweeps.sessions_close()


@shared_task
def close_lost_calls() -> None:
    sweeps.calls_close_lost()


@shared_task
def make_partitions() -> None:
    sweeps.partitions_make()


@shared_task
def index_fingerprints() -> None:
    indexing.index_pending()


@shared_task
def derive_from_record() -> None:
    deriving.derive()


@shared_task
def export_calls() -> None:
    working.sweep()


@shared_task
def forget_exports() -> None:
    keeping.exports_forget()


@shared_task
def retain() -> None:
    """What rules let go."""
    run.sweep(KeyDirectory(settings.AUDIT_KEY_DIR))


@shared_task
def erase() -> None:
    """What two people want erased, and new keys for its days."""
    erasure.sweep()
    rekeying.sweep(KeyDirectory(settings.AUDIT_KEY_DIR))

"""Doorbells for the sweeps; the schedule is in the settings. A task carries nothing."""

from __future__ import annotations

from celery import shared_task

from approvals import counting, sweeps


@shared_task
def expire() -> None:
    counting.votes_set_aside()
    sweeps.approvals_expire()


@shared_task
def escalate() -> None:
    sweeps.approvals_escalate()

"""Doorbells for the sweeps; the schedule is in the settings. A task carries nothing."""

from __future__ import annotations

from celery import shared_task

from approvals import sweeps


@shared_task
def expire() -> None:
    sweeps.approvals_expire()


@shared_task
def escalate() -> None:
    sweeps.approvals_escalate()

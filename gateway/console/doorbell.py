"""Wakes the worker. Whoever cannot be reached misses nothing: the schedule looks for due rows anyway."""

from __future__ import annotations

import logging
from threading import Thread

from gateway.celery import app

log = logging.getLogger(__name__)


def ring(task: str) -> None:
    """Ask for a sweep, without waiting: a broker that is away would hold up the page for seconds."""
    Thread(target=_ring, args=(task,), name="postern-doorbell", daemon=True).start()


def _ring(task: str) -> None:
    try:
        app.send_task(task, retry=False, ignore_result=True)
    except Exception as error:  # the broker's own errors are of any kind; the sweep comes without it
        log.info("the worker was not woken: %s", type(error).__name__)

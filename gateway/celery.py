"""The Celery application: one queue of doorbells. Tasks carry ids, never payloads or secrets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import Celery
from celery.beat import EmbeddedService
from celery.signals import worker_init, worker_ready, worker_shutting_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.settings")

app = Celery("postern")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.imports = ("gateway.tasks", "approvals.tasks", "audit.tasks")


@worker_init.connect
def make_folder(**kwargs: Any) -> None:
    """For the schedule's file."""
    Path(app.conf.beat_schedule_filename).parent.mkdir(parents=True, exist_ok=True)


class BeatInside:
    """The schedule as a thread of the worker: `--beat` would fork a process that can outlive it.

    Two schedulers do no harm: every task is a sweep over rows that are due.
    """

    def __init__(self) -> None:
        self._beat: Any = None

    def start(self, **kwargs: Any) -> None:
        self._beat = EmbeddedService(app, thread=True, schedule_filename=app.conf.beat_schedule_filename)
        self._beat.daemon = True
        self._beat.start()

    def stop(self, **kwargs: Any) -> None:
        if self._beat is not None:
            self._beat.service.stop()


beat = BeatInside()
worker_ready.connect(beat.start)
worker_shutting_down.connect(beat.stop)

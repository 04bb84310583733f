"""kill -9 of the worker in the middle of a preview: another one goes on, and every call counts once."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from audit import ids
from audit.models import Job
from audit.recorder import Recorder
from gateway.console.outlook import outlook
from gateway.console.previewing import Span, preview_start, sweep
from tests.console import world as trials
from tests.console.traffic import recorded
from tests.console.world import EMAIL, chat

ROOT = Path(__file__).resolve().parents[2]
CALLS = 60


def killed_after(steps: int) -> int:
    """Start a worker, kill it when it has saved so many steps; returns the last one that it said."""
    argv = [sys.executable, "-m", "tests.console.victim", str(connection.settings_dict["NAME"])]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "gateway.settings"}
    victim = subprocess.Popen(
        [*argv, str(settings.AUDIT_KEY_DIR)], cwd=ROOT, env=environment, stdout=subprocess.PIPE
    )
    assert victim.stdout is not None
    said = [victim.stdout.readline() for _ in range(steps + 1)]
    victim.kill()
    victim.wait(10)
    victim.stdout.close()
    assert said[-1].startswith(b"saved "), said
    return int(said[-1].split()[1])


@pytest.mark.django_db(transaction=True)
def test_a_preview_survives_kill_9_and_ends_once(recorder: Recorder) -> None:
    pair = trials.published()
    recorded(recorder, pair, *[chat(f"mail {EMAIL}"), chat("hi")] * (CALLS // 2))
    job = preview_start(version=trials.draft_of(pair[0]), span=Span(days=1), by=trials.editor())
    chance = random.Random(7)
    for _ in range(3):
        at_least = killed_after(chance.randrange(1, 10))
        job.refresh_from_db()
        assert job.state == "running" and outlook(job).sums.seen >= at_least
        assert sweep() == 0, "its lease still runs"
        Job.objects.update(leased_until=ids.now() - timedelta(seconds=1))  # as a minute later
    sweep()
    job.refresh_from_db()
    view, ended = outlook(job), job.finished_at
    assert (job.state, view.sums.seen, view.sums.judged) == ("done", CALLS, CALLS)
    assert dict(view.sums.matrix) == {"masked>held": CALLS // 2, "passed>passed": CALLS // 2}
    assert len({each.call for each in view.examples}) == len(view.examples)
    assert sweep() == 0
    job.refresh_from_db()
    assert job.finished_at == ended

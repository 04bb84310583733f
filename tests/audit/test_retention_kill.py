"""kill -9 of the worker at whatever statement, and two workers at once: what goes, goes once."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from audit.keys import PAYLOAD, KeyDirectory
from audit.models import Call, EvidenceDay, Flag, FlagAct, Job, Removal
from audit.recorder import Recorder
from audit.retention import erasure, rekeying, run

from .kept import Backup, ago, calls_on, findable, hold, readable, request, rule, verified
from .test_forgotten import flagged
from .world import broken

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 5
STATEMENTS = 260
"""About as many as the whole work takes."""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "AUDIT_EXPORT_DIR", tmp_path / "exports")


class Planned:
    """What is to go, and what is to stay: by a rule, by a request, by a hold."""

    def __init__(self, recorder: Recorder) -> None:
        self.expired = calls_on(recorder, 40, 40, 40, 41, 70)
        self.erased = calls_on(recorder, 9, 9, 9)
        self.held, *self.kept = calls_on(recorder, 40, 9, 9, 5)
        flagged(self.expired[0], self.erased[0], self.held)
        self.backup = Backup.made()
        hold(call_id=self.held.id)
        rule(30, 60)
        request(*self.erased)

    def check(self, keys: KeyDirectory, seed: object) -> None:
        gone = [*self.expired, *self.erased]
        assert not any(readable(call) or findable(call, keys) for call in gone), seed
        assert all(readable(call) and findable(call, keys) for call in (self.held, *self.kept)), seed
        assert not Call.objects.filter(id=self.expired[-1].id).exists(), seed  # its row's time was up
        whole = sum(Removal.objects.exclude(kind="rows").values_list("count", flat=True))
        assert (whole, Removal.objects.filter(kind="rows").count()) == (len(gone), 1), seed  # each once
        assert set(Flag.objects.values_list("id", flat=True)) == {self.held.id}, seed
        assert set(FlagAct.objects.values_list("flag_id", flat=True)) == {self.held.id}, seed
        assert set(Job.objects.values_list("kind", "state")) == {("retention", "done"), ("erasure", "done")}
        assert keys.generations(PAYLOAD, ago(9)) == [2] and keys.generations(PAYLOAD, ago(41)) == [], seed
        assert not EvidenceDay.objects.exclude(rekey_asked_at=None, rekey_to=None).exists(), seed
        assert verified() == "" and list(broken()) == [], seed
        self.backup.restore()
        assert not any(readable(call) for call in gone if call not in self.expired[:3]), seed
        assert not any(findable(call, keys) for call in self.erased), seed


def killed(at: int, when: str) -> bool:
    """Whether a worker of its own died there; False: it was done before."""
    argv = [sys.executable, "-m", "tests.audit.retention_victim", str(connection.settings_dict["NAME"])]
    argv += [str(settings.AUDIT_KEY_DIR), str(settings.AUDIT_EXPORT_DIR), str(at), when]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "gateway.settings"}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, check=False, timeout=120)
    assert done.returncode == (0 if done.stdout == b"returned\n" else -9), done.stderr
    return done.returncode != 0


def test_a_worker_that_is_killed_anywhere_leaves_nothing_undone_and_nothing_done_twice(
    recorder: Recorder, keys: KeyDirectory
) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    planned = Planned(recorder)
    deaths = 0
    for _ in range(ROUNDS):
        deaths += killed(chance.randrange(1, STATEMENTS), chance.choice(["before", "after"]))
        Job.objects.update(leased_until=None)  # the leases ran out
    assert deaths, seed
    for _ in range(2):
        run.sweep(keys)
        erasure.sweep()
        rekeying.sweep(keys)
    planned.check(keys, seed)


def test_two_beats_at_once_do_the_work_once(recorder: Recorder, keys: KeyDirectory) -> None:
    """Real threads, each with a connection and a directory of its own, and every kind of work at once."""
    planned = Planned(recorder)

    def work(sweep: Callable[[KeyDirectory], Any]) -> None:
        try:
            sweep(KeyDirectory(keys._path))
        finally:
            connection.close()

    sweeps: list[Callable[[KeyDirectory], Any]] = [run.sweep, lambda _: erasure.sweep(), rekeying.sweep]
    for _ in range(3):
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(work, sweeps * 2))
        Job.objects.update(leased_until=None)
    planned.check(keys, "two beats")

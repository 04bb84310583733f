"""kill -9 of a recording process at random moments: what it did is recorded, what it left open is closed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from audit.keys import KeyDirectory
from audit.models import Call, Entry
from audit.reader import call_read
from audit.recorder import Recorder

from .world import broken

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 4


def killed_after(seconds: float) -> list[str]:
    """The whole lines that a victim printed before it was killed."""
    argv = [sys.executable, "-m", "tests.audit.victim", str(connection.settings_dict["NAME"])]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "gateway.settings"}
    victim = subprocess.Popen(
        [*argv, str(settings.AUDIT_KEY_DIR)], cwd=ROOT, env=environment, stdout=subprocess.PIPE
    )
    assert victim.stdout is not None
    assert victim.stdout.readline() == b"ready\n"
    seen: list[bytes] = []
    reader = threading.Thread(target=lambda: seen.extend(victim.stdout or []))
    reader.start()
    time.sleep(seconds)
    victim.kill()
    victim.wait(10)
    reader.join(10)
    victim.stdout.close()
    return [line.decode().strip() for line in seen if line.endswith(b"\n")]


@pytest.mark.django_db(transaction=True)
def test_what_was_sent_or_released_is_in_the_record(keys: KeyDirectory) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    lines: list[str] = []
    for _ in range(ROUNDS):
        lines += killed_after(chance.uniform(0.05, 0.6))
    recorder = Recorder(keys=keys)
    recorder.start()
    assert recorder.healthy, seed
    recorder.stop(5)
    sent = {line.removeprefix("sent ") for line in lines if line.startswith("sent ")}
    released = {line.removeprefix("released ") for line in lines if line.startswith("released ")}
    assert sent and released, seed
    stored, parts = read_back()
    assert sent <= stored, seed
    assert released <= parts, seed
    assert list(broken()) == [], seed
    assert not Call.objects.filter(closed_at=None).exists(), seed
    left_open = Call.objects.filter(code="instance_lost")
    assert left_open.count() == Entry.objects.filter(call_id__in=left_open.values("id"), kind="close").count()


def read_back() -> tuple[set[str], set[str]]:
    """The ids of the calls and the texts of the answers that the record holds."""
    calls, parts = set(), set()
    for call in Call.objects.all():
        record = call_read(call)
        assert record.chain_ok
        calls.add(str(call.id))
        parts |= {part.data.decode() for part in record.response}
    return calls, parts

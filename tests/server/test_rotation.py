"""A key that is replaced while calls go on: none fails, none is left behind, whoever dies meanwhile (P18)."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.rotating.provider import Provider, provider

from .hammer_house import House
from .world import ROOT, fresh_database

pytestmark = [pytest.mark.database, pytest.mark.timeout(600)]

SECONDS = float(os.environ.get("ROTATING_SECONDS", "20"))
EVERY, OVERLAP = 2, 10
RATE = 50
"""Calls a second."""

WORKER = ("-m", "tests.server.rotator")

DEATHS = (
    ("steps.tidy", 1, "before"),
    ("steps.save", 1, "after"),
    ("rotators/recipe.rotator.create", 1, "before"),
    ("rotators/recipe.rotator.create", 1, "after"),
    ("steps.advance", 1, "after"),
    ("steps.probe", 1, "after"),
    ("steps.advance", 2, "after"),
    ("steps.finish", 1, "after"),
    ("steps.versions.make_current", 1, "after"),
    ("sweeping.work", 3, "after"),
    ("retiring._wipe", 1, "after"),
    ("rotators/recipe.rotator.revoke", 1, "before"),
    ("rotators/recipe.rotator.revoke", 1, "after"),
    ("retiring.tidy", 1, "after"),
)
"""Where the worker is killed: before or after the nth call of what it does."""


@pytest.fixture
def there() -> Iterator[Provider]:
    with provider() as found:
        yield found


@pytest.fixture
def house(tmp_path: Path, there: Provider) -> Iterator[House]:
    with ExitStack() as stack:
        url = stack.enter_context(fresh_database())
        made = House(tmp_path, model_url=there.origin, database_url=url)
        made.env["ROTATION_SWEEP_SECONDS"] = "1"
        stack.callback(made.stop)
        yield made


def planned(house: House, there: Provider, every: float) -> None:
    first = there.state.make("by hand")
    house.python(*WORKER, "plan", there.origin, str(every), str(OVERLAP), given=first.secret)


def state(house: House) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(house.python(*WORKER, "state"))
    return found


def killed(house: House, *commands: str) -> str:
    """What a worker said before it was killed by the last of these."""
    argv = [sys.executable, *WORKER, *" + ".join(commands).split()]
    env = {**house.env, "DJANGO_SETTINGS_MODULE": "gateway.settings"}
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == -9, f"{commands[-1]} was not reached\n{done.stderr[-2000:]}"
    return done.stdout


class Load:
    """So many calls a second, each on time whatever the others take."""

    def __init__(self, house: House) -> None:
        self.statuses: Counter[int] = Counter()
        self.failures: list[str] = []
        self._house = house
        self._stop = threading.Event()
        self._began = time.monotonic()
        self._count = 0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(16)]

    def __enter__(self) -> Load:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for each in self._threads:
            each.join(60)

    def _run(self) -> None:
        url = f"http://127.0.0.1:{self._house.port}{self._house.path('openai')}"
        headers = {"Authorization": f"Bearer {self._house.key('alice')}"}
        body = {"model": "m", "messages": [{"role": "user", "content": "good morning"}]}
        with requests.Session() as client:
            while not self._stop.is_set():
                self._wait()
                got = client.post(url, json=body, headers=headers, timeout=30)
                with self._lock:
                    self.statuses[got.status_code] += 1
                    if got.status_code != 200:
                        self.failures.append(got.text[:300])

    def _wait(self) -> None:
        with self._lock:
            self._count += 1
            moment = self._began + self._count / RATE
        self._stop.wait(max(0.0, moment - time.monotonic()))


def settled(house: House, there: Provider) -> dict[str, Any]:
    """After the last overlap: what is on record, when nothing is left to take back."""
    house.python(
        "-c",
        "import django; django.setup()\n"
        "from gateway.models import RotationPlan\n"
        "RotationPlan.objects.update(paused=True)",
    )
    said = house.python(*WORKER, *("free + sweep 1 + " * 3).split(), "state")
    found: dict[str, Any] = json.loads(said)
    assert set(found["steps"]) <= {"done", "failed"}
    assert found["leaving"] == 0
    good = {key.id: key for key in there.state.good()}
    assert found["secret"] in {key.secret for key in good.values()}, "it opens nothing any more"
    assert set(good) - {"key_1"} == set(found["living"]) - {""}, "a key was left behind"
    return found


def test_calls_go_on_while_their_key_is_replaced_every_two_seconds(house: House, there: Provider) -> None:
    planned(house, there, EVERY)
    house.start()
    house.wait_ready()
    with Load(house) as load:
        time.sleep(SECONDS)
    assert set(load.statuses) == {200}, (load.statuses, load.failures[:3])
    assert load.statuses[200] > SECONDS * RATE / 3, "the load was not there"
    refused = [path for path, status in there.state.calls if status != 200]
    assert refused == []
    house.stop()
    found = settled(house, there)
    assert found["number"] > SECONDS / EVERY / 3, "it was hardly replaced"


def test_workers_that_are_killed_and_doubled_neither_lock_out_nor_leave_keys(
    house: House, there: Provider
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    planned(house, there, EVERY)
    house.start()
    house.wait_ready()
    env = {**house.env, "DJANGO_SETTINGS_MODULE": "gateway.settings"}
    second = subprocess.Popen([sys.executable, *WORKER, "sweep", "600"], cwd=ROOT, env=env)
    troubles = ("made_and_lost", "made_and_500", "post_500", "get_500", "delete_500")
    try:
        with Load(house) as load:
            ends = time.monotonic() + SECONDS
            while time.monotonic() < ends:
                time.sleep(chance.uniform(0.5, 2.0))
                there.state.troubles = [chance.choice(troubles)]
                with suppress(AssertionError):  # it is just being started
                    house.find("worker", seconds=0.5).kill()
        assert set(load.statuses) == {200}, (load.statuses, load.failures[:3])
        assert [path for path, status in there.state.calls if status != 200 and path.endswith("chat")] == []
    finally:
        second.kill()
        second.wait()
    there.state.troubles = []
    house.stop()
    settled(house, there)


def test_a_worker_is_killed_at_every_step_and_another_goes_on(house: House, there: Provider) -> None:
    """Each process heals what the one before left, says how it stands, begins anew and is killed in turn."""
    planned(house, there, 0)
    for name, nth, when in DEATHS:
        retires = name.startswith("retiring") or name.endswith("revoke")
        to_its_end = ["sweep 0.1", "free"] if retires else []  # so that there is one to take back
        said = killed(house, "free", "sweep 0.1", "state", "now", *to_its_end, f"die {name} {nth} {when}")
        healed = json.loads(said)
        assert set(healed["steps"]) <= {"done"}, name
        assert state(house)["secret"] in {key.secret for key in there.state.good()}, name
    settled(house, there)

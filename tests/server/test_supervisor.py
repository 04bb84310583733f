"""Processes that die come back, and none outlives the one that watches over them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

WATCH = """
import sys
from gateway.supervisor import Command, Supervisor

child = "import os, pathlib, sys, time\\n"
child += "pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(60)"
stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + child
code = stubborn if sys.argv[2] == "stubborn" else child
command = Command(name="child", argv=(sys.executable, "-c", code, sys.argv[1]), grace_seconds=0.5)
supervisor = Supervisor([command])
supervisor.start()
supervisor.watch()
"""

LATE = """
import os, pathlib, sys, time
from gateway.supervisor import die_with

parent = os.getpid()
if os.fork() == 0:
    while os.getppid() == parent:
        time.sleep(0.01)
    pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
    die_with(parent)
    time.sleep(60)
"""


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], Path]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(kind: str = "polite") -> tuple[subprocess.Popen[bytes], Path]:
        file = tmp_path / "pid"
        supervisor = subprocess.Popen([sys.executable, "-c", WATCH, str(file), kind])
        started.append(supervisor)
        return supervisor, file

    yield start
    for supervisor in started:
        supervisor.kill()
        supervisor.wait()


def pid_in(file: Path, *, other_than: int = 0) -> int:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if file.exists() and (text := file.read_text()) and int(text) != other_than:
            return int(text)
        time.sleep(0.02)
    raise AssertionError("no child")


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_a_killed_child_is_started_again(watch: Callable[..., tuple[subprocess.Popen[bytes], Path]]) -> None:
    _, file = watch()
    first = pid_in(file)
    os.kill(first, signal.SIGKILL)
    assert pid_in(file, other_than=first) != first


@pytest.mark.parametrize("kind", ["polite", "stubborn"])
def test_a_stopped_supervisor_leaves_nobody(
    watch: Callable[..., tuple[subprocess.Popen[bytes], Path]], kind: str
) -> None:
    supervisor, file = watch(kind)
    child = pid_in(file)
    supervisor.terminate()
    assert supervisor.wait(15) == 0
    assert gone(child)


def test_a_killed_supervisor_leaves_nobody(
    watch: Callable[..., tuple[subprocess.Popen[bytes], Path]],
) -> None:
    supervisor, file = watch()
    child = pid_in(file)
    supervisor.kill()
    supervisor.wait()
    assert gone(child)


def test_a_child_that_is_started_while_its_supervisor_dies_ends_as_well(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    subprocess.run([sys.executable, "-c", LATE, str(file)], check=True)
    assert gone(pid_in(file))

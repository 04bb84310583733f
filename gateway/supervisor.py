"""One process tree: starts the processes of a shape, restarts one that died, and never outlives them.

On Linux the kernel kills the children when the supervisor dies, however it dies. Killing is safe: what a
caller or a model saw is in the record before they saw it.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import IO

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.1
STEADY_SECONDS = 3  # a child that lived this long starts again without delay
SLOWEST_RESTART_SECONDS = 5.0
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One process to keep running."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] | None = None
    grace_seconds: float = 15
    outlives: bool = False  # stopped only after the others: they may still need it


@dataclass(slots=True)
class Child:
    """A command and the process that runs it now."""

    command: Command
    log: IO[bytes] | None = None  # None: the supervisor's own output
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    due: float = 0.0

    def start(self) -> None:
        self.started = time.monotonic()
        self.process = subprocess.Popen(  # noqa: S603  our own argv, never a user's
            self.command.argv,
            env=self.command.env,
            stdout=self.log,
            stderr=self.log,
            preexec_fn=partial(die_with, os.getpid()),
        )

    def look(self) -> None:
        """Start what is due; notice what died and say when it is due again."""
        if self.process is None:
            if time.monotonic() >= self.due:
                self.start()
            return
        status = self.process.poll()
        if status is None:
            return
        lived = time.monotonic() - self.started
        self.failures = 0 if lived > STEADY_SECONDS else self.failures + 1
        delay = min(0.1 * 2**self.failures, SLOWEST_RESTART_SECONDS) if self.failures else 0.0
        logger.error("%s ended with status %s; starting it again", self.command.name, status)
        self.process, self.due = None, time.monotonic() + delay

    def ask_to_stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def wait(self) -> None:
        """Wait for the end that was asked for; insist when it does not come."""
        if self.process is None:
            return
        try:
            self.process.wait(self.command.grace_seconds)
        except subprocess.TimeoutExpired:
            logger.error("%s did not stop in time; killing it", self.command.name)
            self.process.kill()
            self.process.wait()


@dataclass(slots=True)
class Supervisor:
    """Runs commands together and stops them together."""

    commands: Sequence[Command]
    log: IO[bytes] | None = None
    _asked: bool = False  # a plain flag: an Event's lock could be held when the signal comes
    _children: list[Child] = field(default_factory=list)

    def start(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.ask_to_stop())
        self._children = [Child(command, self.log) for command in self.commands]
        for child in self._children:
            child.start()

    def watch(self) -> None:
        """Return when asked to stop, with every child gone."""
        try:
            while not self._asked:
                time.sleep(POLL_SECONDS)
                for child in self._children:
                    child.look()
        finally:
            self.stop()

    def stop(self) -> None:
        for late in (False, True):
            children = [child for child in self._children if child.command.outlives is late]
            for child in children:
                child.ask_to_stop()
            for child in children:
                child.wait()

    def ask_to_stop(self) -> None:
        """Make `watch` return; any thread may."""
        self._asked = True


def die_with(parent: int) -> None:
    """Tie this process to its parent's life. A parent that died before it was asked sends no signal."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

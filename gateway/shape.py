"""The processes that a running gateway consists of, as commands for a supervisor."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from gateway.supervisor import Command

MANAGE = str(Path(__file__).resolve().parent.parent / "manage.py")
CELERY = ("-m", "celery", "-A", "gateway", "--quiet", "worker", "--loglevel", "WARNING")
# One process with threads: no pool child can be left behind, and beat runs inside (`gateway.celery`).
SMALL = ("--pool", "threads", "--concurrency", "2", "--without-gossip", "--without-mingle")


def gateway_process(host: str, port: int, *, env: Mapping[str, str] | None = None) -> Command:
    argv = (sys.executable, MANAGE, "serve", "--only", "gateway", "--host", host, "--port", str(port))
    return Command(name="gateway", argv=argv, env=env)


def worker_process(*, env: Mapping[str, str] | None = None) -> Command:
    return Command(name="worker", argv=(sys.executable, *CELERY, *SMALL), env=env, grace_seconds=5)


def demo_model_process(port: int, *, env: Mapping[str, str] | None = None) -> Command:
    argv = (sys.executable, "-m", "gateway.console.demo_model", "--port", str(port))
    return Command(name="demo model", argv=argv, env=env, grace_seconds=2, outlives=True)

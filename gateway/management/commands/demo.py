"""`manage.py demo`: a seeded gateway, its worker and a demo model on loopback, with proof that it masks."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from gateway.console.demo import (
    DemoError,
    Site,
    announcement,
    environment,
    proof,
    wait_until_ready,
)
from gateway.shape import MANAGE, demo_model_process, gateway_process, worker_process
from gateway.supervisor import Supervisor

START_SECONDS = 120


class Command(BaseCommand):
    help = "Run a seeded demo on loopback: gateway, worker and a model that shows what it received."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="a loopback address (127.0.0.1)")
        parser.add_argument("--port", type=int, default=8000, help="port of the gateway (8000)")
        parser.add_argument("--upstream-url", default="", help="another model server for the chat endpoint")
        parser.add_argument("--detach", action="store_true", help="return once it is ready")
        parser.add_argument("--stop", action="store_true", help="stop the demo on this port")

    def handle(self, **options: Any) -> None:
        site = Site(settings.DATA_DIR, options["port"])
        try:
            if options["stop"]:
                self._stop(site)
            elif options["detach"]:
                self._detach(site, options)
            else:
                self._run(site, options["host"], options["upstream_url"])
        except DemoError as problem:
            raise CommandError(str(problem)) from None

    def _run(self, site: Site, host: str, upstream_url: str) -> None:
        refuse_off_loopback(host)
        refuse_taken(host, site.port)
        with site.held():
            site.clear()
            env = environment(site, os.environ)
            model_port = free_port(host, site.port + 1)
            with site.log.open("ab") as log:
                self._seed(site, env, f"http://127.0.0.1:{model_port}", upstream_url, log)
                supervisor = Supervisor(
                    [
                        demo_model_process(model_port, env=env),
                        worker_process(env=env),
                        gateway_process(host, site.port, env=env),
                    ],
                    log,
                )
                self._serve(site, supervisor, f"http://{_bracketed(host)}:{site.port}", upstream_url)

    def _seed(self, site: Site, env: dict[str, str], model: str, upstream: str, log: IO[bytes]) -> None:
        self.stdout.write("Creating the demo world …")
        argv = [sys.executable, MANAGE, "seed_demo", "--model-url", model, "--out", str(site.world)]
        argv += ["--upstream-url", upstream] if upstream else []
        if subprocess.run(argv, env=env, stdout=log, stderr=log, check=False).returncode:  # noqa: S603
            raise DemoError(f"The demo world could not be created:\n{_tail(site.log)}")

    def _serve(self, site: Site, supervisor: Supervisor, url: str, upstream_url: str) -> None:
        """Watch over the processes while a second thread waits for them, proves and announces."""
        outcome: list[str] = []
        supervisor.start()
        threading.Thread(
            target=self._introduce, args=(site, supervisor, url, upstream_url, outcome), daemon=True
        ).start()
        try:
            supervisor.watch()
        finally:
            site.withdraw()
        if outcome:
            raise DemoError(outcome[0])

    def _introduce(
        self, site: Site, supervisor: Supervisor, url: str, upstream_url: str, outcome: list[str]
    ) -> None:
        try:
            world = json.loads(site.world.read_text())
            wait_until_ready(world["demo_model_url"] + "/v1/models")
            wait_until_ready(url + "/readyz")
            for entry in world["endpoints"]:
                entry["url"] = f"{url}/proxy/{entry['slug']}"
            facts = {"url": url, **world, "pid": os.getpid(), "file": str(site.published)}
            text = announcement(facts, [] if upstream_url else proof(facts))
            site.publish(facts)
            site.announcement.write_text(text)
            self.stdout.write(text)
        except (DemoError, OSError, KeyError, ValueError) as problem:
            outcome.append(f"{problem}\n{_tail(site.log)}")
            supervisor.ask_to_stop()

    def _detach(self, site: Site, options: dict[str, Any]) -> None:
        if site.holder():
            raise DemoError(f"A demo already runs on port {site.port}: make demo-stop")
        refuse_taken(options["host"], site.port)
        site.announcement.unlink(missing_ok=True)
        argv = [sys.executable, MANAGE, "demo", "--host", options["host"], "--port", str(site.port)]
        argv += ["--upstream-url", options["upstream_url"]] if options["upstream_url"] else []
        site.root.mkdir(parents=True, exist_ok=True)
        output = site.root / f"demo-{site.port}.out"
        with output.open("wb") as log:
            child = subprocess.Popen(  # noqa: S603  ourselves, in a session of our own
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and child.poll() is None:
            if site.announcement.exists():
                self.stdout.write(site.announcement.read_text())
                return
            time.sleep(0.1)
        child.terminate()
        raise DemoError(f"The demo did not start:\n{_tail(output)}")

    def _stop(self, site: Site) -> None:
        pid = site.holder()
        if pid is None:
            self.stdout.write(f"No demo runs on port {site.port}.")
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 40
        while site.holder() == pid:
            if time.monotonic() > deadline:
                raise DemoError(f"Process {pid} does not stop.")
            time.sleep(0.1)
        self.stdout.write(f"The demo on port {site.port} has stopped.")


def refuse_off_loopback(host: str) -> None:
    """Known logins and a model that shows what it received must never face a network."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise DemoError(f"The demo listens on loopback only, not on {host}.")


def refuse_taken(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as problem:
            raise DemoError(f"Port {port} cannot be used ({problem.strerror}): make demo PORT=…") from None


def free_port(host: str, wanted: int) -> int:
    """The wanted port, or any free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                continue
            return int(probe.getsockname()[1])
    raise DemoError("No port is free for the demo model.")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _tail(path: Path, lines: int = 25) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""

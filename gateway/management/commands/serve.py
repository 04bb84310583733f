"""`manage.py serve`: the gateway, and beside it the background worker, as one process tree."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from gateway.checks import refusals
from gateway.shape import gateway_process, worker_process
from gateway.supervisor import Supervisor


class Command(BaseCommand):
    help = "Serve the gateway and the console; keeps a background worker running unless told otherwise."
    requires_system_checks = []  # `refusals` is stricter and comes with hints

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on (8000)")
        parser.add_argument(
            "--only",
            choices=["gateway", "worker"],
            help="run just this process: production starts them apart",
        )

    def handle(self, *, host: str, port: int, only: str | None, **options: Any) -> None:
        if problems := refusals():
            raise CommandError("Not starting.\n" + "\n".join(problems))
        if only == "gateway":
            self._gateway(host, port)
        elif only == "worker":
            os.execv(sys.executable, worker_process().argv)  # noqa: S606  our own argv
        supervisor = Supervisor([worker_process(), gateway_process(host, port)])
        supervisor.start()
        supervisor.watch()

    def _gateway(self, host: str, port: int) -> None:
        from gateway.asgi import application
        from gateway.server import run

        if settings.DEBUG:
            self.stderr.write("DEBUG is on.")
        raise SystemExit(run(application, host=host, port=port))

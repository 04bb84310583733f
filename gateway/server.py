"""Granian inside this process, on one uvloop: what listens, and how it stops.

Embedded rather than under Granian's own master: with one process there is no worker left serving when a
master is killed. SIGTERM stops accepting, lets running responses finish, then ends the lifespan.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from typing import Any

import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.errors import FatalError
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server

HEADER_TIMEOUT_MS = 10_000
BUFFER_BYTES = 128 * 1024  # bounds the request line and all headers; bodies pass through in such pieces
CONCURRENT_REQUESTS = 4096  # held calls wait here, so this is far above what one core can answer at once

YOUNG_OBJECTS = 5000
"""How many objects may come to be, net, before the collector looks for cycles among them. A call leaves none
behind when it goes well; Python's own 700 had it look every few calls."""


class OnPurpose(logging.Filter):
    """Drops the server's traces of calls that ended on purpose: a cut stream, a client that left."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return not any(ending in message for ending in ("StreamCut", "CancelledError"))


LOGGING = {
    "filters": {"on_purpose": {"()": OnPurpose}},
    "handlers": {"console": {"class": "logging.StreamHandler", "filters": ["on_purpose"]}},
    "loggers": {"_granian": {"handlers": ["console"], "level": "ERROR", "propagate": False}},
}


def run(application: Any, *, host: str, port: int) -> int:
    """Serve until SIGTERM or SIGINT; 0 when it ended because it was asked to."""
    _keep_what_is_loaded()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(application, host, port))


def _keep_what_is_loaded() -> None:
    """Tell the garbage collector not to look again at what was imported: it lives as long as the process.

    Looking through all of it, as every full collection does, cost a call 65 of 590 µs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])


async def _serve(application: Any, host: str, port: int) -> int:
    server = Server(
        application,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=True,  # the reviewers' queue; `gateway.sockets` closes every other path
        backlog=2048,
        backpressure=CONCURRENT_REQUESTS,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_TIMEOUT_MS, max_buffer_size=BUFFER_BYTES),
        log_level=LogLevels.error,
        log_dictconfig=LOGGING,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    try:
        await server.serve()
    except FatalError:
        return 1  # the lifespan refused to start and has said why
    return 1 if server.interrupt_children else 0

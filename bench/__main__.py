"""`make bench`: what governance costs, against a bare pass-through on the same server, in one run.

The server has one core (BENCH_CORE, 0), clients, model and PostgreSQL have the others. Rounds of governed
and pass-through alternate, so that a machine that slows down slows both; medians are compared.

One line per case: `ratio=<governed ÷ pass-through>` requests per second at 16 connections, the added p50 at
one connection and the added p99 at 70 % of the governed throughput.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.payloads import answer_events, http_request, request_body
from tests.services import free_port, postgresql, wait_for_port

CHAT = "/proxy/chat/v1/chat/completions"
CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is up, and the request that it is measured with."""

    port: int
    key: str
    path: str = CHAT

    def load(
        self, *, stream: bool, seconds: float, connections: int, rate: float | None = None
    ) -> dict[str, Any]:
        request = http_request(self.path, request_body(stream=stream), self.key)
        job = {
            "request": base64.b64encode(request).decode(),
            "connections": connections,
            "seconds": seconds,
            "port": self.port,
            "rate": rate,
        }
        done = subprocess.run(
            [sys.executable, "-m", "bench.load"],
            input=json.dumps(job).encode(),
            stdout=subprocess.PIPE,
            check=True,
            preexec_fn=_elsewhere,
        )
        measured: dict[str, Any] = json.loads(done.stdout)
        if measured["bad"]:
            raise SystemExit(f"{measured['bad']} answers were not 200: the figures would mean nothing")
        return measured


@dataclass(frozen=True, slots=True)
class Result:
    """One case; times in milliseconds, rates per second."""

    case: str
    ratio: float
    governed_rps: float
    passthrough_rps: float
    added_p50_ms: float
    added_p99_ms: float
    added_first_byte_ms: float
    deltas_per_second: float | None = None

    def line(self) -> str:
        deltas = f" deltas/s={self.deltas_per_second:.0f}" if self.deltas_per_second else ""
        return (
            f"{self.case:<16} ratio={self.ratio:.3f} governed={self.governed_rps:.0f}/s "
            f"pass-through={self.passthrough_rps:.0f}/s added_p50={self.added_p50_ms:.2f}ms "
            f"added_p99@70%={self.added_p99_ms:.2f}ms "
            f"added_first_byte={self.added_first_byte_ms:.2f}ms{deltas}"
        )


def compare(
    case: str, governed: Server, bare: Server, *, stream: bool, seconds: float, rounds: int
) -> Result:
    pairs = [
        [server.load(stream=stream, seconds=seconds, connections=CONNECTIONS) for server in (governed, bare)]
        for _ in range(rounds)
    ]
    rate = statistics.median(pair[0]["rate"] for pair in pairs)
    base = statistics.median(pair[1]["rate"] for pair in pairs)
    alone = [
        [server.load(stream=stream, seconds=seconds / 2, connections=1) for server in (governed, bare)]
        for _ in range(rounds)
    ]
    steady = [
        [
            server.load(stream=stream, seconds=seconds, connections=CONNECTIONS, rate=rate * 0.7)
            for server in (governed, bare)
        ]
        for _ in range(rounds)
    ]
    return Result(
        case=case,
        ratio=statistics.median(pair[0]["rate"] / pair[1]["rate"] for pair in pairs),
        governed_rps=rate,
        passthrough_rps=base,
        added_p50_ms=_added(alone, "p50"),
        added_p99_ms=_added(steady, "p99"),
        added_first_byte_ms=_added(alone, "first_p50"),
        deltas_per_second=rate * (len(answer_events()) - 3) if stream else None,
    )


def _added(pairs: list[list[dict[str, Any]]], figure: str) -> float:
    return 1000 * statistics.median(float(governed[figure] - bare[figure]) for governed, bare in pairs)


def _elsewhere() -> None:
    """Everything but the server under measurement keeps off its core."""
    core = int(os.environ.get("BENCH_CORE", "0"))
    others = os.sched_getaffinity(0) - {core}
    os.sched_setaffinity(0, others or {core})


@contextlib.contextmanager
def process(*argv: str, port: int, env: dict[str, str], apart: bool = False) -> Iterator[None]:
    """One of our modules as a process that listens on `port`."""
    running = subprocess.Popen(
        [sys.executable, "-m", *argv], env={**os.environ, **env}, preexec_fn=_elsewhere if apart else None
    )
    try:
        wait_for_port(port, seconds=30)
        yield
    finally:
        running.terminate()
        running.wait(20)


@contextlib.contextmanager
def governed(origin: str, database: str, rules: int = 0, classes: int = 0) -> Iterator[Server]:
    """A seeded gateway on a store of its own, with so many access rules and classes more."""
    with tempfile.TemporaryDirectory(prefix="postern-bench-") as home:
        env = {
            "DATA_DIR": home,
            "DATABASE_URL": database or f"sqlite:///{Path(home) / 'bench.sqlite3'}",
            "SECRET_KEY": secrets.token_urlsafe(48),
            "MASTER_KEYS": "bench:" + base64.b64encode(secrets.token_bytes(32)).decode(),
            "PLAIN_HTTP": "1",
        }
        command = [sys.executable, "-m", "bench.world", origin, str(rules), str(classes)]
        seeded = subprocess.run(
            command, env={**os.environ, **env}, stdout=subprocess.PIPE, check=True, text=True
        )
        port = free_port()
        with process("bench.server", "governed", str(port), port=port, env=env):
            time.sleep(0.5)
            yield Server(port, seeded.stdout.strip())


def run(seconds: float, rounds: int, stores: list[str]) -> list[Result]:
    results: list[Result] = []
    model, bare = free_port(), free_port()
    origin = f"http://127.0.0.1:{model}"
    with contextlib.ExitStack() as stack:
        stack.enter_context(process("bench.model", str(model), port=model, env={}, apart=True))
        env = {"BENCH_ORIGIN": origin}
        stack.enter_context(process("bench.server", "passthrough", str(bare), port=bare, env=env))
        passthrough = Server(bare, "none", "/v1/chat/completions")
        for store in stores:
            with contextlib.ExitStack() as inner:
                database = inner.enter_context(postgresql()) if store == "postgresql" else ""
                server = inner.enter_context(governed(origin, database))
                for stream in (False, True):
                    case = f"{'stream' if stream else 'plain'}-{store}"
                    server.load(stream=stream, seconds=1, connections=CONNECTIONS)  # warm up
                    results.append(
                        compare(case, server, passthrough, stream=stream, seconds=seconds, rounds=rounds)
                    )
                    print(results[-1].line(), flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--seconds", type=float, default=4.0, help="per measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stores", default="sqlite,postgresql")
    options = parser.parse_args()
    results = run(options.seconds, options.rounds, options.stores.split(","))
    if options.json:
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")


if __name__ == "__main__":
    main()

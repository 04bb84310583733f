"""One process of load: `python -m bench.load` reads a job as JSON on stdin and prints what it measured."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from typing import Any

import uvloop

from bench.wire import ClientProtocol


async def measure(job: dict[str, Any]) -> dict[str, Any]:
    """`rate` (requests/s over all connections) makes an open loop; without it each connection hurries."""
    request = base64.b64decode(job["request"])
    connections, seconds = job["connections"], job["seconds"]
    rate = job.get("rate")
    interval = connections / rate if rate else None
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    clients: list[ClientProtocol] = []
    for number in range(connections):
        if interval:
            await asyncio.sleep(interval / connections)
        _, client = await loop.create_connection(
            lambda: ClientProtocol(request, interval, began + seconds), "127.0.0.1", job["port"]
        )
        clients.append(client)
        del number
    await asyncio.wait([client.done for client in clients], timeout=seconds + 20)
    spent = time.perf_counter() - began
    latencies = sorted(value for client in clients for value in client.latencies)
    first = sorted(value for client in clients for value in client.first_bytes)
    return {
        "requests": len(latencies),
        "bad": sum(client.bad for client in clients),
        "rate": len(latencies) / spent,
        "p50": percentile(latencies, 0.50),
        "p99": percentile(latencies, 0.99),
        "longest": latencies[-1] if latencies else float("nan"),
        "first_p50": percentile(first, 0.50),
    }


def percentile(ordered: list[float], part: float) -> float:
    """In seconds; of an already sorted list."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else float("nan")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        json.dump(runner.run(measure(json.load(sys.stdin))), sys.stdout)

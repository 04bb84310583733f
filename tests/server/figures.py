"""What a person's decision takes to reach a call, and what a thousand waiting calls cost: figures of one run.

    python -m tests.server.figures                               # on SQLite
    python -m tests.services python -m tests.server.figures      # on PostgreSQL, with Redis and without

Two gateway processes as they ship; decided in a third process, released in the second. `release` is from the
moment at which the decision had been committed until the client has its answer, the model's time included (it
answers at once). `on screen` is from the call until a reviewer's queue at the other process shows it. `held`:
1,000 calls of 25 callers on one process, and what the others feel of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from .approving import SSN, Scene, running_scene
from .bursts import burst, write
from .test_review_socket import line, signed_in, site
from .world import ROOT

PARTS = ("releases", "screens", "bursts", "held")
CALLERS, EACH = 25, 40
PAUSE = 0.02  # seconds between two of them: each opens an approval of its own
PLAIN = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--size", type=int, default=4000, help="characters of a waiting request")
    parser.add_argument("--burst", type=int, default=300, help="calls that ask for an approval at once")
    parser.add_argument("--only", choices=PARTS, action="append", help="one part; may come more than once")
    asked = parser.parse_args()
    redis_url = os.environ.get("REDIS_URL", "")
    store = "PostgreSQL" if os.environ.get("DATABASE_URL", "").startswith("postgres") else "SQLite"
    for hints in {"": "without Redis", redis_url: "with Redis" if redis_url else "without Redis"}.items():
        with tempfile.TemporaryDirectory() as root, ExitStack() as stack:
            scene = stack.enter_context(running_scene(Path(root), hints[0]))
            print(f"{store}, {hints[1]}")
            parts, keys = asked.only or PARTS, scene.tell("callers", 2 * CALLERS)
            if "releases" in parts:
                releases(scene, asked.rounds)
            if "screens" in parts:
                screens(scene, asked.rounds)
            if "bursts" in parts and not hints[0]:
                bursts(scene, keys[CALLERS:], asked.burst)
            if "held" in parts and not hints[0]:
                held(scene, keys[:CALLERS], asked.size)


def releases(scene: Scene, rounds: int) -> None:
    took = []
    for number in range(rounds):
        asking = scene.ask(f"ssn {SSN} round {number}", at=1)
        approval = scene.waiting()
        scene.vote(approval)
        began = time.monotonic()
        assert asking.result() == "ok"
        took.append((asking.began + asking.took - began) * 1000)
    took.sort()
    p99 = took[min(len(took) - 1, int(len(took) * 0.99))]
    print(f"  release   p50 {statistics.median(took):6.0f} ms   p99 {p99:6.0f} ms   {rounds} rounds")


def screens(scene: Scene, rounds: int) -> None:
    """From the call until a reviewer's queue, which is served by the other process, shows it."""
    took, port = [], scene.ports[1]
    browser = signed_in(scene.house, "erin")
    with line(scene.house, browser, port=port) as socket:
        for number in range(rounds):
            time.sleep(0.05 + 0.01 * (number % 7))  # in no step with whoever looks
            began = time.monotonic()
            scene.ask(f"ssn {SSN} seen {number}", extra_headers={"Prefer": "wait=0"})
            shown = False
            while not shown:
                (changed,) = json.loads(socket.recv(timeout=10))["changed"][-1:] or [""]
                page = browser.get(f"{site(scene.house, port)}/review/rows/", timeout=20).text
                shown = bool(changed) and changed in page
            took.append((time.monotonic() - began) * 1000)
            for row in scene.tell("open"):
                scene.vote(row, "deny")
    took.sort()
    p95 = took[min(len(took) - 1, int(len(took) * 0.95))]
    print(f"  on screen p50 {statistics.median(took):6.0f} ms   p95 {p95:6.0f} ms   {rounds} rounds")


def bursts(scene: Scene, keys: list[str], calls: int) -> None:
    time.sleep(3)  # until the process knows them
    for kind in ("distinct", "distinct", "identical"):
        run, many = os.urandom(4).hex(), kind == "distinct"
        texts = [f"{run} {number if many else 0} {'x' * 4000}" for number in range(calls)]
        answers, took = burst(scene.ports[0], keys if many else keys[:1], texts)
        told = f"{took:5.2f} s   {calls / took:5.0f} per second   {dict(answers)}"
        print(f"  burst     {calls} {kind:9} {told}")


def held(scene: Scene, keys: list[str], size: int) -> None:
    scene.publish(hold_seconds=600)
    gateway = scene.house.find("gateway")
    asyncio.run(_held(scene.ports[0], keys, gateway, scene.house.key("bob"), size))


async def _held(port: int, keys: list[str], gateway: psutil.Process, other: str, size: int) -> None:
    await asyncio.sleep(3)  # until the process knows them
    await _latencies(port, other, 300)
    before = await _latencies(port, other, 1500)
    empty = gateway.memory_info().rss
    waiting: list[Any] = []
    for number in range(CALLERS * EACH):
        content = f"ssn {SSN} {number} {_words(number, size)}"
        body = {"model": "m", "messages": [{"role": "user", "content": content}]}
        waiting.append(await _asked(port, keys[number % CALLERS], body, "prefer: wait=3000\r\n"))
        await asyncio.sleep(PAUSE)
    await asyncio.sleep(10)
    full = gateway.memory_info().rss
    during = await _latencies(port, other, 1500)
    silent = sum(not reader._buffer for reader, _ in waiting)
    for _, writer in waiting:
        writer.close()
    slower = {part: _at(during, part) / _at(before, part) for part in (0.5, 0.99)}
    print(
        f"  held      {silent} calls   RSS +{(full - empty) / 2**20:.0f} MB   "
        f"others' p50 x{slower[0.5]:.2f}   p99 x{slower[0.99]:.2f}"
    )


def _words(number: int, size: int) -> str:
    """So much text that compresses as text does: words of this project's own, in another order each time."""
    known = [word for word in (ROOT / "docs/performance.md").read_text().split() if word.isalpha()]
    return " ".join(random.Random(number).choices(known, k=size))[:size]


async def _latencies(port: int, key: str, calls: int) -> list[float]:
    """One call after the other on one connection, in ms."""
    took = []
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(calls):
        began = time.perf_counter()
        write(writer, key, PLAIN, "")
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        took.append((time.perf_counter() - began) * 1000)
    writer.close()
    return sorted(took)


async def _asked(port: int, key: str, body: Any, more: str) -> tuple[Any, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    write(writer, key, body, more)
    return reader, writer


def _at(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


if __name__ == "__main__":
    main()

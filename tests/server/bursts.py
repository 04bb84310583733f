"""Many calls at the same moment, each on a connection of its own that is open already."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from .approving import SSN

TURNED_ROUND = "prefer: respond-async\r\n"  # answered as soon as the approval is open


class Burst(NamedTuple):
    statuses: Counter[str]
    seconds: float  # until the last was answered


def write(writer: asyncio.StreamWriter, key: str, body: Any, more: str) -> None:
    """A request, as plain as it can be. `more`: header lines."""
    data = json.dumps(body).encode()
    writer.write(
        f"POST /proxy/chat/v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\n{more}\r\n".encode()
        + data
    )


def burst(port: int, keys: Sequence[str], texts: Sequence[str]) -> Burst:
    """Each text asks for an approval, by one caller after the other."""
    return asyncio.run(_burst(port, keys, texts))


async def _burst(port: int, keys: Sequence[str], texts: Sequence[str]) -> Burst:
    lines = [await asyncio.open_connection("127.0.0.1", port) for _ in texts]
    began = time.monotonic()
    for number, (text, (_, writer)) in enumerate(zip(texts, lines, strict=True)):
        body = {"model": "m", "messages": [{"role": "user", "content": f"ssn {SSN} {text}"}]}
        write(writer, keys[number % len(keys)], body, TURNED_ROUND)
    heads = await asyncio.gather(*(reader.readuntil(b"\r\n\r\n") for reader, _ in lines))
    took = time.monotonic() - began
    for _, writer in lines:
        writer.close()
    return Burst(Counter(head.split()[1].decode() for head in heads), took)

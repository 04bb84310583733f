"""The embedded shape's broker: nothing half written ends a worker, nothing is taken twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu import Connection

TRANSPORT = "gateway.doorbells:Transport"
QUEUE = "celery"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "queues"


@pytest.fixture
def channel(folder: Path) -> Iterator[Any]:
    with opened(folder) as connection:
        yield connection.default_channel


def opened(folder: Path) -> Any:
    return Connection("folder://localhost", transport=TRANSPORT, transport_options={"folder": str(folder)})


def taken(channel: Any) -> list[Any]:
    found = []
    while True:
        try:
            found.append(channel._get(QUEUE))
        except Empty:
            return found


def test_messages_come_in_order_and_once(channel: Any) -> None:
    for number in range(5):
        channel._put(QUEUE, {"number": number})
    channel._put("another", {"number": 9})
    assert channel._size(QUEUE) == 5
    assert taken(channel) == [{"number": number} for number in range(5)]
    assert channel._size(QUEUE) == 0


def test_what_a_killed_writer_left_is_not_taken(channel: Any, folder: Path) -> None:
    """Until it has its whole name a message is nobody's."""
    (folder / QUEUE).mkdir(parents=True)
    (folder / QUEUE / "00000000000000000001-half").write_text('{"numb')
    channel._put(QUEUE, {"number": 1})
    assert taken(channel) == [{"number": 1}]


def test_a_broken_message_is_dropped_and_the_next_one_taken(
    channel: Any, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / QUEUE).mkdir(parents=True)
    for number, content in enumerate((b"", b'{"numb', b"\xff\xfe\x00")):
        (folder / QUEUE / f"0000000000000000000{number}-broken.message").write_bytes(content)
    channel._put(QUEUE, {"number": 1})
    assert taken(channel) == [{"number": 1}]
    assert caplog.text.count("dropped a broken message") == 3
    assert not [*(folder / QUEUE).iterdir()]


def test_a_purged_queue_is_empty(channel: Any) -> None:
    for number in range(3):
        channel._put(QUEUE, {"number": number})
    assert channel._purge(QUEUE) == 3
    assert taken(channel) == []


def test_many_writers_and_many_takers(folder: Path) -> None:
    """Processes of their own, for a rename is what decides between them."""
    writer = (
        "import sys; from kombu import Connection\n"
        f"with Connection('folder://localhost', transport='{TRANSPORT}',"
        " transport_options={'folder': sys.argv[1]}) as connection:\n"
        "    for number in range(100):\n"
        f"        connection.default_channel._put('{QUEUE}', [int(sys.argv[2]), number])\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", writer, str(folder), str(each)]) for each in range(3)
    ]

    def take() -> list[Any]:
        with opened(folder) as connection:
            found = []
            while any(process.poll() is None for process in processes):
                found += taken(connection.default_channel)
            return found + taken(connection.default_channel)

    with ThreadPoolExecutor(4) as pool:
        found = [message for part in pool.map(lambda _: take(), range(4)) for message in part]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert sorted(found) == [[each, number] for each in range(3) for number in range(100)]

"""A SIEM that dies and comes back while calls go on: it gets everything, in order, and no call notices."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from approvals.webhooks import secret_of
from tests.gateway.siem import Siem, siem
from tests.services import quiet_port

from .hammer_clients import Asker, Canaries, ask, parse
from .hammer_house import House
from .hammer_model import running_model
from .hammer_oracle import Reader
from .world import fresh_database

pytestmark = [pytest.mark.database, pytest.mark.timeout(600)]

SECONDS = 15.0
Place = tuple[int, int]  # stream's number, sequence


class Clients:
    """Calls that ought to be served, from several threads, until told to stop."""

    def __init__(self, house: House, seed: int) -> None:
        self.canaries = Canaries(random.Random(seed))
        self.statuses: list[int] = []
        self._house, self._seed = house, seed
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=[each], daemon=True) for each in range(4)]

    def __enter__(self) -> Clients:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for each in self._threads:
            each.join(40)

    def _run(self, number: int) -> None:
        chance = random.Random(f"{self._seed}-{number}")
        paths = {kind: self._house.path(kind) for kind in ("openai", "json")}
        asker = Asker(chance, self.canaries, paths, self._house.facts["api_keys"])
        while not self._stop.is_set():
            kind = chance.choice(("chat", "stream", "json"))
            answer = parse(ask(self._house.port, asker.make(kind, plan="n3d0-whole")).got)
            self.statuses.append(answer.status if answer and answer.whole else 0)


def killing(victims: list[Callable[[], None]], chance: random.Random) -> None:
    """Each in turn, at moments that nobody chose."""
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        time.sleep(chance.uniform(0.3, 2.0))
        chance.choice(victims)()


def dies(receiver: Siem, chance: random.Random) -> Callable[[], None]:
    def die() -> None:
        receiver.kill()
        time.sleep(chance.uniform(0.1, 1.5))
        receiver.start()

    return die


def recorded(house: House) -> dict[str, list[int]]:
    """What every sink has to get, in the order in which it has to get it."""
    with closing(Reader(house.database_url)) as reader:
        rows = reader.rows(
            "SELECT s.id, e.sequence FROM audit_entry e JOIN audit_stream s ON s.id = e.stream_id "
            "WHERE e.kind IN ('admission', 'close', 'release', 'event') ORDER BY e.id"
        )
    found: dict[str, list[int]] = {}
    for stream, sequence in rows:
        found.setdefault(str(stream).replace("-", ""), []).append(sequence)
    return found


def arrived(records: list[Any]) -> dict[str, list[int]]:
    """The first time that each entry came, by stream."""
    found: dict[str, dict[int, None]] = {}
    for record in records:
        found.setdefault(record["stream"].replace("-", ""), {})[record["sequence"]] = None
    return {stream: list(sequences) for stream, sequences in found.items()}


def eventually(met: Callable[[], bool], *, seconds: float) -> bool:
    """Looks seldom: reading it all takes the time of those who deliver it."""
    ends = time.monotonic() + seconds
    while not met():
        if time.monotonic() > ends:
            return False
        time.sleep(1)
    return True


def of_syslog(receiver: Siem) -> list[Any]:
    return [json.loads(each["text"]) for each in receiver.records()]


def of_file(path: Path) -> list[Any]:
    """A line of a worker that was killed may be cut off; what it said comes again."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().splitlines() if line.endswith(b"}")]


def test_a_siem_that_is_killed_under_load_gets_every_event_in_order_and_no_call_is_refused(
    tmp_path: Path,
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    ports = [quiet_port() for _ in range(3)]
    lines = tmp_path / "siem.jsonl"
    with ExitStack() as stack:
        model = stack.enter_context(running_model(tmp_path))
        house = House(tmp_path, model_url=model.url, database_url=stack.enter_context(fresh_database()))
        house.env |= {
            "AUDIT_SINKS": f"syslog+tcp://127.0.0.1:{ports[0]},private+http://127.0.0.1:{ports[1]}/in,"
            f"syslog+tcp://127.0.0.1:{ports[2]},file:{lines}?rotate=1G",
            "AUDIT_SINKS_BEGIN": "start",
            "AUDIT_SINK_SECRET": secret_of(bytes(32)),
        }
        syslog = stack.enter_context(siem("tcp", ports[0], tmp_path / "syslog.jsonl"))
        web = stack.enter_context(siem("http", ports[1], tmp_path / "web.jsonl"))
        stack.enter_context(siem("mute", ports[2], tmp_path / "mute.jsonl"))  # takes, and never says so
        stack.callback(house.stop)
        house.start()
        house.wait_ready()
        with Clients(house, seed) as clients:
            victims = [dies(syslog, chance), dies(web, chance), lambda: house.find("worker").kill()]
            killing(victims, chance)
        expected = recorded(house)

        def all_there() -> bool:
            found = [arrived(of_syslog(syslog)), arrived(web.records()), arrived(of_file(lines))]
            return all(
                set(expected[stream]) <= set(each.get(stream, [])) for each in found for stream in expected
            )

        assert eventually(all_there, seconds=150), house.last_words()
        house.stop()
        whole = recorded(house)
        everything = {"syslog": of_syslog(syslog), "web": web.records(), "file": of_file(lines)}
        for name, records in everything.items():
            for stream, sequences in arrived(records).items():
                assert sequences == whole[stream][: len(sequences)], (name, seed)
        assert len(clients.statuses) > 50
        assert set(clients.statuses) == {200}, seed
        assert sum(map(len, expected.values())) >= 2 * len(clients.statuses)
        text = b"".join(each.read_bytes() for each in tmp_path.glob("*.jsonl*"))
        assert [secret for secret in clients.canaries.clear if secret in text] == []

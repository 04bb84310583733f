"""Kill -9 under load, again and again; after each round the judge compares store, model and clients.

`python -m tests.server.hammer --rounds 200 [--seed N] [--clients N]` runs on DATABASE_URL and REDIS_URL, or
on SQLite without them. It prints seed and schedule: the same seed strikes the same processes at the same
moments. The first finding ends the run and leaves everything where it is.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
import redis

from . import hammer_judge as judge
from . import hammer_oracle as oracle
from .hammer_clients import Asker, Canaries, Crowd, Told, ask, parse
from .hammer_house import House, is_alive, running_house, wait_for
from .hammer_model import LEAKED, Log, Model, Seen, running_model
from .world import fresh_database

CLIENTS = 5
ROLES = {"gateway": 12, "worker": 2, "supervisor": 4}
MOMENTS = {"model": 4, "client": 4, "time": 3}
PATIENCE = 4.0  # seconds that a blow waits for its moment
WITNESSED = 5  # every so many reads of a client are compared with the store at once
RECENT_MS = 120_000
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@dataclass(frozen=True, slots=True)
class Blow:
    """Whom to kill, and when: at the n-th request that the model sees, the n-th piece that a client gets, or
    after n milliseconds."""

    role: str
    moment: str
    count: int

    def __str__(self) -> str:
        return f"{self.role}@{self.moment}:{self.count}"


def schedule(seed: int, number: int, *, database: bool = False) -> list[Blow]:
    """The blows of one round, by the seed alone. A second blow may hit what is just starting."""
    chance = random.Random(f"{seed}-{number}")
    roles = ROLES | ({"database": 2} if database else {})
    blows = []
    for _ in range(chance.choice((1, 1, 1, 2))):
        (role,) = chance.choices(list(roles), list(roles.values()))
        (moment,) = chance.choices(list(MOMENTS), list(MOMENTS.values()))
        most = {"model": 25, "client": 60, "time": 1500}[moment]
        blows.append(Blow(role, moment, chance.randrange(1, most)))
    return blows


class Trap:
    """Fires once, in the thread and at the very moment of the n-th event."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._moment, self._left = "", 0
        self._fire: Callable[[], None] = lambda: None

    def arm(self, moment: str, count: int, fire: Callable[[], None]) -> None:
        with self._lock:
            self._moment, self._left, self._fire = moment, count, fire

    def tick(self, moment: str) -> None:
        if moment != self._moment:
            return
        with self._lock:
            self._left -= 1
            if self._moment and self._left == 0:
                self._moment = ""
                self._fire()

    def disarm(self) -> bool:
        """True if it had not fired."""
        with self._lock:
            armed, self._moment = bool(self._moment), ""
            return armed


@dataclass(slots=True)
class Report:
    """What a run amounted to."""

    seed: int
    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    forwarded: int = 0
    calls: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    witnessed: int = 0
    findings: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        kills = ", ".join(f"{role} {count}" for role, count in sorted(self.kills.items()))
        answers = ", ".join(f"{status} {count}" for status, count in sorted(self.statuses.items()))
        lines = [
            f"seed {self.seed}: {self.rounds} rounds in {self.seconds:.0f} s, killed {kills}",
            f"{self.forwarded} requests reached the model, {self.calls} calls of clients ended: {answers}",
            f"{self.witnessed} comparisons in flight",
        ]
        return "\n".join([*lines, *(self.findings or ["all of it is in the record"])])


class Hammer:
    """One run against one house."""

    def __init__(self, house: House, model: Model, seed: int, *, database: bool = False) -> None:
        self.house, self.seed, self.database = house, seed, database
        self.reader = oracle.Reader(house.database_url, patience=20)
        self.witness = oracle.Reader(house.database_url)
        self.evidence = oracle.Evidence(self.reader, house.keys)
        self.log = Log(model.log)
        self.canaries = Canaries(random.Random(f"{seed}-canaries"))
        self.report = Report(seed)
        self.told: list[Told] = []
        self.trap = Trap()
        self._reads = 0
        self._searched = 0
        model.seen += [lambda seen: self.trap.tick("model"), self._witness_admission]

    # --- one run ------------------------------------------------------------------------------------
    def run(self, rounds: int, *, clients: int = CLIENTS, say: Callable[[str], None] = print) -> Report:
        began = time.monotonic()
        crowd = Crowd(
            self.house.port,
            [self._asker(f"client-{number}") for number in range(clients)],
            seed=self.seed,
            got=self._client_got,
        )
        with crowd:
            for number in range(rounds):
                self._round(number, crowd, say)
                if self.report.findings:
                    break
        self.told += crowd.take()
        self._last_word()
        self.report.seconds = time.monotonic() - began
        return self.report

    def _asker(self, name: str) -> Asker:
        chance = random.Random(f"{self.seed}-{name}")
        paths = {kind: self.house.path(kind) for kind in ("openai", "json")}
        return Asker(chance, self.canaries, paths, self.house.facts["api_keys"])

    def _round(self, number: int, crowd: Crowd, say: Callable[[str], None]) -> None:
        blows = schedule(self.seed, number, database=self.database)
        began = time.monotonic()
        try:
            for blow in blows:
                self._strike(blow)
            self.house.wait_ready()
            self._expect_service(seconds=10 if any(blow.role == "database" for blow in blows) else 0)
            told = crowd.take()
            self._judge(told)
        except AssertionError as problem:
            self.report.findings.append(f"P3 {problem}")
            told = []
        self.report.rounds += 1
        took = time.monotonic() - began
        outcome = "ok" if not self.report.findings else "FAILED"
        say(
            f"round {number} {' '.join(map(str, blows))}: "
            f"{len(told)} calls, {len(self.log.whole)} requests, {took:.1f} s {outcome}"
        )

    def _expect_service(self, *, seconds: float) -> None:
        """A gateway that says it is ready answers the next call; after a blow to the database it is given
        time to notice that the database is back."""
        asker = self._asker(f"probe-{self.report.rounds}")
        deadline = time.monotonic() + seconds
        while True:
            told = ask(self.house.port, asker.make("chat", plan="n1d0-whole"))
            self.told.append(told)
            answer = parse(told.got)
            if answer is not None and answer.status == 200:
                return
            if time.monotonic() >= deadline:
                self.report.findings.append(f"P3 ready, and the next call got {bytes(told.got[:300])!r}")
                return
            time.sleep(0.2)

    # --- blows --------------------------------------------------------------------------------------
    def _strike(self, blow: Blow) -> None:
        self.report.kills[blow.role] += 1
        victim = self._backend() if blow.role == "database" else self.house.find(blow.role)
        fired = threading.Event()

        def fire() -> None:
            if blow.role == "supervisor":
                self.house.remember_tree()
            with suppress(psutil.NoSuchProcess):
                victim.send_signal(signal.SIGKILL)
            fired.set()

        if blow.moment == "time":
            time.sleep(blow.count / 1000)
            fire()
        else:
            self.trap.arm(blow.moment, blow.count, fire)
            if not fired.wait(PATIENCE) and self.trap.disarm():
                fire()
            fired.wait()
        self._after(blow.role, victim)

    def _after(self, role: str, victim: psutil.Process) -> None:
        if role == "supervisor":
            for process in self.house.bury_supervisor():
                self.report.findings.append(f"P18 {process.pid} {process.name()} outlived its supervisor")
            self.house.start()
        elif role != "database":
            wait_for(lambda: not is_alive(victim), seconds=10)
            self.house.find(role, other_than=victim.pid)

    def _backend(self) -> psutil.Process:
        """One of PostgreSQL's processes: PostgreSQL then restarts all of them."""
        pids = [pid for (pid,) in self.reader.rows(BACKENDS)]
        return psutil.Process(pids[0])

    # --- witnesses ----------------------------------------------------------------------------------
    def _witness_admission(self, seen: Seen) -> None:
        """P1 in flight: when the model has a request, its admission can be read from the store."""
        since = time.time_ns() // 1_000_000 - RECENT_MS
        try:
            admitted = oracle.is_admitted(self.witness, seen.digest, since)
        except psycopg.Error:
            return  # PostgreSQL was struck; what it kept is compared afterwards
        self.report.witnessed += 1
        if not admitted:
            self.report.findings.append(f"P1 the model had {seen.digest.hex()} before it was admitted")

    def _client_got(self, told: Told) -> None:
        """P2 in flight: what a client has got is durable at that moment."""
        self.trap.tick("client")
        self._reads += 1
        if self._reads % WITNESSED:
            return
        answer = parse(told.got)
        if answer is None or answer.status != 200 or not answer.call:
            return
        try:
            recorded = oracle.recorded_size(self.witness, answer.call)
        except psycopg.Error:
            return
        self.report.witnessed += 1
        if recorded < len(answer.body):
            self.report.findings.append(f"P2 {answer.call} released {len(answer.body)}, recorded {recorded}")

    # --- judging ------------------------------------------------------------------------------------
    def _judge(self, told: list[Told]) -> None:
        """Clients and model first, the store last: it must hold at least what they have seen by then."""
        self.told += told
        self.log.read()
        self.evidence.read()
        self.report.findings += self._compared(self.evidence, told)
        self.report.findings += [f"P11 call {call} was left open" for call in self.evidence.open_calls()]

    def _compared(self, evidence: oracle.Evidence, told: list[Told]) -> list[str]:
        found, evidence.findings = evidence.findings, []
        found += judge.judge_model(evidence, self.log.whole, self.log.parts())
        found += judge.judge_clients(evidence, told)
        plain, evidence.plain = evidence.plain, []
        new, self._searched = self.log.whole[self._searched :], len(self.log.whole)
        places = [
            ("the unsealed record", plain),
            ("the model's side", [part for seen in new for part in (seen.head, seen.body)]),
            ("an answer", [bytes(each.got) for each in told]),
        ]
        return found + judge.judge_canaries([*self.canaries.clear, *LEAKED], places)

    def _last_word(self) -> None:
        """The processes are gone: read everything once more, from nothing, and look into every corner."""
        report = self.report
        if (status := self.house.stop()) != 0:
            report.findings.append(f"the supervisor ended with status {status}")
        report.findings += self.house.ended_by_themselves()
        self.log.read()
        report.findings += self.judged(self.reader)
        corners = [*oracle.files(self.house.root), *_in_redis(self.house.redis_url)]
        report.findings += judge.judge_canaries([*self.canaries.clear, *LEAKED], corners)
        report.forwarded, report.calls = len(self.log.whole), len(self.told)
        for told in self.told:
            answer = parse(told.got)
            whole = "" if answer is None or answer.whole else " cut"
            report.statuses["none" if answer is None else f"{answer.status}{whole}"] += 1
        report.findings = list(dict.fromkeys(report.findings))

    def judged(self, reader: oracle.Reader) -> list[str]:
        """What is wrong with a store, read from nothing, given what model and clients saw in this run."""
        self._searched = 0
        evidence = oracle.Evidence(reader, self.house.keys)
        evidence.read()
        canaries = judge.judge_canaries([*self.canaries.clear, *LEAKED], oracle.stored(reader))
        return self._compared(evidence, self.told) + canaries


def _in_redis(url: str) -> Iterator[tuple[str, list[bytes]]]:
    if url:
        client = redis.Redis.from_url(url)
        yield "Redis", [part for key in client.scan_iter() for part in (key, client.dump(key) or b"")]
        client.close()


@contextmanager
def standing(root: Path, seed: int, *, database: bool = False) -> Iterator[Hammer]:
    """A hammer over a fresh house, on the database that the environment names."""
    with running_model(root) as model, fresh_database() as url:
        redis_url = os.environ.get("REDIS_URL", "") if url else ""
        with running_house(root, model_url=model.url, database_url=url, redis_url=redis_url) as house:
            hammer = Hammer(house, model, seed, database=database and bool(url))
            try:
                yield hammer
            finally:
                hammer.reader.close()
                hammer.witness.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--clients", type=int, default=CLIENTS)
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}, {chosen.rounds} rounds", flush=True)
    root = Path(tempfile.mkdtemp(prefix="postern-hammer-"))
    with standing(root, chosen.seed, database=True) as hammer:
        report = hammer.run(chosen.rounds, clients=chosen.clients, say=lambda line: print(line, flush=True))
    print(report)
    if report.findings:
        print(f"kept: {root}; again: python -m tests.server.hammer --seed {chosen.seed}", file=sys.stderr)
        return 1
    shutil.rmtree(root)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

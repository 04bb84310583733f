"""P3 and P13 with real processes: no record, no service; what is cut looks cut; what ends comes back."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.services import redis

from .hammer_clients import Asker, Canaries, Request, Told, ask, parse
from .hammer_house import House, is_alive, running_house, still_there, wait_for
from .hammer_judge import judge_clients, judge_model
from .hammer_model import Log, Model, running_model
from .hammer_oracle import Evidence, Reader
from .hammer_troubles import ON_POSTGRESQL, ON_SQLITE, redis_away, redis_frozen, troubled
from .world import on_postgresql, private_database

REFUSED_WITHIN = 2.0
CUT_WITHIN = 3.0
BACK_WITHIN = 20.0
START_WITHIN = 60.0
TROUBLES = ON_POSTGRESQL if on_postgresql() else ON_SQLITE
BUSES = {"frozen": redis_frozen, "away": redis_away}

pytestmark = [pytest.mark.database, pytest.mark.timeout(600)]


class Scene:
    """A house, its model, and somebody who calls."""

    def __init__(self, house: House, model: Model) -> None:
        self.house, self.model = house, model
        self.told: list[Told] = []
        chance = random.Random(1)
        paths = {kind: house.path(kind) for kind in ("openai", "json")}
        self._asker = Asker(chance, Canaries(chance), paths, house.facts["api_keys"])

    def request(self, kind: str = "chat", plan: str = "n1d0-whole") -> Request:
        return self._asker.make(kind, plan=plan)

    def send(self, request: Request) -> Told:
        told = ask(self.house.port, request)
        self.told.append(told)
        return told

    def call(self, kind: str = "chat") -> tuple[Told, float]:
        """One call and how long it took."""
        began = time.monotonic()
        told = self.send(self.request(kind))
        return told, time.monotonic() - began

    def status(self) -> int:
        answer = parse(self.call()[0].got)
        return answer.status if answer else 0

    def stream(self, pieces: int, *, pause: int = 100) -> Streaming:
        """A live stream of which the client has the first bytes."""
        streaming = Streaming(self.house.port, self._asker, f"n{pieces}d{pause}-whole")
        self.told.append(streaming.told)
        return streaming

    def wait_served(self) -> None:
        assert wait_for(lambda: self.status() == 200, seconds=BACK_WITHIN), self.house.last_words()

    def saw(self, call: Told | Request) -> bool:
        """Whether the model got anything of a call."""
        log = Log(self.model.log)
        log.read()
        return any(call.nonce.encode() in seen.body for seen in [*log.whole, *log.parts()])

    def evidence(self) -> Evidence:
        """The store as it is now, compared with everything that was said and seen here."""
        log = Log(self.model.log)
        log.read()
        reader = Reader(self.house.database_url)
        evidence = Evidence(reader, self.house.keys)
        evidence.read()
        reader.close()
        assert evidence.findings == []
        assert judge_model(evidence, log.whole, log.parts()) == []
        assert judge_clients(evidence, self.told) == []
        return evidence


class Streaming:
    """A client that reads a stream in a thread of its own."""

    def __init__(self, port: int, asker: Asker, plan: str) -> None:
        self.told = Told("stream", "")
        self._began, self._ended = threading.Event(), threading.Event()
        self.ended_at = 0.0
        request = asker.make("stream", plan=plan)

        def run() -> None:
            told = ask(port, request, got=self._got)
            self.ended_at = time.monotonic()
            self.told.nonce, self.told.got = told.nonce, told.got
            self._ended.set()

        threading.Thread(target=run, daemon=True).start()
        assert self._began.wait(20), "no stream began"

    def _got(self, told: Told) -> None:
        if b"piece" in told.got or b"said" in told.got:
            self._began.set()

    def wait(self, seconds: float) -> bool:
        return self._ended.wait(seconds)

    @property
    def is_cut(self) -> bool:
        """Neither the connection nor the stream came to its proper end."""
        answer = parse(self.told.got)
        assert answer is not None and answer.status == 200
        return not answer.whole and b"[DONE]" not in answer.body

    @property
    def is_whole(self) -> bool:
        answer = parse(self.told.got)
        return answer is not None and answer.whole and answer.body.endswith(b"data: [DONE]\n\n")

    @property
    def call(self) -> str:
        answer = parse(self.told.got)
        assert answer is not None
        return answer.call


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    root: Path = tmp_path_factory.mktemp("faults")
    with ExitStack() as stack:
        url = stack.enter_context(private_database())
        bus = stack.enter_context(redis())
        model = stack.enter_context(running_model(root))
        house = stack.enter_context(running_house(root, model_url=model.url, database_url=url, redis_url=bus))
        yield Scene(house, model)


# --- the store --------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", TROUBLES)
def test_without_a_record_nothing_is_served_and_nothing_leaves(scene: Scene, name: str) -> None:
    scene.wait_served()
    gateway = scene.house.find("gateway")
    live = [scene.stream(300), scene.stream(300)]
    asked = [scene.request(plan="n20d100-whole"), scene.request(plan="n20d100-cut")]
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(scene.send, request) for request in asked]
        assert wait_for(lambda: all(map(scene.saw, asked)), seconds=5)
        with troubled(scene.house, TROUBLES[name]):
            hurt_at = time.monotonic()
            if name == "full":  # the last pages are still free
                assert wait_for(lambda: scene.status() == 503, seconds=5)
                hurt_at = time.monotonic()
            refused = expect_refusals(scene)
            for stream in live:
                assert stream.wait(CUT_WITHIN) and stream.ended_at - hurt_at < CUT_WITHIN
                assert stream.is_cut
            assert not scene.house.is_ready()
            unsaid = [expect_unsaid(answer.result(10)) for answer in answers]
            refused += expect_refusals(scene)
    scene.wait_served()
    assert wait_for(scene.house.is_ready, seconds=BACK_WITHIN)
    assert scene.house.find("gateway").pid == gateway.pid
    assert not any(scene.saw(told) for told in refused)
    expect_an_honest_record(scene, [*(stream.call for stream in live), *unsaid])


def expect_unsaid(told: Told) -> str:
    """The model's answer, or its failure, came when it could not be recorded any more: the call's id."""
    answer = parse(told.got)
    assert answer is not None and answer.status == 503, bytes(told.got)
    assert b"record_unavailable" in answer.body and b"said" not in answer.body
    return answer.call


def expect_refusals(scene: Scene) -> list[Told]:
    """Several calls at once and one after the other: each is told so, and soon."""
    with ThreadPoolExecutor(4) as pool:
        calls = [*pool.map(lambda _: scene.call(), range(4)), scene.call(), scene.call("json")]
    for told, took in calls:
        answer = parse(told.got)
        assert answer is not None and answer.status == 503, bytes(told.got)
        assert took < REFUSED_WITHIN
        assert int(answer.headers["retry-after"]) >= 1
    return [told for told, _ in calls]


def expect_an_honest_record(scene: Scene, cut: list[str]) -> None:
    """The outage and the calls that it cut are in the record, as what they were."""

    def ends() -> list[tuple[bool, str]]:
        calls = {str(call.id): call for call in scene.evidence().calls.values()}
        return [(close["complete"], close["code"]) for call in cut for close in calls[call].closes]

    assert wait_for(lambda: len(ends()) == len(cut), seconds=10)
    assert set(ends()) == {(False, "record_unavailable")}
    events = scene.evidence().events
    assert any(meta.get("event") == "store.outage" and meta["refused"] for meta in events)


@pytest.mark.parametrize("name", [name for name in TROUBLES if name != "full"])
def test_a_gateway_that_starts_in_the_trouble_refuses_until_it_is_over(scene: Scene, name: str) -> None:
    scene.wait_served()
    gateway = scene.house.find("gateway")
    with troubled(scene.house, TROUBLES[name]):
        gateway.kill()
        following = scene.house.find("gateway", other_than=gateway.pid)
        assert wait_for(scene.house.is_listening, seconds=START_WITHIN), scene.house.last_words()
        refused = expect_refusals(scene)
        assert not scene.house.is_ready()
    scene.wait_served()
    assert scene.house.find("gateway").pid == following.pid
    assert not any(scene.saw(told) for told in refused)
    scene.evidence()


@pytest.mark.parametrize("name", BUSES)
def test_without_redis_calls_go_on(scene: Scene, name: str) -> None:
    scene.wait_served()
    live = scene.stream(20)
    with troubled(scene.house, BUSES[name]):
        for _ in range(5):
            told, took = scene.call()
            answer = parse(told.got)
            assert answer is not None and answer.status == 200 and took < REFUSED_WITHIN
        assert live.wait(20) and live.is_whole
        assert scene.house.is_ready()
    scene.evidence()


# --- the processes ----------------------------------------------------------------------------------
def test_a_killed_gateway_comes_back_by_itself(scene: Scene) -> None:
    scene.wait_served()
    gateway, live = scene.house.find("gateway"), scene.stream(300)
    gateway.kill()
    assert live.wait(CUT_WITHIN) and live.is_cut
    assert scene.house.find("gateway", other_than=gateway.pid).ppid() == scene.house.supervisor().pid
    scene.house.wait_ready()
    assert scene.status() == 200
    (call,) = [call for call in scene.evidence().calls.values() if str(call.id) == live.call]
    assert (call.closes[0]["complete"], call.closes[0]["code"]) == (False, "instance_lost")


def test_a_killed_worker_comes_back_by_itself(scene: Scene) -> None:
    scene.wait_served()
    worker = scene.house.find("worker")
    worker.kill()
    assert scene.status() == 200
    assert scene.house.find("worker", other_than=worker.pid).ppid() == scene.house.supervisor().pid


def test_nobody_outlives_a_killed_supervisor(scene: Scene) -> None:
    scene.wait_served()
    live, everyone = scene.stream(300), scene.house.children()
    assert len(everyone) >= 2
    scene.house.remember_tree()
    scene.house.supervisor().kill()
    assert scene.house.bury_supervisor(seconds=2) == []
    assert live.wait(CUT_WITHIN) and live.is_cut
    scene.house.start()
    scene.house.wait_ready()
    assert scene.status() == 200
    scene.evidence()


def test_a_stopped_gateway_lets_running_responses_finish(scene: Scene) -> None:
    scene.wait_served()
    live, everyone = [scene.stream(30), scene.stream(30)], scene.house.children()
    supervisor = scene.house.supervisor()
    stopping = threading.Thread(target=scene.house.stop)
    stopping.start()
    time.sleep(1)
    assert not ask(scene.house.port, scene.request()).got, "it still takes calls"
    assert all(stream.wait(20) and stream.is_whole for stream in live)
    stopping.join(30)
    assert not is_alive(supervisor) and still_there(everyone, seconds=1) == []
    assert scene.house.process is not None and scene.house.process.returncode == 0
    calls = {str(call.id): call for call in scene.evidence().calls.values()}
    assert all(calls[stream.call].closes[0]["complete"] for stream in live)
    scene.house.start()
    scene.house.wait_ready()


def test_a_client_that_leaves_is_recorded_as_gone(scene: Scene) -> None:
    scene.wait_served()
    told = scene.send(scene.request("leave", "n100d50-whole"))
    answer = parse(told.got)
    assert answer is not None and told.left

    def closed() -> bool:
        calls = {str(call.id): call for call in scene.evidence().calls.values()}
        return bool(calls[answer.call].closes)

    assert wait_for(closed, seconds=10)


def test_nobody_ended_who_was_not_killed_and_the_evidence_is_whole(scene: Scene) -> None:
    assert scene.house.ended_by_themselves() == []
    scene.evidence()

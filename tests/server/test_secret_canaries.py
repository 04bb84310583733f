"""Planted upstream secrets reach their service and nobody else, whatever it does with them (P17); and the
master key that seals them changes under load (P18)."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from . import canary_places as places
from .canaries import Canary, Searcher
from .hammer_house import House
from .keeper import COLUMNS
from .secret_echo import echoing
from .test_rotation import Load
from .world import fresh_database

pytestmark = [pytest.mark.database, pytest.mark.timeout(400)]

WAYS = ("plain", "error", "refused", "redirect", "garbage", "stream")


def planted() -> str:
    """Such as providers make them, with what has to be escaped."""
    return f"Zk/{secrets.token_hex(12)}+{secrets.token_hex(6)}="


@pytest.fixture
def sent() -> dict[str, str]:
    return {each: planted() for each in (*COLUMNS, "token")}


@pytest.fixture
def there(sent: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
    with echoing(sent["token"]) as found:
        yield found


@pytest.fixture
def house(tmp_path: Path, there: tuple[str, list[str]]) -> Iterator[House]:
    with ExitStack() as stack:
        url = stack.enter_context(fresh_database())
        made = House(tmp_path, model_url=there[0], database_url=url)
        made.env["LOG_LEVEL"] = "DEBUG"
        stack.callback(made.stop)
        yield made


def ask(house: House, how: str) -> tuple[int, bytes]:
    """The whole answer, its head too."""
    url = f"http://127.0.0.1:{house.port}{house.path('openai')}"
    body = {"model": "m", "messages": [{"role": "user", "content": how}], "stream": how == "stream"}
    got = requests.post(
        url, json=body, headers={"Authorization": f"Bearer {house.key('alice')}"}, timeout=30, stream=True
    )
    data = b""
    try:
        for chunk in got.iter_content(None):
            data += chunk
    except requests.RequestException:
        pass  # a cut stream; what came counts
    return got.status_code, repr(got.headers).encode() + b"\n" + data


def put(house: House, placement: str, origin: str, secret: str) -> None:
    house.python("-m", "tests.server.keeper", placement, origin, given=secret)


def wait_until_used(house: House, heard: list[str], secret: str) -> None:
    """The configuration has been read, and a token fetched."""
    deadline = time.monotonic() + 30
    spelled = base64.b64encode(f"svc:{secret}".encode()).decode()
    while not any(secret in said or spelled in said for said in heard[-2:]):
        assert time.monotonic() < deadline, house.last_words()
        ask(house, "plain")
        time.sleep(0.3)


def test_no_secret_is_anywhere_but_with_its_service(
    house: House, there: tuple[str, list[str]], sent: dict[str, str]
) -> None:
    origin, heard = there
    house.start()
    house.wait_ready()
    told: list[bytes] = []
    for placement in COLUMNS:
        put(house, placement, origin, sent[placement])
        wait_until_used(house, heard, sent["token" if placement == "oauth" else placement])
        for how in WAYS:
            status, answer = ask(house, how)
            told.append(answer)
            assert status == (200 if how in ("plain", "stream") else 429 if how == "error" else 502), how
            assert (b"***" in answer) is (how in ("plain", "error", "stream")), (placement, how, answer)
    export = house.python("manage.py", "policy", "export", "--area", "default").encode()
    assert b"placement: oauth" in export and b"x-api-key" in export
    house.stop()
    searcher = Searcher([Canary(name, text, whole=True) for name, text in sent.items()])
    assert searcher.search([("a control", [sent["query"].encode()])]), "it finds nothing at all"
    found = searcher.search([("answers", told), ("the export", [export])])
    found += searcher.search([*places.store(house), *places.disk(house.root)])
    assert found == [], "\n".join(map(str, found))
    assert "repeated the gateway's secret" in house.log.read_text()


def test_another_master_key_comes_under_load_and_no_call_fails(
    house: House, there: tuple[str, list[str]], sent: dict[str, str]
) -> None:
    origin, heard = there
    put(house, "header", origin, sent["header"])
    old = house.env["MASTER_KEYS"]
    new = "new:" + base64.b64encode(secrets.token_bytes(32)).decode()
    house.env["MASTER_KEYS"] = f"{old},{new}"
    house.start()
    house.wait_ready()
    house.env["MASTER_KEYS"] = f"{new},{old}"
    with Load(house) as load:
        time.sleep(3)
        said = house.python("manage.py", "rekey", "--batch", "1")
        time.sleep(3)
    assert load.failures == [] and load.statuses[200] > 100
    assert "0 failed" in said and "take them out of MASTER_KEYS: hammer" in said
    house.stop()
    house.env["MASTER_KEYS"] = new
    house.start()
    house.wait_ready()
    heard.clear()
    assert ask(house, "plain")[0] == 200 and sent["header"] in heard[-1]
    house.stop()
    house.env["MASTER_KEYS"] = "other:" + base64.b64encode(secrets.token_bytes(32)).decode()
    house.start()
    assert house.process is not None and house.process.wait(60) != 0
    assert "gateway.E050: Master key new is not here" in house.last_words()

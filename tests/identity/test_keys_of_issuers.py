"""An issuer's keys while it rotates, stalls, lies, sends too much or is away: bounded, no stampede."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from gateway.identity import discovery, key_source
from gateway.identity.discovery import Place, ProviderDown, ProviderWrong, discover, fetch_keys
from gateway.identity.jwks import KeySet, KeysUnreadable, read_keys
from gateway.identity.key_source import APART, KeySource, KeysUnavailable

from .minting import key_set, public_jwk
from .provider import Provider, always, running_provider, slowly


@pytest.fixture
def provider(settings: Settings) -> Iterator[Provider]:
    settings.PLAIN_HTTP = True
    with running_provider() as running:
        yield running


def place(provider: Provider, **changes: Any) -> Place:
    return Place(**{"issuer": provider.issuer, "allow_private": True, **changes})


# --- asking ------------------------------------------------------------------------------------------


def test_keys_are_found_by_discovery_or_at_the_address_that_is_set(provider: Provider) -> None:
    assert set(fetch_keys(place(provider)).keys) == {"rsa1"}
    assert provider.asked == {"/.well-known/openid-configuration": 1, "/keys": 1}
    assert set(fetch_keys(place(provider, jwks_uri=f"{provider.issuer}/keys")).keys) == {"rsa1"}


def test_a_document_of_another_issuer_is_not_believed(provider: Provider) -> None:
    for other in ("https://evil.example.com", provider.issuer + "/", None):
        provider.discovery["issuer"] = other
        with pytest.raises(ProviderWrong, match="other_issuer"):
            discover(place(provider))
    assert "/keys" not in provider.asked


def test_discovery_of_an_authorisation_server_has_its_path_behind(provider: Provider) -> None:
    issuer = f"{provider.issuer}/tenant"
    document = json.dumps({"issuer": issuer, "jwks_uri": f"{provider.issuer}/keys"}).encode()
    wanted = "/.well-known/oauth-authorization-server/tenant"
    provider.trouble = lambda path: (200, "application/json", document) if path == wanted else None
    assert set(fetch_keys(place(provider, issuer=issuer)).keys) == {"rsa1"}


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        ((500, "application/json", b"{}"), ProviderDown, "status"),
        ((429, "application/json", b"{}"), ProviderDown, "status"),
        ((302, "application/json", b"{}"), ProviderWrong, "keys_status"),
        ((200, "text/html", key_set("rsa1")), ProviderWrong, "keys_type"),
        ((200, "application/json", b"<html>"), ProviderWrong, "keys_unreadable"),
        ((200, "application/json", b"[]"), ProviderWrong, "keys_unreadable"),
        ((200, "application/json", b'{"keys":[]}'), ProviderWrong, "keys_unreadable"),
        ((200, "application/json", b'{"keys":[],"keys":[]}'), ProviderWrong, "keys_unreadable"),
        ((200, "application/json", b" " * 300_000), ProviderDown, "too_large"),
    ],
)
def test_what_is_no_key_set_is_refused(
    provider: Provider, answer: tuple[int, str, bytes], error: type[Exception], code: str
) -> None:
    provider.trouble = always(*answer)
    with pytest.raises(error, match=code):
        fetch_keys(place(provider, jwks_uri=f"{provider.issuer}/keys"))


def test_an_issuer_that_stalls_is_left(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "SECONDS", 0.3)
    provider.trouble = slowly(2)
    began = time.monotonic()
    with pytest.raises(ProviderDown, match="timeout"):
        fetch_keys(place(provider))
    assert time.monotonic() - began < 1.5


def test_an_issuer_that_drips_is_left(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then keeps every single wait short; the whole of it is bounded as well."""
    settings.PLAIN_HTTP = True
    monkeypatch.setattr(discovery, "SECONDS", 0.5)
    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        peer, _ = listener.accept()
        with peer:
            try:
                peer.sendall(b"HTTP/1.1 200 OK\r\n")
                for _ in range(60):
                    peer.sendall(b"x-a: b\r\n")
                    time.sleep(0.1)
            except OSError:
                pass

    threading.Thread(target=drip, daemon=True).start()
    origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    began = time.monotonic()
    with listener, pytest.raises(ProviderDown, match="timeout"):
        fetch_keys(Place(origin, allow_private=True))
    assert time.monotonic() - began < 2


def test_addresses_of_this_machine_are_for_tests_only(provider: Provider, settings: Settings) -> None:
    with pytest.raises(ProviderWrong, match="address"):
        fetch_keys(place(provider, allow_private=False))
    settings.PLAIN_HTTP = False
    with pytest.raises(ProviderWrong, match="not_https"):
        fetch_keys(place(provider))
    with pytest.raises(ProviderWrong, match="address"):
        fetch_keys(Place("https://localhost:9", allow_private=True))


def test_keys_that_cannot_be_used_are_left_out() -> None:
    document = key_set(
        "rsa1",
        "small1",
        public_jwk("rsa2", use="enc"),
        public_jwk("rsa3", kid=None),
        public_jwk("rsa4", key_ops=["sign"]),
        public_jwk("rsa5") | {"d": "AQAB"},
        public_jwk("rsa6", alg="HS256"),
        public_jwk("rsa7") | {"e": "AQAAAAAAAQ"},
        public_jwk("p256") | {"crv": "P-384", "kid": "wrong"},
        {"kty": "oct", "kid": "oct", "k": "AAAA"},
        {"kty": "EC", "crv": "secp256k1", "kid": "coin", "x": "AA", "y": "AA"},
        {"kty": ["RSA"], "kid": "list"},
    )
    assert set(read_keys(document).keys) == {"rsa1"}
    with pytest.raises(KeysUnreadable):
        read_keys(key_set(*[public_jwk("rsa1", kid=f"k{n}") for n in range(101)]))


def test_a_kid_that_two_keys_carry_is_nobody_s() -> None:
    found = read_keys(key_set("rsa1", public_jwk("rsa2", kid="x"), public_jwk("p256", kid="x")))
    assert set(found.keys) == {"rsa1"} and found.doubled == {"x"}


# --- keeping -----------------------------------------------------------------------------------------


class Issuer:
    """Answers with these keys, or an error; counts the questions."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.error: Exception | None = None
        self.asked = 0
        self.now = 1000.0

    def ask(self, place: Place) -> KeySet:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return read_keys(key_set(*self.names))

    def source(self) -> KeySource:
        return KeySource(Place("https://a.example"), ask=self.ask, clock=lambda: self.now)


def names(source: KeySource, max_stale: float = 3600) -> set[str] | None:
    keys = source.keys(max_stale)
    return None if keys is None else set(keys.keys)


def test_old_and_new_key_count_while_both_are_published_and_the_old_one_not_after() -> None:
    issuer = Issuer("rsa1")
    source = issuer.source()
    source.refresh()
    old = source.keys(60)
    assert old is not None
    issuer.names, issuer.now = ("rsa1", "rsa2"), issuer.now + APART
    source.refresh()
    assert names(source) == {"rsa1", "rsa2"} and source.trusts(old.keys["rsa1"], 60)
    issuer.names, issuer.now = ("rsa2",), issuer.now + APART
    source.refresh()
    assert names(source) == {"rsa2"} and source.trusts(old.keys["rsa1"], 60) is False


def test_another_key_under_an_old_name_is_another_key() -> None:
    issuer = Issuer("rsa1")
    source = issuer.source()
    source.refresh()
    old = source.keys(60)
    assert old is not None
    issuer.ask = lambda place: read_keys(key_set(public_jwk("rsa2", kid="rsa1")))  # type: ignore[method-assign]
    issuer.now += APART
    source._ask = issuer.ask
    source.refresh()
    assert source.trusts(old.keys["rsa1"], 60) is False


def test_an_outage_is_bridged_for_a_bounded_time() -> None:
    issuer = Issuer("rsa1")
    source = issuer.source()
    source.refresh()
    issuer.error = ProviderDown("timeout")
    for _ in range(10):
        issuer.now += 30
        source.refresh()
    assert names(source, max_stale=300) == {"rsa1"}
    issuer.now += 1
    assert names(source, max_stale=300) is None
    issuer.error = None
    issuer.now += APART
    source.refresh()
    assert names(source, max_stale=300) == {"rsa1"}


def test_the_background_asks_every_five_minutes_and_sooner_after_a_failure() -> None:
    issuer = Issuer("rsa1")
    source = issuer.source()
    assert source.due
    source.refresh()
    issuer.now += key_source.EVERY * 0.79
    assert not source.due
    issuer.now += key_source.EVERY * 0.42
    assert source.due
    issuer.error = ProviderWrong("keys_type")
    source.refresh()
    assert not source.due
    issuer.now += key_source.PATIENCE * 1.3
    assert source.due


def test_keys_that_count_for_a_short_time_are_asked_for_before_it_is_over() -> None:
    issuer = Issuer("rsa1")
    source = issuer.source()
    source.refresh()
    issuer.now += 29
    assert not source.aged(60)
    issuer.now += 1
    assert source.aged(60) and not source.due
    source.failing = True
    assert not source.aged(60)


def test_a_thousand_tokens_with_unknown_keys_are_one_question(provider: Provider) -> None:
    async def flood(source: KeySource) -> None:
        await asyncio.gather(*(source.seek(newer=True) for _ in range(200)))

    source = KeySource(place(provider))
    provider.trouble = slowly(0.2)
    for _ in range(5):
        asyncio.run(flood(source)) if provider.asked.get("/keys", 0) < 2 else None
    assert provider.asked["/keys"] == 2  # one at once, one after APART seconds


def test_too_many_that_wait_are_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_source, "WAITING", 10)

    async def flood() -> int:
        found = await asyncio.gather(*(source.seek(newer=False) for _ in range(30)), return_exceptions=True)
        return sum(isinstance(each, KeysUnavailable) for each in found)

    source = Issuer("rsa1").source()
    assert asyncio.run(flood()) == 20


def test_one_that_leaves_does_not_take_the_answer_from_the_others() -> None:
    async def run() -> set[str] | None:
        first = asyncio.create_task(source.seek(newer=False))
        second = asyncio.create_task(source.seek(newer=False))
        await asyncio.sleep(0)
        first.cancel()
        await second
        return names(source)

    source = Issuer("rsa1").source()
    assert asyncio.run(run()) == {"rsa1"}


def test_while_an_issuer_does_not_answer_nobody_waits_for_it_twice() -> None:
    issuer = Issuer("rsa1")
    issuer.error = ProviderDown("timeout")
    source = issuer.source()

    async def run() -> None:
        await source.seek(newer=False)
        for _ in range(50):
            with pytest.raises(KeysUnavailable):
                await source.seek(newer=False)

    asyncio.run(run())
    assert issuer.asked == 1


class Resolver:
    """Names below `slow.example` take until `go` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self.asked: list[str] = []
        resolve = socket.getaddrinfo

        def slowly(host: str, *args: Any, **more: Any) -> Any:
            self.asked.append(host)
            if host.endswith("slow.example"):
                self.go.wait(30)
                raise OSError
            return resolve(host, *args, **more)

        monkeypatch.setattr(socket, "getaddrinfo", slowly)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    found = Resolver(monkeypatch)
    yield found
    found.go.set()
    for thread in threading.enumerate():
        if thread.name == "postern-keys":
            thread.join()


def test_names_that_do_not_resolve_delay_the_keys_of_no_other_issuer(
    provider: Provider, resolver: Resolver
) -> None:
    """However many hang: each has threads of its own."""
    hanging = [KeySource(Place(f"https://{number}.slow.example")) for number in range(40)]
    good = KeySource(place(provider))

    async def run() -> list[bool]:
        calls = [asyncio.create_task(each.seek(newer=False)) for each in hanging]
        await asyncio.sleep(0)
        await good.seek(newer=False)
        found = [each.done() for each in calls]
        resolver.go.set()
        await asyncio.gather(*calls)
        return found

    assert asyncio.run(run()) == [False] * 40
    assert names(good) == {"rsa1"} and all(each.failing for each in hanging)


def test_the_background_is_not_held_up_and_asks_a_hanging_issuer_once(resolver: Resolver) -> None:
    hanging = KeySource(Place("https://id.slow.example"))
    for _ in range(5):
        hanging.refresh_beside()  # comes back at once
    resolver.go.set()
    assert hanging._beside is not None
    hanging._beside.join()
    assert hanging.failing and resolver.asked == ["id.slow.example"]


def test_a_question_that_hangs_is_waited_for_so_long_and_then_not_at_all(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_source, "LONGEST", 0.05)
    hanging = KeySource(Place("https://id.slow.example"))

    async def run() -> None:
        for _ in range(3):
            with pytest.raises(KeysUnavailable):
                await hanging.seek(newer=False)
        resolver.go.set()
        await hanging._flight  # type: ignore[misc]

    asyncio.run(run())
    assert resolver.asked == ["id.slow.example"]


def test_whatever_goes_wrong_in_a_question_it_is_an_issuer_that_does_not_answer() -> None:
    def broken(place: Place) -> KeySet:
        raise RuntimeError

    source = KeySource(Place("https://id.example"), ask=broken)
    asyncio.run(source.seek(newer=False))
    assert source.failing and names(source) is None

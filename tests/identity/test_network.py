"""Whose address is on record: a header is believed from our own proxies, and from nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from gateway.environment import Environment, proxies
from gateway.front import Behind, Front
from gateway.identity import network
from gateway.identity.network import ForwardedInvalid, TrustedProxies, trusted_proxies
from gateway.proxy import admission
from gateway.proxy.errors import BadRequest
from tests.shell.asgi import ask

OURS = ("10.0.0.0/8", "192.0.2.1", "2001:db8:1::/48")
PROXY, CLIENT = "10.0.0.1", "198.51.100.7"
REFUSED = "refused"

TABLE: list[tuple[str, tuple[str, ...], str]] = [
    # peer, X-Forwarded-For lines, network on record
    # --- a peer that nobody trusts is the client, whatever it says
    (CLIENT, (), CLIENT),
    (CLIENT, ("203.0.113.9",), CLIENT),
    (CLIENT, (PROXY,), CLIENT),
    (CLIENT, ("rubbish",), CLIENT),
    (CLIENT, ("",), CLIENT),
    ("127.0.0.1", ("203.0.113.9",), "127.0.0.1"),
    ("11.0.0.1", ("203.0.113.9",), "11.0.0.1"),
    ("2001:db8:2::1", ("203.0.113.9",), "2001:db8:2::1"),
    ("", ("203.0.113.9",), ""),  # a unix socket that was not named
    ("unix:", ("203.0.113.9",), "unix:"),
    # --- a trusted peer without the header speaks for itself
    (PROXY, (), PROXY),
    ("2001:db8:1::5", (), "2001:db8:1::5"),
    # --- a trusted peer names the client
    (PROXY, (CLIENT,), CLIENT),
    ("192.0.2.1", (CLIENT,), CLIENT),
    ("192.0.2.2", (CLIENT,), "192.0.2.2"),
    ("2001:db8:1::5", (CLIENT,), CLIENT),
    ("::ffff:10.0.0.1", (CLIENT,), CLIENT),  # the peer, mapped
    ("fe80::1%eth0", (CLIENT,), "fe80::1%eth0"),
    (PROXY, ("2001:db8::7",), "2001:db8::7"),
    (PROXY, ("2001:DB8:0:0::7",), "2001:db8::7"),
    (PROXY, (f"::ffff:{CLIENT}",), CLIENT),
    (PROXY, (f"{CLIENT}:51000",), CLIENT),
    (PROXY, ("[2001:db8::7]",), "2001:db8::7"),
    (PROXY, ("[2001:db8::7]:443",), "2001:db8::7"),
    (PROXY, (f" \t{CLIENT} ",), CLIENT),
    # --- the rightmost that is not ours; what the client wrote before it counts for nothing
    (PROXY, (f"203.0.113.9, {CLIENT}",), CLIENT),
    (PROXY, (f"203.0.113.9, {CLIENT}, 10.9.9.9",), CLIENT),
    (PROXY, (f"10.1.1.1, {CLIENT}",), CLIENT),
    (PROXY, (f"rubbish, <script>, {CLIENT}",), CLIENT),
    (PROXY, (f", {CLIENT}",), CLIENT),
    (PROXY, (f"{CLIENT}, ::ffff:10.2.2.2",), CLIENT),  # a proxy of ours, mapped
    (PROXY, (f"203.0.113.9, {CLIENT}, 10.2.2.2, 2001:db8:1::9",), CLIENT),
    # --- several lines are one list
    (PROXY, ("203.0.113.9", CLIENT), CLIENT),
    (PROXY, (CLIENT, "10.2.2.2"), CLIENT),
    (PROXY, (f"203.0.113.9, {CLIENT}", "10.2.2.2, 10.3.3.3"), CLIENT),
    # --- all of them ours: the first is as far as anybody saw
    (PROXY, ("10.2.2.2",), "10.2.2.2"),
    (PROXY, ("10.3.3.3, 10.2.2.2",), "10.3.3.3"),
    # --- what cannot be read, as far as it is read
    (PROXY, ("",), REFUSED),
    (PROXY, (",",), REFUSED),
    (PROXY, (f"{CLIENT},",), REFUSED),
    (PROXY, ("unknown",), REFUSED),
    (PROXY, ("_hidden",), REFUSED),
    (PROXY, (f"{CLIENT}, unknown, 10.2.2.2",), REFUSED),
    (PROXY, (f'for="{CLIENT}"',), REFUSED),
    (PROXY, (f'"{CLIENT}"',), REFUSED),
    (PROXY, (f"{CLIENT}:",), REFUSED),
    (PROXY, (f"{CLIENT}:99999",), REFUSED),
    (PROXY, (f"{CLIENT}:٣",), REFUSED),
    (PROXY, ("[2001:db8::7",), REFUSED),
    (PROXY, ("[2001:db8::7]443",), REFUSED),
    (PROXY, (f"[{CLIENT}]",), REFUSED),
    (PROXY, ("fe80::1%eth0",), REFUSED),
    (PROXY, ("198.51.100.007",), REFUSED),
    (PROXY, ("198.51.100",), REFUSED),
    (PROXY, ("3325256711",), REFUSED),
    (PROXY, ("0x7f.0.0.1",), REFUSED),
    (PROXY, (f"{CLIENT} 10.2.2.2",), REFUSED),
    (PROXY, (f"{CLIENT}; 10.2.2.2",), REFUSED),
    (PROXY, ("::ffff:1.2.3.4.5",), REFUSED),
    (PROXY, (f"{CLIENT}\x00",), REFUSED),
]


def ours(*words: str) -> TrustedProxies:
    found = trusted_proxies(words or OURS)
    assert found is not None
    return found


def headers(lines: tuple[str, ...], name: bytes = b"x-forwarded-for") -> list[tuple[bytes, bytes]]:
    return [(b"host", b"x"), *[(name, line.encode()) for line in lines]]


@pytest.mark.parametrize(("peer", "lines", "expected"), TABLE)
def test_the_address_on_record(peer: str, lines: tuple[str, ...], expected: str) -> None:
    proxies = ours()
    for _ in range(2):  # the second time it is remembered
        if expected == REFUSED:
            with pytest.raises(ForwardedInvalid):
                proxies.address_of(peer, headers(lines))
        else:
            assert proxies.address_of(peer, headers(lines)) == expected


def test_a_unix_socket_is_trusted_by_name() -> None:
    for peer in ("", "unix:"):
        assert ours("unix").address_of(peer, headers((CLIENT,))) == CLIENT
    assert ours("unix").address_of(PROXY, headers((CLIENT,))) == PROXY


def test_names_of_headers_have_no_case_and_only_this_one_counts() -> None:
    assert ours().address_of(PROXY, headers((CLIENT,), b"X-Forwarded-For")) == CLIENT
    for name in (b"forwarded", b"x-real-ip", b"x-forwarded", b"true-client-ip", b"x_forwarded_for"):
        assert ours().address_of(PROXY, headers((CLIENT,), name)) == PROXY


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "REMEMBERED", 10)
    proxies = ours()
    for number in range(50):
        assert proxies.address_of(PROXY, headers((f"198.51.100.{number}",))) == f"198.51.100.{number}"
        proxies.address_of(f"203.0.113.{number}", ())
    assert len(proxies._clients) <= 10 and len(proxies._peers) <= 10


def test_a_long_list_is_read_from_its_end_only() -> None:
    assert ours().address_of(PROXY, headers((", ".join(["x"] * 5000 + [CLIENT]),))) == CLIENT
    assert ours().address_of(PROXY, headers((", ".join(["10.1.1.1"] * 5000),))) == "10.1.1.1"


# --- the setting ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["proxy.example.com", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.1-10.0.0.9", "*", "loopback"]
)
def test_a_setting_that_is_no_range_stops_the_process_by_its_name(value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="TRUSTED_PROXIES"):
        proxies("TRUSTED_PROXIES", Environment({"TRUSTED_PROXIES": value}).names("TRUSTED_PROXIES"))


def test_without_the_setting_nobody_is_trusted(settings: Any) -> None:
    assert trusted_proxies([]) is None and settings.TRUSTED_PROXIES is None


# --- on the data path -------------------------------------------------------------------------------


def scope(*lines: str, peer: str = PROXY) -> dict[str, Any]:
    sent = headers(lines)
    return {
        "method": "POST",
        "path": "/proxy/a/v1",
        "headers": sent,
        "http_version": "1.1",
        "client": (peer, 1),
    }


def test_the_data_path_takes_the_clients_address_from_a_trusted_proxy() -> None:
    assert admission.check_head(scope(CLIENT), ours()).network == CLIENT
    assert admission.check_head(scope(CLIENT, peer="203.0.113.1"), ours()).network == "203.0.113.1"
    assert admission.check_head(scope(CLIENT)).network == PROXY


def test_the_data_path_refuses_what_it_cannot_read() -> None:
    with pytest.raises(BadRequest) as refusal:
        admission.check_head(scope("unknown"), ours())
    assert (refusal.value.status, refusal.value.code) == (400, "invalid_forwarded_for")
    assert "unknown" not in refusal.value.message
    assert admission.check_head(scope("unknown")).network == PROXY


# --- in the console ---------------------------------------------------------------------------------


class Told:
    """Stands where Django does, and says whom it takes the request from."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await network_answer(send, scope["client"][0])


async def network_answer(send: Any, text: str) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode(), "more_body": False})


def front(trusted: TrustedProxies | None) -> Front:
    told: Any = Told()
    return Front(told, lambda: True, told, told if trusted is None else Behind(told, trusted))


@pytest.mark.parametrize(
    ("trusted", "peer", "expected"),
    [(None, PROXY, PROXY), (ours(), PROXY, CLIENT), (ours(), "203.0.113.1", "203.0.113.1")],
)
def test_the_console_takes_it_from_the_same_place(
    trusted: TrustedProxies | None, peer: str, expected: str
) -> None:
    answer = ask(front(trusted), "GET", "/", headers=[("X-Forwarded-For", CLIENT)], client=peer)
    assert answer.body == expected.encode()


def test_the_console_refuses_what_it_cannot_read_and_stays_alive() -> None:
    sent = [("X-Forwarded-For", "unknown")]
    answer = ask(front(ours()), "GET", "/", headers=sent, client=PROXY)
    assert answer.status == 400 and b"unknown" not in answer.body
    assert ask(front(ours()), "GET", "/livez", headers=sent, client=PROXY).status == 200

"""No client of ours knocks on a door inside: every way in of the table against every client there is.

"Knocks" is what Python itself tells of connections that are about to begin, not what a client says of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from django.conf import settings

from gateway.credentials.origins import normalise_origin
from tests.upstreams.tls import serving

from .cases import (
    CONFUSING,
    INSIDE,
    MIXED,
    NEVER,
    OUTSIDE,
    REBINDING,
    WRITTEN,
    WRITTEN_NOWHERE,
    Case,
    leads,
)
from .clients import SYSLOG, WEB, Client
from .watching import resolve_as, watched

ALL = {**WEB, **SYSLOG}


@pytest.fixture(autouse=True)
def a_machine_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The laxest there is: plain HTTP is allowed, so that nothing is refused for that alone."""
    monkeypatch.setattr(settings, "PLAIN_HTTP", True)


def test_the_table_is_as_long_as_it_should_be() -> None:
    assert len({str(case) for case in INSIDE}) == len(INSIDE) >= 120 and len(NEVER) >= 60


def knocks(client: Client, cases: Iterable[Case], *, private: bool, times: int = 1) -> dict[str, list[Any]]:
    """What a client began to connect to, by the way in."""
    found = {}
    for case in cases:
        with pytest.MonkeyPatch.context() as patch, watched() as seen:
            resolve_as(case, patch)
            for _ in range(times):
                client(case.url, private)
        if began := [*seen.began, *seen.other]:
            found[str(case)] = began
    return found


@pytest.mark.parametrize("client", WEB)
def test_nothing_inside_is_reached(client: str) -> None:
    assert knocks(WEB[client], INSIDE, private=False) == {}


@pytest.mark.parametrize("client", WEB)
def test_some_are_never_reached_whatever_is_allowed(client: str) -> None:
    assert knocks(WEB[client], NEVER, private=True) == {}


@pytest.mark.parametrize("client", SYSLOG)
def test_syslog_never_reaches_them_either(client: str) -> None:
    """Receivers inside are what is meant there; another scheme is none of its business."""
    meant = [case for case in NEVER if case.url.startswith("http")]
    assert len(meant) > 50 and knocks(SYSLOG[client], meant, private=False) == {}


@pytest.mark.parametrize("client", [*WEB, *SYSLOG])
def test_a_name_that_says_two_things_leads_to_the_good_one_at_most(client: str) -> None:
    found = knocks(ALL[client], [*MIXED, *REBINDING, *CONFUSING], private=False, times=3)
    reached = {where[0] for began in found.values() for where in began}
    inside = {"127.0.0.1", "10.0.0.1", "::ffff:10.0.0.1"} if client in SYSLOG else set()
    assert OUTSIDE in reached and reached - inside == {OUTSIDE}


@pytest.mark.parametrize("client", [*WEB, *SYSLOG])
def test_the_watch_sees_what_is_allowed(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else an empty table of connections would prove nothing."""
    case = leads(OUTSIDE)
    resolve_as(case, monkeypatch)
    with watched() as seen:
        ALL[client](case.url, False)
    assert {address for address, _ in seen.began} == {OUTSIDE}


@pytest.mark.parametrize("client", WEB)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_lead_nowhere(client: str, status: int) -> None:
    with serving() as service, serving() as other:
        service.status = status
        for place in ("http://169.254.169.254/", f"{other.origin}/secret", "file:///etc/passwd", "//127.1/"):
            service.location = place
            with watched(("127.0.0.1", service.port)) as seen:
                WEB[client](f"{service.origin}/path", True)
            assert set(seen.began) == {("127.0.0.1", service.port)} and len(seen.began) == 1
        assert len(service.asked) == 4 and other.asked == []


@pytest.mark.parametrize("client", WEB)
def test_proxies_of_the_environment_are_not_asked(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with serving() as service, watched(("127.0.0.1", service.port)) as seen:
        WEB[client](f"{service.origin}/path", True)
        assert len(service.asked) == 1 and set(seen.began) == {("127.0.0.1", service.port)}


@pytest.mark.parametrize("client", WEB)
@pytest.mark.parametrize(
    "end", ["/a\r\nX-Smuggled: 1", "/a%0d%0aX-Smuggled:%201", "/a HTTP/1.1\r\nX-Smuggled: 1\r\n\r\n"]
)
def test_a_path_smuggles_no_header_and_no_second_request(client: str, end: str) -> None:
    with serving() as service:
        with watched(("127.0.0.1", service.port)):
            WEB[client](service.origin + end, True)
        assert len(service.asked) <= 1
        assert all("x-smuggled" not in headers for _, _, headers in service.asked)


@pytest.mark.parametrize("case", [*WRITTEN, *WRITTEN_NOWHERE], ids=str)
def test_an_origin_that_can_be_saved_is_plain(case: Case) -> None:
    """What the admin, files and the API let through is read by everybody in the same way."""
    address = case.url.removesuffix("/")
    try:
        saved = normalise_origin(address)
    except ValueError:
        return
    assert saved.isascii() and saved.lower() == saved and not set(saved) & set("@\\ ?#%")
    assert not saved.endswith(".")

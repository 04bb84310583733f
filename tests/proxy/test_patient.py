"""How long a caller is kept waiting, by what their request says."""

from __future__ import annotations

import pytest

from gateway.proxy.admission import RequestHead
from gateway.proxy.patient import Wish, patience_of, wish_of


def head(**headers: str) -> RequestHead:
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return RequestHead("POST", "/proxy/chat/v1/chat/completions", named, "127.0.0.1")


@pytest.mark.parametrize(
    ("said", "wish"),
    [
        ("", Wish()),
        ("wait=10", Wish(10)),
        ("WAIT=10", Wish(10)),
        ('wait="10"', Wish(10)),
        ("wait = 10", Wish(10)),
        ("wait=0", Wish(0)),
        ("wait=2.5", Wish(2.5)),
        ("respond-async", Wish(None, True)),
        ("respond-async, wait=100", Wish(100, True)),
        ("wait=5;foo=bar, return=minimal", Wish(5)),
        ("wait=5, wait=500", Wish(5)),
        ("wait=-1", Wish()),
        ("wait=", Wish()),
        ("wait=1e9", Wish()),
        ("wait=inf", Wish()),
        ("wait=nan", Wish()),
        ("wait=99999999999", Wish()),
        ("wait=\u0661", Wish()),
        ("handling=lenient", Wish()),
    ],
)
def test_what_a_caller_prefers(said: str, wish: Wish) -> None:
    assert wish_of(head(prefer=said)) == wish


@pytest.mark.parametrize(
    ("headers", "at_most", "kept_alive", "seconds"),
    [
        ({}, 3600, False, 50),
        ({}, 20, False, 20),
        ({}, 3600, True, 3600),
        ({"prefer": "wait=0"}, 3600, False, 0),
        ({"prefer": "wait=300"}, 3600, False, 300),
        ({"prefer": "wait=300"}, 60, False, 60),
        ({"prefer": "wait=7"}, 3600, True, 7),
        ({"prefer": "respond-async, wait=100"}, 3600, True, 0),
        ({"x_stainless_read_timeout": "600"}, 3600, False, 595),
        ({"x_stainless_read_timeout": "600"}, 50, False, 50),
        ({"x_stainless_read_timeout": "10"}, 3600, False, 5),
        ({"x_stainless_read_timeout": "2.5"}, 3600, False, 1.25),
        ({"x_stainless_read_timeout": "600", "prefer": "wait=9"}, 3600, False, 9),
        ({"x_stainless_read_timeout": "soon"}, 3600, False, 50),
        ({"x_stainless_read_timeout": "600"}, 3600, True, 3600),
    ],
)
def test_how_long_they_are_kept(
    headers: dict[str, str], at_most: float, kept_alive: bool, seconds: float
) -> None:
    asked = head(**headers)
    assert patience_of(asked, wish_of(asked), at_most, kept_alive=kept_alive) == seconds

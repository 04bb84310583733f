"""Log lines about requests hold nothing that a client wrote into its address or its headers."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.test import Client

from gateway.logs import PlacesOnly

MAIL, CARD = "canary.log@example.com", "4012888888881881"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.handler.addFilter(PlacesOnly())
    caplog.set_level(logging.DEBUG)
    return caplog


@pytest.mark.django_db
def test_a_page_that_is_not_there_is_logged_without_its_address(lines: Any) -> None:
    assert Client().get(f"/{CARD}/{MAIL}").status_code in (302, 404)
    assert Client().get(f"/api/v1/nothing/{MAIL}").status_code in (401, 404)
    assert CARD not in lines.text and MAIL not in lines.text
    assert "no known address" in lines.text or "/api/v1/" in lines.text


@pytest.mark.django_db
def test_a_host_and_an_origin_that_are_refused_are_not_in_the_log(lines: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    assert client.get("/login/", headers={"host": MAIL}).status_code == 400
    assert client.post("/login/", headers={"origin": f"https://{MAIL}"}).status_code == 403
    assert MAIL not in lines.text
    assert "DisallowedHost: refused at" in lines.text and "csrf: refused at /login/" in lines.text


def test_where_something_failed_is_logged_without_the_error_s_words() -> None:
    class Request:
        path, resolver_match = f"/{MAIL}", None

    try:
        int(MAIL)
    except ValueError as error:
        failure = (type(error), error, error.__traceback__)
    args = ("Internal Server Error", Request.path)
    record = logging.LogRecord("django.request", logging.ERROR, __file__, 1, "%s: %s", args, failure)
    record.request = Request()
    assert PlacesOnly().filter(record)
    said = logging.Formatter().format(record)
    assert MAIL not in said
    assert "Internal Server Error: no known address" in said and "RuntimeError: ValueError" in said
    assert "test_logs.py" in said

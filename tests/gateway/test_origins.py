"""An origin is scheme, host and port: anything more could point somewhere else."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from gateway.credentials.origins import normalise_origin, validate_origin


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("https://api.example.com", "https://api.example.com"),
        ("HTTPS://Api.Example.COM:443/", "https://api.example.com"),
        ("http://127.0.0.1:8001", "http://127.0.0.1:8001"),
        ("http://localhost:80", "http://localhost"),
        ("http://[::1]:9000", "http://[::1]:9000"),
    ],
)
def test_an_origin_has_one_form(written: str, origin: str) -> None:
    assert normalise_origin(written) == origin


@pytest.mark.parametrize(
    "written",
    [
        "",
        "api.example.com",
        "ftp://example.com",
        "https://",
        "https://user@example.com",
        "https://user:pass@example.com",
        "https://example.com/v1",
        "https://example.com?x=1",
        "https://example.com?",
        "https://example.com#",
        "https://example.com:99999",
        "https://example.com:port",
        "https://exa mple.com",
        "https://example.com\\@evil.example",
        "https://example.com\n",
        "https://ex\u00e4mple.com",
        "https://-example.com",
        "https://a..b",
        "https://[::1",
    ],
)
def test_what_is_more_or_less_than_an_origin_is_refused(written: str) -> None:
    with pytest.raises(ValueError):
        normalise_origin(written)


def test_a_form_says_how_to_write_it() -> None:
    with pytest.raises(ValidationError, match=r"Write it as https://api\.example\.com\."):
        validate_origin("https://API.example.com")

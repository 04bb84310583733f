"""P7: of a service's headers clients get figures, under names made of known words: nothing hides in them."""

from __future__ import annotations

import pytest

from gateway.proxy.upstream import FIGURE, PASSED

NAMES = (
    "retry-after",
    "retry-after-ms",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-input-tokens",
    "x-ratelimit-limit-project-tokens",
    "x-ratelimit-limit-req-minute",
    "x-ratelimit-remaining-tokens-month",
    "x-ratelimit-reset",
)
FIGURES = (
    "0",
    "59",
    "150000000",
    "1764172800",
    "0.5",
    "17ms",
    "6m0s",
    "2m59.56s",
    "8.64s",
    "1h2m3.456789s",
    "2026-11-26T16:00:00Z",
    "2026-11-26T16:00:00.123Z",
    "2026-11-26T16:00:00+01:00",
    "Thu, 26 Nov 2026 16:00:00 GMT",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_known_words_passes(name: str) -> None:
    assert PASSED.fullmatch(name.encode())


@pytest.mark.parametrize(
    "name",
    [
        "x-ratelimit-4222222222222",
        "x-ratelimit-limit-4222222222222",
        "x-ratelimit-john.doe@acme.example",
        "x-ratelimit-note",
        "x-ratelimit-",
        "set-cookie",
        "x-request-id",
        "retry-after-4222222222222",
    ],
)
def test_a_name_that_says_more_does_not(name: str) -> None:
    assert not PASSED.fullmatch(name.encode())


@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_passes(figure: str) -> None:
    assert FIGURE.fullmatch(figure.encode())


@pytest.mark.parametrize(
    "value",
    [
        "4222222222222",  # a card of thirteen digits
        "4111111111111111",
        "422222222222",
        "04222222222",
        "0301234567",
        "4222222.222222",
        "4222222222.222",
        "411111.1111111111s",
        "4111h1111m1111s1111ms",
        "2026-01-01T411111111111111111Z",
        "2026-01-01T41:11:11.1111111Z",
        "1983-04-17T00:00:00Z",
        "Sun, 17 Apr 1983 00:00:00 GMT",
        "Sun, 17 Abc 2026 00:00:00 GMT",
        "1, 2",
        "",
        "-1",
        "sk-live",
    ],
)
def test_what_could_be_somebody_s_does_not(value: str) -> None:
    assert not FIGURE.fullmatch(value.encode())

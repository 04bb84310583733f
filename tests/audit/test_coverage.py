"""What a call's page says was looked at, whatever an entry's metadata holds."""

from __future__ import annotations

from typing import Any

import pytest

from audit.coverage import Unread, coverage

SAID: dict[str, Any] = {
    "texts": 3,
    "size": 1204,
    "recognisers": 58,
    "recogniser_set": "0123456789abcdef",
    "unread": [["image", 1, 52_000]],
    "stopped": "",
}


def test_texts_bytes_recognisers_and_what_could_not_be_read_are_told() -> None:
    told = coverage("Request", SAID)
    assert told is not None
    assert (told.texts, told.size, told.recognisers) == (3, 1204, 58)
    assert told.unread == (Unread("image", 1, 52_000),)


@pytest.mark.parametrize("said", [None, [], "x", 3])
def test_nothing_said_is_nothing_told(said: object) -> None:
    assert coverage("Request", said) is None


def test_what_does_not_read_as_it_should_is_left_out() -> None:
    told = coverage(
        "Request", {"texts": "3", "size": -1, "unread": [["image"], 7, [1, "x", None]], "stopped": 9}
    )
    assert told is not None
    assert (told.texts, told.size, told.recogniser_set, told.stopped) == (0, 0, "", "")
    assert told.unread == (Unread("", 0, 0),)

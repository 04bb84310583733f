"""Every recogniser against its own examples, alone and among all others."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.engine.alphabet import alphabet_of
from policies.engine.masker import Masker
from policies.engine.types import LibraryDetector, Recogniser, Style
from policies.library.recognisers import LIBRARY

from .world import a_class, a_masker, classes_of

POSITIVE = [(name, text, value) for name, one in LIBRARY.items() for text, value in one.positive]
NEGATIVE = [(name, text) for name, one in LIBRARY.items() for text in one.negative]


@cache
def alone(name: str) -> Masker:
    return a_masker(a_class(name, LibraryDetector(name=name)), style=Style.LABEL)


@pytest.mark.parametrize(("name", "text", "value"), POSITIVE)
def test_it_finds_exactly_what_it_says(name: str, text: str, value: str) -> None:
    masked = alone(name).text(text, "x")
    assert masked.sent == text.replace(value, f"[{name}]")
    assert classes_of(masked.findings) == [name]


@pytest.mark.parametrize(("name", "text"), NEGATIVE)
def test_it_leaves_the_rest(name: str, text: str) -> None:
    assert alone(name).text(text, "x").sent == text


@pytest.mark.parametrize(("name", "text", "value"), POSITIVE)
def test_among_all_others_the_value_is_still_masked(name: str, text: str, value: str) -> None:
    masked = a_masker().text(text, "x")
    assert value not in masked.sent
    assert name in {finding.data_class for finding in masked.findings}


@settings(max_examples=300, deadline=None)
@given(
    example=st.sampled_from(POSITIVE),
    fill=st.sampled_from(("x ", "a b ", "- ", ". ", "é ", "0 ", "\n")),
    before=st.integers(0, 70),
)
def test_no_alignment_hides_a_value(example: tuple[str, str, str], fill: str, before: int) -> None:
    """The scanner's vector code works on blocks of 16 to 64 bytes."""
    name, text, _ = example
    padded = (fill * before)[:before] + "\n" + text
    assert f"[{name}]" in alone(name).text(padded, "x").sent


def every(one: Recogniser) -> list[Recogniser]:
    return [one, *(inner for part in one.parts for inner in every(part))]


@pytest.mark.parametrize("name", LIBRARY)
def test_each_is_documented_and_bounded(name: str) -> None:
    recogniser = LIBRARY[name]
    assert recogniser.title
    assert recogniser.positive
    for one in every(recogniser):
        for pattern in one.patterns:
            alphabet = alphabet_of(pattern, one.ignore_case)
            assert alphabet.known, pattern
            assert alphabet.min_len > 0
            if alphabet.max_len is not None:
                assert alphabet.max_len <= one.max_len, pattern


def test_the_example_of_the_brief_is_masked_whole() -> None:
    text = (
        "My card is 4111 1111 1111 1111, mail bob@example.com, ssn 123-45-6789, "
        "key sk-proj-abcdefghijklmnopqrstuvwxyz012345"
    )
    masked = a_masker().text(text, "x")
    assert masked.sent == "My card is ***, mail ***, ssn ***, key ***"
    assert classes_of(masked.findings) == ["CARD", "EMAIL", "US_SSN", "OPENAI_KEY"]

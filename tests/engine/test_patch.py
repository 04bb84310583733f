"""The plain way through a tree gives what the thorough way gives, and a skipped scan misses nothing."""

from __future__ import annotations

import re
from copy import deepcopy
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.engine import walk
from policies.engine.alphabet import needed_by
from policies.engine.jsontext import Json, loads
from policies.engine.masker import Masker
from policies.engine.types import (
    DataClass,
    Level,
    LibraryDetector,
    Matcher,
    PathDetector,
    RegexDetector,
    Rule,
    Style,
)

from .world import BOTH, a_class, a_masker

CLASSES = (
    a_class("CARD", LibraryDetector(name="CARD"), level=Level.RESTRICTED),
    a_class("EMAIL", LibraryDetector(name="EMAIL")),
    a_class("PHONE", LibraryDetector(name="PHONE")),
    a_class("CASE", RegexDetector(pattern=r"\bcase-[0-9]{1,6}\b")),
)
NOWHERE = a_class("NOWHERE", PathDetector(path="$.nowhere.at.all"))
"""A rule about a place sends every document the thorough way."""

PASSED = Rule(id="r", name="r", directions=BOTH, matcher=Matcher.CLASS, value="EMAIL", transform=Style.NONE)

pieces = st.sampled_from(
    (
        "bob@example.com",
        "4111 1111 1111 1111",
        "call 202-555-0143",
        "case-77",
        " ",
        "é",
        "hello",
        "role",
        "",
        "x",
    )
)
strings = st.lists(pieces, max_size=4).map("".join)
scalars = st.sampled_from((None, True, 0, 1.5, 1_700_000_000, 4111111111111111, 2025550143))
trees = st.recursive(
    strings | scalars,
    lambda below: (
        st.lists(below, max_size=4) | st.dictionaries(st.sampled_from("abc") | strings, below, max_size=4)
    ),
    max_leaves=20,
)


@cache
def maskers(*, passing: bool) -> tuple[Masker, Masker]:
    rules = (PASSED,) if passing else ()

    def masker(*classes: DataClass) -> Masker:
        return a_masker(*classes, rules=rules, style=Style.LABEL)

    return masker(*CLASSES), masker(*CLASSES, NOWHERE)


@settings(max_examples=400, deadline=None)
@given(tree=trees, passing=st.booleans())
def test_a_patched_tree_is_the_rewritten_tree(tree: Json, passing: bool) -> None:
    plain, thorough = maskers(passing=passing)
    before = deepcopy(tree)
    try:
        expected = thorough.document(tree)
    except walk.MaskError as error:
        with pytest.raises(walk.MaskError, match=str(error)):
            plain.document(tree)
        return
    assert plain.document(tree) == expected
    assert tree == before


def test_only_containers_on_the_way_to_a_finding_are_copied_and_order_stays() -> None:
    tree = {"b": [{"text": "mail bob@example.com"}, 1], "a": {"role": "user"}}
    masked = a_masker(*CLASSES).document(tree)
    assert masked.sent == b'{"b":[{"text":"mail ***"},1],"a":{"role":"user"}}'
    assert [finding.path for finding in masked.findings] == ["b[0].text"]
    assert tree["b"][0] == {"text": "mail bob@example.com"}  # type: ignore[index]


def test_a_bare_string_is_a_document_too() -> None:
    masked = a_masker(*CLASSES).document("bob@example.com")
    assert loads(masked.sent) == "***" and [finding.path for finding in masked.findings] == [""]


def test_common_words_are_looked_at_when_they_mean_something() -> None:
    named = a_class("ROLE", RegexDetector(pattern="assistant"))
    masked = a_masker(named).document({"role": "assistant", "name": "x"})
    assert loads(masked.sent) == {"role": "***", "name": "x"}


@pytest.mark.parametrize(
    ("pattern", "needed"),
    [
        (r"\bcase-[0-9]{1,6}\b", "case-"),
        (r"(?:a|b)cde", "cde"),
        (r"MRN(?:[ :]|)[0-9]+", "MRN"),
        (r"ab?cd", "cd"),
        (r"(?:ab)+", ""),
        (r"[0-9]{8}", ""),
        (r"(?i)case", ""),
        (r"(?i:case)x", "x"),
        (r"é{2}ü", "ü"),
        ("(", ""),
        ("[A-Z[:digit:]]-PLAN-[0-9]{4}", ""),
        (r"[:?.|]{0,3}=plan", "=plan"),
    ],
)
def test_what_every_match_contains(pattern: str, needed: str) -> None:
    assert needed_by(pattern) == needed
    assert needed_by(pattern, ignore_case=True) == ""


@settings(max_examples=300, deadline=None)
@given(pattern=st.text("ab01.*+?()|[]{2}\\bd", min_size=1, max_size=8), text=st.text("ab01 ", max_size=20))
def test_no_text_without_it_has_a_match(pattern: str, text: str) -> None:
    needed = needed_by(pattern)
    if needed and re.search(pattern, text):
        assert needed in text

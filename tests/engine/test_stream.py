"""P6: a stream split anywhere gives the same masked text, the same findings, as the whole."""

from __future__ import annotations

import codecs
import random
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies.engine.masker import Masker
from policies.engine.schema import Schema, check_detector
from policies.engine.types import (
    Detector,
    Level,
    LibraryDetector,
    Matcher,
    Recogniser,
    RegexDetector,
    Rule,
    SchemaSpec,
    Style,
    TermsDetector,
)
from policies.library.recognisers import LIBRARY

from .world import BOTH, a_class, a_masker, a_schema, streamed


def test_the_events_that_only_a_stream_reports_twice_change_nothing() -> None:
    """Hyperscan repeats an end with a later start when a boundary is decided one character late."""
    masker = a_masker(a_class("ODD", RegexDetector(pattern=r"é+\b\S*\s*", max_len=5)))
    text = "##bbé1\x002b日<<<aſ#bxſé日ab#ſéb1>>bb#\n\x00 é#ſa>>\x00"
    assert streamed(masker, text) == masker.text(text, "x")


PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA4f5w\nabc+/=\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"

SECRETS = (
    "4111 1111 1111 1111",
    "4111-1111-1111-1111",
    "378282246310005",
    "123-45-6789",
    "bob@example.com",
    "alice.o'neil+tag@mail.example.co.uk",
    "+1 202-555-0143",
    "(202) 555-0143",
    "DE89 3704 0044 0532 0130 00",
    "GB82WEST12345698765432",
    "192.168.1.254",
    "2001:db8::8a2e:370:7334",
    "sk-proj-abcdefghijklmnopqrstuvwxyz012345",
    "AKIAIOSFODNN7EXAMPLE",
    "password: hunter2x!",
    'api_key="a8f5f167f44f4964e6c998dee827110c"',
    "DOB: 1980-01-02",
    PEM,
    JWT,
    "-----BEGIN PRIVATE KEY-----",
    "-----END PRIVATE KEY-----",
    "Project  Heron",
    "Überläufer",
    "ref#123456789",
    "<<open",
    "bar",
    "zzzzzzzzzzzzzzzz",
)
GLUE = (
    "",
    " ",
    "\n",
    "é",
    "日本",
    "😀",
    "-",
    ".",
    ",",
    "a",
    "0",
    "1",
    '"',
    "\u2028",
    "ſ",
    "K",
    "\x00",
    "x",
    "@",
    "  ",
)


@cache
def maskers() -> tuple[Masker, ...]:
    """The library beside admin patterns that overlap it, run over their length, are anchored or very wide."""
    classes = [a_class(name, LibraryDetector(name=name)) for name in LIBRARY]
    odd = (
        a_class("TERM", TermsDetector(terms=("Project Heron", "Überläufer", "bar")), level=Level.INTERNAL),
        a_class("REF", RegexDetector(pattern=r"ref#\d+", max_len=8), level=Level.RESTRICTED),
        a_class("RUN", RegexDetector(pattern=r"z+", max_len=5), level=Level.PUBLIC),
        a_class("WIDE", RegexDetector(pattern=r"<<[^>]{0,30}"), level=Level.INTERNAL),
        a_class("END", RegexDetector(pattern=r"bar$|^foo"), level=Level.RESTRICTED),
        a_class("PAIR", RegexDetector(pattern=r"a\s?1", ignore_case=True), level=Level.PUBLIC),
        a_class("SPACED", RegexDetector(pattern=r"com\W+\w{1,9}", max_len=12), level=Level.INTERNAL),
        a_class("KELVIN", RegexDetector(pattern=r"[ks]{2,4}", ignore_case=True), level=Level.INTERNAL),
    )
    schema = a_schema(*classes, *odd)
    passing = [
        Rule(
            id="1",
            name="let cards pass",
            directions=BOTH,
            matcher=Matcher.CLASS,
            value="CARD",
            transform=Style.NONE,
        ),
        Rule(
            id="2",
            name="see runs",
            directions=BOTH,
            matcher=Matcher.LEVEL,
            value="public",
            transform=Style.NONE,
        ),
        Rule(
            id="3",
            name="hide e-mail",
            directions=BOTH,
            matcher=Matcher.CLASS,
            value="EMAIL",
            transform=Style.REMOVE,
        ),
        Rule(
            id="4",
            name="label",
            directions=BOTH,
            matcher=Matcher.LEVEL,
            value="internal",
            transform=Style.LABEL,
        ),
    ]
    return (
        a_masker(schema=schema),
        a_masker(schema=schema, style=Style.LABEL),
        a_masker(schema=schema, style=Style.PARTIAL),
        a_masker(schema=schema, rules=passing),
    )


sizes = st.sampled_from((1, 3, 9, 40))
fragments = st.sampled_from(SECRETS)
broken = st.builds(
    lambda text, low, high: text[low : len(text) - high], fragments, st.integers(0, 4), st.integers(0, 4)
)
texts = st.lists(
    st.one_of(fragments, broken, st.sampled_from(GLUE), st.text(max_size=12)), min_size=1, max_size=14
).map("".join)


def pieces_of(text: str, chooser: random.Random, most: int) -> list[str]:
    pieces = []
    while text:
        size = chooser.randint(1, most)
        pieces.append(text[:size])
        text = text[size:]
    return pieces


def decoded(raw: bytes, cuts: list[int]) -> list[str]:
    """The text as a reader of cut bytes sees it: whole characters only."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    edges = [0, *cuts, len(raw)]
    return [decoder.decode(raw[low:high]) for low, high in pairwise(edges)]


@settings(max_examples=2_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=texts, chooser=st.randoms(use_true_random=False), which=st.integers(0, 3), most=sizes)
def test_a_stream_split_at_random_gives_what_the_whole_gives(
    text: str, chooser: random.Random, which: int, most: int
) -> None:
    masker = maskers()[which]
    assert streamed(masker, pieces_of(text, chooser, most)) == masker.text(text, "x")


@pytest.mark.parametrize("which", range(4))
def test_every_byte_position_is_a_harmless_cut(which: int) -> None:
    masker = maskers()[which]
    text = (
        "é 4111 1111 1111 1111日本bob@example.com😀" + PEM + JWT + " password: hunter2x! Überläufer zzzzzzzz"
    )
    raw = text.encode()
    whole = masker.text(text, "x")
    assert whole.sent != text
    for cut in range(len(raw) + 1):
        assert streamed(masker, decoded(raw, [cut])) == whole
    assert streamed(masker, decoded(raw, list(range(1, len(raw))))) == whole


PIECES = (
    "a",
    "b",
    "1",
    "#",
    " ",
    "é",
    "[ab]",
    "[0-9]",
    r"\w",
    r"\s",
    r"\S",
    "[^a]",
    ".",
    r"\b",
    "(?:a|1 )",
    "x",
)
COUNTS = ("", "", "", "+", "*", "?", "{2}", "{1,3}", "{2,}")
ENDS = ("", "", "", "", "^", "$", r"\b", r"\B")


def a_pattern(chooser: random.Random) -> str:
    parts = "".join(chooser.choice(PIECES) + chooser.choice(COUNTS) for _ in range(chooser.randint(1, 4)))
    start, end = chooser.choice(ENDS), chooser.choice(ENDS)
    return (start if start != "$" else "") + parts + (end if end != "^" else "")


TIGHT_LIBRARY = {
    one.name: one
    for one in (
        Recogniser(name="OPENED", title="", patterns=("<<", "<a"), max_len=2, until=r">>", until_len=2),
        Recogniser(
            name="AFTER",
            title="",
            patterns=(r"b#{1,3}",),
            max_len=4,
            until=r"[ #]",
            with_opener=False,
            validator="whole_word",
        ),
        Recogniser(name="NEAR", title="", patterns=(r"[0-9]{1,5}",), max_len=5, context=("a", "bb")),
        Recogniser(name="WORD", title="", patterns=(r"a[ab ]{0,4}b",), max_len=6, validator="whole_word"),
    )
}


@cache
def tight_masker(seed: int) -> Masker:
    """Random expressions with caps so small that texts run over them all the time."""
    chooser = random.Random(seed)
    detectors: list[Detector] = [
        LibraryDetector(name=name) for name in TIGHT_LIBRARY if chooser.random() < 0.4
    ]
    while len(detectors) < 5:
        found = RegexDetector(
            pattern=a_pattern(chooser), max_len=chooser.randint(1, 9), ignore_case=chooser.random() < 0.2
        )
        if not check_detector(found, TIGHT_LIBRARY):
            detectors.append(found)
    classes = [
        a_class(f"C{number}", detector, level=Level(chooser.randint(0, 3)))
        for number, detector in enumerate(detectors)
    ]
    rules = [
        Rule(
            id=one.slug,
            name=one.slug,
            directions=BOTH,
            matcher=Matcher.CLASS,
            value=one.slug,
            transform=chooser.choice(list(Style)),
        )
        for one in classes
    ]
    spec = SchemaSpec(version_id="s", number=1, name="s", classes=tuple(classes))
    return a_masker(schema=Schema(spec, TIGHT_LIBRARY), rules=rules)


tight_texts = st.lists(
    st.sampled_from(
        ("a", "b", "1", "2", "#", " ", "é", "x", "\n", "<<", ">>", "b#", "bb", "aaa", "日", "K", "\0")
    ),
    max_size=40,
).map("".join)


@settings(max_examples=2_500, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    text=tight_texts,
    chooser=st.randoms(use_true_random=False),
    seed=st.integers(0, 79),
    most=st.sampled_from((1, 2, 5)),
)
def test_no_expression_however_odd_makes_chunking_matter(
    text: str, chooser: random.Random, seed: int, most: int
) -> None:
    masker = tight_masker(seed)
    assert streamed(masker, pieces_of(text, chooser, most)) == masker.text(text, "x")

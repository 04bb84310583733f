"""What an admin may define, and the reasons for what is refused."""

from __future__ import annotations

import functools
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.engine.masker import Masker
from policies.engine.schema import Schema, SchemaError, check_detector
from policies.engine.types import (
    DataClass,
    Detector,
    KeyDetector,
    Level,
    LibraryDetector,
    PathDetector,
    RegexDetector,
    SchemaSpec,
    Style,
    TermsDetector,
)
from policies.library.recognisers import LIBRARY

from .world import a_class, a_masker, streamed


@pytest.mark.parametrize(
    ("detector", "reason"),
    [
        (RegexDetector(pattern=""), "1 to 2000 characters"),
        (RegexDetector(pattern="a" * 2001), "1 to 2000 characters"),
        (RegexDetector(pattern="(abc"), "cannot be compiled"),
        (RegexDetector(pattern="[z-a]"), "cannot be compiled"),
        (RegexDetector(pattern="(?=a)b"), "cannot be compiled: Zero-width"),
        (RegexDetector(pattern=r"(a)\1"), "cannot be compiled: Back-ref"),
        (RegexDetector(pattern="(" * 900 + "a" + ")" * 900), "any length"),
        (RegexDetector(pattern="(?:a{1,1000}b){1,1000}"), "too large"),
        (
            RegexDetector(pattern=".{1,4096}x.{1,4096}", max_len=4096),
            "too large",
        ),  # 18 s to find out otherwise
        (RegexDetector(pattern="(?:a?){2000}a{2000}", max_len=4096), "too large"),
        (RegexDetector(pattern=r"(?:\p{L}{1,90}x){90}", max_len=4096), "too large"),
        (RegexDetector(pattern=r"(?<=x)y"), "cannot be compiled: Zero-width"),
        (RegexDetector(pattern="a*"), "matches empty text"),
        (RegexDetector(pattern="x?|y"), "matches empty text"),
        (RegexDetector(pattern=r"\b"), "empty"),
        (RegexDetector(pattern="a+"), "any length"),
        (RegexDetector(pattern=".*secret"), "any length"),
        (RegexDetector(pattern=r"[[:alpha:]]x"), "any length"),  # not understood: needs a cap
        (RegexDetector(pattern="a+", max_len=0), "from 1 to 4096"),
        (RegexDetector(pattern="a+", max_len=5000), "from 1 to 4096"),
        (RegexDetector(pattern="abcd", max_len=3), "below the shortest match (4)"),
        (TermsDetector(terms=()), "at least one term"),
        (TermsDetector(terms=(" ", "")), "at least one term"),
        (TermsDetector(terms=("x" * 201,)), "200 characters"),
        (TermsDetector(terms=("a\x00b",)), "control character"),
        (TermsDetector(terms=tuple(f"t{n}" for n in range(20_001))), "at most 20000"),
        (KeyDetector(names=()), "at least one JSON key"),
        (KeyDetector(names=("-_",)), "at least one JSON key"),
        (PathDetector(path="customer.id"), "such as $.customer"),
        (PathDetector(path="$"), "such as $.customer"),
        (PathDetector(path="$.a[?(@.b)]"), "such as $.customer"),
        (LibraryDetector(name="NOPE"), "no recogniser “NOPE”"),
    ],
)
def test_it_is_refused_with_the_reason(detector: Detector, reason: str) -> None:
    problems = check_detector(detector, LIBRARY)
    assert len(problems) == 1
    assert reason in problems[0]


@pytest.mark.parametrize(
    "detector",
    [
        RegexDetector(pattern=r"MRN-\d{6}"),
        RegexDetector(pattern=r"ref[a-z]+", max_len=20),
        RegexDetector(pattern=r"^\d{8}$"),
        RegexDetector(pattern=r"\p{Lu}{3}x", max_len=10),
        RegexDetector(pattern=r"(?i)case-\d{1,4}"),
        RegexDetector(pattern=r"Ä\w{2}"),
        TermsDetector(terms=("Project Heron", "C++", "naïve", "東京", "a.b*c")),
        KeyDetector(names=("patient_id",)),
        PathDetector(path="$.customer.ids[*].value"),
        PathDetector(path="$['odd key'].*[3]"),
    ],
)
def test_it_is_accepted(detector: Detector) -> None:
    assert check_detector(detector, LIBRARY) == []
    a_masker(a_class("X", detector))


def test_every_problem_is_listed_at_once_with_class_and_detector() -> None:
    classes = (
        a_class("MRN", RegexDetector(pattern="(a"), LibraryDetector(name="NOPE")),
        a_class("MRN", RegexDetector(pattern="b*")),
        a_class("no slug!"),
    )
    with pytest.raises(SchemaError) as caught:
        Schema(SchemaSpec(version_id="1", number=1, name="s", classes=classes), LIBRARY)
    problems = caught.value.problems
    assert len(problems) == 5
    assert problems[0].startswith("MRN, detector 1 (regex): The pattern cannot be compiled")
    assert problems[1].startswith("MRN, detector 2 (NOPE)")
    assert "two data classes" in problems[2]
    assert problems[3].startswith("MRN, detector 1 (regex)")
    assert problems[4].startswith("no slug!")


def test_a_compiled_database_is_taken_from_the_cache_and_survives_a_broken_one() -> None:
    stored: dict[bytes, bytes] = {}
    spec = SchemaSpec(
        version_id="1",
        number=1,
        name="s",
        classes=(a_class("MRN", RegexDetector(pattern=r"MRN-\d{6}"), LibraryDetector(name="EMAIL")),),
    )
    text = "MRN-123456 bob@example.com"
    Schema(spec, LIBRARY, cache=stored)
    kept = dict(stored)
    assert kept
    for cache in (stored, {key: b"broken" * 50 for key in kept}, dict.fromkeys(kept, b"")):
        masker = a_masker(schema=Schema(spec, LIBRARY, cache=cache))
        assert masker.text(text, "x").sent == "*** ***"
        assert streamed(masker, text).sent == "*** ***"
        assert cache.keys() == kept.keys()


def test_threads_share_a_schema() -> None:
    masker = a_masker(a_class("MRN", RegexDetector(pattern=r"MRN-\d{6}"), LibraryDetector(name="EMAIL")))
    text = "MRN-123456 for bob@example.com and " * 20
    wrong: list[str] = []

    def work() -> None:
        for _ in range(60):
            for sent in (masker.text(text, "x").sent, streamed(masker, [text[:333], text[333:]]).sent):
                if sent != "*** for *** and " * 20:
                    wrong.append(sent)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_stream_dropped_in_the_middle_leaves_the_schema_usable() -> None:
    masker = a_masker(a_class("X", RegexDetector(pattern=r"x\d+", max_len=9), LibraryDetector(name="EMAIL")))
    for _ in range(200):
        masker.stream("x").decode("half a mail: bob@exam")
    assert masker.text("x12 bob@example.com", "x").sent == "*** ***"


def test_terms_are_whole_words_in_any_script() -> None:
    terms = TermsDetector(terms=("Heron", "Project  Blue", "C++", "naïve", "überall", "東京", "a.b"))
    masker = a_masker(a_class("T", terms), style=Style.LABEL)
    assert masker.text("HERON heron, Herons xHeron Heron_x", "x").sent == "[T] [T], Herons xHeron Heron_x"
    assert masker.text("project\nblue, Project Bluebird", "x").sent == "[T], Project Bluebird"
    assert masker.text("C++ and NAÏVE and ÜBERALL überallx éüberall", "x").sent == (
        "[T] and [T] and [T] überallx éüberall"
    )
    assert masker.text("a.b axb 東京。", "x").sent == "[T] axb [T]。"


def test_terms_may_keep_their_case() -> None:
    masker = a_masker(a_class("T", TermsDetector(terms=("US",), ignore_case=False)))
    assert masker.text("us US", "x").sent == "us ***"


def test_thousands_of_terms_compile_in_seconds_and_scan_as_fast() -> None:
    terms = tuple(f"code{number:05d} name" for number in range(3_000))
    begun = time.monotonic()
    masker = a_masker(a_class("T", TermsDetector(terms=terms)))
    assert time.monotonic() - begun < 30
    assert masker.text("say CODE01234 name, code99999 name", "x").sent == "say ***, code99999 name"


def test_an_expression_that_hurts_backtracking_engines_is_harmless() -> None:
    masker = a_masker(a_class("X", RegexDetector(pattern=r"(?:a|a?)+b", max_len=50)))
    begun = time.monotonic()
    assert masker.text("a" * 5_000, "x").sent == "a" * 5_000
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("pattern", ["[ab]{2,}1?b?", "x[ab][^a]*", "[^a]+1x", "[0-9] +", "[ab]{2,}x*"])
@pytest.mark.parametrize("fill", ["x", "# ", "zé"])
def test_no_alignment_loses_a_match_of_an_admins_expression(pattern: str, fill: str) -> None:
    """These are lost, or crash the process, where hyperscan sees long buffers."""
    masker = a_masker(a_class("X", RegexDetector(pattern=pattern, max_len=12)))
    for before in range(40):
        text = (fill * before)[:before] + " 1xbb1b1 11x"
        assert masker.text(text, "x") == streamed(masker, text)
        assert masker.text(text, "x").sent != text


@settings(max_examples=60, deadline=None)
@given(pattern=st.text("ab01 .*+?()[]{}|\\^$,-bdswé", min_size=1, max_size=12))
def test_whatever_an_admin_types_is_compiled_or_refused(pattern: str) -> None:
    detector = RegexDetector(pattern=pattern, max_len=20)
    if not check_detector(detector, LIBRARY):
        masker = a_masker(a_class("X", detector))
        text = "ab 01 ba. (a) [b] 1\n"
        assert masker.text(text, "x") == streamed(masker, text)


def test_an_empty_schema_lets_everything_pass() -> None:
    masker = a_masker(schema=Schema(SchemaSpec(version_id="1", number=1, name="s", classes=()), LIBRARY))
    assert masker.text("4111 1111 1111 1111", "x").sent == "4111 1111 1111 1111"
    assert streamed(masker, "abc").sent == "abc"
    assert masker.document({"a": [1, None]}).sent == b'{"a":[1,null]}'


def test_hold_back_is_the_longest_reach_and_plain_prose_waits_for_less() -> None:
    masker = a_masker()
    stream = masker.stream("x")
    prose = "The quick brown fox jumps over the lazy dog near the river bank, and then goes home again. " * 3
    released = sum(len(stream.decode(char).sent) for char in prose)
    assert len(prose) - released <= 60
    assert masker.schema.hold_back >= 254


def test_levels_are_ordered() -> None:
    assert Level.PUBLIC < Level.INTERNAL < Level.CONFIDENTIAL < Level.RESTRICTED
    assert DataClass(slug="A", name="a", level=Level.PUBLIC).weight == 1


def refused(*classes: DataClass) -> tuple[str, float]:
    began = time.monotonic()
    with pytest.raises(SchemaError) as refusal:
        Schema(SchemaSpec(version_id="s", number=1, name="s", classes=classes), LIBRARY)
    return "\n".join(refusal.value.problems), time.monotonic() - began


def pattern_class(number: int) -> DataClass:
    return a_class(f"C{number}", RegexDetector(pattern=rf"\bC{number}-[0-9]{{6,10}}\b"))


def test_five_thousand_classes_are_refused_at_once_with_the_limit() -> None:
    said, took = refused(*map(pattern_class, range(5_000)))
    assert said == "A schema has at most 1000 data classes; this one has 5000."
    assert took < 1


def test_what_would_take_minutes_to_compile_is_refused_in_seconds() -> None:
    """Each list by itself is within its limits."""
    long = TermsDetector(terms=tuple(f"{n} " + "long winded " * 15 for n in range(10_000)))
    said, took = refused(a_class("LONG", long))
    assert "would take too long to compile" in said and "Shorten word lists" in said
    assert took < 20
    said, _ = refused(*(a_class(f"C{n}", *many(n)) for n in range(20)))
    assert "join patterns" in said


def many(number: int) -> list[Detector]:
    return [RegexDetector(pattern=rf"\bC{number}-{n}-[0-9]{{6}}\b") for n in range(80)]


def test_five_hundred_classes_compile_and_find() -> None:
    masker = a_masker(*map(pattern_class, range(500)), style=Style.LABEL)
    assert masker.text("C77-123456 and C499-7654321", "x").sent == "[C77] and [C499]"


@pytest.mark.parametrize("pad", (0, 3_000), ids=("short list", "long list"))
@pytest.mark.parametrize("gap", (" ", "\n"))
def test_a_phrase_may_be_broken_over_a_line(pad: int, gap: str) -> None:
    words = TermsDetector(terms=("Operation Blue Kestrel", *(f"filler number {n}" for n in range(pad // 10))))
    masker = a_masker(a_class("WORD", words), style=Style.LABEL)
    assert masker.text(f"of operation{gap}blue kestrel.", "x").sent == "of [WORD]."
    assert masker.text(f"of operation blue{gap}kestrel.", "x").sent == "of [WORD]."


@pytest.mark.parametrize("key", ("🔑 code", "מספר_תיק", "Ключ", "naïve-key", "鍵"))
def test_key_names_may_be_of_any_script(key: str) -> None:
    masker = a_masker(a_class("KEYED", KeyDetector(names=(key,))), style=Style.LABEL)
    assert masker.document({key: "x", "other": "y"}).sent.decode() == f'{{"{key}":"[KEYED]","other":"y"}}'


@pytest.mark.parametrize("slug", ("BA\u200bDGE", "\u202eEGDAB", "BADGÉ", "BADGE\n", "", "1A", "B" * 65, "🔑"))
def test_a_slug_is_plain_letters(slug: str) -> None:
    said, _ = refused(a_class(slug, RegexDetector(pattern="abc")))
    assert "name a data class by letters" in said


MANY = tuple(f"{chr(97 + n % 26)}{n}=" for n in range(40))


@settings(max_examples=200, deadline=None)
@given(
    which=st.sampled_from(MANY),
    before=st.integers(0, 300),
    fill=st.sampled_from(("x", "a1", "é ", "= ", "\n", "🔑", "a")),
)
def test_no_place_hides_a_match_among_many_patterns(which: str, before: int, fill: str) -> None:
    """With more than a few patterns one scan for literals decides whether any of them can match."""
    masker = many_patterns()
    text = (fill * 300)[:before] + which + "ok!" + fill * 20
    assert masker.text(text, "x").sent.count("[FOUND]") == 1


@functools.cache
def many_patterns() -> Masker:
    detectors = (RegexDetector(pattern=f"{one}ok!") for one in MANY)
    return a_masker(a_class("FOUND", *detectors), style=Style.LABEL)


def test_five_hundred_classes_cost_a_text_about_what_five_do() -> None:
    text = "The quick brown fox jumps over the lazy dog near the river bank. " * 60

    def best(count: int) -> float:
        masker = a_masker(*map(pattern_class, range(count)))
        masker.text(text, "x")
        spent = []
        for _ in range(50):
            began = time.perf_counter()
            masker.text(text, "x")
            spent.append(time.perf_counter() - began)
        return min(spent)

    assert best(500) < 3 * best(5)

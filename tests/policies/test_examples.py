"""Examples: a class is found where it must be and nowhere else, or its version is not published."""

from __future__ import annotations

import json
import logging

import pytest

from audit.models import Entry
from policies import examples, services
from policies.engine.types import DataClass as Spec
from policies.engine.types import KeyDetector, Level, LibraryDetector, RegexDetector
from policies.models import DataClass, DetectorKind, Example, ExampleKind, SchemaVersion, State
from policies.publishing import PublishRefused
from tests.engine.world import a_class, a_schema
from tests.gateway import world

BADGE = RegexDetector(pattern=r"\bB-[0-9]{6}\b")


def tried(*classes: Spec) -> list[tuple[str, bool, int, bool]]:
    return [
        (one.data_class, one.wanted, one.number, one.passed) for one in examples.tried(a_schema(*classes))
    ]


def test_each_example_of_each_class_is_tried_against_the_whole_schema() -> None:
    outcomes = tried(
        a_class("BADGE", BADGE, positive=("B-123456", "B-12345"), negative=("B-12", "B-654321")),
        a_class("EMAIL", LibraryDetector(name="EMAIL"), positive=("b-123456@example.com",)),
    )
    assert outcomes == [
        ("BADGE", True, 1, True),
        ("BADGE", True, 2, False),
        ("BADGE", False, 1, True),
        ("BADGE", False, 2, False),
        ("EMAIL", True, 1, True),
    ]


def test_a_class_that_a_stronger_one_covers_is_still_found() -> None:
    whole = a_class("LINE", RegexDetector(pattern=r"badge B-[0-9]{6}"), level=Level.RESTRICTED)
    inner = a_class("BADGE", BADGE, positive=("badge B-123456",))
    assert tried(whole, inner) == [("BADGE", True, 1, True)]


def test_an_example_may_be_a_json_document() -> None:
    chart = a_class(
        "CHART",
        KeyDetector(names=("chart",)),
        positive=('{"chart": 7}', '[{"chart": "x"}]'),
        negative=('{"cart": 7}', "{chart: 7}", "{“chart”: 7", '{"chart": null}'),
    )
    assert all(one[3] for one in tried(chart))


def test_what_cannot_be_read_has_failed_and_says_why() -> None:
    texts = ('{"a@example.com": 1, "b@example.com": 2}', "\ud800")
    email = a_class("EMAIL", LibraryDetector(name="EMAIL"), positive=texts)
    assert [(one.passed, one.says) for one in examples.tried(a_schema(email))] == [
        (False, "Two JSON keys are the same after masking."),
        (False, "The text holds half of a character pair (a lone surrogate)."),
    ]


def test_other_classes_found_in_an_example_are_told() -> None:
    (one,) = examples.tried(
        a_schema(
            a_class("BADGE", BADGE, positive=("B-123456 of x@example.com",)),
            a_class("EMAIL", LibraryDetector(name="EMAIL")),
        )
    )
    assert one.others == ("EMAIL",)


def test_what_time_does_not_allow_for_has_failed() -> None:
    ticks = iter(range(100))
    badge = a_class("BADGE", BADGE, positive=("B-123456",) * 5)
    outcomes = examples.tried(a_schema(badge), seconds=3, clock=lambda: float(next(ticks)))
    assert [one.passed for one in outcomes] == [True, True, False, False, False]
    assert outcomes[-1].says == "not tried, time was up"


def test_nothing_prints_an_example() -> None:
    badge = a_class("BADGE", BADGE, positive=("secret text",))
    (one,) = examples.tried(a_schema(badge))
    (problem,) = examples.problems([one])
    assert "secret" not in repr(one) + problem + repr(problem)


def example(
    version: SchemaVersion, slug: str, text: str, kind: ExampleKind = ExampleKind.POSITIVE
) -> Example:
    row = DataClass.objects.get(version=version, slug=slug)
    return Example.objects.create(data_class=row, kind=kind, text=text)


@pytest.mark.django_db
def test_publishing_refuses_and_names_every_class_and_example_that_fails() -> None:
    draft = world.draft_schema()
    example(draft, "BADGE", "badge B-12345")
    example(draft, "BADGE", "badge B-123456", ExampleKind.NEGATIVE)
    example(draft, "EMAIL", "bob at example")
    with pytest.raises(PublishRefused) as refusal:
        services.schema_version_publish(version=draft, by=None)
    assert refusal.value.problems == (
        "BADGE, example 1 that must be found: not found.",
        "BADGE, example 1 that must not be found: found.",
        "EMAIL, example 1 that must be found: not found.",
    )
    draft.refresh_from_db()
    assert draft.state == State.DRAFT


@pytest.mark.django_db
def test_fixed_examples_are_published_and_copied_into_the_next_draft() -> None:
    draft = world.draft_schema()
    wrong = example(draft, "BADGE", "badge B-12345")
    with pytest.raises(PublishRefused):
        services.schema_version_publish(version=draft, by=None)
    wrong.text = "badge B-123456"
    wrong.save()
    services.schema_version_publish(version=draft, by=None)
    second = services.schema_version_clone_to_draft(version=draft, by=None)
    assert Example.objects.get(data_class__version=second).text == "badge B-123456"


@pytest.mark.django_db
def test_the_text_of_an_example_reaches_neither_log_nor_record(caplog: pytest.LogCaptureFixture) -> None:
    draft = world.draft_schema()
    example(draft, "BADGE", "zanzibar")
    with caplog.at_level(logging.DEBUG), pytest.raises(PublishRefused) as refusal:
        services.schema_version_publish(version=draft, by=None)
    assert "zanzibar" not in str(refusal.value) + repr(refusal.value) + caplog.text
    metas = [json.loads(bytes(entry.meta)) for entry in Entry.objects.filter(kind="event")]
    assert "zanzibar" not in json.dumps(metas)


@pytest.mark.django_db
def test_an_earlier_version_is_not_rolled_back_to_when_its_examples_fail_today() -> None:
    """A recogniser may have changed with an upgrade: what was true when it was published may not be now."""
    draft = world.draft_schema()
    example(draft, "BADGE", "badge B-123456")
    services.schema_version_publish(version=draft, by=None)
    second = services.schema_version_clone_to_draft(version=draft, by=None)
    services.schema_version_publish(version=second, by=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examples, "_findings", lambda masker, text: ())
        with pytest.raises(PublishRefused, match="BADGE, example 1"):
            services.schema_version_rollback(version=draft, by=None)
    assert SchemaVersion.objects.count() == 2


@pytest.mark.django_db
def test_a_pattern_that_does_not_compile_is_named_before_any_example_is_tried() -> None:
    draft = world.draft_schema()
    world.data_class(draft, "BROKEN", DetectorKind.REGEX, "(")
    example(draft, "BADGE", "nothing")
    assert [each[:6] for each in services.schema_version_check(version=draft)] == ["BROKEN"]

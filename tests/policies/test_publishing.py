"""Publishing: checked first, frozen after, one in force, history never rewritten."""

from __future__ import annotations

import json
from datetime import timedelta
from threading import Barrier, Thread

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from audit.models import Entry
from policies import services, store, versions
from policies.engine.masker import Masker
from policies.engine.types import Direction, Gate, Matcher
from policies.models import DataClass, Detector, DetectorKind, PolicyVersion, Rule, SchemaVersion, State
from policies.publishing import DraftChanged, DraftExists, NotADraft, PublishRefused
from tests.gateway import world

pytestmark = pytest.mark.django_db


def events() -> list[str]:
    return [
        json.loads(bytes(entry.meta))["event"]
        for entry in Entry.objects.filter(kind="event").order_by("sequence")
    ]


def mask(policy_id: object, text: str) -> str:
    policy = store.load_policy(policy_id)  # type: ignore[arg-type]
    return str(Masker(policy, Direction.REQUEST).text(text, "text").sent)


def test_a_published_policy_masks_by_its_schema_in_force() -> None:
    policy = world.published_policy()
    assert mask(policy.pk, "bob@example.com has badge B-123456") == "*** has badge [BADGE]"


def test_publishing_is_an_event_of_whoever_did_it() -> None:
    ada = world.admin()
    services.schema_version_publish(version=world.draft_schema(), by=ada)
    entry = Entry.objects.filter(kind="event").order_by("-sequence").first()
    assert entry is not None
    meta = json.loads(bytes(entry.meta))
    assert meta["event"] == "schema.published"
    assert meta["by"]["subject"] == "local:ada"
    assert meta["detail"]["number"] == 1


def test_every_problem_of_a_draft_is_named_at_once() -> None:
    draft = world.draft_schema()
    world.data_class(draft, "BROKEN", DetectorKind.REGEX, "(unclosed")
    world.data_class(draft, "EMPTY", DetectorKind.REGEX, "a*")
    DataClass.objects.create(version=draft, slug="LONELY", name="nothing finds it", level=1)
    with pytest.raises(PublishRefused) as refusal:
        services.schema_version_publish(version=draft, by=None)
    text = "\n".join(refusal.value.problems)
    assert "BROKEN" in text and "EMPTY" in text and "LONELY" in text
    draft.refresh_from_db()
    assert draft.is_draft
    assert "schema.published" not in events()


def test_an_empty_schema_is_not_published() -> None:
    draft = services.schema_create(area_id=world.area().pk, slug="bare", name="Bare", by=None)
    with pytest.raises(PublishRefused, match="no data class"):
        services.schema_version_publish(version=draft, by=None)


def test_a_rule_that_names_an_unknown_class_is_not_published() -> None:
    draft = world.draft_policy(world.published_schema())
    world.rule(draft, matcher=Matcher.CLASS.value, value="BAGDE", gate=Gate.BLOCK.value)
    with pytest.raises(PublishRefused, match="BAGDE"):
        services.policy_version_publish(version=draft, by=None)


def test_a_schema_does_not_drop_a_class_that_a_published_policy_names() -> None:
    schema = world.published_schema()
    world.published_policy(schema)
    draft = services.schema_version_clone_to_draft(version=schema.versions.get(), by=None)
    DataClass.objects.get(version=draft, slug="BADGE").delete()
    with pytest.raises(PublishRefused, match="BADGE"):
        services.schema_version_publish(version=draft, by=None)


def test_a_policy_needs_a_published_schema() -> None:
    draft = world.draft_policy(world.draft_schema().schema)
    with pytest.raises(PublishRefused, match="no published version"):
        services.policy_version_publish(version=draft, by=None)


def test_a_new_version_replaces_the_one_in_force_and_is_used_at_once() -> None:
    policy = world.published_policy()
    first = policy.versions.get()
    assert mask(policy.pk, "x@example.com") == "***"
    draft = services.policy_version_clone_to_draft(version=first, by=None)
    draft.default_transform = "label"
    draft.save()
    services.policy_version_publish(version=draft, by=None)
    first.refresh_from_db()
    assert (first.state, draft.number) == (State.RETIRED, 2)
    assert mask(policy.pk, "x@example.com") == "[EMAIL]"


def test_a_schema_published_later_is_used_by_policies_published_before() -> None:
    schema = world.published_schema()
    policy = world.published_policy(schema)
    draft = services.schema_version_clone_to_draft(version=schema.versions.get(), by=None)
    world.data_class(draft, "CODE", DetectorKind.TERMS, "bluebird")
    services.schema_version_publish(version=draft, by=None)
    assert mask(policy.pk, "the bluebird file") == "the *** file"
    loaded = store.load_policy(policy.pk)
    assert loaded.schema.spec.version_id == str(draft.pk)


def test_a_scheduled_version_waits_for_its_time() -> None:
    policy = world.published_policy()
    first = policy.versions.get()
    draft = services.policy_version_clone_to_draft(version=first, by=None)
    tomorrow = timezone.now() + timedelta(days=1)
    services.policy_version_publish(version=draft, by=None, effective_at=tomorrow)
    in_force = versions.policy_version_in_force
    assert in_force(policy.pk) == first
    assert in_force(policy.pk, tomorrow) == draft
    assert versions.next_change_at() == tomorrow


def test_rolling_back_publishes_the_old_content_as_a_new_version_even_beside_a_draft() -> None:
    schema = world.published_schema()
    first = schema.versions.get()
    second = services.schema_version_clone_to_draft(version=first, by=None)
    DataClass.objects.get(version=second, slug="BADGE").delete()
    services.schema_version_publish(version=second, by=None)
    services.schema_version_clone_to_draft(version=second, by=None)
    third = services.schema_version_rollback(version=first, by=None)
    assert versions.schema_version_in_force(schema.pk) == third
    assert set(third.classes.values_list("slug", flat=True)) == {"EMAIL", "BADGE"}
    assert third.note == "Back to v1"


def test_a_draft_older_than_a_rollback_takes_over_when_it_is_published() -> None:
    schema = world.published_schema()
    first = schema.versions.get()
    draft = services.schema_version_clone_to_draft(version=first, by=None)
    services.schema_version_rollback(version=first, by=None)
    services.schema_version_publish(version=draft, by=None)
    assert versions.schema_version_in_force(schema.pk) == draft


def test_there_is_one_draft_at_a_time() -> None:
    first = world.published_schema().versions.get()
    services.schema_version_clone_to_draft(version=first, by=None)
    with pytest.raises(DraftExists):
        services.schema_version_clone_to_draft(version=first, by=None)


def test_a_published_version_is_not_published_again() -> None:
    version = world.published_schema().versions.get()
    with pytest.raises(NotADraft):
        services.schema_version_publish(version=version, by=None)


def test_a_draft_edited_while_it_was_checked_is_not_published(monkeypatch: pytest.MonkeyPatch) -> None:
    draft = world.draft_schema()

    def check_and_edit(*, version: SchemaVersion) -> list[str]:
        world.data_class(version, "LATE", DetectorKind.TERMS, "late")
        return []

    monkeypatch.setattr(services, "schema_version_check", check_and_edit)
    with pytest.raises(DraftChanged):
        services.schema_version_publish(version=draft, by=None)


def _refused() -> pytest.RaisesExc[IntegrityError]:
    return pytest.raises(IntegrityError, match="published version cannot be changed")


def test_the_database_refuses_any_change_to_a_published_version() -> None:
    schema = world.published_schema()
    version = world.published_policy(schema).versions.get()
    for table, change in (
        (SchemaVersion, {"note": "better"}),
        (SchemaVersion, {"state": "draft"}),
        (SchemaVersion, {"effective_at": timezone.now()}),
        (PolicyVersion, {"default_transform": "none"}),
        (PolicyVersion, {"opaque_gate": 0}),
        (PolicyVersion, {"state": "retired", "mode": "observe"}),
        (DataClass, {"level": 0}),
        (Detector, {"value": "nothing"}),
        (Rule, {"gate": 0, "transform": "none"}),
    ):
        with _refused(), transaction.atomic():
            table.objects.update(**change)
    with _refused(), transaction.atomic():
        world.rule(version, matcher="class", value="EMAIL", transform="none")
    with _refused(), transaction.atomic():
        world.data_class(schema.versions.get(), "NEW", DetectorKind.TERMS, "new")
    with _refused(), transaction.atomic():
        Detector.objects.create(data_class=DataClass.objects.filter(slug="EMAIL").get(), value="PHONE")


def test_the_database_refuses_to_delete_anything_published() -> None:
    schema = world.published_schema()
    world.published_policy(schema)
    for rows in (Rule.objects, Detector.objects, PolicyVersion.objects, SchemaVersion.objects):
        with _refused(), transaction.atomic():
            rows.all().delete()


def test_a_rule_does_not_move_into_or_out_of_a_published_version() -> None:
    policy = world.published_policy()
    published = policy.versions.get()
    draft = services.policy_version_clone_to_draft(version=published, by=None)
    with _refused(), transaction.atomic():
        Rule.objects.filter(version=draft).update(version=published)
    with _refused(), transaction.atomic():
        Rule.objects.filter(version=published).update(version=draft)


def test_a_draft_can_be_edited_and_deleted() -> None:
    draft = world.draft_schema()
    DataClass.objects.filter(version=draft, slug="BADGE").update(level=3)
    draft.delete()
    assert not DataClass.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_row_added_while_a_version_is_published_is_checked_or_refused() -> None:
    """A broken detector is written beside the publication: never both, whoever is first."""
    draft = world.draft_schema()
    row = DataClass.objects.get(version=draft, slug="BADGE")
    start = Barrier(2)
    outcomes: set[str] = set()

    def publish() -> None:
        start.wait()
        try:
            services.schema_version_publish(version=draft, by=None)
            outcomes.add("published")
        except (DraftChanged, PublishRefused):
            outcomes.add("not published")
        finally:
            connection.close()

    def sneak() -> None:
        start.wait()
        try:
            Detector.objects.create(data_class=row, kind=DetectorKind.REGEX, value="(")
            outcomes.add("added")
        except IntegrityError:
            outcomes.add("refused")
        finally:
            connection.close()

    threads = [Thread(target=publish), Thread(target=sneak)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes in ({"published", "refused"}, {"not published", "added"})

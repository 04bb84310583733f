"""`/drift/`: bob classifies what calls carried, carol may not look, dave looks and touches nothing."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from audit.models import Entry
from gateway.console import fields as listing
from gateway.console.classifying import field_ignore, field_propose, field_restore, slug_for
from gateway.console.fields import drift, waiting
from gateway.identity.authz import role_grant
from gateway.models import AccessRule, Endpoint, EndpointKind, FieldState, StructuredField, User
from policies import services
from policies.engine.fields import MORE
from policies.engine.types import Level
from policies.models import DataClass, DetectorKind, Schema, SchemaVersion, State
from policies.publishing import PolicyServiceError

from .world import data_class, endpoint, person, published_policy, published_schema

pytestmark = pytest.mark.django_db


class World:
    """Support calls `sort`, a plain JSON endpoint, under the policy House with the schema Acme."""

    def __init__(self) -> None:
        self.schema = published_schema()
        self.policy = published_policy(self.schema)
        self.endpoint = endpoint("sort", kind=EndpointKind.JSON)
        self.open(self.endpoint)
        self.bob = self._person("bob", "policy_editor", is_staff=True)
        self.dave = self._person("dave", "auditor")
        self.carol = person("carol")

    def open(self, target: Endpoint, **fields: Any) -> AccessRule:
        group, _ = Group.objects.get_or_create(name="support")
        values = {"group": group, "endpoint": target, "policy": self.policy, **fields}
        return AccessRule.objects.create(**values)

    def _person(self, name: str, role: str, **fields: Any) -> User:
        user = person(name, group=role, **fields)
        role_grant(group=Group.objects.get(name=role), role=role, by=None)
        return user


@pytest.fixture
def world() -> World:
    return World()


def seen(at: Endpoint, path: str, shape: str = "word", calls: int = 1) -> StructuredField:
    now = timezone.now()
    return StructuredField.objects.create(
        endpoint=at, path=path, shape=shape, calls=calls, first_seen=now, last_seen=now
    )


def paths(**asked: Any) -> list[str]:
    return [field.path for field in drift(**asked).fields]


def draft_of(schema: Schema) -> SchemaVersion:
    return SchemaVersion.objects.get(schema=schema, state=State.DRAFT)


def test_fields_are_listed_by_how_often_they_were_seen_with_all_their_shapes(world: World) -> None:
    seen(world.endpoint, "room", "digits", 5)
    seen(world.endpoint, "customer.note", "sentence", 4)
    seen(world.endpoint, "customer.note", "empty", 3)
    first, second = drift().fields
    assert (first.path, first.calls, first.shapes) == ("customer.note", 7, (("sentence", 4), ("empty", 3)))
    assert (first.head, first.tail, first.schema) == ("customer.", "note", "Acme")
    assert second.path == "room"


def test_one_endpoint_may_be_asked_for(world: World) -> None:
    seen(world.endpoint, "a")
    seen(endpoint("other"), "b")
    assert (paths(endpoint="other"), paths(endpoint="nowhere")) == (["b"], [])


@pytest.mark.parametrize(
    ("kind", "value"),
    [(DetectorKind.KEY, "NOTE"), (DetectorKind.PATH, "$.customer.note"), (DetectorKind.PATH, "$.customer")],
)
def test_a_field_leaves_the_list_once_a_published_version_claims_it(
    world: World, kind: DetectorKind, value: str
) -> None:
    seen(world.endpoint, "customer.note")
    draft = services.schema_version_clone_to_draft(version=world.schema.versions.get(), by=None)
    data_class(draft, "NOTE", kind, value)
    assert drift().fields[0].draft == draft and waiting() == 0
    services.schema_version_publish(version=draft, by=None)
    assert paths() == []


def test_a_field_that_was_not_seen_since_the_schema_changed_says_so(world: World) -> None:
    seen(world.endpoint, "note")
    assert drift().fields[0].before is None
    draft = services.schema_version_clone_to_draft(version=world.schema.versions.get(), by=None)
    services.schema_version_publish(version=draft, by=None)
    assert drift().fields[0].before == draft


def test_a_field_stays_while_another_schema_of_its_endpoint_is_silent(world: World) -> None:
    other = published_schema("other")
    world.open(world.endpoint, policy=published_policy(other, "second"), priority=7)
    seen(world.endpoint, "note")
    field_propose(field=StructuredField.objects.get(), level=Level.INTERNAL, by_path=True, by=world.bob)
    services.schema_version_publish(version=draft_of(other), by=None)  # of the rule that decides first
    assert [(field.path, field.schema) for field in drift().fields] == [("note", "Acme")]


def test_an_endpoint_that_no_policy_covers_has_nothing_to_propose(world: World) -> None:
    AccessRule.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    field = seen(world.endpoint, "note")
    assert drift().fields[0].schema == ""
    with pytest.raises(PolicyServiceError):
        field_propose(field=field, level=Level.INTERNAL, by_path=True, by=world.bob)
    assert StructuredField.objects.get().state == FieldState.NEW


def test_what_was_not_kept_is_said(world: World) -> None:
    seen(world.endpoint, MORE.path, MORE.shape, 12)
    found = drift()
    assert (list(found.fields), list(found.unkept)) == ([], [(world.endpoint, 12)])


def test_a_page_has_an_end_and_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "SHOWN", 2)
    for number in range(5):
        seen(world.endpoint, f"f{number}", calls=number)
    assert (paths(), drift().left_out) == (["f4", "f3"], 3)


def test_a_proposal_is_a_class_in_a_draft_and_an_event(world: World) -> None:
    seen(world.endpoint, "orders[*].customerNote", "sentence")
    field = seen(world.endpoint, "orders[*].customerNote", "empty")
    draft, row = field_propose(field=field, level=Level.RESTRICTED, by_path=True, by=world.bob)
    assert row and (draft.number, draft.is_draft, draft.author) == (2, True, world.bob)
    assert (row.slug, row.level, row.name) == ("CUSTOMER_NOTE", Level.RESTRICTED, "Customer note")
    assert [(d.kind, d.value) for d in row.detectors.all()] == [("path", "$.orders[*].customerNote")]
    assert draft.classes.count() == 3
    assert set(StructuredField.objects.values_list("state", flat=True)) == {FieldState.PROPOSED}
    assert "field.proposed" in acts()
    services.schema_version_publish(version=draft, by=None)
    assert paths() == []


def test_a_proposal_joins_the_draft_that_is_there_and_is_made_once(world: World) -> None:
    draft = services.schema_version_clone_to_draft(version=world.schema.versions.get(), by=None)
    field = seen(world.endpoint, "a.note")
    first = field_propose(field=field, level=Level.PUBLIC, by_path=False, by=world.bob)
    again = field_propose(field=field, level=Level.PUBLIC, by_path=False, by=world.bob)
    assert (first[0], again) == (draft, (draft, None))
    assert DataClass.objects.filter(version=draft, slug="NOTE").count() == 1


def test_a_key_that_is_data_is_proposed_by_its_path(world: World) -> None:
    field = seen(world.endpoint, "customers.*")
    _, row = field_propose(field=field, level=Level.PUBLIC, by_path=False, by=world.bob)
    assert row and [(d.kind, d.value) for d in row.detectors.all()] == [("path", "$.customers.*")]


@pytest.mark.parametrize(
    ("path", "taken", "slug"),
    [
        ("customer.note", (), "NOTE"),
        ("customer.note", ("NOTE",), "CUSTOMER_NOTE"),
        ("note", ("NOTE",), "NOTE_2"),
        ("note", ("NOTE", "NOTE_2"), "NOTE_3"),
        ("a[*].patientId", (), "PATIENT_ID"),
        ("x-größe", (), "X_GROE"),
        ("@type", (), "TYPE"),
        ("n", (), "FIELD_N"),
        ("*.*", (), "FIELD"),
        ("客户", (), "FIELD"),
        ("a_" * 30, (), ("A_" * 20)[:39]),
    ],
)
def test_a_class_is_named_by_the_end_of_the_path(path: str, taken: tuple[str, ...], slug: str) -> None:
    assert slug_for(path, frozenset(taken)) == slug
    DataClass._meta.get_field("slug").run_validators(slug)


def test_ignoring_is_undone(world: World) -> None:
    seen(world.endpoint, "note", "empty")
    field = seen(world.endpoint, "note", "word")
    field_ignore(field=field, by=world.bob)
    seen(world.endpoint, "note", "sentence")
    assert (paths(), paths(ignored=True), waiting()) == ([], ["note"], 0)
    field_restore(field=field, by=world.bob)
    assert (paths(), paths(ignored=True), waiting()) == (["note"], [], 1)
    assert {"field.ignored", "field.restored"} <= acts()


def acts() -> set[str]:
    """What the record says that people did."""
    return {json.loads(bytes(meta)).get("event") for meta in Entry.objects.values_list("meta", flat=True)}


@pytest.fixture
def page(client: Client) -> Any:
    def get(user: User, address: str = "/drift/", status: int = 200) -> str:
        client.force_login(user)
        response = client.get(address)
        assert response.status_code == status
        return response.content.decode()

    return get


def test_who_may_look_and_who_may_act(world: World, client: Client, page: Any) -> None:
    field = seen(world.endpoint, "note")
    assert client.get("/drift/").headers["Location"].startswith("/login/")
    page(world.carol, status=403)
    looked = page(world.dave)
    assert "note" in looked and "Propose a class" not in looked and ">Ignore<" not in looked
    for person_, status in ((world.carol, 403), (world.dave, 403), (world.bob, 302)):
        client.force_login(person_)
        for deed in ("ignore", "restore", "propose"):
            assert client.post(f"/drift/{field.pk}/{deed}/").status_code == status, (person_, deed)


@pytest.mark.parametrize("deed", ["ignore", "restore", "propose"])
def test_reading_changes_nothing(world: World, client: Client, deed: str) -> None:
    field = seen(world.endpoint, "note")
    client.force_login(world.bob)
    assert client.get(f"/drift/{field.pk}/{deed}/").status_code == 405
    assert client.post(f"/drift/{world.endpoint.pk}/{deed}/").status_code == 404


def test_one_click_leads_to_the_draft(world: World, client: Client, page: Any) -> None:
    field = seen(world.endpoint, "customer.note")
    assert "Propose a class" in page(world.bob)
    answer = client.post(f"/drift/{field.pk}/propose/", {"level": "internal", "found_by": "key"}, follow=True)
    draft = draft_of(world.schema)
    assert answer.redirect_chain[-1][0] == f"/admin/policies/schemaversion/{draft.pk}/change/"
    assert "NOTE was added to Acme v2" in answer.content.decode()
    assert draft.classes.get(slug="NOTE").detectors.get().kind == DetectorKind.KEY
    listed = page(world.bob)
    assert "In the draft Acme v2" in listed and "Propose a class" not in listed


def test_nonsense_is_a_bad_request(world: World, client: Client, page: Any) -> None:
    field = seen(world.endpoint, "note")
    page(world.bob, "/drift/?show=all", status=400)
    assert client.post(f"/drift/{field.pk}/propose/", {"level": "cosmic"}).status_code == 400


def test_a_refused_proposal_says_why(world: World, client: Client) -> None:
    AccessRule.objects.all().delete()
    field = seen(world.endpoint, "note")
    client.force_login(world.bob)
    answer = client.post(f"/drift/{field.pk}/propose/", {"endpoint": "sort"}, follow=True)
    assert answer.redirect_chain[-1][0] == "/drift/?endpoint=sort"
    assert "No schema waits for “note”" in answer.content.decode()


def test_empty_pages_say_what_comes_next(world: World, page: Any) -> None:
    assert "No structured fields yet" in page(world.bob)
    assert "Nothing is ignored" in page(world.bob, "/drift/?show=ignored")
    seen(world.endpoint, "note")
    field_ignore(field=StructuredField.objects.get(), by=world.bob)
    assert "Every field is classified" in page(world.bob)


def test_what_a_caller_named_is_inert(world: World, page: Any) -> None:
    seen(world.endpoint, "<script>alert(1)</script>")
    assert "<script>alert" not in page(world.bob)


def test_the_front_page_leads_here(world: World, page: Any) -> None:
    seen(world.endpoint, "note")
    world.bob.is_staff = True
    assert "1 field is unclassified." in page(world.bob, "/")

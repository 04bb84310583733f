"""The editors: drafts are written, what is published is read, and the engine says what is wrong."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from gateway.identity.authz import role_grant
from policies import services
from policies.models import DataClass, Detector, Policy, PolicyVersion, Rule, Schema, SchemaVersion, State
from tests.gateway import world

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    browser = Client()
    browser.force_login(world.admin())
    return browser


def url(model: str, page: str, *args: object) -> str:
    return reverse(f"admin:policies_{model}_{page}", args=args)


def rows(prefix: str, *values: dict[str, object], initial: int = 0) -> dict[str, object]:
    """An inline formset as a browser posts it."""
    posted: dict[str, object] = {
        f"{prefix}-TOTAL_FORMS": len(values),
        f"{prefix}-INITIAL_FORMS": initial,
        f"{prefix}-MIN_NUM_FORMS": 0,
        f"{prefix}-MAX_NUM_FORMS": 1000,
    }
    for number, row in enumerate(values):
        posted |= {f"{prefix}-{number}-{name}": value for name, value in row.items()}
    return posted


def test_every_page_opens_for_drafts_and_for_what_is_published(client: Client) -> None:
    policy = world.published_policy()
    schema = Schema.objects.get()
    version, policy_version = schema.versions.get(), policy.versions.get()
    draft = services.schema_version_clone_to_draft(version=version, by=None)
    policy_draft = services.policy_version_clone_to_draft(version=policy_version, by=None)
    for model, pk in (
        ("schema", schema.pk),
        ("policy", policy.pk),
        ("schemaversion", version.pk),
        ("schemaversion", draft.pk),
        ("policyversion", policy_version.pk),
        ("policyversion", policy_draft.pk),
        *(("dataclass", row.pk) for row in DataClass.objects.all()),
    ):
        assert client.get(url(model, "change", pk)).status_code == 200, model
        assert client.get(url(model, "changelist")).status_code == 200, model


def test_a_new_schema_leads_to_its_first_draft(client: Client) -> None:
    answer = client.post(url("schema", "add"), {"name": "Acme", "slug": "acme", "area": str(world.area().pk)})
    draft = SchemaVersion.objects.get()
    assert answer["Location"] == url("schemaversion", "change", draft.pk)
    assert (draft.number, draft.state, draft.author.username) == (1, "draft", "ada")  # type: ignore[union-attr]


def test_a_new_policy_leads_to_its_first_draft(client: Client) -> None:
    schema = world.published_schema()
    values = {"name": "House", "slug": "house", "area": str(world.area().pk), "schema": str(schema.pk)}
    answer = client.post(url("policy", "add"), values)
    draft = PolicyVersion.objects.get()
    assert answer["Location"] == url("policyversion", "change", draft.pk)
    assert draft.schema == schema


def test_a_policy_and_its_schema_lie_in_one_area(client: Client) -> None:
    values = {"name": "House", "slug": "house", "area": str(world.area("other").pk)}
    answer = client.post(url("policy", "add"), {**values, "schema": str(world.published_schema().pk)})
    assert b"another area" in answer.content
    assert not Policy.objects.exists()


def test_data_classes_and_detectors_are_added_to_a_draft(client: Client) -> None:
    draft = services.schema_create(area_id=world.area().pk, slug="acme", name="Acme", by=None)
    row = {
        "position": 1,
        "slug": "BADGE",
        "name": "Badge",
        "level": 2,
        "weight": 1,
        "tags": "staff, badge, staff",
    }
    client.post(url("schemaversion", "change", draft.pk), {"note": "first", **rows("classes", row)})
    data_class = DataClass.objects.get()
    assert data_class.tags == ["staff", "badge"]
    detector = {"position": 1, "kind": "regex", "value": r"\bB-[0-9]{6}\b"}
    page = url("dataclass", "change", data_class.pk)
    values = {"slug": "BADGE", "name": "Badge", "level": 3, "weight": 1, "tags": "", "position": 1}
    answer = client.post(page, {**values, **rows("detectors", detector), **rows("examples")})
    assert answer["Location"] == url("schemaversion", "change", draft.pk)
    assert Detector.objects.get().value == r"\bB-[0-9]{6}\b"


@pytest.mark.parametrize(
    "detector",
    [
        {"kind": "regex", "value": "(unclosed"},
        {"kind": "regex", "value": "a*"},
        {"kind": "regex", "value": "a+b"},
        {"kind": "library", "value": "NO_SUCH"},
        {"kind": "path", "value": "not a path"},
        {"kind": "terms", "value": "\n\n"},
    ],
)
def test_a_detector_that_cannot_work_is_refused_when_saved(
    client: Client, detector: dict[str, object]
) -> None:
    draft = world.draft_schema()
    row = DataClass.objects.get(version=draft, slug="BADGE")
    row.detectors.all().delete()
    values = {"slug": "BADGE", "name": "Badge", "level": 3, "weight": 1, "tags": "", "position": 1}
    answer = client.post(
        url("dataclass", "change", row.pk),
        {**values, **rows("detectors", {"position": 1, **detector}), **rows("examples")},
    )
    assert answer.status_code == 200
    assert b"errorlist" in answer.content
    assert not row.detectors.exists()


def test_a_draft_is_published_by_a_post(client: Client) -> None:
    draft = world.draft_schema()
    publish = url("schemaversion", "publish", draft.pk)
    assert client.get(publish).status_code == 405
    assert publish in client.get(url("schemaversion", "change", draft.pk)).content.decode()
    client.post(publish)
    draft.refresh_from_db()
    assert draft.state == State.PUBLISHED
    assert draft.published_by is not None and draft.published_by.username == "ada"
    page = client.get(url("schemaversion", "change", draft.pk)).content.decode()
    assert publish not in page and url("schemaversion", "clone", draft.pk) in page


def test_what_keeps_a_draft_from_being_published_is_listed(client: Client) -> None:
    draft = world.draft_schema()
    for slug in ("ONE", "TWO"):
        DataClass.objects.create(version=draft, slug=slug, name=slug)
    answer = client.post(url("schemaversion", "publish", draft.pk), follow=True)
    page = answer.content.decode()
    assert "ONE has no detector" in page and "TWO has no detector" in page


def test_cloning_leads_to_the_new_draft_and_rolling_back_to_the_new_version(client: Client) -> None:
    policy = world.published_policy()
    first = policy.versions.get()
    answer = client.post(url("policyversion", "clone", first.pk))
    second = policy.versions.get(number=2)
    assert answer["Location"] == url("policyversion", "change", second.pk)
    client.post(url("policyversion", "publish", second.pk))
    assert (
        url("policyversion", "rollback", first.pk)
        in client.get(url("policyversion", "change", first.pk)).content.decode()
    )
    client.post(url("policyversion", "rollback", first.pk))
    assert policy.versions.get(number=3).state == State.PUBLISHED


def test_a_published_version_is_read_only(client: Client) -> None:
    version = world.published_policy().versions.get()
    page = client.get(url("policyversion", "change", version.pk)).content.decode()
    assert 'name="note"' not in page and 'name="_save"' not in page
    assert client.post(url("policyversion", "change", version.pk), {"note": "x"}).status_code == 403
    assert client.post(url("policyversion", "delete", version.pk), {"post": "yes"}).status_code == 403
    data_class = DataClass.objects.filter(version__state=State.PUBLISHED).first()
    assert data_class is not None
    assert client.post(url("dataclass", "change", data_class.pk), {"slug": "X"}).status_code == 403


def test_a_rule_is_written_into_a_draft(client: Client) -> None:
    draft = world.draft_policy(world.published_schema())
    draft.rules.all().delete()
    rule = {
        "position": 1,
        "name": "all",
        "directions": "both",
        "matcher": "level",
        "value": "Internal",
        "gate": 1,
    }
    client.post(
        url("policyversion", "change", draft.pk),
        {
            "schema": str(draft.schema_id),
            "default_transform": "redact",
            "opaque_gate": 3,
            "note": "",
            **rows("rules", {**rule, "value": "Internal", "transform": ""}),
        },
    )
    assert Rule.objects.get().value == "internal"


def test_a_rule_about_nothing_is_refused(client: Client) -> None:
    draft = world.draft_policy(world.published_schema())
    draft.rules.all().delete()
    rule = {"position": 1, "name": "all", "directions": "both", "matcher": "class", "value": "", "gate": 1}
    values = {"schema": str(draft.schema_id), "default_transform": "redact", "opaque_gate": 3}
    answer = client.post(
        url("policyversion", "change", draft.pk), {**values, **rows("rules", {**rule, "transform": ""})}
    )
    assert b"Name the data class, tag or level" in answer.content


def test_an_editor_edits_and_does_not_publish() -> None:
    group = Group.objects.create(name="editors")
    role_grant(group=group, role="policy_editor", by=None)
    eve = world.person("eve", is_staff=True)
    eve.groups.add(group)
    browser = Client()
    browser.force_login(eve)
    draft = world.draft_schema()
    page = browser.get(url("schemaversion", "change", draft.pk)).content.decode()
    assert 'name="note"' in page and "publish/" not in page
    assert browser.post(url("schemaversion", "publish", draft.pk)).status_code == 403
    draft.refresh_from_db()
    assert draft.is_draft

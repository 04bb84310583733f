"""The editors: drafts are written, what is published is read, and the engine says what is wrong."""

from __future__ import annotations

from datetime import timedelta
from html import unescape

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from gateway.identity.authz import role_grant
from policies import services
from policies.models import DataClass, Detector, Policy, PolicyVersion, Rule, Schema, SchemaVersion, State
from policies.proposals import propose
from policies.publishing import PublishRefused
from tests.gateway import two, world

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


A_RULE: dict[str, object] = {
    "position": 1,
    "name": "it",
    "directions": "both",
    "matcher": "class",
    "value": "",
    "weight": 0,
    "gate": 1,
    "transform": "",
}


def saved(client: Client, draft: PolicyVersion, *rules: dict[str, object], **settings: object) -> str:
    """What the page says after these rules and settings were posted; empty when they were saved."""
    draft.rules.all().delete()
    values: dict[str, object] = {
        "schema": str(draft.schema_id),
        "default_transform": "redact",
        "opaque_gate": 3,
        "mode": "enforce",
        "count_cap": 10,
        "keeps": "text",
        "reviewers": "",
        "approvals_needed": 1,
        "hold_seconds": 50,
        "valid_minutes": 60,
        **settings,
        **rows("rules", *({**A_RULE, **each} for each in rules)),
    }
    answer = client.post(url("policyversion", "change", draft.pk), values)
    return "" if answer.status_code == 302 else unescape(answer.content.decode())


def test_a_rule_is_written_into_a_draft(client: Client) -> None:
    draft = world.draft_policy(world.published_schema())
    assert saved(client, draft, {"matcher": "level", "value": "Internal"}) == ""
    assert Rule.objects.get().value == "internal"


def test_every_kind_of_rule_and_every_setting_is_saved(client: Client) -> None:
    draft = world.draft_policy(world.published_schema())
    until = timezone.now() + timedelta(days=7)
    for name in ("Privacy", "Legal", "Managers"):
        Group.objects.create(name=name)
    page = saved(
        client,
        draft,
        {"name": "class", "value": "EMAIL", "transform": "label"},
        {"name": "level", "matcher": "level", "value": "restricted", "gate": 3},
        {"name": "together", "matcher": "combination", "value": "EMAIL+ BADGE ", "weight": 5, "gate": 0},
        {"name": "many", "matcher": "bulk", "at_least": 20},
        {"name": "different", "matcher": "distinct", "value": "EMAIL", "at_least": 9, "window": "day"},
        {"name": "above", "matcher": "above_declared", "gate": 2},
        {"name": "silent", "matcher": "unlabelled"},
        {"name": "new", "matcher": "unclassified", "value": "customer.notes"},
        {"name": "pictures", "matcher": "opaque", "value": "image", "gate": 2},
        mode="observe",
        observe_until_0=f"{until:%Y-%m-%d}",
        observe_until_1=f"{until:%H:%M:%S}",
        hold_score=10,
        block_score=25,
        keeps="findings",
        reviewers="Privacy, Legal",
        approvals_needed=2,
        escalate_minutes=15,
        escalate_to="Managers",
        purpose_required="on",
        keeps_alive="on",
        clear_release="on",
    )
    assert page == ""
    draft.refresh_from_db()
    assert (draft.mode, draft.hold_score, draft.block_score) == ("observe", 10, 25)
    assert (draft.keeps, draft.reviewers, draft.approvals_needed) == ("findings", ["Privacy", "Legal"], 2)
    assert (draft.escalate_minutes, draft.escalate_to) == (15, ["Managers"])
    assert draft.purpose_required and draft.keeps_alive and draft.clear_release
    assert Rule.objects.get(name="together").value == "EMAIL + BADGE"
    assert Rule.objects.get(name="different").window == "day"
    assert services.policy_version_check(version=draft) == []
    page = client.get(url("policyversion", "change", draft.pk)).content.decode()
    assert 'value="Privacy, Legal"' in page
    assert '<option value="BADGE">' in page, "the browser offers what the schema knows"
    alice, bob = two.official("alice"), two.official("bob")
    two.confirm(propose(kind="policy.publish", target_id=draft.pk, payload={}, by=alice, reason="try"), bob)
    page = client.get(url("policyversion", "change", draft.pk)).content.decode()
    assert "EMAIL, at least 9 in one day" in page and "Privacy, Legal" in page and "Managers" in page


REFUSED: list[tuple[dict[str, object], dict[str, object], str]] = [
    ({"value": ""}, {}, "Name the data class, tag or level"),
    ({"value": "NOPE"}, {}, "The schema has no class “NOPE”."),
    ({"matcher": "tag", "value": "nope"}, {}, "The schema has no tag “nope”."),
    ({"matcher": "level", "value": "secret"}, {}, "The schema has no level “secret”."),
    ({"matcher": "combination", "value": "EMAIL"}, {}, "A combination names at least two"),
    ({"matcher": "combination", "value": "EMAIL + NOPE"}, {}, "The schema has no class or tag “NOPE”."),
    (
        {"matcher": "combination", "value": "EMAIL + BADGE", "transform": "label"},
        {},
        "A combination has no text to transform",
    ),
    ({"matcher": "bulk"}, {}, "Say from how many on it applies."),
    ({"matcher": "bulk", "at_least": 10_001}, {}, "It can never apply"),
    ({"matcher": "distinct", "at_least": 3}, {}, "an hour or a day; choose one"),
    ({"value": "EMAIL", "window": "day"}, {}, "leave the window empty"),
    ({"matcher": "unlabelled", "value": "x"}, {}, "takes no value"),
    ({"matcher": "unlabelled", "directions": "response"}, {}, "choose the direction Request"),
    ({"value": "EMAIL", "directions": "response", "gate": 2}, {}, "An answer cannot wait for a person; flag"),
    ({"matcher": "opaque", "value": "imgae"}, {}, "is no kind of opaque content"),
    ({"value": "EMAIL"}, {"hold_score": 21}, "The score that holds (21) can never be reached"),
    ({"value": "EMAIL"}, {"hold_score": 9, "block_score": 9}, "must be above the score that holds"),
    ({"value": "EMAIL"}, {"mode": "observe"}, "Say when observing ends, within 30 days."),
    (
        {"value": "EMAIL"},
        {"observe_until_0": "2040-01-01", "observe_until_1": "12:00"},
        "only a policy that observes",
    ),
    (
        {"value": "EMAIL"},
        {"mode": "observe", "observe_until_0": "2020-01-01", "observe_until_1": "12:00"},
        "Observing would end in the past.",
    ),
    (
        {"value": "EMAIL"},
        {"mode": "observe", "observe_until_0": "2040-01-01", "observe_until_1": "12:00"},
        "Observing may last 30 days at most.",
    ),
    ({"value": "EMAIL"}, {"reviewers": "Privcy"}, "There is no group “Privcy”."),
    ({"value": "EMAIL"}, {"escalate_minutes": 5}, "Say which groups are asked then."),
    ({"value": "EMAIL"}, {"escalate_to": "Legal"}, "Say after how many minutes these groups are asked."),
    (
        {"value": "EMAIL"},
        {"escalate_minutes": 60, "escalate_to": "Legal"},
        "Others are asked before the time for a decision is over.",
    ),
    (
        {"value": "EMAIL"},
        {"reviewers": "Privacy, Legal", "escalate_minutes": 5, "escalate_to": "Legal"},
        "Escalating asks nobody else",
    ),
    ({"value": "EMAIL"}, {"clear_release": "on"}, "approved by at least two persons"),
    (
        {"value": "EMAIL"},
        {"escalate_minutes": 0, "escalate_to": "Legal"},
        "Ensure this value is greater than or equal to 1.",
    ),
]


@pytest.mark.parametrize(("rule", "settings", "said"), REFUSED, ids=[said for _, _, said in REFUSED])
def test_what_cannot_be_enforced_is_refused_when_saved(
    client: Client, rule: dict[str, object], settings: dict[str, object], said: str
) -> None:
    draft = world.draft_policy(world.published_schema())
    Group.objects.bulk_create(Group(name=name) for name in ("Privacy", "Legal"))
    page = saved(client, draft, rule, **settings)
    assert page.count(said) == 1, "said once, where it belongs"
    assert not draft.rules.exists()


def test_a_group_that_is_unknown_is_no_group_that_is_missing(client: Client) -> None:
    """Each field says what is wrong with it, whatever is wrong with the others."""
    draft = world.draft_policy(world.published_schema())
    page = saved(client, draft, {"value": "EMAIL"}, escalate_minutes=0, escalate_to="Legal")
    assert "There is no group “Legal”." in page and "greater than or equal to 1" in page
    assert "Say which groups" not in page and "Say after how many" not in page


def test_what_a_saved_rule_hides_is_refused_with_its_name(client: Client) -> None:
    draft = world.draft_policy(world.published_schema())
    first = {"name": "first", "value": "EMAIL", "transform": "label"}
    second = {"name": "second", "value": "EMAIL", "transform": "none", "position": 2}
    assert "rule “first” comes first and is about the same" in saved(client, draft, first, second)
    nearer = second | {"directions": "response", "position": 0}
    assert saved(client, draft, first, nearer) == "", "the position orders them, not the form"


def test_a_rule_may_be_about_what_only_the_schemas_draft_has(client: Client) -> None:
    schema = world.published_schema()
    draft = world.draft_policy(schema)
    coming = services.schema_version_clone_to_draft(version=schema.versions.get(), by=None)
    DataClass.objects.create(version=coming, slug="SHOE", name="Shoe size", tags=["body"])
    assert saved(client, draft, {"value": "SHOE"}) == ""
    assert services.policy_version_check(version=draft) == ["Rule “it”: the schema has no class “SHOE”."]


def test_publishing_refuses_what_was_written_past_the_form() -> None:
    draft = world.draft_policy(world.published_schema())
    PolicyVersion.objects.filter(pk=draft.pk).update(
        hold_score=500, mode="observe", observe_until=timezone.now() - timedelta(days=1)
    )
    world.rule(draft, name="one", matcher="combination", value="EMAIL", gate=2)
    with pytest.raises(PublishRefused) as refusal:
        services.policy_version_publish(version=PolicyVersion.objects.get(pk=draft.pk), by=None)
    assert [problem.split(";")[0] for problem in refusal.value.problems] == [
        "Observing would end in the past.",
        "Name who decides: under this policy a call can come to wait for a person.",
        "Rule “one”: a combination names at least two data classes or tags, such as PERSON + DIAGNOSIS.",
        "The score that holds (500) can never be reached: no call scores more than 20.",
    ]


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

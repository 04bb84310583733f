"""What a policy says about calls that wait: bounded by the database, frozen, copied and compared."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import JSONField, Value
from django.test import Client
from django.urls import reverse

from policies import compiler, content, diff, services, triggers
from policies.engine.types import Gate, Holding
from policies.history import history_of
from policies.models import PolicyVersion, State, Version
from policies.publishing import POLICY_SETTINGS, PublishRefused
from tests.gateway import world

pytestmark = pytest.mark.django_db

OPTIONS: dict[str, Any] = {
    "reviewers": ["Privacy", "Legal"],
    "approvals_needed": 2,
    "hold_seconds": 30,
    "valid_minutes": 90,
    "escalate_minutes": 15,
    "escalate_to": ["Managers"],
    "purpose_required": True,
    "keeps_alive": True,
    "clear_release": True,
}
COMPILED = Holding(
    reviewers=("Privacy", "Legal"),
    needed=2,
    seconds=30,
    valid_minutes=90,
    escalate_minutes=15,
    escalate_to=("Managers",),
    purpose_required=True,
    keeps_alive=True,
    clear=True,
)


@pytest.fixture
def draft() -> PolicyVersion:
    """A draft that says nothing yet; the groups that it may name are there."""
    Group.objects.bulk_create(Group(name=name) for name in ("Privacy", "Legal", "Managers"))
    return world.draft_policy(world.published_schema())


def put(version: PolicyVersion, **values: object) -> PolicyVersion:
    PolicyVersion.objects.filter(pk=version.pk).update(**values)
    return PolicyVersion.objects.get(pk=version.pk)


TAKES_TWO, COMPLETE, IN_TIME = "clear_takes_two", "escalation_complete", "escalates_in_time"
MESSAGES = {
    TAKES_TWO: "approved by at least two persons",
    COMPLETE: "or neither",
    IN_TIME: "before the time for a decision is over",
}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"clear_release": True}, TAKES_TWO),
    ({"clear_release": True, "approvals_needed": 1}, TAKES_TWO),
    ({"escalate_minutes": 5}, COMPLETE),
    ({"escalate_to": ["Managers"]}, COMPLETE),
    ({"escalate_minutes": 60, "escalate_to": ["Managers"]}, IN_TIME),
    ({"escalate_minutes": 61, "escalate_to": ["Managers"]}, IN_TIME),
    ({"escalate_minutes": 0, "escalate_to": ["Managers"]}, IN_TIME),
    ({"escalate_minutes": 5, "escalate_to": ["Managers"], "valid_minutes": 5}, IN_TIME),
]
ALLOWED: list[dict[str, Any]] = [
    {},
    {"clear_release": True, "approvals_needed": 2},
    {"clear_release": False, "approvals_needed": 1},
    {"escalate_minutes": 59, "escalate_to": ["Managers"]},
    {"escalate_minutes": 1, "escalate_to": ["Managers"], "valid_minutes": 2},
    OPTIONS,
]


@pytest.mark.parametrize(("values", "constraint"), REFUSED)
def test_the_database_refuses_what_contradicts_itself(
    draft: PolicyVersion, values: dict[str, Any], constraint: str
) -> None:
    with pytest.raises(IntegrityError, match=f"policies_policyversion_{constraint}"), transaction.atomic():
        put(draft, **values)
    for name, value in values.items():
        setattr(draft, name, value)
    with pytest.raises(ValidationError, match=MESSAGES[constraint]):
        draft.validate_constraints()


@pytest.mark.parametrize("values", ALLOWED)
def test_the_database_takes_what_fits(draft: PolicyVersion, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(draft, name, value)
    draft.full_clean()
    draft.save()
    put(draft, **{"note": "saved", **values}).full_clean()


def test_groups_to_escalate_to_are_a_list_or_nothing_is(draft: PolicyVersion) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        put(draft, escalate_to=Value(None, JSONField()))


@pytest.mark.parametrize("value", ["Legal", {"a": 1}, [1], [""], [" "], ["Legal", "Legal"], ["x" * 151]])
@pytest.mark.parametrize("name", ["reviewers", "escalate_to"])
def test_groups_are_a_list_of_names(draft: PolicyVersion, name: str, value: object) -> None:
    setattr(draft, name, value)
    with pytest.raises(ValidationError) as refusal:
        draft.full_clean()
    assert name in refusal.value.message_dict


def test_an_escalation_has_limits(draft: PolicyVersion) -> None:
    draft.escalate_minutes, draft.escalate_to, draft.valid_minutes = 1441, ["Managers"], 1440
    with pytest.raises(ValidationError) as refusal:
        draft.full_clean()
    assert "escalate_minutes" in refusal.value.message_dict


def test_every_column_of_a_policy_version_is_frozen_and_every_setting_copied() -> None:
    columns = [field.column for field in PolicyVersion._meta.concrete_fields]
    assert set(triggers.VERSIONS["policies_policyversion"]) == set(columns) - {"state"}
    shared = {field.name for field in Version._meta.fields} | {"policy", "schema"}
    assert [field.name for field in PolicyVersion._meta.fields if field.name not in shared] == list(
        POLICY_SETTINGS
    )
    assert set(OPTIONS) <= set(POLICY_SETTINGS) and set(triggers.OF_0007) <= set(OPTIONS)


@pytest.mark.parametrize("name", triggers.OF_0007)
def test_what_is_published_is_frozen(draft: PolicyVersion, name: str) -> None:
    other = {"escalate_minutes": 20, "escalate_to": ["Legal"]}
    services.policy_version_publish(version=put(draft, **OPTIONS), by=None)
    with (
        pytest.raises(IntegrityError, match="published version cannot be changed"),
        transaction.atomic(),
    ):
        put(draft, **{name: other.get(name, False)})


def test_its_history_keeps_them_and_is_written_once(draft: PolicyVersion) -> None:
    for name, value in OPTIONS.items():
        setattr(draft, name, value)
    draft.save()
    last = history_of(PolicyVersion).filter(id=draft.pk).latest()
    assert {name: getattr(last, name) for name in OPTIONS} == OPTIONS
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        history_of(PolicyVersion).update(clear_release=False)


def test_they_are_compiled_and_survive_a_clone_and_a_rollback(draft: PolicyVersion) -> None:
    first = services.policy_version_publish(version=put(draft, **OPTIONS), by=None)
    assert compiler.policy_spec(first).holding == COMPILED
    second = services.policy_version_clone_to_draft(version=first, by=None)
    assert compiler.policy_spec(second).holding == COMPILED
    plain = put(second, **{name: PolicyVersion._meta.get_field(name).get_default() for name in OPTIONS})
    assert compiler.policy_spec(plain).holding == Holding()
    services.policy_version_publish(version=plain, by=None)
    first.refresh_from_db()
    back = services.policy_version_rollback(version=first, by=None)
    assert compiler.policy_spec(back).holding == COMPILED


DIFFERENT = {
    "who decides": ("–", "Privacy, Legal"),
    "approvals needed": ("1", "2"),
    "a call waits": ("50 seconds", "30 seconds"),
    "a decision may take, and an approval is valid": ("60 minutes", "90 minutes"),
    "others are asked": ("never", "after 15 minutes"),
    "who is asked then": ("–", "Managers"),
    "callers say what for": ("no", "yes"),
    "waiting streams are kept alive": ("no", "yes"),
    "what is approved leaves": ("with its transforms", "in clear"),
}


def test_two_versions_are_compared_by_them(draft: PolicyVersion) -> None:
    before = compiler.policy_spec(draft)
    (change,) = diff.policy_changes(before, compiler.policy_spec(put(draft, **OPTIONS)))
    assert change.what == "Settings"
    assert {what: (old, new) for what, old, new in change.lines} == DIFFERENT


def test_the_page_that_compares_shows_them(draft: PolicyVersion) -> None:
    first = services.policy_version_publish(version=draft, by=None)
    second = put(services.policy_version_clone_to_draft(version=first, by=None), **OPTIONS)
    client = Client()
    client.force_login(world.admin())
    page = client.get(reverse("admin:policies_policyversion_compare", args=[second.pk])).content.decode()
    for text in ("Who decides", "Managers", "in clear", "after 15 minutes"):
        assert text.lower() in page.lower()


def test_a_second_person_is_shown_them(draft: PolicyVersion) -> None:
    before = content.policy_texts(draft)
    seen = content.digest(draft)
    changed = put(draft, **OPTIONS)
    rows = {name: (old, new) for name, old, new in content.changes(before, content.policy_texts(changed))}
    assert rows["Releases in clear"] == ("No", "Yes")
    assert rows["Keeps streams alive"] == ("No", "Yes")
    assert rows["Purpose required"] == ("No", "Yes")
    assert rows["Escalate after"] == ("–", "15") and rows["Escalate to"] == ("–", "Managers")
    assert content.digest(changed) != seen


NOBODY = "Name who decides: under this policy a call can come to wait for a person."


@pytest.mark.parametrize("settings", [{"hold_score": 5}, {"opaque_gate": Gate.HOLD.value}, {}])
def test_a_policy_that_holds_names_who_decides(draft: PolicyVersion, settings: dict[str, Any]) -> None:
    if not settings:
        world.rule(draft, matcher="class", value="EMAIL", gate=Gate.HOLD.value)
    version = put(draft, **{"note": "holds", **settings})
    with pytest.raises(PublishRefused) as refusal:
        services.policy_version_publish(version=version, by=None)
    assert refusal.value.problems == (NOBODY,)
    services.policy_version_publish(version=put(draft, reviewers=["Privacy"]), by=None)


def test_a_group_that_does_not_exist_decides_nothing(draft: PolicyVersion) -> None:
    Group.objects.filter(name__in=["Legal", "Managers"]).delete()
    version = put(draft, **OPTIONS)
    assert services.policy_version_check(version=version) == [
        "There is no group “Legal”.",
        "There is no group “Managers”.",
    ]
    with pytest.raises(PublishRefused, match="no group “Legal”"):
        services.policy_version_publish(version=version, by=None)


def test_an_earlier_version_does_not_come_back_without_those_who_decide(draft: PolicyVersion) -> None:
    first = services.policy_version_publish(version=put(draft, **OPTIONS), by=None)
    second = services.policy_version_clone_to_draft(version=first, by=None)
    services.policy_version_publish(version=put(second, reviewers=["Privacy"]), by=None)
    Group.objects.get(name="Legal").delete()
    first.refresh_from_db()
    with pytest.raises(PublishRefused, match="no group “Legal”"):
        services.policy_version_rollback(version=first, by=None)


def test_a_schema_is_published_whoever_decides(draft: PolicyVersion) -> None:
    """A schema version asks whether policies can still be enforced; people come and go meanwhile."""
    services.policy_version_publish(version=put(draft, **OPTIONS), by=None)
    Group.objects.all().delete()
    schema_version = draft.schema.versions.get()
    again = services.schema_version_clone_to_draft(version=schema_version, by=None)
    assert services.schema_version_publish(version=again, by=None).state == State.PUBLISHED


def test_whoever_saves_a_draft_is_told_what_is_missing(draft: PolicyVersion) -> None:
    version = put(draft, hold_score=5)
    client = Client()
    client.force_login(world.admin())
    page = reverse("admin:policies_policyversion_change", args=[version.pk])
    rules = version.rules.get()
    posted = {
        **{name: getattr(version, name) for name in POLICY_SETTINGS if getattr(version, name) is not None},
        "schema": version.schema_id,
        "reviewers": "",
        "escalate_to": "",
        "_continue": "1",
        "rules-TOTAL_FORMS": 1,
        "rules-INITIAL_FORMS": 1,
        "rules-0-id": rules.pk,
        **{f"rules-0-{name}": getattr(rules, name) for name in ("name", "matcher", "value", "directions")},
        "rules-0-position": 0,
        "rules-0-gate": 0,
        "rules-0-weight": 0,
        "rules-0-version": version.pk,
        "rules-0-transform": "label",
    }
    for name in ("purpose_required", "keeps_alive", "clear_release"):
        del posted[name]
    answer = client.post(page, posted, follow=True)
    assert "Before it can be published: Name who decides" in answer.content.decode()
    answer = client.post(page, posted | {"reviewers": "Privacy"}, follow=True)
    assert "Before it can be published" not in answer.content.decode()


def test_the_columns_are_where_the_database_looks_for_them() -> None:
    """The trigger of each store names them; SQLite would only notice when it is used."""
    query = (
        "SELECT prosrc FROM pg_proc WHERE proname = 'policies_policyversion_frozen_update'"
        if connection.vendor == "postgresql"
        else "SELECT sql FROM sqlite_master WHERE name = 'policies_policyversion_frozen_update'"
    )
    with connection.cursor() as cursor:
        cursor.execute(query)
        ((source,),) = cursor.fetchall()
    assert all(name in source for name in triggers.OF_0007)

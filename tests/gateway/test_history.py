"""What the configuration was before, who changed it and why: complete, unchangeable and free of secrets."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.db import DatabaseError, connection, models, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from gateway import history_triggers as gateway_triggers
from gateway.access_rules import access_rule_save
from gateway.credentials.secret import Secret
from gateway.credentials.services import credential_move, credential_set, endpoint_attach
from gateway.identity.authz import role_grant
from gateway.identity.keys import api_key_revoke
from gateway.identity.membership import membership_set, membership_sources, permissions_set
from gateway.models import (
    AccessRule,
    ApiKey,
    Credential,
    CredentialVersion,
    Endpoint,
    MembershipChange,
    PermissionChange,
    ServiceAccount,
    Source,
    User,
)
from gateway.models import history as gateway_history
from gateway.services import lock_lift, lock_set
from policies import history_triggers, proposals, services
from policies.history import COPIED, acting, history_of
from policies.models import DataClass, Detector, SchemaVersion
from policies.models import history as policies_history
from tests.gateway import two, world

pytestmark = pytest.mark.django_db

CANARY = "sk-canary-0123456789"
GUARDED = (
    *history_triggers.TABLES,
    *gateway_triggers.TABLES,
    *gateway_triggers.PERMISSIONS,
    *gateway_triggers.WHO_CALLS,
    *gateway_triggers.WEBHOOKS,
    *gateway_triggers.ROTATION,
)
KEPT: tuple[type[models.Model], ...] = (*policies_history.KEPT, *gateway_history.KEPT)


def rows(row: models.Model) -> list[Any]:
    """A row's history, oldest first."""
    return list(history_of(type(row)).filter(id=row.pk).order_by("history_id"))


def told(row: models.Model) -> list[tuple[str, str]]:
    """(what, who) of each history row."""
    names = {user.pk: user.username for user in User.objects.all()}
    return [(each.history_type, names.get(each.history_user_id, "")) for each in rows(row)]


def test_before_after_and_who_are_kept_for_a_change_through_a_service() -> None:
    ada, rule = world.admin(), two.rule(world.endpoint(), world.published_policy())
    access_rule_save(rule=rule, by=None)
    rule.allowed_models = ["small"]
    access_rule_save(rule=rule, by=ada)
    assert [each.allowed_models for each in rows(rule)] == [[], ["small"]]
    assert told(rule) == [("+", ""), ("~", "ada")]


def test_before_after_and_who_are_kept_for_a_change_in_the_admin() -> None:
    ada, endpoint = world.admin(), world.endpoint()
    browser = Client()
    browser.force_login(ada)
    from tests.gateway.test_admin import form_of

    url = reverse("admin:gateway_endpoint_change", args=[endpoint.pk])
    browser.post(url, {**form_of(browser.get(url).content.decode()), "name": "Renamed"})
    assert [each.name for each in rows(endpoint)] == ["chat", "Renamed"]
    assert told(endpoint)[-1] == ("~", "ada")


def test_what_a_confirmed_proposal_changes_says_who_proposed_it_and_why() -> None:
    alice, bob = two.official("alice"), two.official("bob")
    endpoint = world.endpoint()
    two.guarded()
    proposal = proposals.propose(
        kind="endpoint.origin",
        target_id=endpoint.pk,
        payload={"origin": "https://new.example.com"},
        by=alice,
        reason="Moved house",
    )
    two.confirm(proposal, bob)
    latest = rows(endpoint)[-1]
    assert latest.history_user_id == bob.pk
    assert latest.history_change_reason == "Proposed by alice: Moved house"


def test_publishing_and_being_replaced_are_in_it() -> None:
    schema = world.published_schema()
    first = schema.versions.get()
    ada = world.admin()
    draft = services.schema_version_clone_to_draft(version=first, by=ada)
    services.schema_version_publish(version=draft, by=ada)
    assert [each.state for each in rows(first)] == ["draft", "published", "retired"]
    assert told(first)[-1] == ("~", "ada")
    assert [each.state for each in rows(draft)] == ["draft", "published"]


def test_a_cloned_data_class_that_is_edited_has_a_before() -> None:
    schema = world.published_schema()
    draft = services.schema_version_clone_to_draft(version=schema.versions.get(), by=None)
    badge = draft.classes.get(slug="BADGE")
    badge.level = 3
    badge.save()
    assert [(each.level, each.history_change_reason) for each in rows(badge)] == [(2, COPIED), (3, "")]


def test_statements_that_go_past_save_are_in_it() -> None:
    ada = world.admin()
    key, _ = world.key_of(ada)
    api_key_revoke(key=key, by=ada)
    assert [each.revoked_at is None for each in rows(key)] == [True, False]
    lock = lock_set(by=ada, reason="lost", user=ada)
    lock_lift(lock=lock, by=ada)
    assert [each.lifted_at is None for each in rows(lock)] == [True, False]
    credential, endpoint = world.credential(), world.endpoint()
    endpoint_attach(endpoint=endpoint, credential=credential, by=ada)
    credential_move(credential=credential, origin="https://new.example.com", by=ada)
    assert [each.credential_id for each in rows(endpoint)] == [None, credential.pk, None]


def test_a_sign_in_is_no_change() -> None:
    ada = world.admin()
    before = len(rows(ada))
    Client().force_login(ada)
    assert len(rows(ada)) == before


def test_what_the_system_does_in_somebodys_request_is_the_systems() -> None:
    ada = world.admin()
    with acting(ada, "by hand"), acting(None):
        group = Group.objects.create(name="g")
    assert told(group) == [("+", "")]


def test_deleting_is_in_it() -> None:
    draft = world.draft_schema()
    badge = draft.classes.get(slug="BADGE")
    kept = DataClass.objects.get(pk=badge.pk)
    draft.delete()
    assert [what for what, _ in told(kept)] == ["+", "-"]


@pytest.mark.parametrize("model", KEPT, ids=lambda model: model.__name__)
def test_every_history_table_is_guarded(model: type[models.Model]) -> None:
    tables = GUARDED
    assert history_of(model).model._meta.db_table in tables


def test_every_guarded_table_is_there() -> None:
    tables = {model._meta.db_table for model in apps.get_models()}
    assert set(GUARDED) <= tables


def test_history_is_written_once() -> None:
    schema, alice = world.published_schema(), world.person("alice")
    group = Group.objects.create(name="g")
    membership_set(member=alice, groups=[group], by=None)
    role_grant(group=group, role="publisher", by=None)
    permissions_set(holder=group, permissions=Permission.objects.all()[:1], by=None)
    for rows_of in (
        history_of(DataClass).all(),
        history_of(SchemaVersion).filter(schema_id=schema.pk),
        history_of(User).all(),
        history_of(Group).all(),
        MembershipChange.objects.all(),
        PermissionChange.objects.all(),
    ):
        assert rows_of.exists()
        name = "history_change_reason" if hasattr(rows_of.model, "history_id") else "reason"
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            rows_of.update(**{name: "rewritten"})
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            rows_of.delete()


def test_no_secret_is_in_any_history_row() -> None:
    ada = world.admin()
    ada.set_password(CANARY)
    ada.save()
    credential = world.credential()
    credential_set(credential=credential, secret=Secret(CANARY), by=ada)
    credential_set(credential=credential, secret=Secret(f"{CANARY}-2"), by=ada)
    key, plain = world.key_of(ada)
    sealed = [bytes(version.sealed) for version in CredentialVersion.objects.all()]
    hidden = [
        CANARY.encode(),
        plain.reveal().encode(),
        bytes(key.digest),
        bytes(key.digest).hex().encode(),
        ada.password.encode(),
        *sealed,
    ]
    seen = b"".join(_bytes(value) for value in _all_values())
    assert b"model key" in seen and key.prefix.encode() in seen
    assert [secret for secret in hidden if secret in seen] == []


def _all_values() -> list[object]:
    tables = GUARDED
    found: list[object] = []
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"SELECT * FROM {table}")
            found += [value for row in cursor.fetchall() for value in row]
    return found


def _bytes(value: object) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()


@pytest.mark.parametrize(
    ("model", "column"),
    [(User, "password"), (User, "last_login"), (ApiKey, "digest"), (CredentialVersion, "sealed")],
)
def test_history_tables_have_no_column_for_secrets(model: type[models.Model], column: str) -> None:
    assert column not in {field.name for field in history_of(model).model._meta.fields}


def test_who_joined_and_left_which_group_is_kept_with_its_source() -> None:
    ada, alice = world.admin(), world.person("alice")
    ward, support = (Group.objects.create(name=name) for name in ("ward", "support"))
    membership_set(member=alice, groups=[ward], by=None, source=Source.OIDC)
    membership_set(member=alice, groups=[support], by=ada)
    membership_set(member=alice, groups=[support], by=ada)
    assert [
        (row.group, row.joined, row.source, row.changed_by_id)
        for row in MembershipChange.objects.order_by("id")
    ] == [
        ("ward", True, "oidc", None),
        ("support", True, "manual", ada.pk),
        ("ward", False, "manual", ada.pk),
    ]
    assert membership_sources(alice) == {support.pk: Source.MANUAL}
    robot = ServiceAccount.objects.create(area=world.area(), name="robot", owner=ada)
    membership_set(member=robot, groups=[ward], by=ada)
    assert list(robot.groups.all()) == [ward]


def test_history_gives_nobody_a_permission_to_grant() -> None:
    from django.contrib.auth.models import Permission

    assert not Permission.objects.filter(content_type__model__startswith="historical").exists()


def test_publishing_and_cloning_does_not_ask_class_by_class() -> None:
    draft = services.schema_create(area_id=world.area().pk, slug="big", name="Big", by=None)
    classes = DataClass.objects.bulk_create(
        DataClass(version=draft, slug=f"C{n}", name=f"C{n}", position=n) for n in range(500)
    )
    Detector.objects.bulk_create(
        Detector(data_class=each, kind="terms", value=f"word{n}") for n, each in enumerate(classes)
    )
    with CaptureQueriesContext(connection) as asked:
        services.schema_version_publish(version=draft, by=None)
        copy = services.schema_version_clone_to_draft(version=draft, by=None)
    assert len(asked) < 100, len(asked)
    assert len(history_of(SchemaVersion).filter(id=draft.pk)) == 2
    assert copy.classes.count() == 500


def test_the_kept_models_are_those_of_the_configuration() -> None:
    assert {AccessRule, ApiKey, Credential, Endpoint, Group, User, ServiceAccount, Detector} <= set(KEPT)

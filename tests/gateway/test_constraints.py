"""Invariants that the database itself holds."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from gateway.models import AccessRule, Endpoint, Identity, Lock, Revision
from gateway.models.access_rule import validate_models
from tests.gateway import world

pytestmark = pytest.mark.django_db


def test_two_people_do_not_differ_by_case_only() -> None:
    world.person("alice")
    with pytest.raises(IntegrityError, match="username"), transaction.atomic():
        world.person("Alice")


def test_an_identity_belongs_to_one_person() -> None:
    for name in ("alice", "bob"):
        user = world.person(name)
        if name == "alice":
            Identity.objects.create(user=user, issuer="https://idp.example", subject="1")
    with pytest.raises(IntegrityError), transaction.atomic():
        Identity.objects.create(user=user, issuer="https://idp.example", subject="1")


def test_a_lock_has_one_target() -> None:
    alice, area = world.person("alice"), world.area()
    Lock.objects.create(user=alice, reason="lost laptop")
    for targets in ({}, {"user": alice, "area": area}):
        with pytest.raises(IntegrityError, match="one_target"), transaction.atomic():
            Lock.objects.create(reason="x", **targets)


def test_there_is_one_revision() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Revision.objects.create(id=2)


@pytest.mark.parametrize(
    "values",
    [{"ceiling": 9}, {"kind": "soap"}, {"max_body_bytes": 0}, {"connect_timeout": 0}],
)
def test_an_endpoint_outside_its_limits_is_not_stored(values: dict[str, object]) -> None:
    endpoint = world.endpoint()
    with pytest.raises(IntegrityError), transaction.atomic():
        Endpoint.objects.filter(pk=endpoint.pk).update(**values)


@pytest.mark.parametrize("path", ["v1", "/v1/", "/../admin", "/a/./b", "/a?b", "//", "/a b"])
def test_a_base_path_is_plain(path: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        Endpoint(**{**_endpoint(), "base_path": path}).full_clean()
    assert "base_path" in refusal.value.message_dict


def test_plain_http_is_for_private_addresses() -> None:
    values = {**_endpoint(), "origin": "http://models.example.com"}
    with pytest.raises(ValidationError) as refusal:
        Endpoint(**values).full_clean()
    assert "origin" in refusal.value.message_dict
    Endpoint(**values, allow_private=True).full_clean()


def test_an_access_rule_stays_in_one_area() -> None:
    policy = world.published_policy()
    elsewhere = world.endpoint("elsewhere", area=world.area("other"))
    rule = AccessRule(group=Group.objects.create(name="support"), endpoint=elsewhere, policy=policy)
    with pytest.raises(ValidationError, match="another area"):
        rule.full_clean()


@pytest.mark.parametrize("value", ["gpt", {"a": 1}, [1], [""], ["a", "a"], None])
def test_allowed_models_are_a_list_of_names(value: object) -> None:
    with pytest.raises(ValidationError):
        validate_models(value)


def _endpoint() -> dict[str, object]:
    return {"area": world.area(), "slug": "chat", "name": "Chat", "origin": world.ORIGIN}

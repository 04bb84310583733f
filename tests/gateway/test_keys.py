"""API keys: random, hashed, shown once, always ending."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from gateway.identity.keys import api_key_create, api_key_revoke, digest, has_shape
from gateway.identity.scope import KeyRefused
from gateway.models import ApiKey, ServiceAccount
from tests.gateway import world

pytestmark = pytest.mark.django_db


def test_only_the_digest_of_a_key_is_stored() -> None:
    row, key = world.key_of(world.person("alice"))
    assert has_shape(key.reveal()) and key.reveal().startswith(f"{row.prefix}_")
    stored = ApiKey.objects.get(digest=digest(key.reveal()))
    assert stored == row
    assert key.reveal().rsplit("_", 1)[1] not in str(vars(stored))


def test_keys_differ() -> None:
    alice = world.person("alice")
    assert len({world.key_of(alice)[1].reveal() for _ in range(20)}) == 20


@pytest.mark.parametrize("days", [-1, 0, 400])
def test_a_key_ends_and_soon_enough(days: int) -> None:
    with pytest.raises(KeyRefused):
        api_key_create(
            name="x", user=world.person("alice"), expires_at=timezone.now() + timedelta(days=days), by=None
        )


def test_a_key_belongs_to_one_person_or_one_service_account() -> None:
    alice = world.person("alice")
    batch = ServiceAccount.objects.create(area=world.area(), name="batch", owner=alice)
    soon = timezone.now() + timedelta(days=1)
    for owners in ({}, {"user": alice, "service_account": batch}):
        with pytest.raises(KeyRefused):
            api_key_create(name="x", expires_at=soon, by=None, **owners)
    row, _ = api_key_create(name="x", expires_at=soon, by=alice, service_account=batch)
    assert row.owner_name == "batch"
    with pytest.raises(IntegrityError, match="one_owner"), transaction.atomic():
        ApiKey.objects.update(user=alice)


def test_a_key_is_revoked_once() -> None:
    row, _ = world.key_of(world.person("alice"))
    assert api_key_revoke(key=row, by=None)
    assert not api_key_revoke(key=row, by=None)
    row.refresh_from_db()
    assert not row.is_valid_at(timezone.now())


@pytest.mark.parametrize(
    "text", ["", "pst_", "sk-123", "pst_abcdefgh_short", "pst_abcdefgh_" + "a" * 43 + "\n"]
)
def test_what_cannot_be_a_key_has_no_shape_of_one(text: str) -> None:
    assert not has_shape(text)


def test_any_text_has_a_digest() -> None:
    assert len(digest("pst_\udcff")) == 32

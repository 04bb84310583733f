"""The revision moves when configuration does, and only then: the proxy polls nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.utils import timezone

from gateway import triggers
from gateway.credentials.secret import Secret
from gateway.credentials.services import credential_set
from gateway.identity.keys import api_key_revoke
from gateway.models import AccessRule, Endpoint, Revision, ServiceAccount, User
from gateway.services import lock_lift, lock_set
from policies import services
from policies import triggers as policy_triggers
from tests.gateway import world

pytestmark = pytest.mark.django_db


def revision() -> int:
    """0 before the first change is counted, and after a test that emptied every table."""
    return Revision.objects.values_list("value", flat=True).first() or 0


class moves:
    """Checks that the block raised the revision, or did not."""

    def __init__(self, expected: bool = True) -> None:
        self._expected = expected

    def __enter__(self) -> None:
        self._before = revision()

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is None:
            assert (revision() > self._before) is self._expected


def test_it_moves_with_everything_that_a_call_depends_on() -> None:
    with moves():
        alice = world.person("alice")
    with moves():
        group = Group.objects.create(name="support")
    with moves():
        alice.groups.add(group)
    with moves():
        alice.groups.remove(group)
    with moves():
        endpoint = world.endpoint()
    with moves():
        Endpoint.objects.filter(pk=endpoint.pk).update(enabled=False)
    with moves():
        policy = world.published_policy()
    with moves():
        rule = AccessRule.objects.create(group=group, endpoint=endpoint, policy=policy)
    with moves():
        rule.delete()
    with moves():
        key, _ = world.key_of(alice)
    with moves():
        api_key_revoke(key=key, by=None)
    with moves():
        lock = lock_set(by=None, user=alice, reason="lost laptop")
    with moves():
        lock_lift(lock=lock, by=None)
    with moves():
        credential_set(credential=world.credential(), secret=Secret("sk-1"), by=None)
    with moves():
        batch = ServiceAccount.objects.create(area=world.area(), name="batch", owner=alice)
    with moves():
        batch.groups.add(group)
    with moves():
        User.objects.filter(pk=alice.pk).update(is_active=False)
    with moves():
        services.policy_version_publish(
            version=services.policy_version_clone_to_draft(version=policy.versions.get(), by=None), by=None
        )


def test_it_stays_when_somebody_signs_in() -> None:
    alice = world.person("alice")
    with moves(False):
        alice.last_login = timezone.now() + timedelta(seconds=1)
        alice.save(update_fields=["last_login"])


def test_it_stays_while_a_draft_is_edited() -> None:
    draft = world.draft_schema()
    with moves(False):
        world.data_class(draft, "CODE", world.DetectorKind.TERMS, "bluebird")
        draft.note = "adds project names"
        draft.save(update_fields=["note"])


def test_it_begins_again_after_its_row_was_lost() -> None:
    Revision.objects.all().delete()
    world.person("alice")
    assert revision() > 0


def test_every_trigger_is_there_and_can_be_taken_away_and_put_back() -> None:
    expected = {name for _, name in triggers.names() + policy_triggers.names()}
    assert expected <= _present()
    with connection.schema_editor() if connection.vendor == "postgresql" else _no_checks() as editor:
        for module in (triggers, policy_triggers):
            module.drop(editor)
        assert not expected & _present()
        for module in (triggers, policy_triggers):
            module.install(editor)
    assert expected <= _present()


def _no_checks() -> object:
    """SQLite's editor wants foreign keys off, which no open transaction can do; the triggers need neither."""
    from contextlib import nullcontext

    return nullcontext(connection.SchemaEditorClass(connection, atomic=False))


def _present() -> set[str]:
    query = (
        "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
        if connection.vendor == "postgresql"
        else "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    )
    with connection.cursor() as cursor:
        cursor.execute(query)
        return {str(row[0]) for row in cursor.fetchall()}

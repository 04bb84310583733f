"""A policy that keeps originals says so as it says all else: frozen, compared, compiled, in its history."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from policies import compiler, services
from policies.diff import policy_changes
from policies.history import history_of
from policies.models import PolicyVersion
from tests.gateway import world

pytestmark = pytest.mark.django_db


def published(*, keeps: bool) -> PolicyVersion:
    draft = world.draft_policy(world.published_schema())
    draft.keeps_original = keeps
    draft.save()
    return services.policy_version_publish(version=draft, by=None)


def test_none_are_kept_unless_somebody_says_so() -> None:
    draft = world.draft_policy(world.published_schema())
    assert not draft.keeps_original and not compiler.policy_spec(draft).keeps_original


def test_it_is_compiled_and_survives_a_clone() -> None:
    version = published(keeps=True)
    assert compiler.policy_spec(version).keeps_original
    again = services.policy_version_clone_to_draft(version=version, by=None)
    assert again.keeps_original


def test_a_published_version_cannot_begin_to_keep_them() -> None:
    version = published(keeps=False)
    with (
        pytest.raises(IntegrityError, match="published version cannot be changed"),
        transaction.atomic(),
    ):
        PolicyVersion.objects.filter(pk=version.pk).update(keeps_original=True)


def test_comparing_versions_shows_it_and_so_does_the_history() -> None:
    version = published(keeps=False)
    draft = services.policy_version_clone_to_draft(version=version, by=None)
    draft.keeps_original = True
    draft.save()
    (change,) = policy_changes(compiler.policy_spec(version), compiler.policy_spec(draft))
    assert [(line.what, line.before, line.after) for line in change.lines] == [
        ("originals are kept, sealed", "no", "yes")
    ]
    assert history_of(PolicyVersion).filter(id=draft.pk).latest().keeps_original

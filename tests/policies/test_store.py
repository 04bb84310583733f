"""Compiled policies: never of a draft, made once, and quick to make again from disk."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from django.conf import settings

from policies import services, store
from policies.database_cache import DatabaseCache
from policies.models import PolicyVersion, State
from tests.gateway import world


@pytest.mark.django_db
def test_a_policy_without_a_published_version_is_not_in_force() -> None:
    draft = world.draft_policy(world.published_schema())
    with pytest.raises(store.NotInForce):
        store.load_policy(draft.policy_id)


@pytest.mark.django_db
def test_a_policy_whose_rules_no_longer_fit_is_not_in_force() -> None:
    """However it came about: judging by rules that cannot match would let things pass."""
    schema = world.published_schema()
    draft = world.draft_policy(schema)
    world.rule(draft, matcher="class", value="GONE", gate=3)
    PolicyVersion.objects.filter(pk=draft.pk).update(
        state=State.PUBLISHED, published_at=draft.created_at, effective_at=draft.created_at
    )
    with pytest.raises(store.NotInForce, match="GONE"):
        store.load_policy(draft.policy_id)


@pytest.mark.django_db
def test_a_draft_is_never_stored() -> None:
    schema = world.published_schema()
    with pytest.raises(ValueError, match="draft"):
        store.load_versions(world.draft_policy(schema), schema.versions.get())


@pytest.mark.django_db
def test_the_same_versions_are_compiled_once() -> None:
    policy = world.published_policy()
    assert store.load_policy(policy.pk) is store.load_policy(policy.pk)
    spec = store.load_policy(policy.pk).spec
    assert spec.version_id == str(policy.versions.get().pk)
    assert (spec.number, spec.name) == (1, "House")


@pytest.mark.django_db
def test_compiled_patterns_are_kept_on_disk_for_their_owner_only() -> None:
    world.published_schema("kept")
    files = list((Path(settings.CACHE_DIR) / "patterns").iterdir())
    assert files
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_what_was_cached_comes_back_to_the_same_key_only(tmp_path: Path) -> None:
    DatabaseCache(tmp_path, b"key")[b"content"] = b"compiled"
    assert DatabaseCache(tmp_path, b"key")[b"content"] == b"compiled"
    assert DatabaseCache(tmp_path, b"another key").get(b"content") is None
    assert DatabaseCache(tmp_path, b"key").get(b"other content") is None


def test_a_changed_file_counts_as_absent(tmp_path: Path) -> None:
    cache = DatabaseCache(tmp_path, b"key")
    cache[b"content"] = b"compiled"
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    assert cache.get(b"content") is None


def test_a_directory_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = DatabaseCache(tmp_path / "file" / "below", b"key")
    cache[b"content"] = b"compiled"
    assert cache.get(b"content") is None


@pytest.mark.django_db
def test_words_for_the_record_are_masked_by_the_library_and_by_every_schema_in_force() -> None:
    world.published_schema()
    scrubbed = services.scrub("ask bob@example.com about badge B-123456 and 4111 1111 1111 1111")
    assert scrubbed.data == b"ask [EMAIL] about badge [BADGE] and [CARD]"
    assert b"EMAIL" in scrubbed.marks and b"bob" not in scrubbed.marks

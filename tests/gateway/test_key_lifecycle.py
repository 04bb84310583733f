"""Keys from the first day to the last: made with a scope, rotated, revoked, leaked; service accounts too."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.utils import timezone

from audit.models import Entry
from gateway.credentials.secret import Secret
from gateway.identity import keys, leaks, rotation
from gateway.identity.accounts import service_account_change, service_account_create
from gateway.identity.keys import Because, KeyState, api_key_create, api_key_revoke, digest, state_of
from gateway.identity.personal import personal_key_create, personal_keys_end
from gateway.identity.rotation import api_key_rotate
from gateway.identity.scope import KeyRefused, KeyScope, scope_checked
from gateway.models import ApiKey, Deployment, KeyKind, Revision, ServiceAccount, User
from gateway.proxy import snapshot
from gateway.proxy.errors import ProxyError, Unauthenticated
from policies.history import history_of
from tests.gateway import world

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture
def alice() -> User:
    return world.person("alice", group="support")


def made(alice: User, **more: Any) -> tuple[ApiKey, Secret]:
    return api_key_create(
        **{"name": "laptop", "user": alice, "expires_at": timezone.now() + 30 * DAY, "by": alice, **more}
    )


def caller(secret: Secret) -> Any:
    return snapshot.build(snapshot.revision()).caller(digest(secret.reveal()), time.time())


def events(name: str) -> list[dict[str, Any]]:
    found = [json.loads(bytes(entry.meta)) for entry in Entry.objects.filter(kind="event").order_by("id")]
    return [meta["detail"] for meta in found if meta["event"] == name]


# --- making ---------------------------------------------------------------------------------------------


def test_the_deployment_says_how_long_a_key_may_live(alice: User) -> None:
    Deployment.objects.create(key_max_days=7)
    with pytest.raises(KeyRefused, match="7 days"):
        made(alice)
    row, _ = made(alice, expires_at=timezone.now() + 7 * DAY)
    Deployment.objects.update(key_max_days=1)
    assert row.is_valid_at(timezone.now() + 6 * DAY)  # keys that exist keep their end


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ({"groups": ["clinic"]}, "alice is not in clinic"),
        ({"endpoints": ["nowhere"]}, "no endpoint nowhere"),
        ({"models": [""]}, "list of model names"),
        ({"models": ["m", "m"]}, "named twice"),
        ({"networks": ["10.0.0.1/8"]}, "address ranges"),
        ({"networks": ["here"]}, "address ranges"),
        ({"models": [f"m{n}" for n in range(101)]}, "at most 100"),
    ],
)
def test_a_scope_that_makes_no_sense_is_refused(alice: User, scope: dict[str, Any], words: str) -> None:
    groups = [Group.objects.get_or_create(name=name)[0] for name in scope.pop("groups", ())]
    with pytest.raises(KeyRefused, match=words):
        scope_checked(holder=alice, groups=groups, **scope)


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "two\nlines", "pst_abcdefgh_" + "a" * 43])
def test_a_name_says_what_the_key_is_for_and_is_none(alice: User, name: str) -> None:
    with pytest.raises(KeyRefused):
        made(alice, name=name)


def test_nobody_heaps_up_keys(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MOST", 2)
    first, _ = made(alice)
    made(alice)
    with pytest.raises(KeyRefused, match="2 living keys"):
        made(alice)
    api_key_revoke(key=first, by=alice)
    made(alice)
    made(world.person("bob"))


def test_the_event_names_the_scope(alice: User) -> None:
    world.endpoint("chat")
    made(alice, scope=scope_checked(holder=alice, endpoints=["chat"], networks=["10.0.0.0/8"]))
    assert (
        events("api_key.created")[-1] | {"allowed_endpoints": ["chat"], "networks": ["10.0.0.0/8"]}
        == (events("api_key.created")[-1])
    )


@pytest.mark.parametrize(
    ("left", "kind", "state"),
    [
        (15 * DAY, KeyKind.STANDARD, KeyState.ACTIVE),
        (14 * DAY, KeyKind.STANDARD, KeyState.EXPIRING),
        (timedelta(hours=1), KeyKind.PERSONAL, KeyState.ACTIVE),
        (timedelta(0), KeyKind.PERSONAL, KeyState.EXPIRED),
    ],
)
def test_a_key_says_how_it_stands(left: timedelta, kind: KeyKind, state: KeyState) -> None:
    now = timezone.now()
    assert state_of(ApiKey(expires_at=now + left, kind=kind), now) is state
    assert state_of(ApiKey(expires_at=now + left, kind=kind, revoked_at=now), now) is KeyState.REVOKED


# --- rotating -------------------------------------------------------------------------------------------


def test_a_successor_has_the_same_scope_and_both_work_for_a_while(alice: User) -> None:
    world.endpoint("chat")
    scope = scope_checked(
        holder=alice, groups=alice.groups.all(), endpoints=["chat"], models=["m"], networks=["10.0.0.0/8"]
    )
    old, old_secret = made(alice, scope=scope, declared_level=1)
    new, new_secret = api_key_rotate(key=old, by=alice, overlap=timedelta(hours=2))
    old.refresh_from_db()
    assert (KeyScope.of(new), new.declared_level, new.name, new.user) == (scope, 1, "laptop", alice)
    assert new.rotated_from == old
    assert timedelta(hours=1) < old.expires_at - timezone.now() <= timedelta(hours=2)
    assert timedelta(days=29) < new.expires_at - timezone.now() <= timedelta(days=30)
    assert caller(old_secret).account == caller(new_secret).account
    assert events("api_key.rotated")[-1]["successor"] == new.prefix
    assert history_of(ApiKey).filter(id=old.pk).count() == 2


def test_without_an_overlap_the_old_key_ends_at_once(alice: User) -> None:
    old, secret = made(alice)
    api_key_rotate(key=old, by=alice, overlap=timedelta(0))
    with pytest.raises(Unauthenticated):
        caller(secret)


def test_rotating_never_lets_an_old_key_live_longer(alice: User) -> None:
    old, _ = made(alice, expires_at=timezone.now() + timedelta(hours=1))
    before = old.expires_at
    api_key_rotate(key=old, by=alice, overlap=timedelta(days=3))
    old.refresh_from_db()
    assert old.expires_at == before


def test_a_key_has_one_successor(alice: User) -> None:
    old, _ = made(alice)
    new, _ = api_key_rotate(key=old, by=alice)
    with pytest.raises(KeyRefused, match=new.prefix):
        api_key_rotate(key=old, by=alice)
    api_key_revoke(key=new, by=alice)
    api_key_rotate(key=old, by=alice)


def test_what_has_ended_or_lives_for_hours_is_not_rotated(alice: User) -> None:
    gone, _ = made(alice)
    api_key_revoke(key=gone, by=alice)
    personal, _ = personal_key_create(user=alice, by=alice)
    for key in (gone, personal):
        with pytest.raises(KeyRefused):
            api_key_rotate(key=key, by=alice)
    for overlap in (timedelta(seconds=-1), rotation.LONGEST_OVERLAP + DAY):
        with pytest.raises(KeyRefused, match="30 days"):
            api_key_rotate(key=made(alice)[0], by=alice, overlap=overlap)


# --- revoking and leaks ---------------------------------------------------------------------------------


def test_a_revoked_key_says_why(alice: User) -> None:
    row, _ = made(alice)
    assert api_key_revoke(key=row, by=alice, because=Because.MISUSED)
    row.refresh_from_db()
    assert row.revoked_because == "misused"
    assert events("api_key.revoked")[-1]["because"] == "misused"


def test_every_key_in_a_pasted_text_is_found(alice: User) -> None:
    whole, secret = made(alice)
    bare, bare_secret = made(alice)
    wrong, wrong_secret = made(alice)
    other, _ = made(alice)
    half = bare_secret.reveal()[:20]
    forged = wrong_secret.reveal()[:-1] + ("a" if wrong_secret.reveal()[-1] != "a" else "b")
    lines = [f"KEY='{secret.reveal()}'", f"x-api-key:{half}…", wrong.prefix, forged, "pst_00000000"]
    text = "\n".join(lines)
    found = leaks.leaked_keys(text, among=ApiKey.objects.all())
    assert (found[0].key, found[0].whole) == (whole, True)
    assert {leaked.key for leaked in found if not leaked.whole} == {bare, wrong}
    assert other not in {leaked.key for leaked in found}
    assert leaks.leaked_keys(secret.reveal() + "trailing", among=ApiKey.objects.all())[0].whole


def test_leaked_keys_are_revoked_together_with_an_event_each(alice: User) -> None:
    rows = [made(alice)[0] for _ in range(3)]
    api_key_revoke(key=rows[0], by=alice)
    assert leaks.leak_respond(keys=rows, by=alice) == rows[1:]
    assert [each["prefix"] for each in events("api_key.revoked") if each["because"] == "leaked"] == [
        row.prefix for row in rows[1:]
    ]
    assert ApiKey.objects.filter(revoked_at=None).count() == 0


def test_a_huge_paste_is_refused() -> None:
    for text in ("x" * (leaks.LARGEST + 1), " ".join(f"pst_{n:08d}" for n in range(leaks.MOST + 1))):
        with pytest.raises(leaks.TooMuch):
            leaks.leaked_keys(text, among=ApiKey.objects.all())


# --- personal keys --------------------------------------------------------------------------------------


def test_a_personal_key_lives_for_hours_and_carries_its_holders_groups(alice: User) -> None:
    row, secret = personal_key_create(user=alice, by=alice)
    assert timedelta(hours=11) < row.expires_at - timezone.now() <= timedelta(hours=12)
    assert (row.kind, caller(secret).groups) == (KeyKind.PERSONAL, ("support",))
    Deployment.objects.create(personal_key_hours=2)
    with pytest.raises(KeyRefused, match="1 to 2 hours"):
        personal_key_create(user=alice, by=alice, hours=3)
    assert personal_key_create(user=alice, by=alice)[0].expires_at <= timezone.now() + timedelta(hours=2)


def test_deactivating_a_person_ends_what_they_minted(alice: User) -> None:
    _, secret = personal_key_create(user=alice, by=alice)
    alice.is_active = False
    alice.save()
    with pytest.raises(ProxyError) as refusal:
        caller(secret)
    assert refusal.value.code == "caller_locked"
    with pytest.raises(KeyRefused):
        personal_key_create(user=alice, by=alice)


def test_signing_out_everywhere_ends_personal_keys_and_no_others(alice: User) -> None:
    personal, _ = personal_key_create(user=alice, by=alice)
    standard, _ = made(alice)
    bobs, _ = personal_key_create(user=world.person("bob"), by=None)
    assert personal_keys_end(user=alice, by=alice) == [personal]
    personal.refresh_from_db()
    assert personal.revoked_because == "signed_out"
    others = ApiKey.objects.filter(pk__in=[standard.pk, bobs.pk])
    assert [row.is_valid_at(timezone.now()) for row in others] == [True, True]


# --- service accounts -----------------------------------------------------------------------------------


def account(alice: User, name: str = "nightly") -> ServiceAccount:
    support = Group.objects.get(name="support")
    return service_account_create(area=world.area(), name=name, owner=alice, groups=[support], by=alice)


def test_a_closed_owner_stops_the_keys_of_their_programs(alice: User) -> None:
    nightly = account(alice)
    _, secret = made(alice, user=None, service_account=nightly)
    assert caller(secret).groups == ("support",)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    with pytest.raises(ProxyError) as refusal:
        caller(secret)
    assert refusal.value.code == "caller_locked"
    service_account_change(account=nightly, owner=world.person("bob"), by=None)
    assert caller(secret).name == "nightly"


def test_handing_an_account_over_is_on_record(alice: User) -> None:
    nightly, bob = account(alice), world.person("bob")
    changed = service_account_change(account=nightly, owner=bob, by=alice)
    assert changed.owner == bob
    assert events("serviceaccount.owner_changed") == [{"name": "nightly", "from": "alice", "to": "bob"}]
    before = Entry.objects.count()
    service_account_change(account=nightly, owner=bob, by=alice)
    assert Entry.objects.count() == before


def test_an_owner_has_to_be_there(alice: User) -> None:
    gone = world.person("gone", is_active=False)
    with pytest.raises(ValidationError, match="active"):
        service_account_change(account=account(alice), owner=gone, by=alice)
    with pytest.raises(ValidationError, match="active"):
        service_account_create(area=world.area(), name="late", owner=gone, by=alice)
    with pytest.raises(ValidationError):
        account(alice)  # the name is taken


def test_closing_an_account_stops_its_keys_and_opening_it_starts_them(alice: User) -> None:
    nightly = account(alice)
    _, secret = made(alice, user=None, service_account=nightly)
    service_account_change(account=nightly, is_active=False, by=alice)
    with pytest.raises(ProxyError):
        caller(secret)
    service_account_change(account=nightly, is_active=True, by=alice)
    assert caller(secret)


def test_changing_a_scope_column_moves_the_revision_and_last_use_does_not(alice: User) -> None:
    row, _ = made(alice)
    value = Revision.objects.get().value
    ApiKey.objects.filter(pk=row.pk).update(last_used_at=timezone.now(), last_used_from="192.0.2.1")
    assert Revision.objects.get().value == value
    ApiKey.objects.filter(pk=row.pk).update(allowed_models=["m"])
    assert Revision.objects.get().value > value

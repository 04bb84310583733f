"""What a directory may not do, whom it finds, and who wins where a directory, a sign-in and a hand meet."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from audit.models import Entry
from gateway.identity.directory import NotThere, Taken, Unfit, person_save
from gateway.identity.directory_groups import (
    group_hand_over,
    group_take_back,
    person_hand_over,
    person_take_back,
)
from gateway.identity.directory_tokens import (
    TokenRefused,
    directory_token_create,
    directory_token_replace,
    directory_token_revoke,
)
from gateway.identity.membership import KeptByDirectory, group_delete, membership_set, membership_sources
from gateway.identity.people import person_vouched
from gateway.models import (
    AccessRule,
    DirectoryGroup,
    DirectoryToken,
    DirectoryUser,
    GroupMapping,
    Identity,
    MembershipChange,
    SignIn,
    Source,
    User,
)
from tests.gateway import world as console
from tests.scim import world
from tests.scim.world import Pushing

pytestmark = pytest.mark.django_db


@pytest.fixture
def entra() -> Pushing:
    return Pushing(world.directory("Entra")[1])


# --- who comes in -------------------------------------------------------------------------------------


def test_only_a_token_in_force_comes_in() -> None:
    ada = console.admin()
    row, token = world.directory()
    assert Pushing(token).call("GET", "/Users")[0] == 200
    row.refresh_from_db()
    assert row.last_used_at is not None
    for other in (
        "",
        token[:-1],
        token + "x",
        token.replace("pds_", "pst_"),
        "pds_" + "a" * 8 + "_" + "b" * 43,
    ):
        status, found = Pushing(other).call("GET", "/Users")
        assert (status, found["status"]) == (401, "401")
    _, key = console.key_of(ada)
    assert Pushing(key.reveal()).call("GET", "/Users")[0] == 401
    assert directory_token_revoke(directory=row, by=ada)
    assert not directory_token_revoke(directory=row, by=ada)
    assert Pushing(token).call("GET", "/Users")[0] == 401


def test_a_token_ends_and_is_replaced() -> None:
    row, token = world.directory()
    fresh = directory_token_replace(directory=row, expires_at=timezone.now() + timedelta(days=1), by=None)
    assert Pushing(token).call("GET", "/Users")[0] == 401
    assert Pushing(fresh.reveal()).call("GET", "/Users")[0] == 200
    DirectoryToken.objects.update(expires_at=timezone.now())
    assert Pushing(fresh.reveal()).call("GET", "/Users")[0] == 401
    for days in (0, 400):
        with pytest.raises(TokenRefused):
            until = timezone.now() + timedelta(days=days)
            directory_token_create(name="x", expires_at=until, by=None)


def test_a_signed_in_administrator_is_no_directory() -> None:
    client = Client()
    client.force_login(console.admin())
    response = client.get("/scim/v2/Users")
    assert (response.status_code, response["WWW-Authenticate"]) == (401, 'Bearer realm="Postern"')


def test_guessing_is_slowed_and_the_directory_is_not() -> None:
    _, token = world.directory()
    statuses = [Pushing("wrong").call("GET", "/Users")[0] for _ in range(40)]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert Pushing(token).call("GET", "/Users")[0] == 200


def test_a_token_is_kept_as_a_digest_only() -> None:
    _, token = world.directory()
    Pushing(token).person("alice")
    secret = token.rpartition("_")[2].encode()
    rows = b"".join(bytes(meta) for meta in Entry.objects.values_list("meta", flat=True))
    assert b"directory.added" in rows
    assert secret not in rows


# --- whom a directory touches ---------------------------------------------------------------------------


def test_somebody_who_is_here_already_is_not_taken_over_by_name(entra: Pushing) -> None:
    alice = console.person("alice")
    status, found = entra.call("GET", "/Users", filter='userName eq "alice"')
    assert found["totalResults"] == 0
    for name in ("alice", "ALICE", "ａｌｉｃｅ", "аlісе"):
        status, found = entra.call("POST", "/Users", {"schemas": [], "userName": name})
        assert status in (400, 409), name
    status, found = entra.call(
        "POST", "/Users", {"schemas": [f"{world.CORE}:User"], "userName": "alice", "active": False}
    )
    assert (status, found["scimType"]) == (409, "uniqueness")
    assert User.objects.get(pk=alice.pk).is_active
    where = f"/Users/{alice.pk}"
    for method, body in (("GET", None), ("PUT", {"userName": "x"}), ("DELETE", None)):
        assert entra.call(method, where, body)[0] == 404


def test_an_administrator_hands_somebody_over_and_takes_them_back(entra: Pushing) -> None:
    ada, alice = console.admin(), console.person("alice")
    directory = DirectoryToken.objects.get()
    kept = person_hand_over(user=alice, directory=directory, by=ada)
    found = entra.call("GET", "/Users", filter='userName eq "Alice"')[1]
    assert [each["id"] for each in found["Resources"]] == [str(alice.pk)]
    with pytest.raises(Taken):
        person_hand_over(user=alice, directory=directory, by=ada)
    with pytest.raises(Unfit, match="superuser"):
        person_hand_over(user=ada, directory=directory, by=ada)
    person_take_back(kept=kept, by=ada)
    assert entra.call("GET", f"/Users/{alice.pk}")[0] == 404


def test_no_request_makes_a_superuser_or_sets_a_password(entra: Pushing) -> None:
    alice = entra.person(
        "alice", is_superuser=True, isStaff=True, password="let me in", roles=[{"value": "admin"}]
    )
    entra.patch(
        f"/Users/{alice['id']}",
        {"op": "add", "value": {"is_superuser": True, "password": "x", "roles": [{"value": "admin"}]}},
        {"op": "replace", "path": "password", "value": "x"},
    )
    person = User.objects.get(username="alice")
    assert not (person.is_staff or person.is_superuser or person.has_usable_password())


def test_two_directories_do_not_share_a_person(entra: Pushing) -> None:
    okta = Pushing(world.directory("Okta")[1])
    alice = entra.person("alice", externalId="7")
    assert okta.call("POST", "/Users", {"schemas": [f"{world.CORE}:User"], "userName": "Alice"})[0] == 409
    assert okta.call("GET", f"/Users/{alice['id']}")[0] == 404
    assert okta.call("GET", "/Users")[1]["totalResults"] == 0
    bob = okta.person("bob", externalId="7")
    status, found = okta.call(
        "POST", "/Users", {"schemas": [f"{world.CORE}:User"], "userName": "c", "externalId": "7"}
    )
    assert (status, found["scimType"]) == (409, "uniqueness")
    ward = entra.group("Ward")
    status, found = entra.patch(
        f"/Groups/{ward['id']}", {"op": "add", "path": "members", "value": [{"value": bob["id"]}]}
    )
    assert (status, found["scimType"]) == (400, "invalidValue")
    kept = DirectoryUser.objects.get(user__username="alice")
    other = DirectoryToken.objects.get(name="Okta")
    with pytest.raises(NotThere):
        person_save(directory=other, kept=kept, facts=None)  # type: ignore[arg-type]  # not looked at


def test_whoever_signed_in_before_the_directory_came_is_found_by_the_issuers_id() -> None:
    """And by nothing else: the name that the sign-in made up is replaced by the directory's."""
    issuer = world.issuer()
    alice = person_vouched(issuer=issuer, subject="0a21", name="A", values=None, source=Source.OIDC)
    entra = Pushing(world.directory("Entra", issuer)[1])
    found = entra.person("alice@corp.example", externalId="0a21")
    assert found["id"] == str(alice.pk)
    assert User.objects.get(pk=alice.pk).username == "alice@corp.example"


def test_signing_in_finds_whom_the_directory_pushed_and_nobody_it_let_go() -> None:
    issuer = world.issuer()
    entra = Pushing(world.directory("Entra", issuer)[1])
    alice = entra.person("alice", externalId="0a21")
    again = person_vouched(issuer=issuer, subject="0a21", name="A", values=None, source=Source.TOKEN)
    assert str(again.pk) == alice["id"]
    entra.call("DELETE", f"/Users/{alice['id']}")
    with pytest.raises(Exception, match="inactive"):
        person_vouched(issuer=issuer, subject="0a21", name="A", values=None, source=Source.TOKEN)
    assert User.objects.count() == 1


def test_another_external_id_ends_the_identity_before() -> None:
    issuer = world.issuer()
    entra = Pushing(world.directory("Entra", issuer)[1])
    alice = entra.person("alice", externalId="wrong")
    entra.patch(f"/Users/{alice['id']}", {"op": "replace", "path": "externalId", "value": "right"})
    assert list(Identity.objects.values_list("subject", flat=True)) == ["right"]
    bob = entra.person("bob", externalId="bob")
    status, _ = entra.patch(f"/Users/{bob['id']}", {"op": "replace", "path": "externalId", "value": "right"})
    assert status == 409
    assert Identity.objects.get(subject="bob").user == User.objects.get(username="bob")


def test_whoever_was_switched_off_by_hand_is_not_brought_back_by_a_directory() -> None:
    issuer = world.issuer()
    alice = person_vouched(issuer=issuer, subject="0a21", values=None, source=Source.OIDC)
    alice.is_active = False
    alice.save()
    entra = Pushing(world.directory("Entra", issuer)[1])
    body = {"schemas": [f"{world.CORE}:User"], "userName": "alice", "externalId": "0a21", "active": True}
    assert entra.call("POST", "/Users", body)[0] == 409
    assert not User.objects.get(pk=alice.pk).is_active
    person_hand_over(user=alice, directory=DirectoryToken.objects.get(), by=None)
    status, _ = entra.patch(f"/Users/{alice.pk}", {"op": "replace", "path": "active", "value": True})
    assert status == 200


def test_a_directory_makes_nobody_else_of_whom_the_issuer_vouched_for() -> None:
    """Else its token would let a newcomer sign in as any person that it keeps."""
    issuer = world.issuer()
    row, token = world.directory("Entra", issuer)
    entra = Pushing(token)
    alice = entra.person("alice", externalId="0a21")
    person_vouched(issuer=issuer, subject="0a21", values=None, source=Source.OIDC)
    bob = person_vouched(issuer=issuer, subject="0b0b", username="bob", values=None, source=Source.OIDC)
    person_hand_over(user=bob, directory=row, by=None)
    for each in (alice["id"], bob.pk):
        for subject in ("mallory", ""):
            change = {"op": "replace", "path": "externalId", "value": subject}
            status, _ = entra.patch(f"/Users/{each}", change)
            assert status == 409 or (each == bob.pk and not subject)
    assert set(Identity.objects.values_list("subject", flat=True)) == {"0a21", "0b0b"}
    status, _ = entra.patch(f"/Users/{bob.pk}", {"op": "add", "path": "externalId", "value": "0b0b"})
    assert status == 200


def test_whoever_is_switched_off_is_signed_out_for_good(entra: Pushing) -> None:
    alice = entra.person("alice")
    person = User.objects.get(username="alice")
    client = Client()
    client.force_login(person)
    row = SignIn.objects.get(user=person)
    where = f"/Users/{alice['id']}"
    assert client.get("/").status_code == 200
    entra.patch(where, {"op": "replace", "path": "active", "value": False})
    assert client.get("/").status_code == 302
    row.refresh_from_db()
    assert (row.ended_at is not None, row.ended_because) == (True, "deactivated by the directory")
    entra.patch(where, {"op": "replace", "path": "active", "value": True})
    assert client.get("/").status_code == 302, "the old session does not come back with the person"
    assert not Session.objects.filter(session_key=row.session_key).exists()


def test_keys_of_whoever_is_let_go_are_revoked(entra: Pushing) -> None:
    alice = entra.person("alice")
    key, _ = console.key_of(User.objects.get(username="alice"))
    entra.call("DELETE", f"/Users/{alice['id']}")
    key.refresh_from_db()
    assert key.revoked_at is not None


def test_each_act_is_an_event_that_names_the_directory(entra: Pushing) -> None:
    alice = entra.person("alice")
    entra.patch(f"/Users/{alice['id']}", {"op": "replace", "path": "active", "value": False})
    ward = entra.group("Ward", alice["id"])
    entra.call("DELETE", f"/Groups/{ward['id']}")
    entra.call("DELETE", f"/Users/{alice['id']}")
    events = "".join(
        bytes(meta).decode("utf-8", "replace") for meta in Entry.objects.values_list("meta", flat=True)
    )
    for action in (
        "person_added",
        "person_changed",
        "person_deactivated",
        "person_removed",
        "group_added",
        "group_removed",
    ):
        assert f"directory.{action}" in events
    change = MembershipChange.objects.filter(joined=True).get()
    assert (change.source, change.changed_by_id, change.reason) == ("scim", None, "Directory Entra")


# --- groups ------------------------------------------------------------------------------------------------


def test_a_group_that_is_here_already_is_handed_over_by_an_administrator_only(entra: Pushing) -> None:
    ada, alice = console.admin(), entra.person("alice")
    bob = console.person("bob", group="Nurses")
    group = Group.objects.get(name="Nurses")
    body = {"schemas": [f"{world.CORE}:Group"], "displayName": "nurses", "members": [{"value": alice["id"]}]}
    status, found = entra.call("POST", "/Groups", body)
    assert (status, found["scimType"]) == (409, "uniqueness")
    assert not User.objects.get(username="alice").groups.exists()
    other = entra.group("Others")
    status, _ = entra.patch(
        f"/Groups/{other['id']}", {"op": "replace", "path": "displayName", "value": "Nurses"}
    )
    assert status == 409

    group_hand_over(group=group, directory=DirectoryToken.objects.get(), by=ada)
    assert not bob.groups.exists(), "whoever the directory does not keep left"
    status, _ = entra.call("PUT", f"/Groups/{group.pk}", body)
    assert status == 200
    assert [user.username for user in User.objects.filter(groups=group)] == ["alice"]
    group_take_back(kept=DirectoryGroup.objects.get(group=group), by=ada)
    assert entra.call("GET", f"/Groups/{group.pk}")[0] == 404
    assert [user.username for user in User.objects.filter(groups=group)] == ["alice"]


def test_a_group_that_access_hangs_on_stays_empty_when_the_directory_deletes_it(entra: Pushing) -> None:
    alice = entra.person("alice")
    ward = entra.group("Ward", alice["id"])
    group = Group.objects.get(name="Ward")
    policy = console.published_policy()
    rule = AccessRule.objects.create(group=group, endpoint=console.endpoint(), policy=policy)
    assert entra.call("DELETE", f"/Groups/{ward['id']}") == (204, None)
    assert entra.call("GET", f"/Groups/{ward['id']}")[0] == 404
    assert AccessRule.objects.filter(pk=rule.pk).exists()
    assert not User.objects.filter(groups=group).exists()
    status, _ = entra.call("POST", "/Groups", {"schemas": [f"{world.CORE}:Group"], "displayName": "Ward"})
    assert status == 409, "what is granted to it is not the directory's to claim"


def test_nobody_else_changes_a_directorys_group(entra: Pushing) -> None:
    alice, bob = entra.person("alice"), console.person("bob")
    entra.group("Ward", alice["id"])
    group = Group.objects.get(name="Ward")
    person = User.objects.get(username="alice")
    with pytest.raises(KeptByDirectory, match=r"Entra .* Ward"):
        membership_set(member=bob, groups=[group], by=None)
    with pytest.raises(KeptByDirectory):
        membership_set(member=person, groups=[], by=None)
    with pytest.raises(KeptByDirectory):
        group_delete(group=group, by=None)
    other = Group.objects.create(name="By hand")
    membership_set(member=person, groups=[group, other], by=None)
    sources = membership_sources(person)
    assert (sources[group.pk], sources[other.pk]) == (Source.SCIM, Source.MANUAL)


def test_a_sign_in_takes_nothing_that_the_directory_gave_and_the_other_way_round() -> None:
    issuer = world.issuer()
    entra = Pushing(world.directory("Entra", issuer)[1])
    alice = entra.person("alice", externalId="0a21")
    ward = entra.group("Ward", alice["id"])
    mapped = Group.objects.create(name="Mapped")
    for group in (mapped, Group.objects.get(name="Ward")):
        GroupMapping.objects.create(issuer=issuer, match="exact", value=group.name, group=group)
    person = User.objects.get(username="alice")

    def signs_in(*values: str) -> set[str]:
        person_vouched(issuer=issuer, subject="0a21", values=values, source=Source.OIDC)
        return set(person.groups.values_list("name", flat=True))

    assert signs_in("Mapped") == {"Mapped", "Ward"}
    assert signs_in() == {"Ward"}
    assert signs_in("Mapped") == {"Mapped", "Ward"}
    entra.call("PUT", f"/Groups/{ward['id']}", {"schemas": [f"{world.CORE}:Group"], "displayName": "Ward"})
    assert set(person.groups.values_list("name", flat=True)) == {"Mapped"}
    assert signs_in("Mapped", "Ward") == {"Mapped"}, "a claim opens no group that a directory keeps"


def test_what_a_sign_in_gave_before_the_handing_over_does_not_break_the_next_sign_in() -> None:
    issuer = world.issuer()
    row, token = world.directory("Entra", issuer)
    Pushing(token).person("alice", externalId="0a21")
    ward = Group.objects.create(name="Ward")
    GroupMapping.objects.create(issuer=issuer, match="exact", value="Ward", group=ward)
    person_vouched(issuer=issuer, subject="0a21", values=["Ward"], source=Source.OIDC)
    group_hand_over(group=ward, directory=row, by=None)
    alice = person_vouched(issuer=issuer, subject="0a21", values=[], source=Source.OIDC)
    assert alice.groups.filter(pk=ward.pk).exists()


def test_a_group_with_service_accounts_is_not_handed_over(entra: Pushing) -> None:
    from gateway.models import ServiceAccount

    account = ServiceAccount.objects.create(area=console.area(), name="robot", owner=console.person("o"))
    group = Group.objects.create(name="Robots")
    account.groups.add(group)
    with pytest.raises(Unfit, match="Service accounts"):
        group_hand_over(group=group, directory=DirectoryToken.objects.get(), by=None)

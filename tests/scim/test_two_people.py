"""A group that holds a role takes two people on its way to a directory: whoever has the token fills it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from gateway.identity.authz import OwnGroup, role_grant
from gateway.identity.directory import Unfit
from gateway.identity.directory_groups import group_hand_over, group_take_back, person_hand_over
from gateway.identity.directory_tokens import TokenRefused, directory_token_create, directory_token_replace
from gateway.identity.people import person_vouched
from gateway.issuers import issuer_save
from gateway.models import (
    Deployment,
    DirectoryGroup,
    DirectoryToken,
    GroupMapping,
    Identity,
    RoleGrant,
    Source,
    User,
)
from policies import proposals
from tests.gateway import two
from tests.scim import world
from tests.scim.world import Pushing

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> User:
    """Administrators everywhere, no superusers."""
    return two.official("ada", "admin")


@pytest.fixture
def grace() -> User:
    return two.official("grace", "admin")


@pytest.fixture
def group() -> Group:
    return Group.objects.create(name="Night shift")


def directory(by: User | None) -> tuple[DirectoryToken, Pushing]:
    until = timezone.now() + timedelta(days=90)
    row, token = directory_token_create(name="Entra", expires_at=until, by=by)
    return row, Pushing(token.reveal())


def replaced(row: DirectoryToken, by: User | None) -> Pushing:
    until = timezone.now() + timedelta(days=90)
    return Pushing(directory_token_replace(directory=row, expires_at=until, by=by).reveal())


def grant(group: Group, by: User | None) -> RoleGrant:
    return role_grant(group=group, role="publisher", by=by)


def pushed(pushing: Pushing, group: Group, member: User) -> tuple[int, Any]:
    value = [{"value": str(member.pk)}]
    return pushing.patch(f"/Groups/{group.pk}", {"op": "add", "path": "members", "value": value})


def admin(who: User, page: str, *args: Any, **values: Any) -> Any:
    client = Client()
    client.force_login(who)
    return client.post(reverse(f"admin:gateway_{page}", args=args), values)


# --- every order of the three steps: token, role, handing over


def test_token_role_hand_over(ada: User, grace: User, group: Group) -> None:
    row, _ = directory(ada)
    grant(group, ada)
    with pytest.raises(Unfit, match="somebody else has to hand it over"):
        group_hand_over(group=group, directory=row, by=ada)
    page = admin(ada, "directorygroup_add", group=group.pk, directory=row.pk)
    assert "somebody else has to hand it over" in page.content.decode()
    assert not DirectoryGroup.objects.exists()
    assert admin(grace, "directorygroup_add", group=group.pk, directory=row.pk).status_code == 302
    assert DirectoryGroup.objects.get().handed_over_by == grace


def test_token_hand_over_role(ada: User, grace: User, group: Group) -> None:
    row, _ = directory(ada)
    group_hand_over(group=group, directory=row, by=ada)
    with pytest.raises(OwnGroup, match="You made the token of the directory"):
        grant(group, ada)
    page = admin(ada, "rolegrant_add", group=group.pk, role="publisher", area="")
    assert "You made the token of the directory" in page.content.decode()
    assert not group.role_grants.exists()
    assert admin(grace, "rolegrant_add", group=group.pk, role="publisher", area="").status_code == 302


@pytest.mark.parametrize("role_first", [True, False])
@pytest.mark.parametrize("what", ["handed it over", "gave it a role"])
def test_hand_over_role_token(ada: User, grace: User, group: Group, what: str, role_first: bool) -> None:
    """The token was grace's, and ada replaces it."""
    row, before = directory(grace)
    if role_first:
        grant(group, ada if what == "gave it a role" else None)
    group_hand_over(group=group, directory=row, by=ada if what == "handed it over" else None)
    if not role_first:
        grant(group, ada if what == "gave it a role" else None)
    with pytest.raises(TokenRefused, match="You gave a role to Night shift, or handed it over"):
        replaced(row, ada)
    page = admin(ada, "directorytoken_replace", row.pk)
    assert page.status_code == 302 and before.call("GET", "/Users")[0] == 200
    assert replaced(row, grace).call("GET", "/Users")[0] == 200


def test_whoever_replaced_the_token_is_its_maker(ada: User, grace: User, group: Group) -> None:
    row, _ = directory(grace)
    replaced(row, ada)
    row.refresh_from_db()
    assert row.created_by == ada
    grant(group, None)
    with pytest.raises(Unfit):
        group_hand_over(group=group, directory=row, by=ada)


def test_a_group_that_was_taken_back_is_nobodys_business(ada: User, grace: User, group: Group) -> None:
    row, _ = directory(grace)
    grant(group, ada)
    group_hand_over(group=group, directory=row, by=None)
    group_take_back(kept=DirectoryGroup.objects.get(), by=ada)
    assert replaced(row, ada).call("GET", "/Users")[0] == 200


def test_permissions_past_the_roles_count_as_a_role(ada: User, group: Group) -> None:
    group.permissions.add(Permission.objects.get(codename="publish_policyversion"))
    with pytest.raises(Unfit):
        group_hand_over(group=group, directory=directory(ada)[0], by=ada)


def test_a_confirmed_role_is_given_by_neither_of_two_people_who_made_the_token(
    ada: User, grace: User, group: Group
) -> None:
    """She proposes first and makes the token then."""
    Deployment.objects.create(two_person_roles=True)
    row, _ = directory(None)
    group_hand_over(group=group, directory=row, by=grace)
    payload = {"group": group.pk, "role": "publisher", "area": None}
    opened = proposals.propose(kind="role.grant", target_id=None, payload=payload, by=ada, reason="nights")
    replaced(row, ada)
    with pytest.raises((OwnGroup, proposals.ProposalError)):
        two.confirm(opened, grace)
    assert not group.role_grants.exists()


# --- and nobody pushes themselves


@pytest.mark.parametrize("send", ["patch", "put", "post"])
def test_nobody_pushes_themselves_into_a_role(ada: User, grace: User, group: Group, send: str) -> None:
    row, pushing = directory(ada)
    person_hand_over(user=ada, directory=row, by=grace)
    grant(group, grace)
    group_hand_over(group=group, directory=row, by=grace)
    member = [{"value": str(ada.pk)}]
    calls: dict[str, Callable[[], tuple[int, Any]]] = {
        "patch": lambda: pushed(pushing, group, ada),
        "put": lambda: pushing.call(
            "PUT",
            f"/Groups/{group.pk}",
            {
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
                "displayName": group.name,
                "members": member,
            },
        ),
        "post": lambda: pushing.call(
            "POST",
            "/Groups",
            {
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
                "displayName": group.name,
                "members": member,
            },
        ),
    }
    status, found = calls[send]()
    assert status in (400, 409), found
    assert not ada.groups.filter(pk=group.pk).exists()
    alice = pushing.person("alice")
    assert pushed(pushing, group, User.objects.get(pk=alice["id"]))[0] in (200, 204)


def test_somebody_elses_token_pushes_everybody(ada: User, grace: User, group: Group) -> None:
    row, _ = directory(ada)
    person_hand_over(user=ada, directory=row, by=grace)
    grant(group, grace)
    group_hand_over(group=group, directory=row, by=None)
    heidi = two.official("heidi", "admin")
    assert pushed(replaced(row, heidi), group, ada)[0] in (200, 204)
    assert ada.groups.filter(pk=group.pk).exists()


def test_whoever_is_in_it_already_stays(ada: User, grace: User, group: Group) -> None:
    """Joined before it held a role; who gives the role then sees who is in it."""
    row, pushing = directory(ada)
    person_hand_over(user=ada, directory=row, by=grace)
    group_hand_over(group=group, directory=row, by=ada)
    assert pushed(pushing, group, ada)[0] in (200, 204)
    grant(group, grace)
    assert pushed(pushing, group, ada)[0] in (200, 204)
    assert ada.groups.filter(pk=group.pk).exists()


# --- nor by an issuer's mapping rules, in either order


@pytest.mark.parametrize("steps", [("rule", "role"), ("role", "rule")])
@pytest.mark.parametrize("match", ["exact", "prefix", "regex"])
@pytest.mark.parametrize(
    ("rule_by", "role_by", "joins"),
    [
        ("ada", "ada", False),
        ("ada", "grace", False),
        ("grace", "ada", False),
        ("grace", "grace", True),
        (None, None, True),
    ],
)
def test_nobody_signs_themselves_into_a_role(
    ada: User,
    grace: User,
    group: Group,
    steps: tuple[str, ...],
    match: str,
    rule_by: str | None,
    role_by: str | None,
    joins: bool,
) -> None:
    people = {"ada": ada, "grace": grace, None: None}
    issuer = world.issuer()
    issuer.audiences = ["postern"]
    Identity.objects.create(user=ada, issuer=issuer.issuer, subject="0a21")
    value, to = {
        "exact": ("everybody", group),
        "prefix": ("x-", None),
        "regex": ("(Night shift)", None),
    }[match]
    said = {"exact": "everybody", "prefix": "x-Night shift", "regex": "Night shift"}[match]
    for step in steps:
        if step == "role":
            grant(group, people[role_by])
        else:
            rules = [GroupMapping(match=match, value=value, group=to)]
            issuer_save(issuer=issuer, mappings=rules, by=people[rule_by])
    for source in (Source.OIDC, Source.TOKEN):
        person_vouched(issuer=issuer, subject="0a21", values=[said], source=source)
        assert ada.groups.filter(pk=group.pk).exists() is joins
    other = person_vouched(issuer=issuer, subject="0b33", values=[said], source=Source.OIDC)
    assert other.groups.filter(pk=group.pk).exists(), "everybody else joins"


def test_a_rule_of_somebody_else_is_enough_beside_ones_own(ada: User, grace: User, group: Group) -> None:
    issuer = world.issuer()
    issuer.audiences = ["postern"]
    Identity.objects.create(user=ada, issuer=issuer.issuer, subject="0a21")
    grant(group, grace)
    rules = [GroupMapping(match="exact", value="everybody", group=group)]
    issuer_save(issuer=issuer, mappings=rules, by=ada)
    rules = [*rules, GroupMapping(match="exact", value="nights", group=group)]
    issuer_save(issuer=issuer, mappings=rules, by=grace)
    person_vouched(issuer=issuer, subject="0a21", values=["everybody"], source=Source.OIDC)
    assert not ada.groups.filter(pk=group.pk).exists()
    person_vouched(issuer=issuer, subject="0a21", values=["nights"], source=Source.OIDC)
    assert ada.groups.filter(pk=group.pk).exists()


def test_a_group_without_a_role_is_joined_as_ever(ada: User, group: Group) -> None:
    issuer = world.issuer()
    issuer.audiences = ["postern"]
    Identity.objects.create(user=ada, issuer=issuer.issuer, subject="0a21")
    rules = [GroupMapping(match="exact", value="everybody", group=group)]
    issuer_save(issuer=issuer, mappings=rules, by=ada)
    person_vouched(issuer=issuer, subject="0a21", values=["everybody"], source=Source.OIDC)
    assert ada.groups.filter(pk=group.pk).exists()
    with pytest.raises(OwnGroup):
        grant(group, ada)

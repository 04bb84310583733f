"""Linked accounts are one person at every rule that wants two: bob and robert are the same, grace is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.utils import timezone

from gateway.identity.authz import OwnGroup, role_grant
from gateway.identity.directory import Unfit
from gateway.identity.directory_groups import group_hand_over, person_hand_over
from gateway.identity.directory_tokens import TokenRefused, directory_token_create, directory_token_replace
from gateway.identity.linking import LinkRefused, accounts_link, accounts_part, identity_link
from gateway.identity.membership import membership_set
from gateway.identity.people import person_vouched
from gateway.issuers import issuer_save
from gateway.models import DirectoryToken, GroupMapping, Identity, Issuer, ServiceAccount, Source, User
from policies import persons, proposals
from policies.models import Proposal, ProposalState
from tests.gateway import two, world
from tests.scim.world import Pushing, issuer

pytestmark = pytest.mark.django_db


@pytest.fixture
def bob() -> User:
    return two.official("bob")


@pytest.fixture
def robert() -> User:
    return two.official("robert")


@pytest.fixture
def grace() -> User:
    return two.official("grace")


@pytest.fixture
def group() -> Group:
    return Group.objects.create(name="Night shift")


@pytest.fixture(autouse=True)
def linked(bob: User, robert: User) -> None:
    assert accounts_link(one=bob, other=robert, by=None)


def directory(by: User | None) -> tuple[DirectoryToken, Pushing]:
    row, token = directory_token_create(name="Okta", expires_at=soon(), by=by)
    return row, Pushing(token.reveal())


def soon() -> Any:
    return timezone.now() + timedelta(days=5)


# --- proposals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(proposals.KINDS))
def test_no_kind_of_change_is_confirmed_by_another_account_of_its_proposer(
    kind: str, bob: User, robert: User, grace: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is about, and whatever they may do. It is not in their list either."""
    sight = proposals.Sight(area_id=None, name="x", rows=(("a", "b", "c"),), state="x")
    known = replace(proposals.KINDS[kind], look=lambda *given: sight, check=lambda *given: None)
    monkeypatch.setitem(proposals.KINDS, kind, known)
    for person in (robert, grace):
        User.objects.filter(pk=person.pk).update(is_superuser=True)
    robert, grace = (User.objects.get(pk=person.pk) for person in (robert, grace))
    opened = Proposal.objects.create(kind=kind, target="x", basis="x", reason="x", proposed_by=bob)
    for act in (
        lambda: proposals.confirm(proposal=opened, by=robert, seen="x"),
        lambda: proposals.reject(proposal=opened, by=robert, comment="no"),
    ):
        with pytest.raises(proposals.NotAllowed, match="proposed this yourself"):
            act()
    assert "proposed this yourself" in proposals.hindrance(opened, robert)
    assert not proposals.hindrance(opened, grace)
    assert not Proposal.objects.filter(proposals.waiting_for(robert)).exists()
    assert Proposal.objects.filter(proposals.waiting_for(grace)).exists()
    able = proposals.confirmers(opened)
    assert grace in able and robert not in able and bob not in able
    proposals.reject(proposal=opened, by=grace, comment="no")


def test_an_open_proposal_waits_for_somebody_else_once_its_two_people_are_one(bob: User, grace: User) -> None:
    two.guarded()
    draft = world.draft_schema()
    opened = proposals.propose(kind="schema.publish", target_id=draft.pk, payload={}, by=bob, reason="New")
    accounts_link(one=grace, other=bob, by=None)
    with pytest.raises(proposals.NotAllowed, match="proposed this yourself"):
        two.confirm(opened, grace)
    opened.refresh_from_db()
    assert opened.state == ProposalState.OPEN
    assert two.confirm(opened, two.official("heidi")).state == ProposalState.CONFIRMED


def test_a_program_is_nobodys_second_person(bob: User) -> None:
    """It has no account to confirm with, and what it proposes is its owner's own."""
    robot = ServiceAccount.objects.create(area=world.area(), name="robot", owner=bob)
    opened = Proposal.objects.create(
        kind="deployment.two_person", target="x", basis="x", reason="x", proposed_by=bob
    )
    with pytest.raises(proposals.NotAllowed, match="not active"):
        proposals.confirm(proposal=opened, by=robot, seen="x")  # type: ignore[arg-type]


# --- roles, groups, directories -----------------------------------------------------------------------


def test_nobody_gives_a_role_to_a_group_that_another_account_of_theirs_is_in(
    bob: User, robert: User, grace: User, group: Group
) -> None:
    membership_set(member=robert, groups=[group], by=grace)
    with pytest.raises(OwnGroup, match="You are in this group"):
        role_grant(group=group, role="auditor", by=bob)
    role_grant(group=group, role="auditor", by=grace)


def test_nobody_puts_another_account_of_theirs_into_a_role(
    bob: User, robert: User, grace: User, group: Group
) -> None:
    role_grant(group=group, role="auditor", by=None)
    with pytest.raises(OwnGroup, match="Somebody else has to put you"):
        membership_set(member=robert, groups=[group], by=bob)
    membership_set(member=robert, groups=[group], by=grace)


def test_a_directorys_token_and_what_it_fills_take_two_people(
    bob: User, robert: User, grace: User, group: Group
) -> None:
    row, _ = directory(bob)
    role_grant(group=group, role="auditor", by=None)
    with pytest.raises(Unfit, match="somebody else has to hand it over"):
        group_hand_over(group=group, directory=row, by=robert)
    group_hand_over(group=group, directory=row, by=grace)
    with pytest.raises(OwnGroup, match="You made the token of the directory"):
        role_grant(group=group, role="publisher", by=robert)


@pytest.mark.parametrize("gave", [True, False])
def test_who_gave_a_role_or_handed_over_replaces_no_token_by_another_account(
    bob: User, robert: User, grace: User, group: Group, gave: bool
) -> None:
    row, _ = directory(grace)
    role_grant(group=group, role="auditor", by=bob if gave else None)
    group_hand_over(group=group, directory=row, by=None if gave else bob)
    with pytest.raises(TokenRefused, match="somebody else has to make the token"):
        directory_token_replace(directory=row, expires_at=soon(), by=robert)


def test_nobody_pushes_another_account_of_theirs_into_a_role(
    bob: User, robert: User, grace: User, group: Group
) -> None:
    row, pushing = directory(bob)
    kept = person_hand_over(user=robert, directory=row, by=None)
    other = person_hand_over(user=grace, directory=row, by=None)
    role_grant(group=group, role="auditor", by=None)
    filled = group_hand_over(group=group, directory=row, by=grace)
    for member, status in ((kept, 400), (other, 204)):
        add = {"op": "add", "path": "members", "value": [{"value": str(member.pk)}]}
        body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [add]}
        assert pushing.call("PATCH", f"/Groups/{filled.pk}", body)[0] == status
    assert not robert.groups.filter(pk=group.pk).exists()


def test_nobody_signs_another_account_of_theirs_into_a_role(
    bob: User, robert: User, grace: User, group: Group
) -> None:
    """By a rule that they wrote, or a role that they gave."""
    row: Issuer = issuer()
    row.audiences = ["postern"]
    Identity.objects.create(user=robert, issuer=row.issuer, subject="0a21")
    Identity.objects.create(user=grace, issuer=row.issuer, subject="0b33")
    role_grant(group=group, role="auditor", by=None)
    issuer_save(issuer=row, mappings=[GroupMapping(match="exact", value="all", group=group)], by=bob)
    for subject, person, joins in (("0a21", robert, False), ("0b33", grace, True)):
        person_vouched(issuer=row, subject=subject, values=["all"], source=Source.OIDC)
        assert person.groups.filter(pk=group.pk).exists() is joins


# --- who says who is whom -----------------------------------------------------------------------------


def test_nobody_says_who_they_are_by_another_account(bob: User, robert: User, grace: User) -> None:
    row = Identity.objects.create(user=grace, issuer="https://id.example", subject="7")
    for act in (
        lambda: accounts_link(one=bob, other=grace, by=robert),
        lambda: identity_link(identity=row, user=bob, by=robert),
        lambda: accounts_part(user=bob, by=robert),
    ):
        with pytest.raises(LinkRefused, match="Somebody else"):
            act()
    assert persons.same(bob.pk, robert.pk) and not persons.same(bob.pk, grace.pk)


def test_an_identity_that_moves_links_the_two_accounts(bob: User, grace: User) -> None:
    row = Identity.objects.create(user=grace, issuer="https://id.example", subject="7")
    identity_link(identity=row, user=bob, by=None)
    assert persons.same(bob.pk, grace.pk)


def test_nobody_is_no_ones(bob: User) -> None:
    assert not persons.same(None, None) and not persons.same(bob.pk, None)
    assert persons.accounts_of(None) == frozenset()


def test_a_mistake_is_taken_back_on_the_command_line(bob: User, robert: User) -> None:
    out = StringIO()
    call_command("accounts_part", "bob", stdout=out)
    assert out.getvalue() == "bob is somebody else than robert.\n"
    assert not persons.same(bob.pk, robert.pk)
    for name, words in (("bob", "no other account"), ("nobody", "no person")):
        with pytest.raises(CommandError, match=words):
            call_command("accounts_part", name)

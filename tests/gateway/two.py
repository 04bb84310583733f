"""Two people for the tests: alice and bob, both may propose and confirm everything; and a guarded area."""

from __future__ import annotations

from django.contrib.auth.models import Group

from gateway.areas import FLAGS
from gateway.identity.authz import role_grant
from gateway.models import AccessRule, Area, Endpoint, User
from policies import proposals
from policies.models import Policy, Proposal
from tests.gateway import world

ROLES = ("admin", "policy_editor", "publisher")


def official(name: str, *roles: str) -> User:
    """A person of the console with these roles; all three of them when none is named."""
    group = Group.objects.get_or_create(name=f"{name}s group")[0]
    for role in roles or ROLES:
        role_grant(group=group, role=role, by=None)
    user = world.person(name, is_staff=True)
    user.groups.add(group)
    return user


def guarded(*flags: str) -> Area:
    """The area with these requirements; all of them when none is named."""
    area = world.area()
    Area.objects.filter(pk=area.pk).update(**dict.fromkeys(flags or FLAGS, True))
    area.refresh_from_db()
    return area


def rule(endpoint: Endpoint, policy: Policy, group: str = "support", **fields: object) -> AccessRule:
    held = Group.objects.get_or_create(name=group)[0]
    return AccessRule(**{"group": held, "endpoint": endpoint, "policy": policy, **fields})


def confirm(proposal: Proposal, by: User) -> Proposal:
    """As a person does who looked at it."""
    return proposals.confirm(proposal=proposal, by=by, seen=proposal.basis)

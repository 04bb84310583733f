"""Nobody gives themselves more than they hold: ways around it in two steps, or in somebody else's name."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse

from gateway.identity.authz import OwnGroup
from gateway.identity.membership import membership_set
from gateway.models import Deployment
from policies import proposals
from policies.models import Proposal
from tests.gateway import two
from tests.walls.world import World

pytestmark = pytest.mark.django_db
ADA = "admin everywhere"


@pytest.fixture
def world(db: None) -> World:
    return World()


def browser(world: World, name: str = ADA) -> Client:
    client = Client()
    client.force_login(world.people[name])
    return client


def form(model: str, page: str, *args: Any) -> str:
    return reverse(f"admin:gateway_{model}_{page}", args=args)


def test_neither_of_two_people_gives_a_role_to_themselves(world: World) -> None:
    """While it holds none, joining is free. Somebody leaves as she joins: the number shown stays right."""
    ada, group = world.people[ADA], Group.objects.create(name="night shift")
    grace, carol = two.official("grace", "admin"), world.people["nobody"]
    Deployment.objects.update(two_person_roles=True)
    membership_set(member=carol, groups=[group], by=grace)
    values = {"group": group.pk, "role": "auditor", "area": "", "reason": "the night has its own auditor"}
    assert browser(world).post(form("rolegrant", "add"), values).status_code == 302
    membership_set(member=carol, groups=[], by=ada)
    membership_set(member=ada, groups=[*ada.groups.all(), group], by=ada)
    opened = Proposal.objects.get(kind="role.grant")
    with pytest.raises((OwnGroup, proposals.ProposalError)):
        proposals.confirm(proposal=opened, by=grace, seen=opened.basis)
    assert not group.role_grants.exists() and not ada.has_perm("audit.view_entry")


def test_nobody_puts_themselves_into_a_group_that_holds_permissions_past_the_roles(world: World) -> None:
    ada, target = world.people[ADA], Group.objects.create(name="old publishers")
    target.permissions.add(Permission.objects.get(codename="publish_policyversion"))
    values = {"username": ada.username, "is_active": "on"}
    values |= {f"identities-{part}": 0 for part in ("TOTAL_FORMS", "INITIAL_FORMS")}
    groups = [*ada.groups.values_list("pk", flat=True), target.pk]
    page = form("user", "change", ada.pk)
    answer = browser(world).post(page, values | {"groups": groups})
    assert "Somebody else has to put you into old publishers" in answer.content.decode()
    assert not ada.groups.filter(pk=target.pk).exists()

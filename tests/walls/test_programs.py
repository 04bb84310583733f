"""A program is no way to a role: whoever makes its key learns it, and the key does no more than they may.

Bob administers the ward and does not publish. He tries every order of the three steps (give a group a role,
put a program into it, make its key), by the admin and by the API, for a program of his own and of others.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from typing import Any, Final

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from gateway.identity.authz import role_grant
from gateway.identity.held import lent_by
from gateway.identity.keys import api_key_create
from gateway.identity.linking import identity_link
from gateway.identity.membership import membership_set
from gateway.identity.rotation import api_key_rotate
from gateway.identity.scope import KeyRefused, KeyScope
from gateway.models import ApiKey, Deployment, Identity, RoleGrant, ServiceAccount, User
from policies import proposals
from policies.models import PolicyVersion
from tests.gateway import world as house
from tests.walls.world import MINE, OTHER, World

pytestmark = pytest.mark.django_db
BOB, ROLE = f"admin {MINE}", "publisher"
STEPS: Final = ("grant", "join", "key")
JSON: Final = "application/json"


@pytest.fixture
def world(db: None) -> World:
    cache.clear()
    return World()


@pytest.mark.parametrize("later", ["join", "grant"])
def test_a_key_that_was_handed_on_gains_nothing_afterwards(world: World, later: str) -> None:
    """Its maker publishes, and made it for a program that did not."""
    publisher = world.people[f"publisher {MINE}"]
    area = world.at("gateway.area", MINE)
    group = Group.objects.create(name="late shift")
    account = ServiceAccount.objects.create(area=area, name="handed on", owner=publisher)
    if later == "grant":
        membership_set(member=account, groups=[group], by=None)
    else:
        role_grant(group=group, role=ROLE, area=area, by=None)
    until = timezone.now() + timedelta(days=1)
    key, _ = api_key_create(name="k", service_account=account, expires_at=until, by=publisher)
    if later == "grant":
        role_grant(group=group, role=ROLE, area=area, by=None)
    else:
        membership_set(member=account, groups=[group], by=None)
    assert not lent_by(key).has("policies.publish_policyversion")
    newer, _ = api_key_create(name="k2", service_account=account, expires_at=until, by=publisher)
    assert lent_by(newer).has("policies.publish_policyversion")


class Ways:
    """What bob does, each by the admin or by the API."""

    def __init__(self, world: World, by: str, owner: User, who: str = BOB) -> None:
        self.world, self.by, self.client = world, by, Client()
        self.client.force_login(world.people[who])
        self.group = Group.objects.create(name="night shift")
        self.keys: list[str] = []
        self.account = self._account(owner)

    def _account(self, owner: User) -> ServiceAccount:
        area = self.world.at("gateway.area", MINE)
        if self.by == "api":
            body = {"area": area.slug, "name": "nightly", "owner": owner.username}
            answer = self.client.post("/api/v1/service-accounts", body, content_type=JSON)
            assert answer.status_code == 201, answer.content
        else:
            page = reverse("admin:gateway_serviceaccount_add")
            answer = self.client.post(page, self._form(owner))
            assert answer.status_code == 302, answer.content
        return ServiceAccount.objects.get(name="nightly")

    def _form(self, owner: User, *groups: Group) -> dict[str, Any]:
        area = self.world.at("gateway.area", MINE)
        form = {"area": area.pk, "name": "nightly", "owner": owner.pk, "is_active": "on"}
        return form | {"groups": [group.pk for group in groups]}

    def _changed(self, owner: User, *groups: Group) -> None:
        if self.by == "api":
            body = {"owner": owner.username, "groups": [group.name for group in groups]}
            url = f"/api/v1/service-accounts/{self.account.pk}"
            answer = self.client.patch(url, body, content_type=JSON)
            assert answer.status_code == 200, answer.content
        else:
            page = reverse("admin:gateway_serviceaccount_change", args=[self.account.pk])
            assert self.client.post(page, self._form(owner, *groups)).status_code == 302
        self.account.refresh_from_db()

    def grant(self) -> None:
        values = {"group": self.group.pk, "role": ROLE, "area": self.world.at("gateway.area", MINE).pk}
        assert self.client.post(reverse("admin:gateway_rolegrant_add"), values).status_code == 302

    def join(self) -> None:
        self._changed(self.account.owner, self.group)

    def own(self) -> None:
        """Bob makes himself the owner."""
        self._changed(self.world.people[BOB], *self.account.groups.all())

    def key(self) -> None:
        """It may be refused: then bob has none."""
        if self.by == "api":
            body = {"name": "k", "holder": "service:nightly", "expires_at": self.world.soon}
            answer = self.client.post("/api/v1/keys", body, content_type=JSON)
            self._keep(answer.json().get("key", ""))
        else:
            until = timezone.now() + timedelta(days=5)
            form = {"name": "k", "service_account": self.account.pk}
            form |= {"expires_at_0": f"{until:%Y-%m-%d}", "expires_at_1": "10:00"}
            answer = self.client.post(reverse("admin:gateway_apikey_add"), form)
            context = getattr(answer, "context", None)
            self._keep((context or {}).get("plain_key", ""))

    def rotate(self) -> None:
        for row in ApiKey.objects.filter(service_account=self.account, successors=None):
            if self.by == "api":
                answer = self.client.post(f"/api/v1/keys/{row.pk}/rotate", {}, content_type=JSON)
                self._keep(answer.json().get("key", ""))
            else:
                page = reverse("admin:gateway_apikey_rotate", args=[row.pk])
                context = getattr(self.client.post(page, {"overlap": "1"}), "context", None)
                self._keep((context or {}).get("plain_key", ""))

    def _keep(self, key: str) -> None:
        if key:
            self.keys.append(key)


def publishes(world: World, key: str) -> int:
    """The answer to a program that publishes the ward's draft."""
    draft = world.at("policies.policyversion", MINE)
    client = Client(headers={"Authorization": f"Bearer {key}"})
    status: int = client.post(f"/api/v1/policy-versions/{draft.pk}/publish", {}, JSON).status_code
    published = not PolicyVersion.objects.get(pk=draft.pk).is_draft
    assert published is (status == 200)
    return status


def made(account: ServiceAccount, by: User | None, **more: Any) -> tuple[ApiKey, str]:
    until = timezone.now() + timedelta(days=5)
    row, secret = api_key_create(name="k", service_account=account, expires_at=until, by=by, **more)
    return row, secret.reveal()


@pytest.mark.parametrize("by", ["admin", "api"])
@pytest.mark.parametrize("owner", ["himself", "a stooge", "a publisher"])
@pytest.mark.parametrize("steps", list(permutations(STEPS)))
def test_no_order_of_steps_gives_an_administrator_another_role(
    world: World, steps: tuple[str, ...], owner: str, by: str
) -> None:
    owners = {
        "himself": world.people[BOB],
        "a stooge": house.person("stooge"),
        "a publisher": world.people[f"{ROLE} {MINE}"],
    }
    ways = Ways(world, by, owners[owner])
    for step in steps:
        getattr(ways, step)()
    for more in (ways.rotate, ways.own, ways.key, ways.rotate):
        more()
    assert RoleGrant.objects.filter(group=ways.group, role=ROLE).exists()
    assert ways.account.groups.get() == ways.group
    assert [publishes(world, key) for key in ways.keys] == [403] * len(ways.keys)
    assert bool(ways.keys) is (steps != ("grant", "join", "key") and steps != ("join", "grant", "key"))


# --- what is meant to work


@pytest.fixture
def nightly(world: World) -> ServiceAccount:
    """A program of somebody who holds nothing, in a group that publishes in the ward."""
    account = ServiceAccount.objects.create(
        area=world.at("gateway.area", MINE), name="nightly", owner=world.people["nobody"]
    )
    group = Group.objects.create(name="robots")
    role_grant(group=group, role=ROLE, area=world.at("gateway.area", MINE), by=None)
    account.groups.add(group)
    return account


def publishing(world: World) -> User:
    """An administrator of the ward who publishes there, too."""
    bob = world.people[BOB]
    bob.groups.add(Group.objects.get(name=f"{ROLE} {MINE}"))
    return User.objects.get(pk=bob.pk)


def test_somebody_who_holds_the_role_makes_the_key_whoever_owns_the_program(
    world: World, nightly: ServiceAccount
) -> None:
    _, key = made(nightly, publishing(world))
    assert publishes(world, key) == 200


def test_a_key_does_no_more_from_when_its_maker_may_no_more(world: World, nightly: ServiceAccount) -> None:
    bob = publishing(world)
    _, key = made(nightly, bob)
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert publishes(world, key) == 403
    User.objects.filter(pk=bob.pk).update(is_active=True)
    bob.groups.remove(Group.objects.get(name=f"{ROLE} {MINE}"))
    assert publishes(world, key) == 403


def test_a_role_elsewhere_is_not_the_role_here(world: World, nightly: ServiceAccount) -> None:
    carol = house.person("carla")
    group = Group.objects.create(name="publishers there")
    role_grant(group=group, role=ROLE, area=world.at("gateway.area", OTHER), by=None)
    carol.groups.add(group)
    with pytest.raises(KeyRefused, match="By robots it would carry roles that you do not hold"):
        made(nightly, carol)
    nightly.groups.clear()
    _, key = made(nightly, carol)
    nightly.groups.add(Group.objects.get(name="robots"), group)
    assert publishes(world, key) == 404, "they see nothing here, either"


def test_a_role_everywhere_is_enough_here_and_the_program_stays_here(
    world: World, nightly: ServiceAccount
) -> None:
    _, key = made(nightly, world.people[f"{ROLE} everywhere"])
    client = Client(headers={"Authorization": f"Bearer {key}"})
    there = world.at("policies.policyversion", OTHER)
    assert client.post(f"/api/v1/policy-versions/{there.pk}/publish", {}, JSON).status_code == 404
    assert publishes(world, key) == 200


def test_whoever_rotates_a_key_is_its_maker(world: World, nightly: ServiceAccount) -> None:
    row, key = made(nightly, publishing(world))
    carol = world.people["admin everywhere"]
    with pytest.raises(KeyRefused, match="roles that you do not hold"):
        api_key_rotate(key=row, by=carol)
    robots = nightly.groups.get()
    nightly.groups.clear()
    _, secret = api_key_rotate(key=row, by=carol)
    nightly.groups.add(robots)
    assert publishes(world, secret.reveal()) == 403
    assert publishes(world, key) == 200, "until it ends"


def test_a_key_for_calls_is_made_and_rotated_without_the_role(world: World, nightly: ServiceAccount) -> None:
    """It is refused by the API, whatever its program holds."""
    for scope in (KeyScope(endpoints=("ward-chat",)), KeyScope(models=("m",))):
        row, key = made(nightly, world.people[BOB], scope=scope)
        assert publishes(world, key) == 403
        assert publishes(world, api_key_rotate(key=row, by=world.people[BOB])[1].reveal()) == 403


def test_permissions_past_the_roles_are_lent_no_more_freely(world: World, nightly: ServiceAccount) -> None:
    nightly.groups.clear()
    _, key = made(nightly, world.people["admin everywhere"])
    old = Group.objects.create(name="old publishers")
    old.permissions.add(Permission.objects.get(codename="publish_policyversion"))
    nightly.groups.add(old)
    assert publishes(world, key) == 403
    with pytest.raises(KeyRefused, match="By old publishers"):
        made(nightly, world.people["admin everywhere"])
    _, key = made(nightly, world.ada)
    assert publishes(world, key) == 200


# --- in somebody else's name


@pytest.mark.parametrize("first", ["join", "key"])
def test_a_key_that_a_program_makes_carries_no_role(
    world: World, nightly: ServiceAccount, first: str
) -> None:
    """Whoever holds the program's key sees the new one, and may be neither its owner nor its maker."""
    robot = ServiceAccount.objects.create(area=nightly.area, name="robot", owner=publishing(world))
    robot.groups.add(Group.objects.get(name=BOB))
    _, key = made(robot, robot.owner)
    client = Client(headers={"Authorization": f"Bearer {key}"})
    robots = nightly.groups.get()
    if first == "key":
        nightly.groups.clear()
    body = {"name": "k", "holder": "service:nightly", "expires_at": world.soon}
    answer = client.post("/api/v1/keys", body, JSON)
    nightly.groups.set([robots])
    if first == "join":
        assert answer.status_code == 422 and b"no program hands on" in answer.content
        answer = client.post("/api/v1/keys", body | {"endpoints": ["ward-chat"]}, JSON)
    assert answer.status_code == 201, answer.content
    row = ApiKey.objects.get(pk=answer.json()["id"])
    assert row.created_by is None
    assert publishes(world, answer.json()["key"]) == 403
    if first == "key":
        nightly.groups.clear()
        answer = client.post(f"/api/v1/keys/{row.pk}/rotate", {}, JSON)
        nightly.groups.set([robots])
        assert answer.status_code == 201 and publishes(world, answer.json()["key"]) == 403


def test_another_account_of_the_same_person_lends_nothing_once_they_are_one(
    world: World, nightly: ServiceAccount
) -> None:
    """Ada finds out that the stooge is bob, and says so."""
    stooge = house.person("stooge")
    stooge.set_unusable_password()
    stooge.save()
    stooge.groups.add(Group.objects.get(name=f"{ROLE} {MINE}"), Group.objects.get(name=BOB))
    identity = Identity.objects.create(user=stooge, issuer="https://id.example.com", subject="7")
    _, key = made(nightly, stooge)
    assert identity_link(identity=identity, user=world.people[BOB], by=world.people["admin everywhere"])
    assert publishes(world, key) == 403


def test_a_persons_own_key_is_no_way_in_either(world: World) -> None:
    until = timezone.now() + timedelta(days=1)
    ada = world.people["admin everywhere"]
    _, secret = api_key_create(name="laptop", user=ada, expires_at=until, by=ada)
    assert publishes(world, secret.reveal()) == 403


def test_whoever_gives_a_role_is_told_of_the_programs_in_the_group(
    world: World, nightly: ServiceAccount
) -> None:
    Deployment.objects.update(two_person_roles=True)
    here = world.at("gateway.area", MINE)
    payload = {"group": nightly.groups.get().pk, "role": "auditor", "area": str(here.pk)}
    opened = proposals.propose(
        kind="role.grant", target_id=None, payload=payload, by=world.people[BOB], reason="to read"
    )
    sight = proposals.KINDS["role.grant"].look(None, opened.payload, False)
    assert ("Programs in the group", "–", "nightly") in sight.rows


def test_the_form_says_why_it_makes_no_such_key(world: World, nightly: ServiceAccount) -> None:
    client, until = Client(), timezone.now() + timedelta(days=5)
    client.force_login(world.people[BOB])
    values = {"name": "ci", "service_account": nightly.pk}
    values |= {"expires_at_0": f"{until:%Y-%m-%d}", "expires_at_1": "10:00"}
    page = client.post(reverse("admin:gateway_apikey_add"), values)
    assert page.status_code == 200 and "By robots it would carry roles that you do not hold" in (
        page.content.decode()
    )
    page = client.post(reverse("admin:gateway_apikey_add"), values | {"endpoints": ["ward-chat"]})
    assert page.context["plain_key"] and ApiKey.objects.get(service_account=nightly).created_by is not None


def test_a_refused_rotation_is_told_in_words(world: World, nightly: ServiceAccount) -> None:
    row, _ = made(nightly, publishing(world))
    other = house.person("other")
    other.groups.add(Group.objects.get(name=BOB))
    client = Client()
    client.force_login(other)
    page = client.post(reverse("admin:gateway_apikey_rotate", args=[row.pk]), {"overlap": "1"}, follow=True)
    assert "By robots it would carry roles that you do not hold" in page.content.decode()
    answer = client.post(f"/api/v1/keys/{row.pk}/rotate", {}, JSON)
    assert answer.status_code == 422 and b"roles that you do not hold" in answer.content
    assert not ApiKey.objects.filter(rotated_from=row).exists()

"""Roles are held in an area or everywhere: what that means for rows here, there and nowhere."""

from __future__ import annotations

from functools import partial

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group
from django.db.models import Q

from audit import ids
from gateway.identity.authz import ROLES, role_grant, role_permissions
from gateway.identity.reach import PLACES, SLUGS, Reach
from gateway.models import Area, Endpoint, Issuer, User
from gateway.models.role import ROLE_NAMES
from tests.gateway import world

pytestmark = pytest.mark.django_db
VIEW = "gateway.view_endpoint"


@pytest.fixture
def bob() -> User:
    """Administers area `ward` and no other."""
    bob, group = world.person("bob"), Group.objects.create(name="ward admins")
    role_grant(group=group, role="admin", area=Area.objects.create(slug="ward", name="Ward"), by=None)
    bob.groups.add(group)
    return bob


def test_every_role_is_known_to_the_store() -> None:
    assert tuple(ROLES) == ROLE_NAMES
    for role in ROLES:
        assert role_permissions(role)


def test_a_role_in_an_area_ends_at_its_wall(bob: User) -> None:
    inside = Endpoint(area=Area.objects.get(slug="ward"), slug="in")
    outside = Endpoint(area=Area.objects.create(slug="bank", name="Bank"), slug="out")
    assert bob.has_perm(VIEW) and bob.has_perm(VIEW, inside) and not bob.has_perm(VIEW, outside)
    assert not bob.has_perm("gateway.view_issuer", Issuer(name="Okta"))
    reach = bob.areas_with(VIEW)
    assert reach.slugs == {"ward"} and not reach.everywhere and not reach.covers(None)
    assert not bob.areas_with("policies.publish_schemaversion")


def test_a_role_everywhere_has_no_wall(bob: User) -> None:
    role_grant(group=bob.groups.get(), role="admin", by=None)
    bob = User.objects.get(pk=bob.pk)
    assert bob.has_perm("gateway.view_issuer", Issuer(name="Okta")) and bob.areas_with(VIEW).everywhere


def test_those_who_may_do_something_are_found_with_their_walls(bob: User) -> None:
    inside = Endpoint(area=Area.objects.get(slug="ward"), slug="in")
    outside = Endpoint(area=Area.objects.create(slug="bank", name="Bank"), slug="out")
    able = partial(User.objects.with_perm, backend=settings.ROLE_BACKEND)
    assert [bob in able(VIEW, obj=row) for row in (None, inside, outside)] == [True, True, False]
    assert bob not in able("gateway.view_user"), "people lie in no area"
    assert not bob.has_perm("gateway.view_user") and not bob.has_perm("gateway.add_area")


def test_who_left_may_nothing(bob: User) -> None:
    bob.is_active = False
    assert not bob.has_perm(VIEW) and not bob.areas_with(VIEW)


def test_every_place_leads_to_an_area() -> None:
    for label in PLACES:
        model = apps.get_model(label)
        elsewhere = Reach(ids=frozenset({ids.new()})).q_of(model)
        assert elsewhere != Q()
        assert not model._default_manager.filter(elsewhere).exists()
    for label in SLUGS:
        assert apps.get_model(label)._meta.get_field("area")

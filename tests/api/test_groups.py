"""Groups through the API: declared before anybody is in them."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group

from gateway.identity.authz import role_grant
from gateway.models import Area
from tests.gateway import world as console

from . import world

pytestmark = pytest.mark.django_db


def test_a_program_declares_a_group_and_reads_it() -> None:
    console.area()
    api = world.client(world.key_of(world.program(roles=("admin",)))[1])
    made = api.post("/api/v1/groups", {"name": "  Ward 3 "})
    assert made.status_code == 201
    assert made.json() == {
        "id": Group.objects.get(name="Ward 3").pk,
        "name": "Ward 3",
        "directory": "",
        "people": 0,
        "service_accounts": 0,
        "access_rules": 0,
    }
    assert api.get(f"/api/v1/groups/{made.json()['id']}").json() == made.json()
    assert "Ward 3" in [each["name"] for each in api.get("/api/v1/groups").json()["results"]]
    for name in ("ward 3", "", "x" * 151, "a\u202eb"):
        world.problem(api.post("/api/v1/groups", {"name": name}), 422, "refused")


def test_whoever_has_no_role_everywhere_declares_none() -> None:
    area = console.area()
    stranger = world.client(world.key_of(world.program("stranger", roles=("reviewer",)))[1])
    world.problem(stranger.post("/api/v1/groups", {"name": "x"}), 403, "not-allowed")
    local = world.program("local", roles=())
    role_grant(group=local.groups.get(), role="admin", by=None, area=Area.objects.get(pk=area.pk))
    world.problem(
        world.client(world.key_of(local)[1]).post("/api/v1/groups", {"name": "x"}), 403, "not-allowed"
    )

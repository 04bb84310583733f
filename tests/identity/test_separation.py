"""The matrix says what the code does, and what one person should not hold together is noticed."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.test import Client

from gateway.identity.authz import ROLES, role_grant, role_permissions
from gateway.identity.matrix import REST, markdown, matrix
from gateway.identity.reach import Reach
from gateway.identity.separation import APART, overlaps
from gateway.models import Area, RoleGrant, User
from tests.gateway import world

DOCS = Path(__file__).parents[2] / "docs" / "roles.md"


def holds(person: User, role: str, area: Area | None = None) -> None:
    group = Group.objects.get_or_create(name=f"{role} of {area or 'all'}")[0]
    role_grant(group=group, role=role, area=area, by=None)
    person.groups.add(group)


def test_the_page_in_the_docs_is_the_matrix_of_the_code() -> None:
    assert DOCS.read_text(encoding="utf-8").endswith(markdown()), "run manage.py roles matrix"


def test_the_matrix_has_every_act_of_every_role_once() -> None:
    words = {"see": 1, "add": 1, "change": 1, "delete": 1, "yes": 1, "manage": 4}
    for place, role in enumerate(ROLES):
        cells = [line.cells[place] for section in matrix() for line in section.lines]
        acts = sum(words[word] for cell in cells if cell for word in cell.split(", "))
        assert acts == len(role_permissions(role)), role
    rest = [line for section in matrix() if section.title == REST for line in section.lines]
    assert not any(line.in_areas for line in rest), "what lies in areas has its section"


@pytest.mark.django_db
def test_what_meets_in_an_area_is_seen_there_and_from_everywhere() -> None:
    ward, bank = Area.objects.create(slug="w", name="Ward"), Area.objects.create(slug="b", name="Bank")
    bob, eve = world.person("bob"), world.person("eve")
    holds(bob, "policy_editor", ward)
    holds(bob, "publisher", bank)
    assert overlaps() == []
    holds(bob, "publisher")
    holds(eve, "admin")
    holds(eve, "auditor")
    assert [(each.person, each.where) for each in overlaps()] == [("bob", "in Ward"), ("eve", "everywhere")]
    assert [each.person for each in overlaps(Reach(ids=frozenset({bank.pk})))] == ["eve"]
    assert {role for pair in APART for role in pair[:2]} <= set(ROLES)


@pytest.mark.django_db
def test_the_checks_and_the_command_say_so(settings: Any) -> None:
    holds(world.person("bob"), "admin")
    holds(User.objects.get(username="bob"), "reviewer")
    world.admin("root")
    found = {each.id for each in run_checks(include_deployment_checks=True, databases=["default"])}
    assert {"gateway.W010", "gateway.W011"} <= found
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("roles", "check", stdout=out)
    assert "bob is administrator and reviewer everywhere" in out.getvalue()
    settings.ENVIRONMENT = "demo"
    assert "gateway.W011" not in {
        each.id for each in run_checks(include_deployment_checks=True, databases=["default"])
    }


@pytest.mark.django_db
def test_the_first_role_is_given_on_the_command_line() -> None:
    world.person("ada")
    call_command("roles", "grant", "administrators", "admin", "--person", "ada", stdout=StringIO())
    assert User.objects.get(username="ada").areas_with("gateway.add_issuer").everywhere
    for wrong in (["--area", "nowhere"], ["--person", "nobody"]):
        with pytest.raises(CommandError):
            call_command("roles", "grant", "administrators", "auditor", *wrong)
    assert RoleGrant.objects.get().role == "admin"


@pytest.mark.django_db
def test_the_page_shows_the_matrix_to_all_and_holders_to_who_may_see_roles(client: Client) -> None:
    ward = Area.objects.create(slug="w", name="Ward")
    bob, carol = world.person("bob"), world.person("carol")
    holds(bob, "admin", ward)
    holds(world.person("eve"), "auditor")
    client.force_login(carol)
    page = client.get("/roles/").content.decode()
    assert "What each role may do" in page and "admin of Ward" not in page
    client.force_login(bob)
    page = client.get("/roles/").content.decode()
    assert "admin of Ward" in page and "auditor of all" not in page

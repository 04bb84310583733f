"""`/usage/` and `/audit/usage/`: everybody's own, an auditor's areas, and the file."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from audit.models import Price
from audit.usage.collecting import usage_derive
from gateway.identity.authz import role_grant
from gateway.models import Area, ServiceAccount, User
from tests.audit.closed import closed_call, derived, told
from tests.console.world import holder
from tests.gateway import world

pytestmark = pytest.mark.django_db


def used(person: User | ServiceAccount, **fields: Any) -> None:
    owner = person.owner_id if isinstance(person, ServiceAccount) else None
    name = person.name if isinstance(person, ServiceAccount) else person.username
    given = {"input_tokens": 1_500_000, "output_tokens": 500_000, "owner_id": owner, "name": name}
    derived(usage_derive, closed_call(**{**given, "person_id": person.pk, "subject": name, **fields}))


@pytest.fixture
def alice() -> User:
    return world.person("alice", group="support")


def text(client: Client, person: User, path: str) -> str:
    client.force_login(person)
    response = client.get(path)
    assert response.status_code == 200, path
    return response.content.decode()


def test_everybody_sees_their_own_and_their_programs_usage_and_nobody_else_s(
    client: Client, alice: User
) -> None:
    bob = world.person("bob")
    robot = ServiceAccount.objects.create(area=world.area(), name="robot", owner=alice)
    used(alice, model="own-model")
    used(robot, model="robot-model")
    used(bob, model="bobs-model")
    shown = text(client, alice, "/usage/")
    assert "own-model" in shown and "robot-model" in shown
    assert "3,000,000" in shown and "bobs-model" not in shown
    assert "robot" in text(client, alice, "/usage/?by=caller")
    assert "bobs-model" in text(client, bob, "/usage/") and "own-model" not in text(client, bob, "/usage/")


def test_no_usage_says_where_to_begin(client: Client, alice: User) -> None:
    assert "No calls in this month" in text(client, alice, "/usage/")
    assert "No calls in this month" in text(client, holder("dave", "auditor"), "/audit/usage/")


def test_an_auditor_sees_the_usage_of_their_areas(client: Client, alice: User) -> None:
    lab = Area.objects.create(slug="lab", name="Lab")
    far = world.person("lars", group="lab auditors")
    role_grant(group=Group.objects.get(name="lab auditors"), role="auditor", by=None, area=lab)
    used(alice, model="clinic-model")
    used(alice, model="lab-model", area="lab", groups=["researchers"])
    for by in ("caller", "group", "endpoint", "model"):
        shown = text(client, far, f"/audit/usage/?by={by}")
        assert "1,500,000" in shown and "3,000,000" not in shown
        assert "clinic-model" not in shown and "support" not in shown
    assert "3,000,000" in text(client, holder("dave", "auditor"), "/audit/usage/?by=caller")


def test_groups_are_said_not_to_add_up_and_the_total_counts_once(client: Client, alice: User) -> None:
    used(alice, groups=["a", "b"])
    shown = text(client, holder("dave", "auditor"), "/audit/usage/?by=group")
    assert "Groups do not add up" in shown
    assert shown.count("1,500,000") == 3  # two groups, and the total


def test_a_model_without_a_price_says_so(client: Client, alice: User) -> None:
    used(alice)
    assert "no price" in text(client, alice, "/usage/")
    Price.objects.create(
        pattern="demo", input_price=2, output_price=4, currency="EUR", valid_from=date(2020, 1, 1)
    )
    shown = text(client, alice, "/usage/")
    assert "5.00 EUR" in shown and "no price" not in shown


@pytest.mark.parametrize("query", ["?month=2026-13", "?month=202611", "?by=network", "?month=0001-01"])
def test_nonsense_is_a_bad_request(client: Client, alice: User, query: str) -> None:
    client.force_login(holder("dave", "auditor"))
    assert client.get(f"/audit/usage/{query}").status_code == 400
    assert client.get(f"/usage/{query}").status_code == 400


def test_an_old_month_is_shown_with_what_was_used_then(client: Client, alice: User) -> None:
    used(alice)
    shown = text(client, alice, "/usage/?month=2025-01")
    assert "No calls in this month" in shown and "January 2025" in shown


def test_the_file_is_a_post_with_an_event(client: Client, alice: User) -> None:
    used(alice)
    client.force_login(holder("dave", "auditor"))
    assert client.get("/audit/usage/export/").status_code == 405
    month = f"{closed_call().started_at:%Y-%m}"
    response = client.post("/audit/usage/export/", {"by": "caller", "month": month})
    assert response.headers["Content-Disposition"] == f'attachment; filename="usage-{month}-by-caller.csv"'
    assert response.content.decode("utf-8-sig").count("\n") == 2
    assert told("usage.exported") == 1
    assert client.post("/audit/usage/export/", {"by": "model"}).status_code == 400


def test_prices_are_the_administrators_and_a_change_is_on_the_record(client: Client) -> None:
    client.force_login(holder("pia", "admin"))
    price = {
        "pattern": "gpt-*",
        "input_price": "1",
        "output_price": "2",
        "currency": "EUR",
        "valid_from": "2026-01-01",
    }
    assert client.post("/admin/audit/price/add/", price).status_code == 302
    assert Price.objects.get().pattern == "gpt-*"
    assert told("price.added") == 1
    wrong = client.post("/admin/audit/price/add/", {**price, "valid_from": "2026-01-15"})
    assert "first day of a month" in wrong.content.decode()
    client.force_login(holder("dave", "auditor"))
    assert client.get("/admin/audit/price/").status_code == 200
    assert client.post("/admin/audit/price/add/", price).status_code == 403

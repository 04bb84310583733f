"""Rotation plans in the admin: what is refused, what asks once more, what nobody deletes by mistake."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from gateway.models import Credential, CredentialState, Rotation, RotationPlan
from gateway.rotating import sweeping
from gateway.rotating.services import plan_save, rotate_now, secret_revoke_now
from tests.gateway.world import admin, credential

from .provider import RECIPE, provider
from .world import House, house

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def home() -> Iterator[House]:
    with provider() as found:
        yield house(found)


@pytest.fixture
def ada() -> Client:
    client = Client()
    client.force_login(admin())
    return client


def tool(home: House, name: str) -> str:
    return reverse(f"admin:gateway_rotationplan_{name}", args=[home.plan.pk])


def values(home: House, **changes: Any) -> dict[str, Any]:
    return {
        "rotator": "recipe",
        "options": json.dumps({"own": RECIPE}),
        "admin_credential": home.plan.admin_credential_id,
        "allow_private": "on",
        "every": "30 00:00:00",
        "cron": "",
        "timezone": "UTC",
        "jitter": "0",
        "windows": "[]",
        "overlap": "00:00:10",
        "test_path": "",
        "escalate_after": "",
        "disable_after": "",
        "spares": "",
    } | changes


def change(client: Client, home: House, **changes: Any) -> str:
    page = reverse("admin:gateway_rotationplan_change", args=[home.plan.pk])
    return client.post(page, values(home, **changes), follow=True).content.decode()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"options": '{"recipe": "nobody"}'}, "is one of"),
        ({"admin_credential": ""}, "needs a credential for the provider"),
        ({"cron": "0 3 * * *"}, "not both"),
        ({"every": "", "cron": "61 * * * *"}, "Write cron such as"),
        ({"timezone": "Europe/Nowhere"}, "There is no time zone"),
        ({"windows": '[{"from": "22:00"}]'}, "A window has"),
        ({"overlap": "00:00:03"}, "greater than or equal"),
        ({"rotator": "nobody"}, "is not one of the available choices"),
    ],
)
def test_what_will_not_do_is_said_at_its_field(home: House, ada: Client, changes: Any, words: str) -> None:
    assert words in change(ada, home, **changes)
    assert RotationPlan.objects.get().every == timedelta(days=30)


def test_a_list_of_plans_costs_the_same_however_long_it_is(home: House, ada: Client) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as seen:
            page = ada.get(reverse("admin:gateway_rotationplan_changelist")).content.decode()
        assert page.count("In order") + page.count("No secret") == RotationPlan.objects.count()
        return len(seen)

    cost()
    before = cost()
    for number in range(5):
        row = credential(f"more {number}")
        plan_save(plan=RotationPlan(credential=row, rotator="manual", every=timedelta(days=3)), by=None)
    assert cost() == before


def test_a_form_that_is_shown_again_holds_no_spare(home: House, ada: Client) -> None:
    page = change(ada, home, rotator="list", spares="sk-spare-0000000001", overlap="long")
    assert "Please correct the error" in page and "sk-spare-0000000001" not in page


def test_a_plan_is_changed_and_says_how_it_stands(home: House, ada: Client) -> None:
    assert "was changed successfully" in change(ada, home, every="10 00:00:00")
    assert RotationPlan.objects.get().every == timedelta(days=10)
    page = ada.get(reverse("admin:gateway_rotationplan_change", args=[home.plan.pk])).content.decode()
    assert "In order" in page and "It has not been rotated yet" in page


def test_spares_are_sealed_and_never_shown_again(home: House, ada: Client) -> None:
    spares = "sk-spare-0000000001\nsk-spare-0000000002"
    page = change(ada, home, rotator="list", options="{}", admin_credential="", spares=spares)
    assert "2 spare secrets were sealed" in page and "sk-spare-" not in page
    assert home.credential.versions.filter(state=CredentialState.SPARE).count() == 2
    page = change(ada, home, rotator="list", options="{}", admin_credential="", spares="no spaces please")
    assert "No spare secret was kept" in page and "no spaces please" not in page


def test_the_dangerous_ones_ask_once_more(home: House, ada: Client) -> None:
    for name in ("compromised", "revoke"):
        page = ada.post(tool(home, name)).content.decode()
        assert "Endpoints that use it: chat." in page
        assert not Rotation.objects.exists() and home.current()
    ada.post(tool(home, "compromised"), {"sure": "1"})
    assert Rotation.objects.get().cause == "compromised"
    ada.post(tool(home, "revoke"), {"sure": "1"})
    assert home.versions(CredentialState.CURRENT) == []


def test_one_is_begun_called_off_and_gone_back_from(home: House, ada: Client) -> None:
    ada.post(tool(home, "rotate"))
    assert "A rotation is under way" in ada.post(tool(home, "rotate"), follow=True).content.decode()
    ada.post(tool(home, "cancel"))
    assert Rotation.objects.get().error == "cancelled"
    first = home.current()
    rotate_now(credential=home.credential, by=None)
    sweeping.sweep()
    assert "no such version" in ada.post(tool(home, "back"), {"number": "x"}, follow=True).content.decode()
    ada.post(tool(home, "back"), {"number": first.number})
    assert home.current().pk == first.pk


def test_a_credential_stays_while_its_provider_has_keys_of_it(home: House, ada: Client) -> None:
    rotate_now(credential=home.credential, by=None)
    sweeping.sweep()
    home.credential.endpoints.update(credential=None)
    page = reverse("admin:gateway_credential_delete", args=[home.credential.pk])
    assert "its provider still has it" in ada.get(page).content.decode()
    ada.post(page, {"post": "yes"})
    assert Credential.objects.filter(pk=home.credential.pk).exists()
    secret_revoke_now(credential=home.credential, by=None)
    sweeping.sweep()
    ada.post(page, {"post": "yes"})
    assert not Credential.objects.filter(pk=home.credential.pk).exists()
    assert [key.id for key in home.provider.state.good()] == ["key_1"]

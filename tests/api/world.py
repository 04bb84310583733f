"""Who calls the API in the tests: ci, a service account with the roles of an operator; its owner is ada."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group
from django.utils import timezone
from rest_framework.test import APIClient

from gateway.console.seed import seed_world
from gateway.identity.authz import role_grant
from gateway.identity.keys import api_key_create
from gateway.models import ApiKey, Area, ServiceAccount, User
from tests.gateway import two


def seeded() -> None:
    seed_world(chat_origin="http://127.0.0.1:9", classifier_origin="http://localhost:9")


def program(name: str = "ci", roles: tuple[str, ...] = two.ROLES) -> ServiceAccount:
    owner = User.objects.get_or_create(username="owner")[0]
    area = Area.objects.order_by("slug").first()
    account = ServiceAccount.objects.create(area=area, name=name, owner=owner)
    group = Group.objects.create(name=f"{name} programs")
    for role in roles:
        role_grant(group=group, role=role, by=None)
    account.groups.add(group)
    return account


def key_of(account: ServiceAccount, by: User | None = None) -> tuple[ApiKey, str]:
    """Made by somebody who may do everything, so that it does what the account's groups say."""
    by = by or User.objects.get_or_create(username="root", defaults={"is_superuser": True})[0]
    until = timezone.now() + timedelta(days=1)
    row, secret = api_key_create(name="pipeline", service_account=account, expires_at=until, by=by)
    return row, secret.reveal()


def client(key: str = "", **headers: str) -> APIClient:
    """As a program: without cookies, with CSRF checks as they are outside of tests."""
    made = APIClient(enforce_csrf_checks=True)
    if key:
        headers["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    made.credentials(**headers)
    return made


def signed_in(person: User) -> APIClient:
    made = APIClient(enforce_csrf_checks=True)
    made.force_login(person)
    return made


def problem(response: Any, status: int, kind: str) -> Any:
    """The answer is this problem, in the right form."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert (body["type"], body["status"]) == (f"urn:postern:problem:{kind}", status)
    return body

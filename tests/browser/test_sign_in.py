"""A reviewer signs in through a provider, a process of its own; their groups decide what they see."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from tests.server.world import ROOT, World, running_world

from .conftest import listen
from .provider import running_provider

pytestmark = pytest.mark.timeout(240)

SET_UP = """
from django.contrib.auth.models import Group
from gateway.models import GroupMapping, Issuer
issuer = Issuer.objects.create(name="Acme SSO", issuer="{issuer}", allow_private=True)
for name in ("reviewers", "auditors"):
    group = Group.objects.get(name=name)
    GroupMapping.objects.create(issuer=issuer, match="exact", value="pst-" + name, group=group)
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with running_provider() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, provider: str) -> Iterator[World]:
    more = {
        "OIDC_ISSUER": provider,
        "OIDC_CLIENT_ID": "postern",
        "OIDC_CLIENT_SECRET": "not a secret",
        "LOCAL_SIGN_IN": "1",
    }
    with running_world(tmp_path_factory.mktemp("sign-in"), more=more) as running:
        env = {**os.environ, **more, "DATABASE_URL": running.store_url, "DATA_DIR": str(running.data)}
        argv = [sys.executable, "manage.py", "shell", "-c", SET_UP.format(issuer=provider)]
        subprocess.run(argv, cwd=ROOT, env=env, check=True, capture_output=True)
        yield running


@pytest.fixture
def page(chromium: Browser, complaints: list[str]) -> Iterator[Page]:
    context = chromium.new_context(reduced_motion="reduce")
    context.set_default_timeout(20_000)
    opened = context.new_page()
    listen(opened, complaints)
    yield opened
    context.close()


def known(provider: str, subject: str, **claims: Any) -> None:
    """What the provider says of somebody from now on."""
    requests.put(f"{provider}/users/{subject}", json=claims, timeout=5).raise_for_status()


def sign_in(page: Page, house: World, subject: str, path: str = "/") -> None:
    page.goto(house.url + path)
    page.get_by_role("link", name="Log in with Acme SSO").click()
    page.fill("[name=sub]", subject)
    page.get_by_role("button", name="Authorize").click()
    page.wait_for_url(house.url + path)


def sign_out(page: Page) -> None:
    page.locator("details.usermenu summary").click()
    page.get_by_role("button", name="Log out", exact=True).click()


def test_groups_decide_what_a_reviewer_sees_and_follow_the_provider(
    page: Page, house: World, provider: str, complaints: list[str]
) -> None:
    known(provider, "rita", name="Rita Reyes", groups=["pst-reviewers", "pst-auditors", "else"])
    sign_in(page, house, "rita")
    expect(page.locator(".usermenu-panel")).to_contain_text(
        re.compile("auditors, reviewers|reviewers, auditors")
    )
    expect(page.get_by_role("link", name="Audit", exact=True)).to_be_visible()
    page.goto(house.url + "/account/")
    expect(page.locator("table").first).to_contain_text(provider)
    sign_out(page)
    page.wait_for_url(re.compile(re.escape(provider) + "/oauth2/end_session.*id_token_hint="))
    page.get_by_role("button", name="End session").click()
    page.wait_for_url(house.url + "/login/")

    known(provider, "rita", name="Rita Reyes", groups=[])
    sign_in(page, house, "rita")
    expect(page.locator(".usermenu-panel")).to_contain_text("No groups")
    expect(page.get_by_role("link", name="Audit")).to_have_count(0)
    assert page.goto(house.url + "/audit/").status == 403  # type: ignore[union-attr]
    expected = ("403", "404", "NAME_NOT_RESOLVED")  # the refused page; what the mock's own pages lack
    assert [each for each in complaints if not any(word in each for word in expected)] == []


def test_the_provider_ends_the_session(page: Page, house: World, provider: str) -> None:
    known(provider, "sam", name="Sam", groups=["pst-reviewers"])
    sign_in(page, house, "sam")
    form = {"client_id": "postern"}
    token = requests.post(f"{provider}/signed-out/sam", data=form, timeout=5).text
    for status in (200, 400):  # once
        told = requests.post(f"{house.url}/oidc/backchannel-logout", data={"logout_token": token}, timeout=5)
        assert told.status_code == status, told.text
    page.goto(house.url + "/account/")
    page.wait_for_url(house.url + "/login/?next=/account/")


def test_whoever_cancels_at_the_provider_reads_so_and_stays_out(
    page: Page, house: World, provider: str
) -> None:
    page.goto(house.url + "/login/")
    page.get_by_role("link", name="Log in with Acme SSO").click()
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("heading", name="Your provider did not let you in")).to_be_visible()
    page.get_by_role("link", name="Back to log in").click()
    expect(page.get_by_role("link", name="Log in with Acme SSO")).to_be_visible()

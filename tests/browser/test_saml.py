"""Sign-in by SAML in a real browser: the provider is another site, so its POST brings no cookie of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect

from tests.identity.saml.server import SamlProvider
from tests.server.world import ROOT, World

from .conftest import listen
from .test_pages import ACTIVE, CONTRAST

SLOW = 20_000  # milliseconds: the machine may be busy
pytestmark = pytest.mark.timeout(240)

ADD = """
from django.contrib.auth.models import Group
from gateway.models import GroupMapping, Issuer
import os
row = Issuer.objects.create(
    name="Test provider", kind="saml", issuer=os.environ["SAML_ENTITY"], metadata=os.environ["SAML_METADATA"]
)
GroupMapping.objects.create(
    issuer=row, match="exact", value="Audit team", group=Group.objects.get(name="auditors")
)
"""
REMOVE = "from gateway.models import Issuer; Issuer.objects.filter(kind='saml').delete()"


@pytest.fixture(scope="module")
def provider(site: World) -> Iterator[SamlProvider]:
    """Reached as `localhost`, while the site is 127.0.0.1: to a browser these are two sites."""
    made = SamlProvider().start()
    made.url = made.url.replace("127.0.0.1", "localhost")
    made.people["P-paul"] = {"name": ["Paul P."], "email": ["paul@example.com"], "groups": ["Audit team"]}
    _run(site, ADD, SAML_ENTITY=made.entity_id, SAML_METADATA=made.metadata())
    yield made
    _run(site, REMOVE)
    made.stop()


@pytest.fixture(params=["light", "dark"])
def context(request: Any, chromium: Browser) -> Iterator[BrowserContext]:
    made = chromium.new_context(color_scheme=request.param, reduced_motion="reduce")
    made.set_default_timeout(25_000)
    yield made
    made.close()


def _run(site: World, code: str, **more: str) -> None:
    env = {**os.environ, "DATA_DIR": str(site.data), "DATABASE_URL": site.store_url, **more}
    subprocess.run([sys.executable, "manage.py", "shell", "-c", code], cwd=ROOT, env=env, check=True)


def _sign_in(page: Page, site: World, onward: str) -> None:
    page.goto(site.url + onward)
    page.wait_for_url(f"{site.url}/login/?next={onward}")
    page.get_by_role("link", name="Log in with Test provider").click()
    page.get_by_role("button", name="P-paul").click()
    page.get_by_role("button", name="Go on").click()


def test_a_person_signs_in_and_groups_decide_what_they_see(
    context: BrowserContext, site: World, provider: SamlProvider, complaints: list[str]
) -> None:
    provider.people["P-paul"]["groups"] = ["Audit team"]
    page = context.new_page()
    listen(page, complaints)
    posts: list[Request] = []
    page.on("request", lambda request: posts.append(request) if "/saml/" in request.url else None)
    _sign_in(page, site, "/audit/calls/")
    page.wait_for_url(site.url + "/audit/calls/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.locator("body")).to_contain_text("Paul P.")
    acs, finish = (next(r for r in posts if r.url.endswith(f"/saml/{name}")) for name in ("acs", "finish"))
    assert "cookie" not in acs.all_headers(), "the provider's POST came from another site"
    assert "saml=" in finish.all_headers()["cookie"]
    assert complaints == []
    provider.people["P-paul"]["groups"] = []
    context.clear_cookies()
    _sign_in(page, site, "/audit/calls/")
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "Your roles do not open this page", timeout=SLOW
    )


def test_without_scripts_a_button_goes_on(chromium: Browser, site: World, provider: SamlProvider) -> None:
    context = chromium.new_context(java_script_enabled=False)
    context.set_default_timeout(25_000)
    page = context.new_page()
    _sign_in(page, site, "/account/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Signing in", timeout=SLOW)
    assert ACTIVE.findall(page.content()) == []
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(site.url + "/account/")
    context.close()


def test_a_refusal_is_readable_and_leads_back(
    context: BrowserContext, site: World, provider: SamlProvider
) -> None:
    provider.change = lambda answer: replace(answer, audience="https://else.example.com")
    page = context.new_page()
    try:
        _sign_in(page, site, "/account/")
        expect(page.get_by_role("alert")).to_contain_text("meant for somebody else", timeout=SLOW)
    finally:
        provider.change = lambda answer: answer
    expect(page.locator("code")).to_have_text("wrong_audience")
    assert page.evaluate(CONTRAST) == [] and ACTIVE.findall(page.content()) == []
    page.get_by_role("link", name="Back to the sign-in page").click()
    expect(page.get_by_role("link", name="Log in with Test provider")).to_be_visible()

"""A credential's form shows what its way of sending takes, and all of it to whoever has no scripts."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.server.world import World

from .conftest import log_in

CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
ADD = "/admin/gateway/credential/add/"
FIELDS = {
    "header": {"header", "scheme", "secret"},
    "query": {"parameter", "secret"},
    "body": {"parameter", "secret"},
    "basic": {"username", "secret"},
    "oauth": {
        "header", "scheme", "token_url", "client_id", "client_auth", "scope", "audience", "token_private",
        "secret",
    },
    "certificate": {"pem"},
}  # fmt: skip
EVERY = set().union(*FIELDS.values())


def shown(page: Page) -> set[str]:
    return {name for name in EVERY if page.locator(f"[name={name}]").is_visible()}


@pytest.fixture
def admin(chromium: Browser, site: World) -> Page:
    return log_in(chromium.new_context(), site, "admin")


def test_each_way_of_sending_shows_its_own_fields(admin: Page, site: World) -> None:
    admin.goto(site.url + ADD)
    assert shown(admin) == FIELDS["header"]
    for way, fields in FIELDS.items():
        admin.locator("[name=placement]").select_option(way)
        assert shown(admin) == fields, way
        assert admin.evaluate(CONTRAST) == [], way


def test_what_another_way_took_is_not_sent_with_it(admin: Page, site: World) -> None:
    admin.goto(site.url + ADD)
    admin.locator("[name=name]").fill("changed my mind")
    admin.locator("[name=origin]").fill("https://model.example")
    admin.locator("[name=area]").select_option(index=1)
    admin.locator("[name=secret]").fill("sk-typed-0123456789")
    admin.locator("[name=placement]").select_option("certificate")
    admin.get_by_role("button", name="Save", exact=True).click()
    expect(admin.get_by_text("Enter the secret.")).to_be_visible()
    assert shown(admin) == FIELDS["certificate"], "after a mistake it shows what was chosen"
    assert "sk-typed-0123456789" not in admin.content()


def test_without_scripts_every_field_is_there(chromium: Browser, site: World) -> None:
    page = log_in(chromium.new_context(java_script_enabled=False), site, "admin")
    page.goto(site.url + ADD)
    assert shown(page) == EVERY

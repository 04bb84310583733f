"""The playground and a preview as people see them: strict content policy, contrast in both themes, phones."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.server.world import World

from .conftest import HOSTILE, Open, call
from .test_pages import ACTIVE, CONTRAST

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_payload_is_tried_and_two_policies_compared(visit: Open, complaints: list[str], theme: str) -> None:
    page = visit("admin", "/playground/", theme=theme)
    page.select_option("[name=form]", "text")
    page.fill("[name=payload]", HOSTILE)
    _choose(page, "version", "Support v1")
    _choose(page, "against", "Clinicians v1")
    page.click("text=Try it")
    expect(page.locator("#changes-head")).to_be_visible()
    expect(page.locator("mark.found").first).to_have_text("ana@example.com")
    assert page.title() == "Playground | Postern"
    assert ACTIVE.findall(page.content()) == []
    assert page.evaluate(CONTRAST) == []
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert complaints == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_draft_is_previewed_from_its_own_page(
    visit: Open, site: World, complaints: list[str], theme: str
) -> None:
    call(site, "mail ana@example.com")
    page = visit("admin", "/admin/policies/policyversion/", theme=theme)
    page.locator("#result_list a", has_text="Support").first.click()
    page.wait_for_url("**/change/**")
    if page.get_by_role("button", name="Clone to draft").count():
        page.get_by_role("button", name="Clone to draft").click()
    page.get_by_role("link", name="Preview on traffic").click()
    expect(page.get_by_role("button", name="Start the preview")).to_be_visible()
    assert page.evaluate(CONTRAST) == []
    page.get_by_role("button", name="Start the preview").click()
    expect(page.locator(".badge-ok", has_text="done")).to_be_visible(timeout=20_000)
    expect(page.locator("#matrix-head")).to_be_visible()
    assert page.evaluate(CONTRAST) == []
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert complaints == []


def _choose(page: Page, name: str, label: str) -> None:
    option = page.locator(f"[name={name}] option", has_text=re.compile(re.escape(label))).first
    page.select_option(f"[name={name}]", option.get_attribute("value"))

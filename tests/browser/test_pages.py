"""Every page: strict content policy, contrast in both themes, phones, keyboard, and hostile recorded text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.server.world import World

from .conftest import Open

pytestmark = pytest.mark.timeout(240)

CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
PAGES = (
    "/",
    "/audit/",
    "/audit/calls/",
    "/audit/calls/?action=blocked",
    "/audit/flagged/",
    "/audit/flagged/?state=closed",
    "/audit/usage/",
    "/audit/usage/?by=group",
    "/usage/",
    "/playground/",
    "/drift/",
    "/keys/",
    "/keys/leaked/",
    "/device/",
    "/explain/",
    "/explain/?caller=user:alice&endpoint=chat",
    "/live/",
    "/review/",
    "/review/policies/",
    "/admin/",
    "/admin/policies/schemaversion/",
    "/admin/policies/policyversion/",
    "/admin/gateway/endpoint/",
    "/admin/gateway/endpoint/add/",
    "/admin/gateway/apikey/",
    "/admin/gateway/apikey/add/",
    "/admin/gateway/credential/add/",
    "/admin/gateway/user/",
    "/admin/gateway/signin/",
    "/admin/gateway/identity/",
    "/admin/gateway/identity/add/",
    "/account/",
    "/step-up/?next=/account/",
    "/admin/gateway/lock/",
    "/admin/audit/price/add/",
    "/admin/approvals/approval/",
)
FIRST_OF = (
    "/admin/policies/schemaversion/",
    "/admin/policies/policyversion/",
    "/admin/policies/schema/",
    "/admin/gateway/endpoint/",
    "/admin/gateway/credential/",
    "/admin/gateway/apikey/",
    "/admin/gateway/user/",
)
ACTIVE = re.compile(r"<style|\sstyle=|\son[a-z]+\s*=\s*[\"']|<script(?![^>]*\ssrc=)|javascript:", re.I)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_is_readable_and_breaks_no_rule_of_its_own_policy(
    visit: Open, site: World, hostile_call: str, complaints: list[str], theme: str
) -> None:
    page = visit("admin", "/", theme=theme)
    poor: list[str] = []
    for path in (*PAGES, hostile_call):
        poor += [f"{path}: {found}" for found in _look(page, site.url + path)]
    for path in FIRST_OF:
        page.goto(site.url + path)
        page.locator("#result_list tbody a").first.click()
        page.wait_for_url("**/change/**")
        poor += [f"{page.url}: {found}" for found in page.evaluate(CONTRAST)]
    page.goto(site.url + hostile_call)
    page.locator(".crumbs a").last.click()
    page.wait_for_url("**/audit/sessions/**")
    poor += page.evaluate(CONTRAST)
    assert poor == []
    assert complaints == []


def _look(page: Page, address: str) -> list[str]:
    response = page.goto(address)
    assert response is not None
    assert response.status == 200, address
    assert ACTIVE.findall(response.text()) == [], address
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "unsafe" not in response.headers["content-security-policy"]
    poor: list[str] = page.evaluate(CONTRAST)
    return poor


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_log_in_page_is_readable_and_leads_back_to_where_one_wanted_to_go(
    visit: Open, site: World, theme: str
) -> None:
    page = visit("", "/audit/", theme=theme)
    assert page.evaluate(CONTRAST) == []
    assert page.url.endswith("/login/?next=/audit/")
    page.fill("[name=username]", "dave")
    page.fill("[name=password]", "wrong")
    page.press("[name=password]", "Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    assert page.evaluate(CONTRAST) == []
    page.fill("[name=username]", "dave")
    page.fill("[name=password]", next(p["password"] for p in site.facts["people"] if p["name"] == "dave"))
    page.press("[name=password]", "Enter")
    expect(page).to_have_url(site.url + "/audit/")


def test_pages_fit_a_phone(visit: Open, site: World) -> None:
    page = visit("admin", "/", width=390)
    for path in PAGES:
        page.goto(site.url + path)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, path


def test_the_call_page_shows_hostile_text_and_lets_none_of_it_act(
    visit: Open, hostile_call: str, complaints: list[str]
) -> None:
    page = visit("dave", hostile_call)
    request = page.get_by_role("region", name="Request", exact=True)
    expect(request).to_contain_text("<script>document.title='owned'</script>")
    expect(request.locator(".glyph[title='RIGHT-TO-LEFT OVERRIDE']")).to_have_text("U+202E")
    expect(request.locator(".glyph[title='ZERO WIDTH SPACE']")).to_have_count(1)
    expect(request.locator("mark.found")).to_have_count(2)
    assert "owned" not in page.title()
    assert "4111 1111" not in page.content()
    assert "ana@example.com" not in page.content()
    assert complaints == []


def test_a_call_leads_to_its_session_and_back(visit: Open) -> None:
    page = visit("dave", "/audit/")
    page.locator("a.row-link").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Alice")
    page.locator("a.row-link").first.click()
    expect(page.get_by_role("heading", name="Evidence")).to_be_visible()
    expect(page.get_by_text("digests match")).to_be_visible()


def test_who_may_not_audit_is_told_so(visit: Open, site: World) -> None:
    page = visit("alice", "/")
    assert page.get_by_role("link", name="Audit").count() == 0
    response = page.goto(site.url + "/audit/")
    assert response is not None
    assert response.status == 403
    expect(page.get_by_role("heading", level=1)).to_have_text("Your roles do not open this page")


def test_the_keyboard_reaches_everything(visit: Open) -> None:
    page = visit("dave", "/audit/")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to main content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    menu = page.locator(".usermenu > summary")
    menu.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Log out")).to_be_hidden()
    expect(menu).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Log out").press("Enter")
    page.wait_for_url("**/login/")


def test_the_theme_switch_is_remembered_on_every_page(visit: Open, site: World) -> None:
    page = visit("admin", "/")
    page.get_by_role("button", name="Toggle theme").click()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.goto(site.url + "/admin/")
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == light


def test_a_focused_thing_shows_it(visit: Open) -> None:
    page = visit("admin", "/admin/gateway/endpoint/")
    for _ in range(12):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", page.evaluate("document.activeElement.outerHTML")


def test_the_measure_of_contrast_finds_poor_contrast(visit: Open) -> None:
    page = visit("", "/login/")
    page.evaluate("document.querySelector('h1').style.color = 'rgb(200, 200, 200)'")
    (found,) = page.evaluate(CONTRAST)
    assert found.endswith("Log in")

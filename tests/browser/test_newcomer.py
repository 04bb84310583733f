"""A first day: a class of one's own, tried, previewed, published, compared, taken back."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Page, expect

from tests.server.world import World

from .conftest import Open, call

pytestmark = pytest.mark.timeout(300)

MINUTES = 3
FOLLOWS_SECONDS = 2.0
TEXT = "Patient PT-12345 called again."


def sent(site: World) -> str:
    """What the model echoes of a call: what reached it."""
    answer = call(site, TEXT)
    assert answer.status_code == 200
    return str(answer.json()["choices"][0]["message"]["content"])


def save(page: Page) -> None:
    page.locator("input[name=_save]").click()
    expect(page.locator(".messagelist .success")).to_be_visible()


def to_version(page: Page, site: World, text: str) -> None:
    page.goto(site.url + "/admin/policies/schemaversion/")
    page.locator("#result_list tbody tr", has_text=text).first.locator("th a, td a").first.click()
    page.wait_for_url("**/change/**")


def test_a_class_is_made_tried_previewed_published_compared_and_taken_back(
    visit: Open, site: World, complaints: list[str]
) -> None:
    assert "PT-12345" in sent(site)
    page = visit("admin", "/admin/policies/schemaversion/")
    began = time.monotonic()

    # A draft, and in it a class with a pattern that is a digit short.
    page.locator("#result_list tbody th a").first.click()
    page.get_by_role("button", name="Clone to draft").click()
    page.wait_for_url("**/change/**")
    draft = page.url
    page.get_by_role("link", name="Add attribute").click()
    page.fill("[name=slug]", "PATIENT")
    page.fill("[name=name]", "Patient number")
    page.select_option("[name=detectors-0-kind]", "regex")
    page.fill("[name=detectors-0-value]", r"\bPT-[0-9]{4}\b")
    page.fill("[name=examples-0-text]", "Patient PT-12345 called.")
    save(page)

    # Its example is not found: publishing is refused and says which.
    page.goto(draft)
    page.get_by_role("button", name="Publish saved draft").click()
    refusal = page.locator(".messagelist .error")
    expect(refusal.first).to_contain_text("PATIENT")
    assert "PT-12345" in sent(site)

    # Fix it.
    page.goto(draft)
    page.locator("tr", has_text="PATIENT").get_by_role("link", name="Change").click()
    page.fill("[name=detectors-0-value]", r"\bPT-[0-9]{5}\b")
    save(page)

    # See on recorded traffic what it would do.
    page.goto(draft)
    page.get_by_role("link", name="Preview on traffic").click()
    page.get_by_role("button", name="Start the preview").click()
    page.wait_for_url(re.compile(r"/preview/[0-9a-f-]+/"))
    deadline = time.monotonic() + 60
    while "Done" not in page.locator("main").inner_text() and time.monotonic() < deadline:
        page.wait_for_timeout(500)
        page.reload()
    expect(page.locator("main")).to_contain_text("PATIENT")

    # Publish: the next call is masked by it.
    page.goto(draft)
    page.get_by_role("button", name="Publish saved draft").click()
    expect(page.locator(".messagelist .success")).to_be_visible()
    published = time.monotonic()
    while "PT-12345" in sent(site):
        assert time.monotonic() - published < FOLLOWS_SECONDS
    assert "Patient *** called again." in sent(site)

    # Compare with what was before, and take it back.
    to_version(page, site, "Retired")
    page.get_by_role("link", name="Compare", exact=True).click()
    expect(page.locator("#content")).to_contain_text("PATIENT")
    to_version(page, site, "Retired")
    page.get_by_role("button", name="Roll back to this").click()
    expect(page.locator(".messagelist .success")).to_be_visible()
    rolled = time.monotonic()
    while "PT-12345" not in sent(site):
        assert time.monotonic() - rolled < FOLLOWS_SECONDS

    assert time.monotonic() - began < MINUTES * 60
    assert complaints == []

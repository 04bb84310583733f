"""The inbox in a browser: dave takes a flagged call, writes a note, closes it and opens it again."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.server.world import World

from .conftest import Open, call

pytestmark = pytest.mark.timeout(240)
CONTRAST = (Path(__file__).parent / "contrast.js").read_text()


@pytest.fixture(scope="module")
def numbers(site: World) -> list[str]:
    """Three calls that the demo's rule about restricted data flags."""
    return [call(site, "my card is 4111 1111 1111 1111").headers["x-postern-call"] for _ in range(3)]


def inbox(visit: Open, numbers: list[str], **looks: object) -> Page:
    """Once the worker has derived them."""
    page = visit("dave", "/audit/flagged/", **looks)
    for _ in range(60):
        if all(page.locator(f"a[href*='{number}']").count() for number in numbers):
            return page
        page.wait_for_timeout(1000)
        page.reload()
    raise AssertionError("the flagged calls do not come in")


def test_a_flagged_call_is_taken_noted_closed_and_opened_again(
    visit: Open, numbers: list[str], complaints: list[str]
) -> None:
    page = inbox(visit, numbers)
    page.locator(f"a[href*='{numbers[0]}']").click()
    panel = page.get_by_role("region", name="Flagged")
    expect(panel).to_contain_text("Restricted data is flagged")
    panel.get_by_label("Give it to").select_option("me")
    panel.get_by_role("button", name="Assign").click()
    expect(panel).to_contain_text("Dave Dietrich gave it to Dave Dietrich")
    panel.get_by_text("Write a note").click()
    panel.get_by_label("Note").fill("asked her, mail ana@example.com")
    panel.get_by_role("button", name="Keep the note").click()
    expect(panel).to_contain_text("asked her, mail")
    assert "ana@example.com" not in page.content()
    panel.get_by_text("Close it").click()
    panel.get_by_label("Outcome").select_option("false_positive")
    panel.get_by_label("Why").fill("a test card")
    panel.get_by_role("button", name="Close", exact=True).click()
    expect(panel).to_contain_text("closed it: false positive")
    assert page.evaluate(CONTRAST) == []
    panel.get_by_text("Open it again").click()
    panel.get_by_role("button", name="Open again").click()
    expect(panel).to_contain_text("opened it again")
    expect(panel.get_by_label("Give it to")).to_be_visible()
    assert complaints == []


def test_ticked_calls_are_closed_together(visit: Open, numbers: list[str], complaints: list[str]) -> None:
    page = inbox(visit, numbers)
    every = page.get_by_label("Tick all")
    every.check()
    rows = page.locator("input[name=row]")
    assert rows.count() == page.locator("input[name=row]:checked").count() >= 3
    every.uncheck()
    for number in numbers[1:]:
        page.locator(f"input[name=row][value^='{number}']").check()
    assert every.evaluate("box => box.indeterminate || box.checked")
    page.get_by_label("Close what is ticked as").select_option("fine")
    page.get_by_label("Why").fill("a drill")
    page.get_by_role("button", name="Close", exact=True).click()
    expect(page.locator(".note-success")).to_have_text("2 calls closed as fine.")
    expect(page.locator(f"a[href*='{numbers[1]}']")).to_have_count(0)
    page.get_by_role("link", name="Closed").click()
    expect(page.locator(f"a[href*='{numbers[1]}']")).to_have_count(1)
    assert complaints == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_inbox_is_readable_on_a_phone(visit: Open, site: World, numbers: list[str], theme: str) -> None:
    page = visit("dave", "/", theme=theme, width=390)
    for path in ("/audit/flagged/?state=all", f"/audit/calls/{numbers[0]}/", "/audit/usage/", "/usage/"):
        page.goto(site.url + path)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, path
        assert page.evaluate(CONTRAST) == [], path

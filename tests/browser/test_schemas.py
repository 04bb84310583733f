"""The editor of schemas and attributes is readable in both themes."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from .conftest import Open
from .test_pages import CONTRAST

pytestmark = pytest.mark.timeout(240)


def tool(page: Page, name: str) -> None:
    """A button or link above the page."""
    page.locator(".object-tools").get_by_text(name, exact=True).click()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_editor_is_readable(visit: Open, complaints: list[str], theme: str) -> None:
    page = visit("admin", "/admin/policies/schema/add/", theme=theme)
    poor = _poor(page, "New schema")
    page.fill("#id_name", f"Cards {theme}")
    page.select_option("#id_area", index=1)
    page.select_option("#id_template", "pci-dss")
    page.click("[name=_save]")
    poor += _poor(page, f"Cards {theme} v1")
    tool(page, "Add attribute")
    poor += _poor(page, "New attribute")
    page.go_back()
    tool(page, "Compare")
    expect(page.get_by_text("Nothing to compare with")).to_be_visible()
    poor += _poor(page, f"Changes in Cards {theme} v1")
    assert poor == []
    assert complaints == []


def _poor(page: Page, title: str) -> list[str]:
    """Texts with too little contrast, once the page of this title is there."""
    expect(page.locator("#content h1")).to_have_text(title)
    found: list[str] = page.evaluate(CONTRAST)
    return found

"""A newcomer's path: a class with a pattern, an example that blocks the publish, fixed, live, taken back."""

from __future__ import annotations

import time

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.server.world import World

from .conftest import Open, call
from .test_pages import CONTRAST

pytestmark = pytest.mark.timeout(240)

TEXT = "badge K-204417, please"


def tool(page: Page, name: str) -> None:
    """A button or link above the page."""
    page.locator(".object-tools").get_by_text(name, exact=True).click()


def received(site: World, until: str, not_until: str = "\0") -> str:
    """What the model got of the next calls; a publish has two seconds to reach the gateway."""
    began = time.monotonic()
    while True:
        call(site, TEXT)
        got = requests.get(f"{site.model}/received", timeout=10).text.splitlines()[-1]
        if (until in got and not_until not in got) or time.monotonic() - began > 2.5:
            return got


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

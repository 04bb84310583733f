"""A draft on sealed originals in a real browser: proposed, confirmed, run, read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.server.test_originals import DRAFT, asked, keeping_world, python
from tests.server.world import World

from .conftest import HOSTILE, Open

pytestmark = pytest.mark.timeout(240)

CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
NEVER_KEPT = """
import django
django.setup()
from gateway.models import Area
from policies import services
from policies.models import Schema
draft = services.policy_create(
    area_id=Area.objects.get().pk, slug="other", name="Other", schema=Schema.objects.get(), by=None
)
print(draft.pk)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with keeping_world(tmp_path_factory.mktemp("originals"), tmp_path_factory.mktemp("private")) as running:
        asked(running, {"model": "demo", "messages": [{"role": "user", "content": HOSTILE}]})
        yield running


@pytest.fixture(scope="module")
def draft(site: World) -> str:
    return python(site, "-c", DRAFT).strip().splitlines()[-1]


def good(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(CONTRAST) == []
    assert page.title() != "owned" and "4111 1111" not in page.content()


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_proposed_confirmed_run_and_read(
    visit: Open, site: World, draft: str, complaints: list[str], theme: str, width: int
) -> None:
    ada = visit("admin", f"/preview/policy/{draft}/", theme=theme, width=width)
    ada.get_by_role("link", name="Hold it against sealed originals instead").click()
    expect(ada.get_by_role("heading", name="Preview on sealed originals")).to_be_visible()
    good(ada)
    ada.get_by_label("Calls of").select_option(index=next(iter(chat(ada))))
    ada.get_by_label("Why the originals are needed").fill("too many false alarms")
    ada.get_by_role("button", name="Propose it").click()
    expect(ada.get_by_role("heading", name="Waits for a second person")).to_be_visible()
    good(ada)
    dave = visit("dave", ada.url.removeprefix(site.url).replace("/preview/originals/", "/proposals/"))
    dave.get_by_role("button", name="Confirm").click()
    expect(dave.get_by_text("Confirmed.")).to_be_visible()
    ada.reload()
    good(ada)
    ada.get_by_role("button", name="Let it run").click()
    expect(ada.get_by_text("Calls judged again")).to_be_visible()
    good(ada)
    dave.get_by_role("link", name="Where it stands").click()
    expect(dave.get_by_text("Calls judged again")).to_be_visible()
    good(dave)
    assert complaints == []


def chat(page: Page) -> list[int]:
    """Which of the endpoints offered is the one that was called."""
    names = page.get_by_label("Calls of").locator("option").all_inner_texts()
    return [number for number, name in enumerate(names) if "chat" in name.lower()]


def test_where_no_originals_are_kept_it_says_what_to_do(
    visit: Open, site: World, complaints: list[str]
) -> None:
    draft = python(site, "-c", NEVER_KEPT).strip().splitlines()[-1]
    page = visit("admin", f"/preview/policy/{draft}/originals/", theme="dark", width=390)
    expect(page.get_by_role("heading", name="No originals are kept")).to_be_visible()
    good(page)
    page.get_by_role("link", name="Preview on the record").click()
    expect(page.get_by_role("heading", name="Preview on recorded traffic")).to_be_visible()
    assert complaints == []

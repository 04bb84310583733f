"""Looking at a sealed original in a real browser: asked, confirmed, looked at, over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.server.test_originals import asked, keeping_world, python
from tests.server.world import World

from .conftest import HOSTILE, Open

pytestmark = pytest.mark.timeout(240)

CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
CARD = "4111 1111 1111 1111"
OVER = """
import sys, uuid, django
django.setup()
from datetime import timedelta
from django.utils import timezone
from audit.models import Reveal
from gateway.models import User
from gateway.reveal_kinds import KIND
from policies.models import Proposal
dave, ada = (User.objects.get(username=name) for name in ("dave", "admin"))
then = timezone.now() - timedelta(hours=1)
made = Proposal.objects.create(
    kind=KIND, target_id=sys.argv[1], target="a call", basis="0" * 64, reason="a complaint",
    proposed_by=dave, state="confirmed", decided_by=ada, decided_at=then,
)
Reveal.objects.create(
    call_id=sys.argv[1], area="default", person_id=dave.pk, confirmed_by_id=ada.pk, proposal_id=made.pk,
    created_at=then, until=then + timedelta(minutes=15),
)
"""
"""What two people agreed on an hour ago."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with keeping_world(tmp_path_factory.mktemp("originals"), tmp_path_factory.mktemp("private")) as running:
        yield running


def hostile_call(site: World) -> str:
    body = {"model": "demo", "messages": [{"role": "user", "content": HOSTILE}]}
    return str(asked(site, body).headers["x-postern-call"])


def fits(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_asked_confirmed_looked_at(visit: Open, site: World, complaints: list[str]) -> None:
    call = f"/audit/calls/{hostile_call(site)}/"
    dave = visit("dave", call)
    assert CARD not in dave.content()
    dave.get_by_label("Why you have to see it").fill("the caller complains")
    dave.get_by_role("button", name="Ask to reveal").click()
    expect(dave.get_by_role("heading", name="Waits for a second person")).to_be_visible()
    dave.get_by_role("link", name="The proposal").click()
    ada = visit("admin", dave.url.removeprefix(site.url))
    ada.get_by_role("button", name="Confirm").click()
    expect(ada.get_by_text("Confirmed.")).to_be_visible()
    dave.goto(site.url + call)
    dave.get_by_role("link", name="Look at it").click()
    expect(dave.get_by_text(CARD).first).to_be_visible()
    assert dave.title() != "owned" and "\u202e" not in dave.inner_text("main")
    assert dave.evaluate(CONTRAST) == []
    assert ada.goto(dave.url).status == 404  # type: ignore[union-attr]
    assert [each for each in complaints if "404" not in each] == []


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_when_the_time_is_over_one_asks_again(
    visit: Open, site: World, complaints: list[str], theme: str, width: int
) -> None:
    number = hostile_call(site)
    python(site, "-c", OVER, number)
    page = visit("dave", f"/audit/calls/{number}/original/", theme=theme, width=width)
    expect(page.get_by_role("heading", name="The time is over")).to_be_visible()
    assert CARD not in page.content()
    fits(page)
    assert page.evaluate(CONTRAST) == []
    page.get_by_label("Why you have to see it").fill("still needed")
    page.get_by_role("button", name="Ask to reveal").click()
    expect(page.get_by_role("heading", name="Waits for a second person")).to_be_visible()
    page.goto(f"{site.url}/audit/calls/{number}/")
    expect(page.get_by_role("heading", name="What was looked at")).to_be_visible()
    fits(page)
    assert page.evaluate(CONTRAST) == [] and complaints == []

"""A search that takes longer than a page may goes on by itself in the browser, and can be stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from playwright.sync_api import Browser, Page, Route, expect
from pytest_django.live_server_helper import LiveServer

from audit import ids
from audit.keys import KeyDirectory
from audit.recorder import Recorder
from gateway.console import searching
from gateway.identity.authz import role_grant
from gateway.models import User
from tests.audit.world import DONE, asks

from .conftest import listen

DAYS = 25
PASSWORD = "correct-horse-battery"
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module", autouse=True)
def beside_a_browser() -> Iterator[None]:
    """The browser's loop runs in the thread that fills the store before a test and empties it afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield


@pytest.fixture
def calls(transactional_db: None) -> list[str]:
    """A call on the newest day, and on every fourth before; the newest first."""
    keys = KeyDirectory.make(settings.AUDIT_KEY_DIR)
    recorder = Recorder(keys=keys)
    recorder.start()
    made = []

    async def work() -> None:
        for day in range(0, DAYS, 4):
            when = ids.now() - timedelta(days=day)
            keys.day("payload", when)
            call = ids.uuid7(int(when.timestamp() * 1000), 1)
            await recorder.admit(asks(call_id=call))
            recorder.close(call, DONE)
            made.append(str(call))

    with ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(asyncio.run, work()).result()
    recorder.stop(5)
    group = Group.objects.create(name="auditors")
    role_grant(group=group, role="auditor", area=None, by=None)
    User.objects.create_user("dave", password=PASSWORD).groups.add(group)
    return made


@pytest.fixture
def dave(
    calls: list[str],
    live_server: LiveServer,
    chromium: Browser,
    complaints: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Page]:
    """On the search page, where one day is all that a page looks at."""
    monkeypatch.setattr(searching, "BRIEFLY", 0.0)
    monkeypatch.setattr(searching, "SHORT", 0.0)
    page = chromium.new_page()
    page.goto(f"{live_server.url}/login/?next=/audit/search/")
    page.fill("[name=username]", "dave")
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    page.wait_for_url("**/audit/search/")
    listen(page, complaints)
    yield page
    page.close()


def search(page: Page, words: str) -> None:
    page.get_by_label("Words of the masked text").fill(words)
    page.get_by_role("button", name="Search", exact=True).click()


def rows(page: Page) -> list[str]:
    links = page.locator("main table.rows a.row-link").all()
    return [str(link.get_attribute("href")).split("/")[-2] for link in links]


def test_a_page_fills_by_itself_and_its_sums_grow(
    dave: Page, calls: list[str], complaints: list[str]
) -> None:
    search(dave, "write")
    expect(dave.get_by_role("heading", name=f"{len(calls)} calls")).to_be_visible()
    expect(dave.locator("main table.rows a.row-link")).to_have_count(len(calls))
    expect(dave.get_by_text("Looking further")).to_have_count(0)
    assert rows(dave) == calls
    assert dave.get_by_role("button", name="Export these calls").count() == 1
    assert complaints == []


def test_what_is_nowhere_is_looked_for_in_all_of_the_record(dave: Page, complaints: list[str]) -> None:
    search(dave, "nowhere")
    expect(dave.get_by_role("heading", name="No call fits")).to_be_visible()
    assert complaints == []


def test_it_can_be_stopped_and_gone_on_with(dave: Page, calls: list[str], complaints: list[str]) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        if "part=matches" in (route.request.post_data or "") and len(held) < 3:
            held.append(route)
        route.continue_() if len(held) < 3 else None

    dave.route("**/audit/search/", hold)
    search(dave, "write")
    dave.wait_for_function("() => document.querySelector('[data-further]')")
    while len(held) < 3:
        dave.wait_for_timeout(50)
    dave.get_by_role("button", name="Stop").click()
    held[2].continue_()
    dave.unroute("**/audit/search/")
    expect(dave.get_by_text("Looking further")).to_have_count(0)
    assert len(rows(dave)) < len(calls)
    dave.get_by_role("button", name="Search further back").click()
    expect(dave.get_by_role("button", name="Newest")).to_be_visible()
    expect(dave.get_by_text("Looking further")).to_have_count(0)
    assert rows(dave)[-1] == calls[-1]
    assert complaints == []


def test_if_it_cannot_go_on_a_person_can(dave: Page, calls: list[str], complaints: list[str]) -> None:
    def fails(route: Route) -> None:
        route.abort() if "part=matches" in (route.request.post_data or "") else route.continue_()

    dave.route("**/audit/search/", fails)
    search(dave, "write")
    expect(dave.get_by_role("button", name="Search further back")).to_be_visible()
    assert [each for each in complaints if "ERR_FAILED" not in each] == []

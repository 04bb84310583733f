"""The demo as a site (`site`) and the system's Chromium: pages as people see them, under the real policy.

One database is enough here, so the fixture is not called `world`: that name runs on both.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.server.world import World, running_world

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = (
    "<script>document.title='owned'</script> \u202eevil\u202c \u200b"
    " mail ana@example.com card 4111 1111 1111 1111"
)

Open = Callable[..., Page]


collect_ignore_glob = [] if CHROMIUM else ["test_*.py"]
"""The suite must pass with nothing but Python, make and git; then `pytest_terminal_summary` says so."""


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if CHROMIUM is None:
        terminalreporter.write_line("tests/browser: not run, no chromium found (apt-get install chromium)")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("browser")) as running:
        call(running, "and again, streamed", stream=True)
        yield running


@pytest.fixture(scope="session")
def hostile_call(site: World) -> str:
    """The page of a recorded call whose text is hostile."""
    return f"/audit/calls/{call(site, HOSTILE).headers['x-postern-call']}/"


def call(site: World, text: str, *, stream: bool = False) -> requests.Response:
    body = {"model": "demo", "stream": stream, "messages": [{"role": "user", "content": text}]}
    headers = {"Authorization": f"Bearer {site.key('alice')}"}
    return requests.post(
        site.endpoint("openai") + "/v1/chat/completions", json=body, headers=headers, timeout=10
    )


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Gone when the module is done: while it runs its event loop holds the thread of every later test."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser said against a page: blocked inline code, missing files, errors."""
    return []


@pytest.fixture
def visit(site: World, chromium: Browser, complaints: list[str]) -> Iterator[Open]:
    """`visit("admin", "/audit/", theme="dark", width=420)`: a logged-in page."""
    with ExitStack() as contexts:

        def open_page(person: str, path: str, *, theme: str = "light", width: int = 1280) -> Page:
            context = chromium.new_context(
                color_scheme="dark" if theme == "dark" else "light",
                viewport={"width": width, "height": 860},
                reduced_motion="reduce",
            )
            context.set_default_timeout(25_000)
            contexts.callback(context.close)
            page = log_in(context, site, person) if person else context.new_page()
            listen(page, complaints)
            page.goto(site.url + path)
            return page

        yield open_page


def log_in(context: BrowserContext, site: World, person: str) -> Page:
    password = next(entry["password"] for entry in site.facts["people"] if entry["name"] == person)
    page = context.new_page()
    page.goto(site.url + "/login/")
    page.fill("[name=username]", person)
    page.fill("[name=password]", password)
    page.press("[name=password]", "Enter")
    page.wait_for_url(site.url + "/")
    return page


def listen(page: Page, complaints: list[str]) -> None:
    page.on(
        "console",
        lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))

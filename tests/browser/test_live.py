"""The live page: somebody watches a call, types undisturbed, cuts it, stops all calls and lets them go."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import sleep

import openai
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.server.scripted import Script, ScriptedModel, scripted_model, stream
from tests.server.test_upstreams import HI, delta
from tests.server.world import World, running_world

from .conftest import listen, log_in

pytestmark = pytest.mark.timeout(240)

CONTRAST = (Path(__file__).parent / "contrast.js").read_text()


class Endless(ScriptedModel):
    def script_for(self, request: bytes) -> Script:
        return stream(*[each for _ in range(1000) for each in (delta("words and words "), 0.1)])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with (
        scripted_model(Endless) as model,
        running_world(tmp_path_factory.mktemp("live"), upstream_url=model.url) as running,
    ):
        yield running


def begin(site: World, person: str, text: str = "hi") -> threading.Event:
    """A streamed call of theirs in a thread; set when it has ended. A lock may have been lifted just now."""
    began, ended = threading.Event(), threading.Event()

    def run() -> None:
        base, said = site.endpoint("openai") + "/v1", [{**HI[0], "content": text}]
        with openai.OpenAI(base_url=base, api_key=site.key(person)) as ai:
            while not began.is_set():
                with suppress(openai.APIError):
                    for _ in ai.chat.completions.create(model="slow", messages=said, stream=True):
                        began.set()
                sleep(0.2)
        ended.set()

    threading.Thread(target=run, daemon=True).start()
    assert began.wait(20)
    return ended


def opened(chromium: Browser, site: World, person: str, theme: str = "light") -> Page:
    context = chromium.new_context(
        color_scheme="dark" if theme == "dark" else "light", viewport={"width": 1280, "height": 860}
    )
    page = log_in(context, site, person)
    page.goto(site.url + "/live/")
    return page


def test_an_operator_watches_cuts_stops_all_and_lets_go(
    chromium: Browser, site: World, complaints: list[str]
) -> None:
    page = opened(chromium, site, "admin")
    listen(page, complaints)
    expect(page.get_by_role("heading", name="Nothing runs")).to_be_visible()
    assert page.evaluate(CONTRAST) == []

    ended = begin(site, "alice", "mail ana@example.com")
    row = page.get_by_role("row").filter(has_text="Alice Abara")
    expect(row).to_be_visible(timeout=6000)  # the page found it by itself
    expect(row).to_contain_text("EMAIL")
    assert "ana@example.com" not in page.content()
    assert page.evaluate(CONTRAST) == []

    reason = row.get_by_label("Reason, call of Alice Abara")
    reason.press_sequentially("runs away", delay=20)
    other = begin(site, "bob")
    expect(page.get_by_role("row").filter(has_text="Bob Brandt")).to_be_visible(timeout=6000)
    expect(reason).to_be_focused()
    expect(reason).to_have_value("runs away")
    row.get_by_role("button", name="Cut").click()
    expect(page.get_by_text("The call is being ended.")).to_be_visible()
    assert ended.wait(5)
    expect(row).to_be_hidden(timeout=6000)
    assert not other.is_set()

    page.get_by_role("button", name="Stop all calls").click()
    expect(page.get_by_text("Everything is locked")).to_be_visible()
    assert other.wait(5)
    assert page.evaluate(CONTRAST) == []
    page.get_by_role("button", name="Lift the lock on everything").click()
    expect(page.get_by_text("The lock on everything is lifted.")).to_be_visible()
    assert complaints == []
    page.context.close()


def test_the_page_is_readable_in_the_dark_and_works_without_scripts(chromium: Browser, site: World) -> None:
    ended = begin(site, "bob")
    page = opened(chromium, site, "admin", "dark")
    expect(page.get_by_role("row").filter(has_text="Bob Brandt")).to_be_visible()
    assert page.evaluate(CONTRAST) == []
    cookies = page.context.cookies()
    page.context.close()
    context = chromium.new_context(java_script_enabled=False)
    context.add_cookies([{k: v for k, v in each.items() if k in KEPT} for each in cookies])  # type: ignore[misc]
    page = context.new_page()
    page.goto(site.url + "/live/")
    row = page.get_by_role("row").filter(has_text="Bob Brandt")
    row.get_by_role("combobox").select_option("user:bob")
    row.get_by_role("button", name="Lock").click()
    expect(page.get_by_role("row").filter(has_text="Locked")).to_contain_text("bob")
    assert ended.wait(5)
    page.get_by_role("button", name="Lift").click()
    expect(page.get_by_text("The lock on bob is lifted.")).to_be_visible()
    context.close()


KEPT = ("name", "value", "domain", "path", "httpOnly", "secure", "sameSite")

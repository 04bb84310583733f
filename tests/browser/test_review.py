"""The reviewers' pages in a real browser: a call appears by itself, somebody decides, the SDK's call ends."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute, expect

from tests.server.approving import SSN, Model
from tests.server.scripted import scripted_model
from tests.server.world import World, running_world

from .conftest import listen, log_in

pytestmark = pytest.mark.timeout(300)

CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
HOSTILE = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    " \u202eevil\u202c \u200b"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with (
        scripted_model(Model) as model,
        running_world(tmp_path_factory.mktemp("review"), upstream_url=model.url) as running,
    ):
        yield running


class Asking:
    """bob's call by the openai SDK, in a thread of its own."""

    def __init__(self, site: World, text: str, **how: Any) -> None:
        self.ended, self.said = threading.Event(), ""
        self._site, self._text, self._how = site, text, how
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        base, messages = self._site.endpoint("openai") + "/v1", [{"role": "user", "content": self._text}]
        with openai.OpenAI(base_url=base, api_key=self._site.key("bob")) as ai:
            create: Any = ai.chat.completions.create
            try:
                made = create(model="m", messages=messages, **self._how)
                self.said = str(made.choices[0].message.content)
            except openai.APIError as error:
                self.said = str(error.code)
        self.ended.set()

    def result(self) -> str:
        assert self.ended.wait(20), "the call goes on"
        return self.said


NOW = {"extra_headers": {"Prefer": "wait=0"}}
Opened = Callable[..., Page]


@pytest.fixture
def opened(chromium: Browser, site: World, complaints: list[str]) -> Iterator[Opened]:
    contexts = []

    def open_page(person: str, path: str = "/review/", theme: str = "light", width: int = 1280) -> Page:
        context = chromium.new_context(
            color_scheme="dark" if theme == "dark" else "light", viewport={"width": width, "height": 860}
        )
        contexts.append(context)
        page = log_in(context, site, person)
        listen(page, complaints)
        page.goto(site.url + path)
        return page

    yield open_page
    for context in contexts:
        context.close()


def live(page: Page) -> None:
    expect(page.locator("[data-review-state]")).to_have_text("Live.")


def row(page: Page, text: str) -> Any:
    return page.locator("tr[data-key]").filter(has_text=text)


def test_a_held_call_appears_by_itself_is_approved_and_the_sdk_goes_on(
    site: World, opened: Opened, complaints: list[str]
) -> None:
    page = opened("erin")
    live(page)
    assert page.evaluate(CONTRAST) == []
    asking = Asking(site, f"shorten this for {SSN}", metadata={"purpose": "the first letter"})
    expect(row(page, "the first letter")).to_be_visible()
    expect(page).to_have_title(re.compile(r"^\([1-9]\d*\) Review"))
    assert page.evaluate(CONTRAST) == []

    own = opened("bob", "/review/?everyone=1")
    row(own, "the first letter").get_by_role("link").click()
    expect(own.get_by_text("This is your own request. Somebody else decides about it.")).to_be_visible()
    expect(own.get_by_role("button", name="Approve")).to_have_count(0)

    row(page, "the first letter").get_by_role("link").click()
    live(page)
    expect(page.get_by_text("Written by the caller, not by Postern.")).to_be_visible()
    expect(page.locator("mark.found")).to_have_text("[US_SSN 1]")
    assert SSN not in page.content()
    assert page.evaluate(CONTRAST) == []
    page.get_by_label("Reason", exact=True).fill("asked for by the ward")
    page.get_by_role("button", name="Approve", exact=False).first.click()
    expect(page.get_by_text("Approved: the call of Bob Brandt may go on, once.")).to_be_visible()
    assert asking.result() == "ok"
    expect(own.get_by_text("Approved and used")).to_be_visible()
    assert complaints == []


def test_a_denial_by_keyboard_alone(site: World, opened: Opened, complaints: list[str]) -> None:
    page = opened("erin")
    live(page)
    asking = Asking(site, f"by keyboard {SSN}", metadata={"purpose": "by keyboard"})
    expect(row(page, "by keyboard")).to_be_visible()
    page.keyboard.press("j")
    while "by keyboard" not in page.evaluate("document.activeElement.closest('tr').textContent"):
        page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/review/*-*/")
    page.keyboard.press("?")
    expect(page.get_by_text("No key decides by itself")).to_be_visible()
    page.keyboard.press("j")
    expect(page.locator("mark.found:target")).to_have_count(1)
    page.keyboard.press("a")  # a reason is needed: that is where it goes
    expect(page.get_by_label("Reason", exact=True)).to_be_focused()
    page.keyboard.type("a denial, jkd?")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.locator("#deny")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Denied: the call of Bob Brandt is refused.")).to_be_visible()
    assert asking.result() == "approval_denied"
    assert complaints == []


def test_the_page_follows_without_its_socket_and_takes_it_up_again(site: World, opened: Opened) -> None:
    page = opened("erin", "/keys/")
    lines: list[WebSocketRoute] = []
    refuse = [False]

    def route(line: WebSocketRoute) -> None:
        lines.append(line)
        if refuse[0]:
            line.close(code=1011)
        else:
            line.connect_to_server()

    page.route_web_socket("**/ws/review/", route)
    page.goto(site.url + "/review/")
    live(page)
    refuse[0] = True
    lines[-1].close(code=1011)
    expect(page.locator("[data-review-state]")).to_contain_text("Reconnecting…")
    Asking(site, f"while there is no socket {SSN}", metadata={"purpose": "no socket"}, **NOW).result()
    expect(row(page, "no socket")).to_be_visible(timeout=10_000)
    expect(page.locator("[data-review-state]")).to_contain_text("Reconnecting…")
    refuse[0] = False
    expect(page.locator("[data-review-state]")).to_have_text("Live.", timeout=40_000)
    Asking(site, f"and with it again {SSN}", metadata={"purpose": "live again"}, **NOW).result()
    expect(row(page, "live again")).to_be_visible()


def test_whoever_decides_first_closes_the_form_of_the_other(site: World, opened: Opened) -> None:
    Asking(site, f"two look at it {SSN}", metadata={"purpose": "two look"}, **NOW).result()
    first, second = opened("erin"), opened("erin")
    for page in (first, second):
        row(page, "two look").get_by_role("link").click()
        live(page)
    second.get_by_label("Reason", exact=True).fill("I was about to say")
    first.get_by_label("Reason", exact=True).fill("no")
    first.locator("#deny").click()
    expect(second.get_by_text("This has changed since you opened it.")).to_be_visible()
    expect(second.locator("#approve")).to_be_disabled()
    expect(second.get_by_label("Reason", exact=True)).to_have_value("I was about to say")
    expect(second.locator("[data-part=votes] .badge-denied").first).to_be_visible()


def test_hostile_words_act_nowhere(site: World, opened: Opened, complaints: list[str]) -> None:
    Asking(site, f"{HOSTILE} {SSN}", metadata={"purpose": HOSTILE}, **NOW).result()
    page = opened("erin")
    live(page)
    row(page, "evil").get_by_role("link").click()
    live(page)
    page.get_by_label("Ask or answer").fill(HOSTILE)
    page.get_by_role("button", name="Comment").click()
    live(page)
    assert page.locator("img[src=x], .said script").count() == 0
    assert page.get_by_text("U+202E").count() >= 3
    assert "owned" not in page.title()
    assert complaints == []


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1280), ("dark", 390)])
def test_the_pages_are_readable_and_fit(
    site: World, opened: Opened, complaints: list[str], theme: str, width: int
) -> None:
    Asking(site, f"look {theme} {width} {SSN}", metadata={"purpose": f"{theme}{width}"}, **NOW).result()
    page = opened("erin", theme=theme, width=width)
    addresses = [site.url + path for path in ("/review/?status=today", "/review/policies/", "/review/")]
    for address in addresses:
        page.goto(address)
        page.wait_for_load_state()
        assert page.evaluate(CONTRAST) == [], address
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
    row(page, f"{theme}{width}").get_by_role("link").click()
    live(page)
    page.goto(page.url)
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert complaints == []


def test_the_glass_is_broken_with_a_tick_and_somebody_else_looks_at_it(
    site: World, opened: Opened, complaints: list[str]
) -> None:
    asking = Asking(site, f"in an emergency {SSN}", metadata={"purpose": "emergency"})
    page = opened("admin", "/review/?everyone=1")  # a superuser may break the glass, and is no reviewer
    row(page, "emergency").get_by_role("link").click()
    live(page)
    expect(page.get_by_text("The policy leaves this to reviewers.")).to_be_visible()
    page.get_by_text("Emergency: decide alone").click()
    assert page.evaluate(CONTRAST) == []
    page.get_by_label("What the emergency is").fill("cardiac arrest")
    page.get_by_role("button", name="Approve in an emergency").click()
    assert page.evaluate("document.querySelector('[name=sure]').validity.valueMissing")
    page.get_by_label("I decide alone, in an emergency").check()
    page.get_by_role("button", name="Approve in an emergency").click()
    assert asking.result() == "ok"

    other = opened("erin")
    live(other)
    assert other.evaluate(CONTRAST) == []
    other.locator(".review-emergencies").get_by_role("link").click()
    other.get_by_label("What you found").fill("it was right")
    other.get_by_role("button", name="I have looked at it").click()
    expect(other.get_by_text("Noted: somebody else has looked")).to_be_visible()
    expect(other.locator(".review-emergencies")).to_have_count(0)
    assert complaints == []


def test_without_scripts_the_page_decides_all_the_same(site: World, chromium: Browser) -> None:
    Asking(site, f"no scripts {SSN}", metadata={"purpose": "no scripts"}, **NOW).result()
    context = chromium.new_context(java_script_enabled=False)
    page = log_in(context, site, "erin")
    page.goto(site.url + "/review/")
    row(page, "no scripts").get_by_role("link").click()
    page.get_by_label("Reason", exact=True).fill("well")
    page.locator("#approve").click()
    expect(page.get_by_text("Approved: the call of Bob Brandt may go on, once.")).to_be_visible()
    context.close()

"""Reading a call in a real browser: a response is played at its own pace, a cut one says so, and findings,
keys and the conversation of a session lead where they should."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.server.scripted import scripted_model
from tests.server.world import World, running_world

from .conftest import listen, log_in
from .telling import WHOLE, Teller, ask

pytestmark = pytest.mark.timeout(240)

CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
Opened = Callable[..., Page]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with (
        scripted_model(Teller) as model,
        running_world(tmp_path_factory.mktemp("replay"), upstream_url=model.url) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def told(site: World) -> str:
    """The page of a call whose answer was told slowly."""
    return ask(site, "tell me about card 4111 1111 1111 1111 and bo@example.com", stream=True)


@pytest.fixture(scope="module")
def broken_off(site: World) -> str:
    return ask(site, "break off", stream=True)


@pytest.fixture(scope="module")
def signed_in(chromium: Browser, site: World) -> list[dict[str, str]]:
    """dave's cookies: signing in is slow, and limited."""
    context = chromium.new_context()
    log_in(context, site, "dave")
    kept = ("name", "value", "domain", "path", "httpOnly", "secure", "sameSite")
    cookies = [{name: value for name, value in each.items() if name in kept} for each in context.cookies()]
    context.close()
    return cookies  # type: ignore[return-value]


@pytest.fixture
def opened(
    chromium: Browser, site: World, signed_in: list[dict[str, str]], complaints: list[str]
) -> Iterator[Opened]:
    contexts = []

    def open_page(
        path: str, *, theme: str = "light", width: int = 1280, still: bool = False, scripts: bool = True
    ) -> Page:
        context = chromium.new_context(
            color_scheme="dark" if theme == "dark" else "light",
            viewport={"width": width, "height": 860},
            reduced_motion="reduce" if still else "no-preference",
            java_script_enabled=scripts,
        )
        contexts.append(context)
        context.set_default_timeout(20_000)
        context.add_cookies(signed_in)  # type: ignore[arg-type]
        page = context.new_page()
        listen(page, complaints)
        page.goto(site.url + path)
        return page

    yield open_page
    for context in contexts:
        context.close()


def answer(page: Page) -> Locator:
    return page.get_by_role("region", name="Response", exact=True)


def seen(page: Page) -> str:
    """What of the model's words is to be seen now."""
    text: str = page.evaluate(
        """() => {
            const said = document.querySelector("[data-replay] .turn-assistant .turn-text");
            const walker = document.createTreeWalker(said, NodeFilter.SHOW_TEXT);
            let text = "";
            while (walker.nextNode()) {
                const shown = getComputedStyle(walker.currentNode.parentElement).visibility === "visible";
                if (shown) text += walker.currentNode.textContent;
            }
            return text;
        }"""
    )
    return text


def length(page: Page) -> int:
    return int(page.locator("[data-player]").get_attribute("data-length") or 0)


def scrub(page: Page, part: float) -> None:
    place = page.get_by_role("slider", name="Place in the response")
    place.evaluate("(line, part) => { line.value = line.max * part; }", part)
    place.dispatch_event("input")


# --- the player -------------------------------------------------------------------------------------
def test_a_streamed_response_is_played_paused_and_played_to_its_end(
    opened: Opened, told: str, complaints: list[str]
) -> None:
    page = opened(told)
    assert seen(page) == WHOLE  # all of it, until somebody plays
    assert length(page) > 1000  # its own pace: it was told for more than a second
    page.get_by_role("button", name="0.5×").click()
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    assert seen(page) == ""
    page.wait_for_function("() => Number(document.querySelector('[data-place]').value) > 0")
    page.get_by_role("button", name="Pause").click()
    stopped = page.locator("[data-time]").text_content()
    page.wait_for_timeout(300)
    assert page.locator("[data-time]").text_content() == stopped
    page.get_by_role("button", name="16×").click()
    expect(page.get_by_role("button", name="16×")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("() => document.querySelector('[data-play]').textContent === 'Play'")
    assert seen(page) == WHOLE
    assert page.locator(".not-yet").count() == 0
    assert complaints == []


def test_a_place_in_the_response_shows_what_had_left_by_then(opened: Opened, told: str) -> None:
    page = opened(told)
    scrub(page, 0.75)
    half = seen(page)
    assert 0 < len(half) < len(WHOLE) and WHOLE.startswith(half)
    expect(answer(page).locator(".ending")).to_be_hidden()  # how it ended is not known yet
    expect(answer(page).get_by_text("finish: stop")).to_be_hidden()
    scrub(page, 0)
    assert seen(page) == ""
    scrub(page, 1)
    assert seen(page) == WHOLE
    expect(answer(page).locator(".ending")).to_contain_text("Complete")
    scrub(page, 0.5)
    page.get_by_role("button", name="All at once").click()
    assert seen(page) == WHOLE


def test_twice_as_fast_is_twice_as_far(opened: Opened, told: str) -> None:
    page = opened(told)
    moved = page.evaluate(
        """async () => {
            const place = document.querySelector("[data-place]");
            const times = {};
            for (const speed of ["1", "4"]) {
                document.querySelector(`[data-speed="${speed}"]`).click();
                place.value = 0;
                place.dispatchEvent(new Event("input"));
                document.querySelector("[data-play]").click();
                await new Promise((done) => setTimeout(done, 250));
                document.querySelector("[data-play]").click();
                times[speed] = Number(place.value);
            }
            return times;
        }"""
    )
    assert moved["4"] > 2 * moved["1"] > 0


def test_the_line_of_time_is_used_by_keyboard_and_goes_from_piece_to_piece(opened: Opened, told: str) -> None:
    page = opened(told)
    place = page.get_by_role("slider", name="Place in the response")
    place.focus()
    page.keyboard.press("Home")
    assert seen(page) == ""
    grown = []
    while "of" in (place.get_attribute("aria-valuetext") or "") and seen(page) != WHOLE:
        page.keyboard.press("ArrowRight")
        grown.append(seen(page))
        assert len(grown) < 20
    assert len(set(grown)) >= 3 and grown == sorted(grown, key=len)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.url.endswith(told)  # the arrows stay with the line
    page.keyboard.press("End")
    assert seen(page) == WHOLE


def test_a_highlight_is_whole_or_not_there(opened: Opened, told: str) -> None:
    page = opened(told)
    mark = answer(page).locator("mark.found")
    for part in range(21):
        scrub(page, part / 20)
        assert ("***" in seen(page)) == mark.is_visible()
    expect(mark).to_have_text("***")


def test_whoever_wants_less_motion_sees_pieces_and_no_moving_line(opened: Opened, told: str) -> None:
    page = opened(told, still=True)
    page.get_by_role("button", name="Play").click()
    places = page.evaluate(
        """async () => {
            const seen = new Set();
            const place = document.querySelector("[data-place]");
            while (document.querySelector("[data-play]").textContent === "Pause") {
                seen.add(place.value);
                await new Promise(requestAnimationFrame);
            }
            return seen.size;
        }"""
    )
    assert 1 < places <= 8  # one for each piece; with motion there are a hundred
    assert seen(page) == WHOLE


def test_without_scripts_all_of_it_is_there(opened: Opened, told: str) -> None:
    page = opened(told, scripts=False)
    expect(answer(page)).to_contain_text(WHOLE)
    expect(page.locator("[data-player]")).to_be_hidden()
    expect(answer(page)).to_contain_text("pieces; the first")
    expect(page.get_by_role("button", name="Next finding")).to_be_hidden()
    page.locator(".findings a").first.click()
    expect(page.locator("mark:target")).to_have_count(1)


def test_a_cut_response_says_so_at_its_place_and_is_never_shown_as_whole(
    opened: Opened, broken_off: str
) -> None:
    for scripts in (True, False):
        page = opened(broken_off, scripts=scripts)
        turn = answer(page).locator(".turn-assistant")
        expect(turn).to_contain_text("Cut here: it did not come to its end.")
        expect(answer(page).locator(".ending-cut")).to_contain_text(
            "the model's service ended its answer early"
        )
        expect(answer(page).get_by_text("whole", exact=True)).to_have_count(0)
        expect(page.locator(".lede")).to_contain_text("incomplete")


# --- findings and keys ------------------------------------------------------------------------------
def test_each_finding_is_reached_by_keyboard(opened: Opened, told: str) -> None:
    page = opened(told)
    expect(page.locator(".findings li")).to_have_count(3)
    reached = []
    for _ in range(3):
        page.keyboard.press("j")
        reached.append(page.locator("mark:target").get_attribute("title") or "")
        expect(page.locator("mark:target")).to_be_focused()
    assert len([each for each in reached if "EMAIL" in each]) == 2
    assert len([each for each in reached if "CARD, restricted, masked: partial" in each]) == 1
    page.keyboard.press("k")
    assert page.locator("mark:target").get_attribute("title") == reached[1]
    expect(page.locator("[data-finding-said]")).to_contain_text("Finding 2 of 3")
    scrub(page, 0)
    page.get_by_role("button", name="Next finding").click()  # it has not left yet: it is shown all the same
    expect(page.locator("mark:target")).to_be_visible()


def test_keys_play_help_and_go_along_the_session_and_never_while_one_types(
    opened: Opened, site: World
) -> None:
    first = ask(site, "tell the first", person="bob", stream=True)
    second = ask(site, "tell the first", "ok", "tell the second", person="bob", stream=True)
    page = opened(first)
    page.keyboard.press("?")
    expect(page.get_by_text("Plays the response, or pauses it.")).to_be_visible()
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<input id=typed>')")
    page.locator("#typed").focus()
    page.keyboard.type("jkp?")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#typed")).to_have_value("jkp?")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    page.locator("#typed").evaluate("typed => typed.blur()")
    page.keyboard.press("ArrowRight")
    page.wait_for_url(f"**{second}")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(f"**{first}")


# --- the conversation -------------------------------------------------------------------------------
def test_a_session_reads_as_one_conversation(opened: Opened, site: World, complaints: list[str]) -> None:
    said = ["good morning", "ok: good morning", "and card 4111 1111 1111 1111?"]
    ask(site, said[0])
    last = ask(site, *said)
    page = opened(last)
    page.get_by_role("link", name="Conversation").click()
    page.wait_for_url("**/conversation/")
    calls = page.locator(".talk > li")
    expect(calls).to_have_count(2)
    expect(page.get_by_text("good morning", exact=True)).to_have_count(1)
    expect(calls.nth(1)).to_contain_text("2 earlier messages, as in the call before and its answer.")
    expect(calls.nth(1).locator("mark.found")).to_have_count(1)
    assert page.evaluate(CONTRAST) == []
    calls.nth(1).get_by_role("heading").get_by_role("link").click()
    page.wait_for_url(f"**{last}")
    expect(page.get_by_text("opened this record, in the conversation of its session")).to_have_count(1)
    assert complaints == []


@pytest.mark.parametrize("width", [1280, 390])
def test_a_model_with_a_very_long_name_fits(opened: Opened, site: World, width: int) -> None:
    page = opened(ask(site, f"a long name, {width} wide", model="m" * 400), width=width)
    page.locator(".crumbs a").last.click()
    page.get_by_role("link", name="Read as a conversation").click()
    page.wait_for_url("**/conversation/")
    expect(page.locator(".talk-head")).to_contain_text("m" * 200)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


# --- how it looks -----------------------------------------------------------------------------------
@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)])
def test_the_pages_are_readable_and_fit(
    opened: Opened, told: str, broken_off: str, complaints: list[str], theme: str, width: int
) -> None:
    for path in (told, broken_off):
        page = opened(path, theme=theme, width=width)
        for fold in page.locator("details.fold > summary").all():
            if fold.is_visible():
                fold.click()
        assert page.evaluate(CONTRAST) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        page.locator(".crumbs a").last.click()
        page.get_by_role("link", name="Read as a conversation").click()
        page.wait_for_url("**/conversation/")
        assert page.evaluate(CONTRAST) == [], page.url
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url
    assert complaints == []

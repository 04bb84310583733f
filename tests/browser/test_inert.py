"""Hostile words in requests and answers, plain and streamed, on every page of the record: nothing acts,
nothing is asked of anybody else, and what was written is there to read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urljoin

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from tests.server.scripted import scripted_model
from tests.server.world import World, running_world

from .conftest import listen, log_in
from .hostile import HIDDEN, HOSTILE
from .telling import Teller, ask

pytestmark = pytest.mark.timeout(300)

LISTS = ("/audit/", "/audit/calls/", "/audit/calls/?action=passed", "/audit/integrity/", "/live/", "/")
IN_NAMES = ("<img src=x onerror=alert(40)>", "m\u202eledom\u200b", "</title><script>alert(41)</script>")
FOREIGN = (
    "main :is(script, iframe, img, object, embed, video, audio, style, link, base, meta, template),"
    " [onerror], [onload], [onfocus], [style], a[href^='javascript'], form[action*='evil']"
)


AT_ONCE = 7  # words in one call; an odd number, so that the user has the last one


class Echo(Teller):
    """Answers with everything that it was asked."""

    def words(self, messages: list[dict[str, str]]) -> str:
        return "\n\n".join(each["content"] for each in messages)


@dataclass(frozen=True, slots=True)
class Written:
    """What was written in one call, and its page."""

    texts: tuple[str, ...]
    path: str


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with (
        scripted_model(Echo) as model,
        running_world(tmp_path_factory.mktemp("inert"), upstream_url=model.url) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def written(site: World) -> list[Written]:
    """Each in a request and in its answer; as one answer and as a stream."""
    parts = [HOSTILE[start : start + AT_ONCE] for start in range(0, len(HOSTILE), AT_ONCE)]
    return [Written(part, ask(site, *part, stream=streamed)) for part in parts for streamed in (False, True)]


@pytest.fixture
def page(chromium: Browser, site: World, complaints: list[str]) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1280, "height": 860})
    page = log_in(context, site, "admin")
    listen(page, complaints)
    page.on(
        "request", lambda each: complaints.append(each.url) if not each.url.startswith(site.url) else None
    )
    page.on("framenavigated", lambda frame: complaints.append(frame.url) if frame.parent_frame else None)
    page.on("popup", lambda popup: complaints.append(f"popup: {popup.url}"))
    yield page
    context.close()


def _complain(complaints: list[str], address: str, fine: bool) -> None:
    if not fine:
        complaints.append(address)


def look(page: Page, address: str) -> None:
    """Open a page and everything on it, and see that nothing of it is markup that somebody recorded."""
    response = page.goto(address)
    assert response is not None and response.status == 200, address
    page.evaluate("for (const fold of document.querySelectorAll('main details')) fold.open = true")
    assert page.locator(FOREIGN).count() == 0, address
    assert page.title().endswith("| Postern"), address
    assert page.evaluate("location.href") == address
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, address


def test_no_recorded_word_acts_on_the_page_of_its_call(
    site: World, page: Page, written: list[Written], complaints: list[str]
) -> None:
    for each in written:
        look(page, site.url + each.path)
        play = page.get_by_role("button", name="Play", exact=True)
        if play.count():
            play.click()
            page.get_by_role("button", name="All at once").click()
        assert texts(page, "Request") == [readable(text) for text in each.texts]
        assert texts(page, "Response") == [readable("\n\n".join(each.texts))]
    assert complaints == []


def texts(page: Page, region: str) -> list[str]:
    """What is there to read, the names of hidden characters read as these."""
    found = page.get_by_role("region", name=region, exact=True).locator(".turn-text")
    return [readable(each.evaluate(_CLEAR)) for each in found.all()]


_CLEAR = """(element) => {
    const copy = element.cloneNode(true);
    for (const glyph of copy.querySelectorAll(".glyph")) {
        const code = glyph.textContent.match(/^U\\+([0-9A-F]+)$/);
        glyph.textContent = code ? String.fromCodePoint(parseInt(code[1], 16)) : glyph.textContent;
    }
    return copy.textContent;
}"""


def readable(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def test_hidden_characters_are_named(site: World, page: Page, written: list[Written]) -> None:
    shown = 0
    for each in written:
        page.goto(site.url + each.path)
        for text in page.locator(".turn-text").all():
            shown += text.locator(".glyph").count()
            assert not re.search("[\u202e\u200b\x00\x1b\u2028]", text.inner_text()), each.texts
    assert shown >= 4 * len(HIDDEN)  # as asked and as answered, whole and streamed


def test_no_recorded_word_acts_in_a_list_or_a_conversation(
    site: World, page: Page, written: list[Written], complaints: list[str]
) -> None:
    for name in IN_NAMES:
        ask(site, "hello", model=name)
    for path in LISTS:
        look(page, site.url + path)
    page.goto(site.url + "/audit/calls/")
    assert page.locator(".glyph").count() >= 2  # in a model's name
    seen, waiting = set[str](), ["/audit/"]
    while waiting:
        page.goto(site.url + waiting.pop())
        links = page.locator("a[href*='/audit/sessions/'], a[rel=next]").evaluate_all(_HREFS)
        for address in links:
            if address not in seen and ("/audit/sessions/" in address or "before=" in address):
                seen.add(address)
                waiting += [address.removeprefix(site.url)] if "before=" in address else []
    sessions = sorted(each for each in seen if "/audit/sessions/" in each)
    assert len(sessions) >= len(HOSTILE) // AT_ONCE  # each part is a conversation of its own
    for address in sessions:
        look(page, urljoin(address, "conversation/"))
    look(page, sessions[0])
    assert complaints == []


_HREFS = "links => links.map(link => link.href)"


def test_what_is_no_utf_8_is_refused_recorded_and_harmless(
    site: World, page: Page, complaints: list[str]
) -> None:
    address = site.endpoint("openai") + "/v1/chat/completions"
    headers = {"Authorization": f"Bearer {site.key('alice')}", "Content-Type": "application/json"}
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "<b>?"}]}).encode()
    sent = requests.post(address, data=body.replace(b"?", b"\xff\xc0\xaf"), headers=headers, timeout=10)
    assert sent.status_code == 400
    look(page, f"{site.url}/audit/calls/{sent.headers['x-postern-call']}/")
    unread = site.url + ask(site, "answer in broken UTF-8")
    page.wait_for_timeout(500)  # how it ended is recorded after it was answered
    look(page, unread)
    expect(page.locator(".ending-cut")).to_contain_text("This is not the model's answer")
    assert complaints == []


def test_the_measure_finds_what_acts(site: World, page: Page, complaints: list[str]) -> None:
    page.goto(site.url + "/audit/")
    acting = '<img src="https://evil.example/x.png" onerror="alert(1)">'
    page.evaluate("acting => { document.querySelector('main').innerHTML += acting; }", acting)
    assert page.locator(FOREIGN).count() >= 1
    page.wait_for_timeout(300)
    assert complaints != []

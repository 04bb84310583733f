"""An auditor's day in a real browser: found by words, read, replayed, exported, verified elsewhere, traced.

What dave does is in the record too, and to everybody else none of these pages is there.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import openai
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from gateway.anchoring.naming import name_of
from tests.server.hammer_house import wait_for
from tests.server.scripted import scripted_model
from tests.server.test_originals import Person
from tests.server.world import ROOT, World, running_world

from .conftest import listen, log_in
from .telling import WHOLE, Teller
from .test_replaying import scrub, seen

pytestmark = pytest.mark.timeout(240)

CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
CARD = "4012 8888 8888 1881"
ASKED = ("tell me about the lighthouse", "and who paints the lighthouse?", f"is {CARD} for its keeper?")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with (
        scripted_model(Teller) as model,
        running_world(tmp_path_factory.mktemp("auditing"), upstream_url=model.url) as running,
    ):
        yield running


@dataclass(frozen=True, slots=True)
class Day:
    """What alice did, and dave at his desk."""

    site: World
    calls: list[str]
    dave: Page

    def opens(self, path: str) -> None:
        self.dave.goto(self.site.url + path)

    def searches(self, words: str) -> None:
        self.opens("/audit/search/")
        self.dave.get_by_label("Words of the masked text").fill(words)
        self.dave.get_by_role("button", name="Search", exact=True).click()


@pytest.fixture(scope="module")
def calls(site: World) -> list[str]:
    """A streamed call and two plain ones of one conversation."""
    told: list[str] = []
    messages: list[Any] = []
    base_url = site.endpoint("openai") + "/v1"
    with openai.OpenAI(base_url=base_url, api_key=site.key("alice"), max_retries=0) as alice:
        for at, text in enumerate(ASKED):
            messages.append({"role": "user", "content": text})
            raw = alice.chat.completions.with_raw_response.create(
                model="m", messages=messages, stream=at == 0
            )
            made: Any = raw.parse()
            said = "".join(each.choices[0].delta.content or "" for each in made) if at == 0 else ""
            messages.append({"role": "assistant", "content": said or made.choices[0].message.content})
            told.append(raw.headers["x-postern-call"])
    return told


@pytest.fixture(scope="module")
def dave(chromium: Browser, site: World) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1280, "height": 860})
    context.set_default_timeout(20_000)
    yield log_in(context, site, "dave")
    context.close()


@pytest.fixture
def day(site: World, calls: list[str], dave: Page, complaints: list[str]) -> Iterator[Day]:
    listen(dave, complaints)
    yield Day(site, calls, dave)
    assert complaints == []


def rows(page: Page) -> list[str]:
    """The calls that a page lists, by their ids."""
    links = page.locator("main table.rows a.row-link").all()
    return [str(link.get_attribute("href")).split("/")[-2] for link in links]


def test_a_call_is_found_by_a_word_and_leads_to_its_session_its_conversation_and_back(day: Day) -> None:
    dave = day.dave
    day.searches("lighthouse")
    assert rows(dave) == day.calls[::-1]
    assert dave.evaluate(CONTRAST) == []
    dave.locator("a.row-link").nth(2).click()
    dave.wait_for_url(f"**/audit/calls/{day.calls[0]}/")
    expect(dave.get_by_text("tell me about the lighthouse").first).to_be_visible()
    dave.locator(".crumbs a").last.click()
    dave.wait_for_url("**/audit/sessions/*/")
    assert rows(dave) == day.calls
    session = dave.url
    dave.get_by_role("link", name="Read as a conversation").click()
    dave.wait_for_url("**/conversation/")
    expect(dave.locator(".talk > li")).to_have_count(3)
    expect(dave.get_by_text("tell me about the lighthouse", exact=True)).to_have_count(1)
    dave.locator(".talk > li").first.get_by_role("heading").get_by_role("link").click()
    dave.wait_for_url(f"**/audit/calls/{day.calls[0]}/")
    assert CARD not in dave.content()
    day.searches("paints")  # said in two of the calls: the second, and the third that repeats it
    assert rows(dave) == day.calls[:0:-1]
    dave.locator("a.row-side").first.click()
    dave.wait_for_url(session)


def test_what_the_matches_add_up_to_comes_by_itself_and_narrows_the_search(day: Day) -> None:
    dave = day.dave
    day.searches("lighthouse")
    expect(dave.get_by_role("heading", name="3 calls")).to_be_visible()
    assert dave.evaluate(CONTRAST) == []
    dave.get_by_role("region", name="class").get_by_role("button").first.click()
    expect(dave.get_by_role("heading", name="1 call")).to_be_visible()
    assert rows(dave) == [day.calls[2]]


def test_a_search_without_scripts_adds_up_at_once(chromium: Browser, day: Day) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = log_in(context, day.site, "dave")
    page.goto(f"{day.site.url}/audit/search/")
    page.get_by_label("Words of the masked text").fill("lighthouse")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_role("heading", name="3 calls")).to_be_visible()
    assert len(rows(page)) == 3
    context.close()


def test_sums_that_cannot_be_fetched_say_so(day: Day, complaints: list[str]) -> None:
    def fails(route: Route) -> None:
        if "sums" in (route.request.post_data or ""):
            route.abort()
        else:
            route.continue_()

    day.dave.route("**/audit/search/", fails)
    day.searches("lighthouse")
    expect(day.dave.get_by_text("The sums could not be fetched.")).to_be_visible()
    assert rows(day.dave) == day.calls[::-1]
    day.dave.unroute("**/audit/search/")
    assert [each for each in complaints if "ERR_FAILED" not in each] == []
    complaints.clear()


def test_the_streamed_call_is_replayed(day: Day) -> None:
    dave = day.dave
    day.opens(f"/audit/calls/{day.calls[0]}/")
    dave.get_by_role("button", name="16×").click()
    dave.get_by_role("button", name="Play").click()
    dave.wait_for_function("() => document.querySelector('[data-play]').textContent === 'Play'")
    assert seen(dave) == WHOLE
    scrub(dave, 0.6)
    assert WHOLE.startswith(seen(dave)) and 0 < len(seen(dave)) < len(WHOLE)


def test_what_was_found_is_exported_and_verified_on_another_desk(day: Day, tmp_path: Path) -> None:
    file, key = exported(day, tmp_path), public_key(day)
    with ZipFile(file) as held:
        listed = [json.loads(row) for row in held.read("calls.jsonl").splitlines()]
        assert all(CARD.encode() not in held.read(name) for name in held.namelist())
    assert [row["call"] for row in listed] == day.calls[::-1]
    assert "lighthouse" in listed[0]["request"]["text"]
    anchor = day.site.data / "checkpoints"
    assert wait_for(lambda: holds_what_it_names(anchor, file), seconds=90), "the anchor was not told"
    whole = verified(file, key, anchor, tmp_path)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    changed = verified(one_byte_changed(file), key, anchor, tmp_path)
    assert changed.returncode == 1 and "calls.jsonl was changed" in changed.stdout + changed.stderr


def exported(day: Day, tmp_path: Path) -> Path:
    """From the search's page to the file."""
    dave = day.dave
    day.searches("lighthouse")
    dave.get_by_role("button", name="Export these calls").click()
    dave.get_by_label("With requests and responses").check()
    dave.get_by_label("What is it for?").fill(f"complaint about {CARD}")
    dave.get_by_role("button", name="Start the export").click()
    newest = dave.locator("table.rows tbody tr").first.get_by_role("link", name="Download")
    expect(newest).to_be_visible(timeout=120_000)  # the page looks again by itself
    assert CARD not in dave.content()
    with dave.expect_download() as fetched:
        newest.click()
    file = tmp_path / "export.zip"
    fetched.value.save_as(file)
    return file


def holds_what_it_names(anchor: Path, file: Path) -> bool:
    """An export waits for its anchors; one that was never told anything yet is not known to be one."""
    with ZipFile(file) as held:
        named = [json.loads(json.loads(line)["checkpoint"]) for line in held.open("checkpoints.jsonl")]
    there = {path.name for path in anchor.rglob("*.json")}
    return {name_of((each["epoch"], each["number"])) for each in named} <= there


def public_key(day: Day) -> str:
    day.opens("/audit/integrity/")
    key = re.search(r"\b[0-9a-f]{64}\b", day.dave.locator("main").inner_text())
    assert key
    return key[0]


def verified(file: Path, key: str, anchor: Path, apart: Path) -> subprocess.CompletedProcess[str]:
    """By a process that has no settings and no store: the file, the key and the anchor are all it gets."""
    argv = [sys.executable, "-m", "audit.verifier", str(file), "--key", key, "--checkpoints", str(anchor)]
    env = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(argv, cwd=apart, env=env, capture_output=True, text=True, check=False)


def one_byte_changed(file: Path) -> Path:
    """The same archive with one letter of one row put in another's place."""
    other = file.with_name("changed.zip")
    with ZipFile(file) as held, ZipFile(other, "w") as made:
        for name in held.namelist():
            text = held.read(name)
            if name == "calls.jsonl":
                at = text.index(b"lighthouse")
                text = text[:at] + b"L" + text[at + 1 :]
            made.writestr(name, text)
    return other


def test_the_card_that_alice_sent_is_traced_to_its_call(day: Day) -> None:
    dave = day.dave
    day.opens("/audit/trace/")
    dave.get_by_label("Value").fill(CARD.replace(" ", "-"))
    dave.get_by_role("button", name="Trace", exact=True).click()
    expect(dave.get_by_role("heading", name="1 call", exact=True)).to_be_visible()
    assert rows(dave) == [day.calls[2]]
    assert dave.evaluate(CONTRAST) == []


def test_dave_is_on_record_himself(day: Day, tmp_path: Path) -> None:
    day.searches("lighthouse")
    dave = day.dave
    dave.locator("a.row-link").first.click()
    dave.wait_for_url("**/audit/calls/*/")
    exported(day, tmp_path)
    day.opens("/audit/trace/")
    dave.get_by_label("Value").fill(CARD)
    dave.get_by_role("button", name="Trace", exact=True).click()
    expect(dave.get_by_role("heading", name="1 call", exact=True)).to_be_visible()
    day.opens("/audit/acts/?who=me")
    names = dave.locator("main table.rows td:nth-child(3)").all_inner_texts()
    known = ("value.traced", "export.downloaded", "export.asked", "calls.searched", "call.opened")
    done = [name.strip() for name in names if name.strip() in known]
    assert done[:6] == [
        "value.traced",
        "export.downloaded",
        "export.asked",
        "calls.searched",
        "call.opened",
        "calls.searched",
    ]
    whose = set(dave.locator("main table.rows td:nth-child(2) .cell-main").all_inner_texts())
    assert len(whose) == 1 and "dave" in next(iter(whose)).lower()
    assert "lighthouse" in dave.inner_text("main") and CARD not in dave.content()


def test_to_a_reviewer_and_a_client_none_of_it_is_there(day: Day, tmp_path: Path) -> None:
    exported(day, tmp_path)
    first, dave = day.calls[0], day.dave
    day.opens(f"/audit/calls/{first}/")
    session = str(dave.locator(".crumbs a").last.get_attribute("href"))
    day.opens("/audit/exports/")
    file = dave.get_by_role("link", name="Download").first.get_attribute("href")
    closed = [
        "/audit/search/",
        "/audit/trace/",
        "/audit/acts/?who=me",
        "/audit/exports/",
        "/audit/integrity/",
    ]
    closed += [f"/audit/calls/{first}/", session, f"{session}conversation/", str(file)]
    sent = {"/audit/search/": {"words": "lighthouse"}, "/audit/trace/": {"value": CARD}}
    sent["/audit/exports/new/"] = {"selection": "{}", "format": "jsonl", "reason": "x", "start": "1"}
    for name in ("bob", "alice"):
        person = Person(day.site, name)
        answers = [person.gets(path) for path in closed]
        answers += [person.sends(path, "/", **form) for path, form in sent.items()]
        assert [each.url for each in answers if each.status_code not in (403, 404)] == []
        assert all("lighthouse" not in each.text for each in answers)

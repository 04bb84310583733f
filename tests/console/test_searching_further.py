"""A page of a search that goes on by itself: one search on record, and never more than one page of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from django.conf import settings
from django.core import signing
from django.test import Client

from audit import ids
from audit.acts import acts
from audit.keys import KeyDirectory
from audit.recorder import Recorder
from audit.search.finding import PAGE
from gateway.console import search_parts, searching
from gateway.models import Area, User
from tests.audit.world import CHAT, DONE, asks

from .test_searching import clinic, signed_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

__all__ = ["clinic"]
ASKED = {"words": "write"}
NOWHERE = {"words": "nowhere"}
Record = Callable[..., list[UUID]]


@pytest.fixture
def record(transactional_db: None) -> Iterator[Record]:
    """Makes calls that many days ago; returns them, the newest first."""
    keys = KeyDirectory.make(settings.AUDIT_KEY_DIR)
    recorder = Recorder(keys=keys)
    recorder.start()

    def called(*days: int, area: str = "clinic") -> list[UUID]:
        made = []

        async def work() -> None:
            for at, day in enumerate(days):
                when = ids.now() - timedelta(days=day, seconds=at)
                keys.day("payload", when)
                call = ids.uuid7(int(when.timestamp() * 1000), 1)
                await recorder.admit(asks(call_id=call, what=replace(CHAT, area=area)))
                recorder.close(call, DONE)
                made.append(call)

        asyncio.run(work())
        recorder.stop(5)
        return sorted(made, reverse=True)

    yield called
    recorder.stop(5)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page looks at one day, and goes on."""
    monkeypatch.setattr(searching, "BRIEFLY", 0.0)
    monkeypatch.setattr(searching, "SHORT", 0.0)


def shown(page: str) -> list[UUID]:
    return [UUID(call) for call in re.findall(r'class="row-link" href="/audit/calls/([^/]+)/"', page)]


def note_of(page: str, part: str) -> str:
    """By which a page fetches what it lacks; empty: it lacks nothing."""
    return "".join(re.findall(rf'data-{part}="([^"]+)"', page))


def asks_for(client: Client, part: str, noted: str, asked: dict[str, str] = ASKED) -> str:
    answer = client.post("/audit/search/", {**asked, "part": part, "noted": noted})
    assert answer.status_code == 200
    return answer.content.decode()


def searches() -> int:
    return len(acts(None, name="calls.searched").rows)


def followed(client: Client, page: str, asked: dict[str, str] = ASKED) -> list[str]:
    """The page and all that it fetches of its matches."""
    pages = [page]
    while noted := note_of(pages[-1], "further"):
        pages.append(asks_for(client, "matches", noted, asked))
    return pages


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_a_page_finds_all_that_it_would_have_with_patience(record: Record) -> None:
    calls = record(0, 3, 3, 7, 30)
    dave = signed_in("dave")
    pages = followed(dave, dave.post("/audit/search/", ASKED).content.decode())
    assert len(pages) > 5
    assert [call for page in pages for call in shown(page)] == calls
    assert searches() == 1
    assert "Looked back to" in pages[0] and "Looked back to" not in pages[-1]
    assert all("<html" not in page for page in pages[1:])


def test_nothing_is_said_to_fit_only_where_nothing_did(record: Record) -> None:
    record(0, 9)
    dave = signed_in("dave")
    some = followed(dave, dave.post("/audit/search/", ASKED).content.decode())
    assert len(some) > 3 and not any("No call fits" in page for page in some)
    none = followed(dave, dave.post("/audit/search/", NOWHERE).content.decode(), NOWHERE)
    assert len(none) > 3 and not any(map(shown, none))
    assert ["No call fits" in page for page in none] == [False] * (len(none) - 1) + [True]


def test_it_never_fetches_more_than_one_page(record: Record) -> None:
    """The next one is asked for by a person, and is on record by itself."""
    calls = record(*range(30), *range(30))
    dave = signed_in("dave")
    pages = followed(dave, dave.post("/audit/search/", ASKED).content.decode())
    assert [call for page in pages for call in shown(page)] == calls[:PAGE]
    (before,) = re.findall(r'name="before" value="([^"]+)"', pages[-1])
    assert searches() == 1
    older = followed(dave, dave.post("/audit/search/", {**ASKED, "before": before}).content.decode())
    assert [call for page in older for call in shown(page)] == calls[PAGE:]
    assert all("Newest" in page for page in older)
    assert not any(note_of(page, "sums") for page in older)
    assert searches() == 2


def test_sums_begin_with_the_first_match_and_grow(record: Record) -> None:
    record(5, 5, 9, 30)
    dave = signed_in("dave")
    pages = followed(dave, dave.post("/audit/search/", ASKED).content.decode())
    with_sums = [page for page in pages if note_of(page, "sums")]
    assert len(with_sums) == 1 and len(shown(with_sums[0])) == 2
    parts, noted = [], note_of(with_sums[0], "sums")
    while noted:
        parts.append(asks_for(dave, "sums", noted))
        noted = note_of(parts[-1], "sums")
    assert len(parts) > 5
    assert any("2 calls so far, adding up…" in words(part) for part in parts)
    assert "4 calls" in words(parts[-1]) and "adding up" not in parts[-1]
    assert searches() == 1


def test_without_scripts_all_comes_at_once(record: Record) -> None:
    calls = record(0, 3, 30)
    page = signed_in("dave").post("/audit/search/", {**ASKED, "sums": "1"}).content.decode()
    assert shown(page) == calls
    assert "3 calls" in words(page)
    assert not note_of(page, "further") and not note_of(page, "sums")


def test_a_note_holds_nothing_of_what_was_asked(record: Record) -> None:
    record(0, 3, 30)
    dave = signed_in("dave")
    for page in followed(dave, dave.post("/audit/search/", ASKED).content.decode())[:-1]:
        salt = f"{search_parts.__name__}.matches"
        person, digest, (before, lacks, *rest) = signing.loads(note_of(page, "further"), salt=salt)
        assert UUID(person) and re.fullmatch("[0-9a-f]{64}", digest) and UUID(before)
        assert type(lacks) is int and set(map(type, rest)) == {bool}


@pytest.mark.parametrize(
    "how", ["nothing", "invented", "of sums", "another search", "another person", "too late"]
)
def test_matches_that_no_search_asked_for_are_refused(
    record: Record, clinic: Area, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(0, 3, 30)
    dave = signed_in("dave")
    asker = signed_in("erin", area=clinic) if how == "another person" else dave
    before = {} if how == "another search" else ASKED
    page = dave.post("/audit/search/", {**before, "model": "demo"}).content.decode()
    noted = note_of(page, "sums" if how == "of sums" else "further")
    assert noted
    if how == "too late":
        monkeypatch.setattr(search_parts, "GOES_ON", -1)
    token = {"nothing": "", "invented": f"x{noted}"}.get(how, noted)
    asked = {**ASKED, "model": "demo", "part": "matches", "noted": token}
    answer = asker.post("/audit/search/", asked)
    assert (answer.status_code, shown(answer.content.decode())) == (400, [])


def test_what_is_fetched_later_stands_behind_the_wall_of_then(record: Record, clinic: Area) -> None:
    """Somebody who audits an area no longer sees nothing of it, whatever their page goes on with."""
    record(0, 3, 30)
    erin = signed_in("erin", area=clinic)
    page = erin.post("/audit/search/", ASKED).content.decode()
    assert shown(page)
    User.objects.get(username="erin").groups.clear()
    for part in ("further", "sums"):
        asked = {**ASKED, "part": "matches" if part == "further" else part, "noted": note_of(page, part)}
        assert erin.post("/audit/search/", asked).status_code == 403

"""An auditor searches and traces; what was asked is on record before anything is shown, and no value is."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from uuid import UUID

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.core import signing
from django.test import Client

from audit import deriving
from audit.acts import acts
from audit.keys import KeyDirectory
from audit.models import Call, Entry
from audit.recorder import Recorder
from gateway.console import search_parts, searching, tracing
from gateway.identity.authz import role_grant
from gateway.models import Area, User
from gateway.proxy.digests import keyed
from policies.engine.sweep import normalised
from tests.audit.world import ANSWER, CHAT, DONE, asks

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

CARD = "4111 1111 1111 1111"
PASSWORD = "correct-horse-battery"


@pytest.fixture
def record(transactional_db: None) -> Iterator[Callable[[str, str], UUID]]:
    """Makes a call in an area, in which a value was found."""
    keys = KeyDirectory.make(settings.AUDIT_KEY_DIR)
    recorder = Recorder(keys=keys)
    recorder.start()

    def found(value: str) -> tuple[tuple[str, bytes], ...]:
        key = keys.lasting("fingerprints")
        return (("CARD", keyed(key, normalised(value).encode())[:16]),) if value else ()

    def called(area: str, value: str = CARD, answered: str = "") -> UUID:
        asked = asks(what=replace(CHAT, area=area), fingerprints=found(value))

        async def work() -> None:
            await recorder.admit(asked)
            await recorder.segment(asked.call_id, ANSWER, final=True)
            recorder.close(asked.call_id, replace(DONE, fingerprints=found(answered)))
            await asyncio.sleep(0.05)

        asyncio.run(work())
        return asked.call_id

    yield called
    recorder.stop(5)


def signed_in(name: str, *, area: Area | None = None) -> Client:
    """Somebody who audits an area, or everywhere."""
    group = Group.objects.create(name=f"auditors of {area.slug if area else 'all'}")
    role_grant(group=group, role="auditor", area=area, by=None)
    person = User.objects.create_user(name, password=PASSWORD)
    person.groups.add(group)
    client = Client()
    client.force_login(person)
    return client


@pytest.fixture
def clinic(transactional_db: None) -> Area:
    return Area.objects.create(slug="clinic", name="Clinic")


def test_a_call_is_found_by_a_word_and_the_search_is_on_record(
    record: Callable[[str, str], UUID], clinic: Area
) -> None:
    call = record("clinic", CARD)
    dave = signed_in("dave")
    page = dave.post("/audit/search/", {"words": "Write", "model": "demo"})
    assert f"/audit/calls/{call}/" in page.content.decode()
    (act,) = acts(None, name="calls.searched").rows
    assert (act.subject, act.note, act.detail["model"]) == ("local:dave", "Write", "demo")
    assert "Acts" in dave.get("/audit/acts/").content.decode()
    assert "calls.searched" in dave.get("/audit/acts/?who=me").content.decode()


def test_no_address_says_what_was_looked_for(record: Callable[[str, str], UUID]) -> None:
    record("clinic", CARD)
    page = signed_in("dave").get("/audit/search/?words=write").content.decode()
    assert "/audit/calls/0" not in page
    assert 'value="write"' not in page
    assert not acts(None, name="calls.searched").rows


def test_if_the_search_cannot_be_recorded_nothing_is_shown(
    record: Callable[[str, str], UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    record("clinic", CARD)
    dave = signed_in("dave")

    def broken(*args: object, **kwargs: object) -> int:
        raise RuntimeError("the store is away")

    for module, address, asked in (
        (searching, "/audit/search/", {"words": "write"}),
        (tracing, "/audit/trace/", {"value": CARD}),
    ):
        monkeypatch.setattr(module, "event", broken)
        with pytest.raises(RuntimeError):
            dave.post(address, asked)


def test_a_value_among_the_words_is_refused_and_nowhere_stored(record: Callable[[str, str], UUID]) -> None:
    record("clinic", CARD)
    page = signed_in("dave").post("/audit/search/", {"words": f"card {CARD}"})
    assert page.status_code == 400
    assert "trace it" in page.content.decode()
    assert not acts(None, name="calls.searched").rows


def test_a_value_among_the_criteria_is_refused_and_nowhere_stored(
    record: Callable[[str, str], UUID],
) -> None:
    """People paste into the wrong field."""
    record("clinic", CARD)
    dave = signed_in("dave")
    for name in ("caller", "model", "key", "reviewer"):
        page = dave.post("/audit/search/", {name: f"of {CARD}"})
        assert page.status_code == 400 and "trace it" in page.content.decode(), name
    assert not acts(None, name="calls.searched").rows
    stored = b"".join(bytes(entry.meta) for entry in Entry.objects.all())
    assert b"1111 1111" not in stored
    assert b"11111111" not in stored


def test_what_cannot_be_asked_is_said_on_the_page() -> None:
    page = signed_in("dave").post("/audit/search/", {"since": "yesterday", "words": "write"})
    assert page.status_code == 400
    assert "write a time as" in page.content.decode()
    assert 'value="yesterday"' in page.content.decode()  # nothing typed is lost


def test_an_auditor_of_an_area_finds_and_traces_nothing_behind_its_wall(
    record: Callable[[str, str], UUID], clinic: Area
) -> None:
    mine, other = record("clinic", CARD), record("bank", CARD)
    ward = signed_in("ward", area=clinic)
    for address, asked in (
        ("/audit/search/", {"words": "write"}),
        ("/audit/search/", {}),
        ("/audit/trace/", {"value": CARD}),
    ):
        page = ward.post(address, asked).content.decode()
        assert str(mine) in page
        assert str(other) not in page
        assert "bank" not in page
    assert f"/calls/{other}" not in ward.post("/audit/search/", {"call": str(other)}).content.decode()


def test_a_facet_narrows_the_search(record: Callable[[str, str], UUID]) -> None:
    record("clinic", CARD)
    dave = signed_in("dave")
    for part in ({"sums": "1"}, {"part": "sums"}):
        page = dave.post("/audit/search/", {"words": "write", **part}).content.decode()
        assert 'name="also" value="model=demo"' in page
    dave.post("/audit/search/", {"words": "write", "also": "model=demo"})
    assert acts(None, name="calls.searched").rows[0].detail["model"] == "demo"


def test_what_matches_add_up_to_is_fetched_by_itself_and_is_the_same_search(
    record: Callable[[str, str], UUID],
) -> None:
    record("clinic", CARD)
    dave, asked = signed_in("dave"), {"words": "write", "since": "2020-01-01"}
    page = dave.post("/audit/search/", asked).content.decode()
    assert "model=demo" not in page
    noted = re.findall(r'data-sums="([^"]+)"', page)
    assert len(acts(None, name="calls.searched").rows) == 1
    part = dave.post("/audit/search/", {**asked, "part": "sums", "noted": noted[0]}).content.decode()
    assert "model=demo" in part and "<html" not in part
    assert len(acts(None, name="calls.searched").rows) == 1


def test_what_shows_that_a_search_is_on_record_holds_nothing_of_it(
    record: Callable[[str, str], UUID],
) -> None:
    record("clinic", CARD)
    page = signed_in("dave").post("/audit/search/", {"words": "write"}).content.decode()
    (noted,) = re.findall(r'data-sums="([^"]+)"', page)
    person, digest, place = signing.loads(noted, salt=f"{search_parts.__name__}.sums")
    assert UUID(person) and re.fullmatch("[0-9a-f]{64}", digest) and place == []


@pytest.mark.parametrize("how", ["nothing", "invented", "another search", "another person", "too late"])
def test_sums_that_no_search_asked_for_are_a_search_of_their_own(
    record: Callable[[str, str], UUID], clinic: Area, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record("clinic", CARD)
    dave, asked = signed_in("dave"), {"words": "write"}
    asker = signed_in("erin", area=clinic) if how == "another person" else dave
    before = {} if how == "another search" else asked
    noted = re.findall(r'data-sums="([^"]+)"', dave.post("/audit/search/", before).content.decode())[0]
    if how == "too late":
        monkeypatch.setattr(search_parts, "GOES_ON", -1)
    token = {"nothing": "", "invented": f"x{noted}"}.get(how, noted)
    assert b"model=demo" in asker.post("/audit/search/", {**asked, "part": "sums", "noted": token}).content
    assert len(acts(None, name="calls.searched").rows) == 2


def test_a_value_is_traced_however_it_is_written(record: Callable[[str, str], UUID]) -> None:
    call = record("clinic", CARD)
    dave = signed_in("dave")
    for written in (CARD, "4111111111111111", "4111-1111-1111-1111", f"it said {CARD} in the mail"):
        assert str(call) in dave.post("/audit/trace/", {"value": written}).content.decode(), written
    page = dave.post("/audit/trace/", {"value": "5500 0000 0000 0004"}).content.decode()
    assert "Found in no call" in page


def test_a_value_in_an_answer_is_traced_as_well(record: Callable[..., UUID]) -> None:
    call = record("clinic", "", answered=CARD)
    page = signed_in("dave").post("/audit/trace/", {"value": CARD}).content.decode()
    assert str(call) in page


def test_a_trace_is_on_record_without_its_value(record: Callable[[str, str], UUID]) -> None:
    record("clinic", CARD)
    dave = signed_in("dave")
    page = dave.post("/audit/trace/", {"value": CARD})
    assert page.headers["Cache-Control"] == "max-age=0, no-cache, no-store, must-revalidate, private"
    assert "1111 1111" not in page.content.decode()
    (act,) = acts(None, name="value.traced").rows
    assert (act.detail["calls"], act.detail["classes"]) == (1, {"CARD": 1})
    stored = b"".join(bytes(entry.meta) for entry in Entry.objects.all())
    assert b"41111111" not in stored
    assert b"1111 1111" not in stored


def further(page: str) -> str:
    """What the page goes on with; "" where it does not."""
    found = re.search(r'name="further" value="([^"]+)"', page)
    return found[1] if found else ""


def listed(page: str, calls: Sequence[UUID]) -> list[UUID]:
    return [call for call in calls if f"/audit/calls/{call}/" in page]


def test_a_trace_is_gone_on_with_page_by_page(
    record: Callable[[str, str], UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [record("clinic", CARD) for _ in range(5)]
    monkeypatch.setattr(tracing, "SHOWN", 2)
    monkeypatch.setattr(tracing, "SUMMED", 3)
    dave = signed_in("dave")
    page = dave.post("/audit/trace/", {"value": CARD}).content.decode()
    assert "The newest 3 of more calls" in page
    pages = [listed(page, made)]
    while place := further(page):
        assert "1111 1111" not in page
        page = dave.post("/audit/trace/", {"further": place}).content.decode()
        pages.append(listed(page, made))
    assert pages == [made[3:], made[1:3], made[:1]]
    assert len(acts(None, name="value.traced").rows) == 1  # going on is no further guess
    last, middle = acts(None, name="value.followed").rows
    assert (middle.detail["before"], middle.detail["calls"]) == (str(made[3]), 3)
    assert (last.detail["before"], last.detail["calls"]) == (str(made[1]), 1)


def test_a_trace_looks_on_behind_what_the_wall_hides(
    record: Callable[[str, str], UUID], clinic: Area, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = record("clinic", CARD)
    for _ in range(5):
        record("bank", CARD)
    monkeypatch.setattr(tracing, "AT_ONCE", 2)
    ward = signed_in("ward", area=clinic)
    page = ward.post("/audit/trace/", {"value": CARD}).content.decode()
    assert listed(page, [mine]) and not further(page)
    monkeypatch.setattr(tracing, "LOOKED_AT", 4)
    page = ward.post("/audit/trace/", {"value": CARD}).content.decode()
    assert not listed(page, [mine])
    assert "Looked back to" in page
    page = ward.post("/audit/trace/", {"further": further(page)}).content.decode()
    assert listed(page, [mine]) and not further(page)


def test_nobody_goes_on_with_what_they_did_not_trace(
    record: Callable[[str, str], UUID], clinic: Area, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        record("clinic", CARD)
    monkeypatch.setattr(tracing, "SHOWN", 1)
    dave, erin = signed_in("dave"), signed_in("erin", area=clinic)
    place = further(dave.post("/audit/trace/", {"value": CARD}).content.decode())
    for person, said in ((erin, place), (dave, place[:-1]), (dave, "x")):
        answer = person.post("/audit/trace/", {"further": said})
        assert answer.status_code == 400
        assert "Paste the value again" in answer.content.decode()
    monkeypatch.setattr(tracing, "GOES_ON", -1)
    assert dave.post("/audit/trace/", {"further": place}).status_code == 400
    assert not acts(None, name="value.followed").rows


def test_nobody_guesses_values_by_tracing_on(
    record: Callable[[str, str], UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "PER_HOUR", 2)
    dave = signed_in("dave")
    answers = [dave.post("/audit/trace/", {"value": f"{CARD}{n}"}).status_code for n in range(3)]
    assert answers == [200, 200, 429]
    erin = signed_in("erin", area=Area.objects.create(slug="x", name="X"))
    assert erin.post("/audit/trace/", {"value": CARD}).status_code == 200


def test_a_list_of_guesses_is_no_value() -> None:
    guesses = "\n".join(f"person{n}@example.com" for n in range(40))
    page = signed_in("dave").post("/audit/trace/", {"value": guesses})
    assert page.status_code == 400
    assert "41 values" in page.content.decode()


@pytest.mark.parametrize("value", ["", "abc", "x" * 10_001])
def test_what_is_no_value_is_not_traced(value: str) -> None:
    assert signed_in("dave").post("/audit/trace/", {"value": value}).status_code == 400


def test_pages_go_on_where_the_last_one_ended(
    record: Callable[[str, str], UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [record("clinic", CARD) for _ in range(3)]
    deriving.derive()
    assert Call.objects.count() == 3
    dave = signed_in("dave")
    page = dave.post("/audit/search/", {"words": "write", "before": str(made[1])}).content.decode()
    assert str(made[0]) in page
    assert str(made[2]) not in page
    assert dave.post("/audit/search/", {"words": "write", "before": "17"}).status_code == 400


def test_acts_of_another_area_are_not_shown(clinic: Area, record: Callable[[str, str], UUID]) -> None:
    record("clinic", CARD)
    record("bank", CARD)
    dave, ward = signed_in("dave"), signed_in("ward", area=clinic)
    for call in Call.objects.all():
        dave.get(f"/audit/calls/{call.id}/")
    ward.post("/audit/search/", {"words": "write"})
    page = ward.get("/audit/acts/").content.decode()
    assert page.count('mono">call.opened') == 1
    assert "Write" in page or "write" in page
    assert ward.get("/audit/acts/?name=nonsense").status_code == 400
    assert ward.get("/audit/acts/?before=x").status_code == 400

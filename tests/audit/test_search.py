"""A search finds what was recorded, within the areas of whoever searches, and nothing else."""

from __future__ import annotations

import asyncio
import importlib
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from audit import deriving, ids
from audit.events import event
from audit.keys import KeyDirectory
from audit.models import Brief, Call, Fact
from audit.recorder import Recorder
from audit.records import Close, Recordable
from audit.search import facets, finding
from audit.search.facets import Sums, summary, summary_of
from audit.search.finding import found
from audit.search.selection import Selection, SelectionError, selection_of
from audit.search.terms import fact_digest
from audit.search.writing import Terms, terms_write
from audit.walls import EVERYWHERE, Areas
from tests.audit.world import ALICE, BOB, CHAT, DONE, MASKED, asks, run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

WORDS = ("aspirin", "invoice", "pension", "router", "zürich", "東京都")
MODELS = ("small", "large")
AREAS = ("clinic", "bank")
DAYS = 12


def said(text: str) -> Recordable:
    return Recordable(f'{{"messages":[{{"role":"user","content":"{text}"}}]}}'.encode())


class World:
    """Calls of twelve days, each of which remembers what it is."""

    def __init__(self, recorder: Recorder, count: int = 120) -> None:
        self.chance = random.Random(11)
        self.calls: dict[UUID, dict[str, Any]] = {}
        self.start = ids.now() - timedelta(days=DAYS)
        run(self._make(recorder, count))
        recorder.stop(10)
        assert deriving.derive() > 0

    async def _make(self, recorder: Recorder, count: int) -> None:
        made = []
        for _ in range(count):
            when = self.start + timedelta(seconds=self.chance.uniform(0, DAYS * 86_000))
            call = ids.uuid7(int(when.timestamp() * 1000), self.chance.getrandbits(74))
            words = set(self.chance.sample(WORDS, self.chance.randint(1, 4)))
            facts = {
                "model": self.chance.choice(MODELS),
                "area": self.chance.choice(AREAS),
                "caller": self.chance.choice(("alice", "bob")),
                "action": self.chance.choice(("masked", "passed")),
            }
            self.calls[call] = {"words": words, "when": ids.time_of(call), **facts}
            who = ALICE if facts["caller"] == "alice" else BOB
            decision = replace(MASKED, action=facts["action"])
            asked = asks(
                who,
                call_id=call,
                what=replace(CHAT, model=facts["model"], area=facts["area"]),
                decision=decision,
                request=said(" ".join(sorted(words))),
            )
            made.append(asked)
        await asyncio.gather(*map(recorder.admit, made))  # in few commits
        for asked in made:
            recorder.close(asked.call_id, replace(DONE, action=asked.decision.action))

    def expected(self, selection: Selection, areas: Areas) -> list[UUID]:
        def fits(call: dict[str, Any]) -> bool:
            return (
                set(selection.words) <= {word for each in call["words"] for word in _index(each)}
                and all(call[kind] == value for kind, value in selection.facts)
                and (areas is None or call["area"] in areas)
                and (selection.since or call["when"]) <= call["when"]
                and call["when"] < (selection.until or ids.now())
            )

        return sorted((call for call, what in self.calls.items() if fits(what)), reverse=True)


def _index(word: str) -> tuple[str, ...]:
    return selection_of({"words": word}).words


@pytest.fixture
def world(recorder: Recorder, keys: KeyDirectory) -> World:
    for day in range(DAYS + 1):  # which past days would have by now
        keys.day("payload", ids.now() - timedelta(days=day))
    return World(recorder)


def pages(selection: Selection, areas: Areas, limit: int) -> Iterator[UUID]:
    before = None
    while True:
        page = found(selection, areas, before=before, limit=limit)
        yield from (call.id for call in page.calls)
        if page.older is None:
            return
        before = page.older


def test_every_selection_finds_exactly_its_calls(world: World) -> None:
    """Against a plain look at each call, over random selections, page sizes, times and areas."""
    chance = random.Random(5)
    hits = 0
    for _ in range(80):
        asked: dict[str, Any] = {}
        if chance.random() < 0.7:
            asked["words"] = " ".join(chance.sample(WORDS, chance.randint(1, 2)))
        for kind, values in (
            ("model", MODELS),
            ("caller", ("alice", "bob")),
            ("action", ("masked", "passed")),
        ):
            if chance.random() < 0.3:
                asked[kind] = chance.choice(values)
        if chance.random() < 0.4:
            asked["since"] = (world.start + timedelta(days=chance.uniform(0, DAYS / 2))).isoformat()
        if chance.random() < 0.4:
            asked["until"] = (world.start + timedelta(days=chance.uniform(DAYS / 2, DAYS))).isoformat()
        areas = chance.choice((EVERYWHERE, frozenset(AREAS), frozenset({"clinic"}), frozenset({"bank"})))
        selection = selection_of(asked)
        expected = world.expected(selection, areas)
        assert list(pages(selection, areas, chance.choice((3, 10, 50)))) == expected, asked
        hits += len(expected)
    assert hits > 300


def test_whoever_audits_nowhere_finds_nothing(world: World) -> None:
    assert not found(selection_of({}), frozenset()).calls
    assert not found(selection_of({"words": "aspirin"}), frozenset({"elsewhere"})).calls
    hidden = next(call for call, what in world.calls.items() if what["area"] == "bank")
    assert not found(selection_of({"call": str(hidden)}), frozenset({"clinic"})).calls


def test_accents_case_and_width_do_not_matter(world: World) -> None:
    plain = list(pages(selection_of({"words": "zurich"}), EVERYWHERE, 50))
    assert plain == list(pages(selection_of({"words": "ＺÜRICH"}), EVERYWHERE, 50)) != []
    assert list(pages(selection_of({"words": "京都"}), EVERYWHERE, 50))  # inside of what is written as one


def test_a_search_that_takes_too_long_says_how_far_it_came(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "MOST_DAYS", 1)
    selection = selection_of({"words": "aspirin invoice"})
    expected = world.expected(selection, EVERYWHERE)
    got: list[UUID] = []
    before, stops = None, 0
    while True:
        places = finding.places_of(selection, EVERYWHERE, before=before, patience=0.0)
        got += places.calls
        stops += places.back_to is not None
        if places.older is None:
            break
        before = places.older
    assert got == expected
    assert stops > 5


def test_a_call_is_found_by_its_id_while_it_is_open(recorder: Recorder) -> None:
    asked = asks()
    run(_admitted(recorder, asked))
    by_id = selection_of({"call": str(asked.call_id)})
    assert [call.id for call in found(by_id, EVERYWHERE).calls] == [asked.call_id]
    assert not found(selection_of({"call": str(asked.call_id), "model": "other"}), EVERYWHERE).calls
    assert not found(selection_of({"call": str(UUID(int=2**128 - 1))}), EVERYWHERE).calls


async def _admitted(recorder: Recorder, asked: Any) -> None:
    await recorder.admit(asked)


def test_a_reviewer_and_the_day_of_a_grant_find_the_call(world: World) -> None:
    call = next(iter(world.calls))
    event("approval.approved", by=BOB, area="clinic", about=f"approval {UUID(int=9)}", call_id=call)
    deriving.derive()
    today = datetime.now(UTC).date().isoformat()
    for asked in (
        {"reviewer": "Bob"},
        {"approval": str(UUID(int=9))},
        {"granted_since": today},
        {"granted_since": str(date.today() - timedelta(days=20)), "granted_until": today},
        {"reviewer": "bob", "granted_since": today, "model": world.calls[call]["model"]},
    ):
        assert [one.id for one in found(selection_of(asked), EVERYWHERE).calls] == [call], asked
    assert not found(selection_of({"granted_until": "2020-01-01"}), EVERYWHERE).calls


def test_words_of_a_day_whose_key_is_gone_find_nothing(world: World, keys: KeyDirectory) -> None:
    selection = selection_of({"words": "aspirin"})
    call = world.expected(selection, EVERYWHERE)[0]
    keys.destroy(f"payload-{ids.time_of(call):%Y-%m-%d}")
    assert call not in list(pages(selection, EVERYWHERE, 50))
    facts = selection_of({"model": world.calls[call]["model"]})
    assert call in list(pages(facts, EVERYWHERE, 50))


def test_a_selection_says_itself_again() -> None:
    asked = {
        "words": "aspirin invoice",
        "model": "small",
        "granted_since": "2026-11-01",
        "granted_until": "2026-11-03",
        "since": "2026-11-01T00:00:00+00:00",
        "call": str(UUID(int=3)),
    }
    selection = selection_of(asked)
    assert selection_of(selection.said()) == selection
    assert selection.said() == asked


@pytest.mark.parametrize(
    "asked",
    [
        {"nonsense": "1"},
        {"since": "yesterday"},
        {"since": "2026-02-02", "until": "2026-02-01"},
        {"call": "17"},
        {"words": "…"},
        {"words": " ".join(f"word{n}" for n in range(11))},
        {"granted_since": "2026-01-01", "granted_until": "2026-06-01"},
        {"granted_since": "2026-01-02", "granted_until": "2026-01-01"},
        {"model": "m" * 300},
    ],
)
def test_what_cannot_be_asked_is_said(asked: dict[str, str]) -> None:
    with pytest.raises(SelectionError) as error:
        selection_of(asked)
    assert str(error.value).endswith(".")


def test_the_index_takes_no_more_words_than_it_is_told(recorder: Recorder, settings: Any) -> None:
    settings.AUDIT_WORDS_PER_CALL = 3
    asked = asks(request=said("one two three four five"))

    async def work() -> None:
        await recorder.admit(asked)
        recorder.close(asked.call_id, Close(action="masked", status=200, complete=True))

    run(work())
    recorder.stop(5)
    deriving.derive()
    assert Call.objects.count() == 1
    assert found(selection_of({"words": "one three"}), EVERYWHERE).calls  # whose role is no word
    assert not found(selection_of({"words": "four"}), EVERYWHERE).calls


def test_the_sums_are_those_of_the_matches(world: World) -> None:
    for areas in (EVERYWHERE, frozenset({"clinic"})):
        for asked in ({}, {"words": "aspirin"}, {"model": "small", "caller": "bob"}):
            selection = selection_of(asked)
            expected = [world.calls[call] for call in world.expected(selection, areas)]
            got = summary(selection, areas)
            assert (got.calls, got.whole) == (len(expected), True)
            for kind in ("model", "caller", "action", "area"):
                for value in {call[kind] for call in expected}:
                    assert got.count(kind, value) == sum(call[kind] == value for call in expected)
            assert got.count("class", "EMAIL") == len(expected)
            assert got.output_tokens == 3 * len(expected)
            assert sum(bar.calls for bar in got.bars) == len(expected)
            assert sum(bar.masked for bar in got.bars) == sum(c["action"] == "masked" for c in expected)


def test_the_sums_are_over_the_newest_matches(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facets, "MOST", 7)
    got = summary(selection_of({}), EVERYWHERE)
    assert (got.calls, got.whole) == (7, False)
    assert got.until == max(call["when"] for call in world.calls.values())


def test_there_are_no_sums_of_nothing(world: World) -> None:
    got = summary(selection_of({"model": "none"}), EVERYWHERE)
    assert (got.calls, got.whole, got.facets, got.bars) == (0, True, (), ())


def sums_of(asked: dict[str, str], areas: Areas = EVERYWHERE) -> facets.Summary:
    return summary(selection_of(asked), areas)


def by_parts(asked: dict[str, str], areas: Areas, most: int, patience: float) -> tuple[facets.Summary, int]:
    """Sums that travel as JSON from part to part, and in how many parts."""
    selection, sums, parts = selection_of(asked), Sums(), 0
    while sums.growing:
        sums = Sums.of(json.loads(json.dumps(sums.state()))) if parts else sums
        sums.add(selection, areas, most=most, patience=patience)
        parts += 1
    return summary_of(sums), parts


@pytest.mark.parametrize(("most", "patience"), [(1, 1.0), (7, 1.0), (1000, 0.0), (7, 0.0)])
def test_sums_by_parts_are_the_sums(world: World, most: int, patience: float) -> None:
    in_all = 0
    for areas in (EVERYWHERE, frozenset({"clinic"})):
        for asked in ({}, {"words": "aspirin"}, {"words": "aspirin", "model": "small"}, {"caller": "bob"}):
            got, parts = by_parts(asked, areas, most, patience)
            assert got == sums_of(asked, areas)
            in_all += parts
    assert in_all > 40


def test_sums_by_parts_end_with_the_most_that_are_added_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facets, "MOST", 20)
    for asked in ({}, {"words": "aspirin"}):
        got, parts = by_parts(asked, EVERYWHERE, 8, 1.0)
        assert (got, got.calls, got.whole, parts) == (sums_of(asked), 20, False, 3)


def test_calls_of_one_moment_are_each_in_one_part(recorder: Recorder) -> None:
    moment = int(ids.now().timestamp() * 1000)

    async def work() -> None:
        for n in range(9):
            asked = asks(call_id=ids.uuid7(moment, n))
            await recorder.admit(asked)
            recorder.close(asked.call_id, DONE)

    run(work())
    recorder.stop(5)
    deriving.derive()
    for asked in ({}, {"model": "demo"}):
        got, parts = by_parts(asked, EVERYWHERE, 2, 1.0)
        assert (got.calls, parts) == (9, 5)


def test_calls_without_a_brief_row_are_counted_by_their_own(world: World) -> None:
    """An event about a call that is open has it found before it has one."""
    before = sums_of({"words": "aspirin"})
    some = [call for call, what in world.calls.items() if "aspirin" in what["words"]][::2]
    Brief.objects.filter(call_id__in=some).delete()
    assert sums_of({"words": "aspirin"}) == before
    clinic = frozenset({"clinic"})
    assert sums_of({"words": "aspirin"}, clinic).count("area", "bank") == 0
    assert sums_of({"words": "aspirin"}, clinic).calls == before.count("area", "clinic")


def test_sums_of_more_areas_than_a_statement_has_selects(world: World) -> None:
    many = frozenset({"clinic", *(f"area-{n}" for n in range(100))})
    for asked in ({}, {"words": "aspirin"}, {"model": "small"}):
        assert sums_of(asked, many) == sums_of(asked, frozenset({"clinic"}))


def test_a_call_that_two_granted_days_find_is_counted_once(world: World) -> None:
    call = next(iter(world.calls))
    fact_rows = [fact_digest(("granted", day)) for day in ("2026-01-01", "2026-01-02")]
    terms_write(Fact, [Terms(call, sorted(fact_rows))])
    assert sums_of({"granted_since": "2026-01-01", "granted_until": "2026-01-03"}).calls == 1


def test_sums_say_whether_they_are_all(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for asked in ({}, {"words": "aspirin"}, {"words": "aspirin", "model": "small"}):
        calls = len(world.expected(selection_of(asked), EVERYWHERE))
        for most, whole in ((calls, True), (calls - 1, False)):
            monkeypatch.setattr(facets, "MOST", most)
            assert (sums_of(asked).calls, sums_of(asked).whole) == (most, whole)


def test_the_sums_of_one_call_are_its_own(recorder: Recorder) -> None:
    asked = asks()
    run(_admitted(recorder, asked))
    got = sums_of({"call": str(asked.call_id)})
    assert (got.calls, got.whole, got.count("model", "demo")) == (1, True, 1)


def test_an_upgrade_makes_the_briefs_of_calls_before(world: World) -> None:
    migration = importlib.import_module("audit.migrations.0011_briefs")
    rest = migration.ON_POSTGRESQL if connection.vendor == "postgresql" else migration.ON_SQLITE

    def told() -> list[tuple[Any, ...]]:
        rows = Brief.objects.order_by("call_id").values_list(
            "call_id", "started_at", "area", "name", "action", "input_tokens", "output_tokens", "rest"
        )
        return [(*row[:-1], json.loads(row[-1])) for row in rows]

    derived = told()
    Brief.objects.all()._raw_delete(Brief.objects.db)
    with connection.cursor() as cursor:
        cursor.execute(migration.FILL.format(rest=rest))
    assert told() == derived
    assert len(derived) == len(world.calls)

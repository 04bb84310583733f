"""The inbox of flagged calls: which calls come into it, and that of two who act at once one is told."""

from __future__ import annotations

import json
from threading import Barrier, Thread
from typing import Any
from uuid import UUID

import pytest
from django.db import Error, connection, transaction

from audit.flagged import acts, listing
from audit.flagged.acts import Incomplete, Missed, Own
from audit.flagged.collecting import flags_derive
from audit.flagged.listing import Wanted
from audit.models import Call, Entry, Flag, FlagAct, FlagLabel
from audit.models.flag import Outcome
from audit.records import Recordable, Who
from audit.walls import EVERYWHERE
from tests.audit.closed import closed_call, derived
from tests.audit.world import ALICE

pytestmark = pytest.mark.django_db

DAVE = Who(person_id=UUID(int=0xDA7E), subject="local:dave", name="dave", kind="person")
FAY = Who(person_id=UUID(int=0xFA1), subject="local:fay", name="fay", kind="person")
ME = UUID(int=0xDA7E)
BECAUSE = Recordable(b"it was a test")


def flagged(**fields: Any) -> Flag:
    """A call that the rule “Restricted” flagged, in the inbox."""
    given: dict[str, Any] = {
        "action": "flagged",
        "gate": "flag",
        "extra": {"request_flags": {"1": "Restricted"}},
        "highest": "restricted",
    }
    call = closed_call(**{**given, **fields})
    derived(flags_derive, call)
    return Flag.objects.get(pk=call.pk)


def events() -> list[dict[str, Any]]:
    rows = Entry.objects.filter(kind="event").order_by("id")
    return [meta for row in rows if (meta := json.loads(bytes(row.meta)))["event"].startswith("flag.")]


def wanted(**narrowed: str) -> list[UUID]:
    return [flag.pk for flag in listing.flags_page(Wanted(**narrowed), ME, None, EVERYWHERE).rows]


# --- collecting


@pytest.mark.parametrize(
    ("fields", "directions", "rules"),
    [
        ({"gate": "flag", "extra": {"request_flags": {"1": "A", "2": "B"}}}, ["request"], ["A", "B"]),
        ({"gate": "allow", "extra": {"response_flags": {"1": "A"}}}, ["response"], ["A"]),
        (
            {"gate": "flag", "extra": {"request_flags": {"1": "A"}, "response_flags": {"1": "A", "2": "B"}}},
            ["request", "response"],
            ["A", "B"],
        ),
        ({"gate": "flag", "action": "blocked", "extra": {"request_flags": {"1": "A"}}}, ["request"], ["A"]),
        ({"gate": "hold", "action": "released", "extra": {"request_flags": {"1": "A"}}}, ["request"], ["A"]),
        ({"gate": "flag", "code": "instance_lost", "extra": None, "rules": ["7"]}, ["request"], ["7"]),
        ({"gate": "flag", "extra": {"request_flags": {"": ""}}}, ["request"], []),
        ({"gate": "allow", "action": "flagged", "extra": None}, ["response"], []),
        ({"gate": "flag", "extra": "nonsense", "rules": []}, ["request"], []),
    ],
)
def test_a_call_comes_in_with_who_flagged_it_and_where(
    fields: dict[str, Any], directions: list[str], rules: list[str]
) -> None:
    flag = flagged(**fields)
    assert (flag.directions, flag.rules) == (directions, rules)


@pytest.mark.parametrize("gate", ["allow", "hold", "block"])
def test_a_call_that_no_rule_flagged_stays_out(gate: str) -> None:
    derived(flags_derive, closed_call(gate=gate, action="masked", extra={"response_reasons": ["so"]}))
    assert not Flag.objects.exists()


def test_a_flag_says_what_was_found_and_the_higher_level_of_both_directions() -> None:
    flag = flagged(
        highest="internal",
        counts={"EMAIL": 2},
        response_counts={"MRN": 1},
        extra={"response_flags": {"1": "A"}, "response_highest": "confidential"},
    )
    assert (flag.classes, flag.highest) == (["EMAIL", "MRN"], "confidential")
    assert set(FlagLabel.objects.values_list("kind", "name")) == {
        ("class", "EMAIL"),
        ("class", "MRN"),
        ("rule", "A"),
    }


def test_collecting_a_call_again_changes_nothing_that_people_did() -> None:
    flag = flagged()
    acts.flag_close(flag_id=flag.pk, turn=0, by=DAVE, outcome=Outcome.FINE, words=BECAUSE)
    derived(flags_derive, *Call.objects.all())
    assert Flag.objects.get().state == "closed"
    assert FlagLabel.objects.filter(kind="rule").count() == 1


def test_a_crash_after_collecting_leaves_nothing_behind() -> None:
    call = closed_call(gate="flag", extra={"request_flags": {"1": "A"}})
    with pytest.raises(RuntimeError), transaction.atomic():
        derived(flags_derive, call)
        assert Flag.objects.exists()
        raise RuntimeError
    assert not Flag.objects.exists() and not FlagLabel.objects.exists()
    derived(flags_derive, call)
    assert Flag.objects.count() == 1


# --- acts


def test_every_act_is_in_the_history_and_on_the_record() -> None:
    flag = flagged()
    acts.flag_assign(flag_id=flag.pk, turn=0, by=DAVE, to=FAY.person_id, name="fay")
    acts.flag_note(flag_id=flag.pk, by=FAY, words=Recordable(b"asked alice"))
    acts.flag_close(flag_id=flag.pk, turn=2, by=FAY, outcome=Outcome.MISUSE, words=BECAUSE)
    acts.flag_reopen(flag_id=flag.pk, turn=3, by=DAVE, words=Recordable(b""))
    told = [(meta["event"], meta["by"]["name"], meta["area"], meta["note"]) for meta in events()]
    assert told == [
        ("flag.assigned", "dave", "clinic", ""),
        ("flag.noted", "fay", "clinic", "asked alice"),
        ("flag.closed", "fay", "clinic", "it was a test"),
        ("flag.reopened", "dave", "clinic", ""),
    ]
    lines = listing.acts_of(flag)
    assert [(line.name, line.said, line.text) for line in reversed(lines)] == [
        ("dave", "gave it to fay", ""),
        ("fay", "wrote a note about it", "asked alice"),
        ("fay", "closed it: misuse", "it was a test"),
        ("dave", "opened it again", ""),
    ]
    flag.refresh_from_db()
    assert (flag.state, flag.outcome, flag.assignee, flag.turn) == ("open", "", "fay", 4)


def test_who_comes_second_is_told_what_the_first_one_did() -> None:
    flag = flagged()
    acts.flag_assign(flag_id=flag.pk, turn=0, by=FAY, to=FAY.person_id, name="fay")
    with pytest.raises(Missed, match="fay gave it to fay meanwhile"):
        acts.flag_close(flag_id=flag.pk, turn=0, by=DAVE, outcome=Outcome.FINE, words=BECAUSE)
    flag.refresh_from_db()
    assert flag.state == "open" and len(events()) == 1


def test_an_act_that_does_not_fit_the_state_is_refused() -> None:
    flag = flagged()
    with pytest.raises(Missed):
        acts.flag_reopen(flag_id=flag.pk, turn=0, by=DAVE, words=BECAUSE)
    acts.flag_close(flag_id=flag.pk, turn=0, by=DAVE, outcome=Outcome.FINE, words=BECAUSE)
    with pytest.raises(Missed, match="dave closed it: fine meanwhile"):
        acts.flag_assign(flag_id=flag.pk, turn=1, by=FAY, to=None, name="")


def test_closing_wants_a_reason_and_a_note_wants_words() -> None:
    flag = flagged()
    with pytest.raises(Incomplete, match="Say why"):
        acts.flag_close(flag_id=flag.pk, turn=0, by=DAVE, outcome=Outcome.FINE, words=Recordable(b""))
    with pytest.raises(Incomplete, match="Write something"):
        acts.flag_note(flag_id=flag.pk, by=DAVE, words=Recordable(b""))
    assert events() == []


@pytest.mark.parametrize("whose", ["person_id", "owner_id"])
def test_nobody_closes_what_is_about_a_call_of_their_own(whose: str) -> None:
    flag = flagged(**{whose: ALICE.person_id})
    with pytest.raises(Own, match="somebody else closes it"):
        acts.flag_close(flag_id=flag.pk, turn=0, by=ALICE, outcome=Outcome.FINE, words=BECAUSE)
    flag.refresh_from_db()
    assert (flag.state, flag.turn) == ("open", 0)
    acts.flag_note(flag_id=flag.pk, by=ALICE, words=BECAUSE)


def test_an_act_whose_event_cannot_be_written_did_not_happen(monkeypatch: pytest.MonkeyPatch) -> None:
    flag = flagged()

    def broken(*args: Any, **named: Any) -> int:
        raise Error("the disk is full")

    monkeypatch.setattr(acts, "event", broken)
    with pytest.raises(Error):
        acts.flag_close(flag_id=flag.pk, turn=0, by=DAVE, outcome=Outcome.FINE, words=BECAUSE)
    flag.refresh_from_db()
    assert flag.state == "open" and not FlagAct.objects.exists()


@pytest.mark.parametrize("change", ["update", "delete"])
def test_the_database_keeps_what_people_did(change: str) -> None:
    flag = flagged()
    acts.flag_note(flag_id=flag.pk, by=DAVE, words=BECAUSE)
    rows = FlagAct.objects.all()
    with pytest.raises(Error, match="append-only"), transaction.atomic():
        rows.update(text="nothing") if change == "update" else rows.delete()
    assert FlagAct.objects.get().text == "it was a test"


@pytest.mark.django_db(transaction=True)
def test_of_two_auditors_who_close_at_once_one_is_told() -> None:
    flag, ready, two = flagged(), Barrier(2), list[str]()

    def closes(who: Who) -> None:
        try:
            ready.wait(10)
            acts.flag_close(flag_id=flag.pk, turn=0, by=who, outcome=Outcome.FINE, words=BECAUSE)
            two.append("closed")
        except Missed as missed:
            two.append(str(missed))
        finally:
            connection.close()

    threads = [Thread(target=closes, args=(who,)) for who in (DAVE, FAY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(said == "closed" for said in two) == [False, True]
    assert any("closed it: fine meanwhile" in said for said in two)
    assert len(events()) == FlagAct.objects.count() == 1


# --- listing


def test_the_list_is_narrowed_by_state_area_rule_class_and_assignee() -> None:
    first = flagged(area="clinic")
    second = flagged(area="lab", extra={"request_flags": {"2": "Secrets"}}, counts={"KEY": 1})
    acts.flag_assign(flag_id=second.pk, turn=0, by=DAVE, to=ME, name="dave")
    third = flagged()
    acts.flag_close(flag_id=third.pk, turn=0, by=DAVE, outcome=Outcome.FINE, words=BECAUSE)
    assert wanted() == [second.pk, first.pk]
    assert wanted(state="closed") == [third.pk]
    assert wanted(state="all") == [third.pk, second.pk, first.pk]
    assert wanted(area="lab") == wanted(rule="Secrets") == wanted(data_class="KEY") == [second.pk]
    assert wanted(assignee="me") == wanted(assignee=str(ME)) == [second.pk]
    assert wanted(assignee="nobody") == [first.pk]
    assert wanted(assignee="x") == []


def test_what_lies_behind_a_wall_is_neither_listed_nor_counted() -> None:
    flagged(area="lab")
    assert listing.flags_page(Wanted(), ME, None, frozenset({"clinic"})).rows == []
    assert listing.open_count(frozenset({"clinic"})) == 0
    assert listing.flag_counts(Wanted(), ME, frozenset({"clinic"})).rules == []


def test_the_list_is_paged_by_id_without_gap_or_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PAGE", 2)
    made = [flagged().pk for _ in range(5)]
    seen: list[UUID] = []
    before: UUID | None = None
    while True:
        page = listing.flags_page(Wanted(), ME, before, EVERYWHERE)
        seen += [flag.pk for flag in page.rows]
        before = page.older
        if before is None:
            break
    assert seen == made[::-1]


def test_counts_name_states_assignees_and_rules() -> None:
    one, *_ = [flagged() for _ in range(3)]
    acts.flag_assign(flag_id=one.pk, turn=0, by=DAVE, to=FAY.person_id, name="fay")
    counts = listing.flag_counts(Wanted(rule="Restricted"), ME, EVERYWHERE)
    assert [(each.label, each.count) for each in counts.states] == [
        ("Open", "3"),
        ("Closed", "0"),
        ("All", ""),
    ]
    assert [(each.label, each.count) for each in counts.assignees] == [
        ("Mine", "0"),
        ("Nobody's", "2"),
        ("fay", "1"),
    ]
    assert [(each.label, each.count, each.current) for each in counts.rules] == [("Restricted", "3", True)]
    assert counts.states[1].query == "state=closed&rule=Restricted"


def test_counts_stop_at_their_bound_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST", 2)
    for _ in range(4):
        flagged()
    counts = listing.flag_counts(Wanted(), ME, EVERYWHERE)
    assert counts.capped
    assert (counts.states[0].count, counts.rules[0].count) == ("2+", "2+")
    assert listing.open_count(EVERYWHERE) == 3


def test_narrowing_reads_as_many_rows_whatever_the_number_of_flags(
    django_assert_num_queries: Any,
) -> None:
    for _ in range(3):
        flagged()
    with django_assert_num_queries(3):
        listing.flags_page(Wanted(rule="Restricted"), ME, None, EVERYWHERE)
        listing.flag_counts(Wanted(), ME, EVERYWHERE)

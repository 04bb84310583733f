"""Usage: each closed call once into its month's sums, priced when it is read."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from audit.models import CallerUsage, Entry, GroupUsage, Price
from audit.models.usage import NOBODY
from audit.usage import exporting, report
from audit.usage.collecting import usage_derive
from audit.usage.exporting import TooMany, usage_export
from audit.usage.prices import Prices, amount
from audit.usage.report import Total, money_text, months_before, months_known, total_of
from audit.walls import EVERYWHERE
from tests.audit.closed import closed_call, derived
from tests.audit.world import BOB

pytestmark = pytest.mark.django_db

NOVEMBER, OCTOBER = date(2026, 11, 1), date(2026, 10, 1)
IN_NOVEMBER = datetime(2026, 11, 10, 12, tzinfo=UTC)


def used(**fields: Any) -> None:
    """A call of November with its tokens, collected."""
    derived(usage_derive, closed_call(IN_NOVEMBER, **{"input_tokens": 100, "output_tokens": 10, **fields}))


def price(pattern: str, of_in: str = "1", of_out: str = "2", **fields: Any) -> Price:
    given = {"currency": "EUR", "valid_from": date(2026, 1, 1), **fields}
    return Price.objects.create(
        pattern=pattern, input_price=Decimal(of_in), output_price=Decimal(of_out), **given
    )


def sums() -> list[tuple[Any, ...]]:
    rows = CallerUsage.objects.order_by("month", "name", "model")
    return [
        (row.month, row.name, row.model, row.calls, row.uncounted, row.input_tokens, row.output_tokens)
        for row in rows
    ]


def lines(by: str, month: date = NOVEMBER) -> list[tuple[str, str, str]]:
    rows: Any = GroupUsage.objects.all() if by == "group" else CallerUsage.objects.all()
    found = report.report(rows, by, month, Prices.stored())
    return [(line.name, line.calls, line.cost) for line in found.lines]


# --- collecting


def test_calls_of_one_caller_model_and_month_add_up() -> None:
    used()
    used(input_tokens=5, output_tokens=None)
    used(model="other")
    derived(usage_derive, closed_call(datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC), input_tokens=1))
    assert sums() == [
        (OCTOBER, "alice", "demo", 1, 0, 1, 0),
        (NOVEMBER, "alice", "demo", 2, 0, 105, 10),
        (NOVEMBER, "alice", "other", 1, 0, 100, 10),
    ]


def test_a_batch_adds_as_much_as_its_calls_one_by_one() -> None:
    calls = [closed_call(IN_NOVEMBER, input_tokens=n, output_tokens=1) for n in range(5)]
    derived(usage_derive, *calls)
    assert sums() == [(NOVEMBER, "alice", "demo", 5, 0, 10, 5)]
    assert GroupUsage.objects.get().input_tokens == 10


@pytest.mark.parametrize(
    ("fields", "calls", "uncounted"),
    [
        ({"input_tokens": 3}, 1, 0),
        ({"output_tokens": 3, "timings": None}, 1, 0),
        ({}, 1, 1),
        ({"timings": {"total": 1.0}}, 0, 0),
        ({"timings": None, "action": "blocked", "gate": "block"}, 0, 0),
        ({"timings": {}, "code": "client_gone"}, 1, 1),
        ({"timings": {}, "code": "client_gone", "gate": "hold", "action": "held"}, 0, 0),
        ({"timings": None, "code": "instance_lost", "gate": "flag"}, 1, 1),
        ({"timings": {}, "code": "client_gone", "gate": "hold", "action": "released"}, 1, 1),
        ({"timings": {"total": 1.0}, "code": "upstream_unreachable"}, 0, 0),
    ],
)
def test_a_call_counts_once_it_was_on_its_way_to_a_model(
    fields: dict[str, Any], calls: int, uncounted: int
) -> None:
    derived(usage_derive, closed_call(IN_NOVEMBER, **fields))
    assert [row[3:5] for row in sums()] == ([(calls, uncounted)] if calls else [])


def test_a_call_counts_in_each_group_of_its_caller_and_once_in_all() -> None:
    used(groups=["support", "nurses", "support"])
    used(groups=[])
    found = dict(GroupUsage.objects.values_list("group", "input_tokens"))
    assert found == {"support": 100, "nurses": 100, "": 100}
    assert sum(row[5] for row in sums()) == 200


def test_callers_whom_nobody_knows_share_a_line() -> None:
    for _ in range(2):
        used(person_id=None, name="", subject="", kind="", groups=[])
    row = CallerUsage.objects.get()
    assert (row.caller_id, row.calls) == (NOBODY, 2)
    assert lines("caller") == [("unknown", "2", "no price")]


def test_a_caller_goes_by_their_last_name_and_a_program_by_its_last_owner() -> None:
    used(name="a.abara")
    used(name="Alice Abara", owner_id=BOB.person_id)
    row = CallerUsage.objects.get()
    assert (row.name, row.owner_id, row.calls) == ("Alice Abara", BOB.person_id, 2)


def test_a_crash_after_collecting_counts_nothing_and_the_next_try_counts_once() -> None:
    call = closed_call(IN_NOVEMBER, input_tokens=7, output_tokens=1)
    used()
    with pytest.raises(RuntimeError), transaction.atomic():
        derived(usage_derive, call)
        assert sums()[0][3] == 2
        raise RuntimeError
    assert sums() == [(NOVEMBER, "alice", "demo", 1, 0, 100, 10)]
    derived(usage_derive, call)
    assert sums() == [(NOVEMBER, "alice", "demo", 2, 0, 107, 11)]
    assert GroupUsage.objects.get().calls == 2


# --- prices


@pytest.mark.parametrize(
    ("model", "endpoint", "month", "found"),
    [
        ("gpt-4o-mini", "chat", NOVEMBER, "gpt-4o*"),
        ("gpt-4o", "chat", NOVEMBER, "gpt-4o"),
        ("gpt-5", "chat", NOVEMBER, "gpt-*"),
        ("gpt-5", "own", NOVEMBER, "*"),
        ("llama", "chat", NOVEMBER, None),
        ("gpt-4o", "chat", date(2025, 12, 1), None),
    ],
)
def test_the_price_that_says_most_of_a_model_holds(
    model: str, endpoint: str, month: date, found: str | None
) -> None:
    for pattern in ("gpt-*", "gpt-4o", "gpt-4o*"):
        price(pattern)
    price("*", endpoint="own")
    held = Prices.stored().of(model, endpoint, month)
    assert (held and held.pattern) == found


def test_a_price_holds_from_its_month_until_the_next_one() -> None:
    price("demo", "1")
    price("demo", "3", valid_from=NOVEMBER)
    prices = Prices.stored()
    held = [prices.of("demo", "chat", month) for month in (OCTOBER, NOVEMBER, date(2027, 5, 1))]
    assert [each and each.input_price for each in held] == [1, 3, 3]


def test_a_model_named_like_a_pattern_is_only_itself() -> None:
    price("a[b]c")
    prices = Prices.stored()
    assert prices.of("a[b]c", "chat", NOVEMBER) and prices.of("abc", "chat", NOVEMBER) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pattern", "gpt-[45]"),
        ("pattern", "gpt**"),
        ("currency", "eur"),
        ("valid_from", date(2026, 1, 2)),
        ("input_price", Decimal(-1)),
    ],
)
def test_a_price_that_makes_no_sense_is_refused(field: str, value: Any) -> None:
    row = Price(
        pattern="x", input_price=Decimal(1), output_price=Decimal(1), currency="EUR", valid_from=NOVEMBER
    )
    row.full_clean()
    setattr(row, field, value)
    with pytest.raises(ValidationError) as refused:
        row.full_clean()
    assert list(refused.value.message_dict) in ([field], [field, "__all__"])


def test_a_second_price_of_the_same_month_is_refused_by_the_database() -> None:
    price("demo")
    with pytest.raises(IntegrityError), transaction.atomic():
        price("demo")


# --- the page's numbers


def test_cost_is_worked_out_when_it_is_read() -> None:
    used(input_tokens=2_000_000, output_tokens=500_000)
    assert lines("model") == [("demo", "1", "no price")]
    price("demo", "3", "4")
    assert lines("model") == [("demo", "1", "8.00 EUR")]


def test_what_has_no_price_is_not_nothing_and_currencies_stay_apart() -> None:
    used(model="a", input_tokens=1_000_000, output_tokens=0)
    used(model="b", input_tokens=1_000_000, output_tokens=0)
    used(model="c", input_tokens=1_000_000, output_tokens=0)
    price("a", "1.5")
    price("b", "2", currency="USD")
    (line,) = report.report(CallerUsage.objects.all(), "caller", NOVEMBER, Prices.stored()).lines
    assert (line.cost, line.partly, line.unpriced) == ("1.50 EUR + 2.00 USD", True, ["c"])
    price("c", "0", "0")
    assert total_of(CallerUsage.objects.all(), NOVEMBER, Prices.stored()).partly is False


def test_a_free_model_costs_nothing_and_an_uncounted_call_says_nothing() -> None:
    price("demo", "0", "0")
    used()
    used(model="other", input_tokens=None, output_tokens=None)
    assert lines("model") == [("demo", "1", "0.00 EUR"), ("other", "1", "–")]


@pytest.mark.parametrize(
    ("value", "shown"), [("0", "0.00"), ("0.004", "< 0.01"), ("0.005", "< 0.01"), ("1234.565", "1,234.57")]
)
def test_amounts_are_rounded_for_people(value: str, shown: str) -> None:
    assert amount(Decimal(value)) == shown


def test_lines_are_grouped_and_the_most_expensive_comes_first() -> None:
    price("big", "1000000")
    used(model="small", input_tokens=900)
    used(model="big", input_tokens=5, person_id=BOB.person_id, name="bob")
    assert [name for name, *_ in lines("model")] == ["big", "small"]
    assert [name for name, *_ in lines("caller")] == ["bob", "alice"]
    assert lines("endpoint") == [("chat", "2", "5.00 EUR")]
    assert [name for name, *_ in lines("group")] == ["support"]


def test_the_total_of_a_month_counts_each_call_once_whatever_its_groups() -> None:
    used(groups=["a", "b"])
    assert total_of(CallerUsage.objects.all(), NOVEMBER, Prices.stored()).calls == "1"
    assert [calls for _, calls, _ in lines("group")] == ["1", "1"]


def test_more_lines_than_a_page_shows_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "SHOWN", 2)
    monkeypatch.setattr(report, "MOST", 3)
    for name in "abcd":
        used(model=name)
    found = report.report(CallerUsage.objects.all(), "model", NOVEMBER, Prices.stored())
    assert (len(found.lines), found.hidden, found.capped) == (2, 1, True)


def test_the_chart_shows_twelve_months_of_real_tokens() -> None:
    used()
    derived(usage_derive, closed_call(datetime(2026, 1, 5, tzinfo=UTC), input_tokens=55))
    bars = months_before(CallerUsage.objects.all(), NOVEMBER, OCTOBER)
    assert [bar.value for bar in bars][::11] == ["2025-12", "2026-11"]
    assert [bar.height for bar in bars if bar.height] == [49.0, 98.0]
    assert [bar.label for bar in bars if bar.current] == ["Oct"]
    assert bars[-1].title == "November 2026: 110 tokens, 1 call"


def test_months_reach_back_to_the_first_call() -> None:
    assert months_known(CallerUsage.objects.all(), NOVEMBER) == [NOVEMBER]
    usage_at = closed_call(datetime(2026, 9, 5, tzinfo=UTC), input_tokens=1)
    derived(usage_derive, usage_at)
    assert months_known(CallerUsage.objects.all(), NOVEMBER) == [NOVEMBER, OCTOBER, date(2026, 9, 1)]


def test_money_of_nothing_is_a_dash() -> None:
    assert money_text(Total()) == "–"


# --- the file


def file_of(by: str = "caller", areas: Any = EVERYWHERE) -> list[dict[str, str]]:
    data = usage_export(by=by, month=NOVEMBER, areas=areas, who=BOB)
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))


def test_the_file_holds_every_sum_with_the_price_that_was_applied() -> None:
    price("demo", "1.5", "2")
    used(input_tokens=1_000_000, output_tokens=3)
    used(model="other")
    first, second = file_of()
    assert first == {
        "month": "2026-11",
        "area": "clinic",
        "endpoint": "chat",
        "model": "demo",
        "caller": "alice",
        "subject": "local:alice",
        "kind": "person",
        "calls": "1",
        "calls_without_tokens": "0",
        "input_tokens": "1000000",
        "output_tokens": "3",
        "price_per_million_input": "1.500000",
        "price_per_million_output": "2.000000",
        "currency": "EUR",
        "cost": "1.500006",
    }
    assert (second["model"], second["cost"], second["currency"]) == ("other", "", "")


def test_no_cell_of_the_file_is_a_formula() -> None:
    used(model="=cmd|'/c calc'!A0", name="@alice", groups=["+1"])
    assert (file_of()[0]["model"], file_of()[0]["caller"]) == ("'=cmd|'/c calc'!A0", "'@alice")
    assert file_of("group")[0]["group"] == "'+1"


def test_getting_the_file_is_on_the_record_before_it_is_there() -> None:
    used()
    file_of("group", frozenset({"clinic"}))
    meta = json.loads(bytes(Entry.objects.get(kind="event").meta))
    assert (meta["event"], meta["by"]["name"]) == ("usage.exported", "bob")
    assert meta["detail"] == {"month": "2026-11", "by": "group", "lines": 1, "areas": ["clinic"]}


def test_the_file_keeps_the_walls() -> None:
    used(area="lab")
    assert file_of(areas=frozenset({"clinic"})) == []


def test_more_lines_than_a_file_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "MOST", 1)
    used()
    used(person_id=UUID(int=7))
    with pytest.raises(TooMany):
        file_of()
    assert not Entry.objects.filter(kind="event").exists()

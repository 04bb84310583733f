"""Usage of one month as its page shows it: grouped, priced, most expensive first, with the months before it.

Every read is bounded: what a page adds up comes grouped from the store, no more than `MOST` lines of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final

from django.db.models import QuerySet, Sum

from audit.models import CallerUsage, GroupUsage
from audit.models.usage import NOBODY
from audit.usage.prices import Prices, amount, cost

BY: Final = {"caller": "Caller", "group": "Group", "endpoint": "Endpoint", "model": "Model"}
MOST: Final = 20_000
"""Sums that one page reads: caller (or group) × model × endpoint."""

SHOWN: Final = 200
MONTHS: Final = 12
NO_PRICE: Final = "no price"

Row = Mapping[str, Any]
Usage = QuerySet[CallerUsage] | QuerySet[GroupUsage]


@dataclass(slots=True)
class Total:
    """What rows add up to."""

    calls: int = 0
    uncounted: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    money: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    unpriced: set[str] = field(default_factory=set)  # models
    name: str = ""
    sub: str = ""

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def worth(self) -> Decimal:
        return sum(self.money.values(), Decimal())

    def take(self, row: Row, prices: Prices) -> None:
        self.calls += row["calls"]
        self.uncounted += row["uncounted"]
        self.input_tokens += row["input_tokens"]
        self.output_tokens += row["output_tokens"]
        price = prices.of(row["model"], row["endpoint"], row["month"])
        if price is not None:
            self.money[price.currency] += cost(price, row["input_tokens"], row["output_tokens"])
        elif row["input_tokens"] or row["output_tokens"]:
            self.unpriced.add(row["model"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table, numbers as people read them; `width` in thousandths of the longest bar."""

    name: str
    sub: str
    calls: str
    uncounted: str  # empty: every call has token counts
    input_tokens: str
    output_tokens: str
    cost: str
    unpriced: Sequence[str]  # models without a price among what it adds up
    width: int

    @property
    def partly(self) -> bool:
        """Whether its cost leaves something out."""
        return bool(self.unpriced) and self.cost != NO_PRICE


@dataclass(frozen=True, slots=True)
class Month:
    """One bar of the chart, in a box of 480 × 100."""

    title: str
    x: int
    y: float
    height: float
    value: str  # as an address writes it
    label: str
    calls: int
    current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    lines: Sequence[Line]
    hidden: int  # lines beyond those that a page shows
    capped: bool  # there is more than was added up


def report(usage: Usage, by: str, month: date, prices: Prices) -> Report:
    """`by` is one of `BY`; `usage` are the rows that the reader may see."""
    ordered, capped = totals_of(usage, by, month, prices)
    longest = max((total.tokens for total in ordered), default=0) or 1
    return Report(
        lines=[_line(total, longest) for total in ordered[:SHOWN]],
        hidden=max(0, len(ordered) - SHOWN),
        capped=capped,
    )


def totals_of(usage: Usage, by: str, month: date, prices: Prices) -> tuple[list[Total], bool]:
    """What each line adds up to, most expensive first, and whether there is more than was added up."""
    names = _NAMES[by]
    rows = list(_summed(usage, month, names)[: MOST + 1])
    totals: defaultdict[Any, Total] = defaultdict(Total)
    for row in map(_plain, rows[:MOST]):
        one = totals[row[names[0]]]
        one.name, one.sub = _named(by, row)
        one.take(row, prices)
    ordered = sorted(
        totals.values(), key=lambda total: (-total.worth, -total.tokens, -total.calls, total.name)
    )
    return ordered, len(rows) > MOST


def total_of(calls: QuerySet[CallerUsage], month: date, prices: Prices) -> Line:
    """The whole month. From the sums by caller, since those by group count calls more than once."""
    total = Total()
    for row in map(_plain, _summed(calls, month, ())[:MOST]):
        total.take(row, prices)
    return _line(total, 1)


def _summed(usage: Usage, month: date, names: tuple[str, ...]) -> Any:
    """By these columns, and by what a price depends on."""
    rows: Any = usage.filter(month=month).values(*dict.fromkeys((*names, "model", "endpoint", "month")))
    return rows.annotate(**{f"{name}_": Sum(name) for name in _NUMBERS}).order_by()


_NUMBERS: Final = ("calls", "uncounted", "input_tokens", "output_tokens")
_NAMES: Final = {
    "caller": ("caller_id", "name", "subject", "kind"),
    "group": ("group",),
    "endpoint": ("endpoint", "area"),
    "model": ("model",),
}


def _plain(row: Row) -> dict[str, Any]:
    return {name.removesuffix("_"): value for name, value in row.items()}


def _named(by: str, row: Row) -> tuple[str, str]:
    """A line's name, and what stands below it."""
    if by == "caller":
        if row["caller_id"] == NOBODY:
            return "unknown", ""
        return row["name"] or row["subject"], row["subject"]
    if by == "group":
        return row["group"] or "in no group", ""
    if by == "endpoint":
        return row["endpoint"] or "–", row["area"]
    return row["model"] or "–", ""


def _line(total: Total, longest: int) -> Line:
    return Line(
        name=total.name,
        sub=total.sub,
        calls=f"{total.calls:,}",
        uncounted=f"{total.uncounted:,}" if total.uncounted else "",
        input_tokens=f"{total.input_tokens:,}",
        output_tokens=f"{total.output_tokens:,}",
        cost=money_text(total),
        unpriced=sorted(total.unpriced)[:10],
        width=max(6, round(1000 * total.tokens / longest)) if total.tokens else 0,
    )


def money_text(total: Total) -> str:
    """`12.30 EUR + 0.40 USD`; what has no price is not nothing."""
    said = [f"{amount(value)} {currency}" for currency, value in sorted(total.money.items())]
    if not said:
        return NO_PRICE if total.tokens else "–"
    return " + ".join(said)


def months_before(usage: Usage, last: date, chosen: date) -> list[Month]:
    """Tokens of the twelve months up to `last`, as a chart."""
    months = [_back(last, ago) for ago in range(MONTHS - 1, -1, -1)]
    sums = usage.filter(month__gte=months[0], month__lte=last).values("month")
    totals = {
        row["month"]: (row["of_in"] + row["of_out"], row["of_calls"])
        for row in sums.annotate(
            of_in=Sum("input_tokens"), of_out=Sum("output_tokens"), of_calls=Sum("calls")
        ).order_by()
    }
    most = max((tokens for tokens, _ in totals.values()), default=0) or 1
    return [_bar(at, month, *totals.get(month, (0, 0)), most, chosen) for at, month in enumerate(months)]


def _bar(at: int, month: date, tokens: int, calls: int, most: int, chosen: date) -> Month:
    height = round(98 * tokens / most, 2)
    title = f"{month:%B %Y}: {tokens:,} tokens, {calls:,} call{'' if calls == 1 else 's'}"
    return Month(
        title=title,
        x=at * 40 + 4,
        y=round(100 - height, 2),
        height=height,
        value=f"{month:%Y-%m}",
        label=f"{month:%b}",
        calls=calls,
        current=month == chosen,
    )


def _back(month: date, by: int) -> date:
    number = month.year * 12 + month.month - 1 - by
    return date(number // 12, number % 12 + 1, 1)


def months_known(usage: Usage, last: date) -> list[date]:
    """The months up to `last` from the first that anything is known of, newest first; ten years at most."""
    first = usage.order_by("month").values_list("month", flat=True).first() or last
    return [month for ago in range(120) if (month := _back(last, ago)) >= min(first, last)]

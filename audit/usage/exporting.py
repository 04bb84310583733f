"""A month's usage as a file for charging it on: every sum with the price that was applied. First an event."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any, Final

from django.db import transaction

from audit.events import event
from audit.models import CallerUsage, GroupUsage
from audit.records import Who
from audit.spreadsheet import csv_of
from audit.usage.prices import FINE, Prices, cost
from audit.walls import Areas, within

MOST: Final = 250_000
"""Lines of one file."""

_SUMS: Final = ("calls", "calls_without_tokens", "input_tokens", "output_tokens")
_COST: Final = ("price_per_million_input", "price_per_million_output", "currency", "cost")
COLUMNS: Final = {
    "caller": ("month", "area", "endpoint", "model", "caller", "subject", "kind", *_SUMS, *_COST),
    "group": ("month", "area", "endpoint", "model", "group", *_SUMS, *_COST),
}


class TooMany(ValueError):
    """More lines than one file holds."""


def usage_export(*, by: str, month: date, areas: Areas, who: Who) -> bytes:
    """One line per caller (or group), model and endpoint in these areas. `by` is one of `COLUMNS`."""
    rows: Any = CallerUsage.objects.all() if by == "caller" else GroupUsage.objects.all()
    found = within(rows.filter(month=month), areas)
    with transaction.atomic(durable=True):
        count = found.count()
        if count > MOST:
            raise TooMany(f"More than {MOST:,} lines: narrow your roles' areas, or read the database.")
        detail = {"month": f"{month:%Y-%m}", "by": by, "lines": count, "areas": sorted(areas or ())}
        event("usage.exported", by=who, about=f"usage of {month:%Y-%m}", detail=detail)
    order = ("area", "endpoint", "model", "caller_id" if by == "caller" else "group")
    return csv_of(COLUMNS[by], _lines(found.order_by(*order), by))


def _lines(rows: Any, by: str) -> Iterator[list[str]]:
    prices = Prices.stored()
    for row in rows.iterator(chunk_size=2_000):
        yield [
            f"{row.month:%Y-%m}",
            row.area,
            row.endpoint,
            row.model,
            *((row.name, row.subject, row.kind) if by == "caller" else (row.group,)),
            str(row.calls),
            str(row.uncounted),
            str(row.input_tokens),
            str(row.output_tokens),
            *_costs(row, prices),
        ]


def _costs(row: CallerUsage | GroupUsage, prices: Prices) -> list[str]:
    """Empty cells where there is no price: nobody adds up what is not known."""
    price = prices.of(row.model, row.endpoint, row.month)
    if price is None:
        return ["", "", "", ""]
    value: Decimal = cost(price, row.input_tokens, row.output_tokens).quantize(FINE)
    return [f"{price.input_price:f}", f"{price.output_price:f}", price.currency, f"{value:f}"]

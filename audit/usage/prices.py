"""What tokens cost: which price holds for a model at an endpoint in a month. Worked out when it is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from fnmatch import fnmatchcase
from typing import Final, final

from audit.models import Price

MILLION: Final = Decimal(1_000_000)
CENT: Final = Decimal("0.01")
FINE: Final = Decimal("0.000001")

Money = Mapping[str, Decimal]
"""Amounts by currency: those of two currencies do not add up."""


@final
class Prices:
    """The prices of a store. Of those that fit, one for the endpoint itself wins, then the longest pattern,
    then the one that holds since the latest month."""

    def __init__(self, prices: Iterable[Price]) -> None:
        self._prices = sorted(prices, key=_rank, reverse=True)
        self._found: dict[tuple[str, str, date], Price | None] = {}

    @classmethod
    def stored(cls) -> Prices:
        return cls(Price.objects.all())

    def of(self, model: str, endpoint: str, month: date) -> Price | None:
        key = (model, endpoint, month)
        if key not in self._found:
            self._found[key] = next((price for price in self._prices if _fits(price, *key)), None)
        return self._found[key]


def cost(price: Price, input_tokens: int, output_tokens: int) -> Decimal:
    """Exact; round it where it is shown."""
    return (price.input_price * input_tokens + price.output_price * output_tokens) / MILLION


def amount(value: Decimal, step: Decimal = CENT) -> str:
    """For people; something that rounds to nothing is said to be less than the smallest that is shown."""
    if 0 < value < step:
        return f"< {step}"
    return f"{value.quantize(step, ROUND_HALF_UP):,}"


def _rank(price: Price) -> tuple[bool, int, bool, date]:
    literal = len(price.pattern.replace("*", ""))
    return bool(price.endpoint), literal, "*" not in price.pattern, price.valid_from


def _fits(price: Price, model: str, endpoint: str, month: date) -> bool:
    return (
        price.valid_from <= month
        and price.endpoint in ("", endpoint)
        and fnmatchcase(model, price.pattern.replace("[", "[[]"))
    )

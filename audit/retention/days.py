"""Calls by the day (UTC) that their ids name, in the order of time, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet

from audit import ids
from audit.keynames import day_of, start_of
from audit.models import Call, CallKey


def today() -> date:
    return day_of(ids.now())


def floor(day: date) -> UUID:
    """No id of this day or a later one is smaller."""
    return ids.lowest(start_of(day))


def during(first: date, following: date) -> Q:
    """Rows of calls by `started_at`, up to but without `following`. On PostgreSQL it prunes."""
    return Q(started_at__gte=start_of(first), started_at__lt=start_of(following))


def on(day: date) -> Q:
    return during(day, day + timedelta(days=1))


def calls_on(day: date) -> QuerySet[Call]:
    return calls_during(day, day + timedelta(days=1))


def calls_during(first: date, following: date) -> QuerySet[Call]:
    """The calls of some days; by id as well, which is SQLite's only index in order of time."""
    return Call.objects.filter(during(first, following), id__gte=floor(first), id__lt=floor(following))


def in_order(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Calls or their keys, oldest first, along the primary key."""
    return rows.order_by("id") if connection.vendor == "sqlite" else rows.order_by("started_at", "id")


def days_with_calls(first: date, last: date) -> Iterator[date]:
    """Each day from `first` to `last` that has calls, by one look-up each."""
    day = first
    while day <= last:
        rows = Call.objects.filter(started_at__gte=start_of(day), id__gte=floor(day))
        found = in_order(rows).values_list("started_at", flat=True).first()
        if found is None or (day := day_of(found)) > last:
            return
        yield day
        day += timedelta(days=1)


def over(day: date) -> bool:
    """Whether a day is past for everybody who records: an hour of grace for clocks and late commits."""
    return ids.now() >= start_of(day + timedelta(days=1)) + timedelta(hours=1)


def key_rows(first: date, following: date) -> QuerySet[CallKey]:
    """Keys of the calls of some days."""
    return CallKey.objects.filter(during(first, following), id__gte=floor(first), id__lt=floor(following))

"""When rotations are due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rotating.schedule import (
    ScheduleError,
    cron_check,
    cron_next,
    due_after,
    opens,
    windows_of,
    zone_of,
)

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: Any = UTC) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("cron", "after", "due"),
    [
        ("0 3 * * *", "2026-11-26 02:59", "2026-11-26 03:00"),
        ("0 3 * * *", "2026-11-26 03:00", "2026-11-27 03:00"),
        ("*/15 * * * *", "2026-11-26 03:07", "2026-11-26 03:15"),
        ("0 3 1 * *", "2026-11-26 02:59", "2026-12-01 03:00"),
        ("0 3 * * 0", "2026-11-26 02:59", "2026-11-29 03:00"),
        ("0 3 * * sat", "2026-11-26 02:59", "2026-11-28 03:00"),
        ("0 3 29 2 *", "2026-11-26 02:59", "2028-02-29 03:00"),
        ("0 3 31 1,2 *", "2026-11-26 02:59", "2027-01-31 03:00"),
    ],
)
def test_cron_comes_true(cron: str, after: str, due: str) -> None:
    assert cron_next(cron, at(after)) == at(due)


@pytest.mark.parametrize("cron", ["", "* * * *", "61 * * * *", "a b c d e", "0 3 30 2 *", "* * * * * *"])
def test_cron_that_is_none(cron: str) -> None:
    with pytest.raises(ScheduleError):
        cron_check(cron)


def test_an_hour_that_is_missing_or_there_twice_is_one_time_each_day() -> None:
    """Clocks go forward on 29 March 2026 in Berlin, and back on 25 October."""
    for day in ("2026-03-28 12:00", "2026-10-24 12:00"):
        first = cron_next("30 2 * * *", at(day, BERLIN))
        assert first is not None
        second = cron_next("30 2 * * *", first)
        assert second is not None
        between = second.timestamp() - first.timestamp()
        assert 22 * 3600 < between < 26 * 3600


@pytest.mark.parametrize(
    ("windows", "moment", "opening"),
    [
        ([], "2026-11-26 12:00", "2026-11-26 12:00"),
        ([{"from": "22:00", "until": "23:00"}], "2026-11-26 12:00", "2026-11-26 22:00"),
        ([{"from": "22:00", "until": "04:00"}], "2026-11-26 03:00", "2026-11-26 03:00"),
        ([{"from": "22:00", "until": "04:00"}], "2026-11-26 04:00", "2026-11-26 22:00"),
        ([{"from": "22:00", "until": "04:00", "days": ["wed"]}], "2026-11-26 03:00", "2026-11-26 03:00"),
        ([{"from": "22:00", "until": "04:00", "days": ["thu"]}], "2026-11-26 03:00", "2026-11-26 22:00"),
        ([{"from": "09:00", "until": "10:00", "days": ["thu"]}], "2026-11-26 10:00", "2026-12-03 09:00"),
        (
            [{"from": "09:00", "until": "10:00"}, {"from": "08:00", "until": "08:30", "days": ["fri"]}],
            "2026-11-26 10:00",
            "2026-11-27 08:00",
        ),
    ],
)
def test_windows_open(windows: list[Any], moment: str, opening: str) -> None:
    assert opens(windows_of(windows), ZoneInfo("UTC"), at(moment)) == at(opening)


@pytest.mark.parametrize(
    "windows",
    [
        "22:00-23:00",
        [{"from": "22:00"}],
        [{"from": "22:00", "until": "22:00"}],
        [{"from": "25:00", "until": "22:00"}],
        [{"from": 22, "until": "23:00"}],
        [{"from": "22:00", "until": "23:00", "days": []}],
        [{"from": "22:00", "until": "23:00", "days": ["someday"]}],
        [{"from": "22:00", "until": "23:00", "day": ["mon"]}],
        ["22:00"],
    ],
)
def test_windows_that_are_none(windows: Any) -> None:
    with pytest.raises(ScheduleError):
        windows_of(windows)


def test_zones_that_are_none() -> None:
    for name in ("", "Europe/Nowhere", "../../etc/passwd", "/etc/localtime"):
        with pytest.raises(ScheduleError):
            zone_of(name)


@given(
    st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)),
    st.timedeltas(timedelta(seconds=1), timedelta(days=400)),
    st.times(),
    st.times(),
    st.sets(st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]), min_size=1),
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/New_York"]),
)
def test_what_is_due_lies_in_a_window_and_not_before_its_time(
    moment: datetime, every: timedelta, begins: Any, ends: Any, days: set[str], name: str
) -> None:
    first, last = f"{begins:%H:%M}", f"{ends:%H:%M}"
    if first == last:
        return
    zone = ZoneInfo(name)
    windows = windows_of([{"from": first, "until": last, "days": sorted(days)}])
    began = moment.replace(tzinfo=UTC)
    due = due_after(began, every=every, cron="", zone=zone, windows=windows)
    assert due is not None and due >= began + every
    assert due < began + every + timedelta(days=9)
    assert opens(windows, zone, due) == due

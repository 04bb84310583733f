"""UUIDv7: ids whose first 48 bits are their time in milliseconds. Only `new` and `now` read the clock."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_YEAR_9999 = 253_370_764_800_000
"""Milliseconds; Python's calendar and both databases end with that year."""

_VERSION_AND_VARIANT = (0x7 << 76) | (0x2 << 62)
_NOISE = (0xFFF << 64) | ((1 << 62) - 1)


def number(milliseconds: int, noise: int) -> int:
    """The id of a moment as an integer; 74 bits of `noise` are used."""
    return (milliseconds << 80) | _VERSION_AND_VARIANT | (noise & _NOISE)


def uuid7(milliseconds: int, noise: int) -> UUID:
    """The id of a moment."""
    return UUID(int=number(milliseconds, noise))


def new() -> UUID:
    """An id for now. Twelve bits go on counting within the millisecond (RFC 9562, section 6.2, method 3),
    so that ids made one after another sort in that order."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    fraction = (rest << 12) // 1_000_000
    return uuid7(milliseconds, (fraction << 64) | int.from_bytes(os.urandom(8), "big"))


def now() -> datetime:
    """This moment, cut to milliseconds as entries are."""
    return moment(time.time_ns() // 1_000_000)


def milliseconds_of(value: UUID) -> int:
    """When the id was made, in milliseconds since 1970."""
    return value.int >> 80


def has_time(value: UUID) -> bool:
    """Whether `time_of` can say when it was made. Of an id that somebody typed nobody knows."""
    return value.version == 7 and milliseconds_of(value) < _YEAR_9999


def time_of(value: UUID) -> datetime:
    """When the id was made. Records are looked up by it, so that old partitions are not read."""
    return moment(milliseconds_of(value))


def moment(milliseconds: int) -> datetime:
    """Milliseconds since 1970 as an aware datetime, exactly."""
    seconds, rest = divmod(milliseconds, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)


def lowest(when: datetime) -> UUID:
    """What is before every id of its moment or a later one."""
    return UUID(int=(microseconds(when) // 1000) << 80)


def microseconds(when: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (when - _EPOCH) // _MICROSECOND

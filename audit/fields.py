"""The one column type of our own: an entry's place as a primary key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

if TYPE_CHECKING:
    _BigInteger = models.BigIntegerField[int, int]
else:
    _BigInteger = models.BigIntegerField


class PlaceField(_BigInteger):
    """A 64-bit integer that is the row's own number on SQLite.

    SQLite takes `integer PRIMARY KEY`, not `bigint PRIMARY KEY`, for the table's own key; the latter gets an
    index beside it, which was 4 of the 36 pages of a commit.
    """

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        return "integer" if connection.vendor == "sqlite" else super().db_type(connection)

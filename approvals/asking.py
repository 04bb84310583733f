"""A question to the database from a thread that belongs to no request."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import close_old_connections, connections
from django.db.utils import Error as DatabaseError

T = TypeVar("T")


def connected(question: Callable[[], T]) -> T:
    """Its answer. A connection that failed is not asked again."""
    close_old_connections()
    try:
        return question()
    except DatabaseError:
        connections.close_all()
        raise

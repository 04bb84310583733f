"""What the configuration was before and after each change, by whom and why. Built on django-simple-history.

A history row is written with the row it is about, in the same transaction, and triggers keep it as it is
(`policies.history_triggers`). It names people by id: nobody's account is held by what they once did.
Statements that go past `save()` (an `update()`, a `bulk_create()`) call `record` themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import simple_history
from django.contrib.auth.models import AbstractUser
from django.db import models
from simple_history.models import HistoricalRecords

from audit import ids

P = ParamSpec("P")
R = TypeVar("R")
ADDED, CHANGED, DELETED = "+", "~", "-"
COPIED = "Copied with its version"
"""The reason on what cloning a version writes: there to compare with, no line of the timeline."""

LONGEST_REASON = 400


@dataclass(frozen=True, slots=True)
class _Acting:
    by: AbstractUser | None
    reason: str


_acting: ContextVar[_Acting | None] = ContextVar("acting", default=None)


@contextmanager
def acting(by: AbstractUser | None, reason: str = "") -> Iterator[None]:
    """Attribute what is saved inside to `by` (None: the system). An outer reason stays unless replaced."""
    outer = _acting.get()
    token = _acting.set(_Acting(by, reason or (outer.reason if outer else "")))
    try:
        yield
    finally:
        _acting.reset(token)


def current_reason() -> str:
    """Why what is being saved is saved; empty when nobody said."""
    now = _acting.get()
    return now.reason[:LONGEST_REASON] if now else ""


def attributed(service: Callable[P, R]) -> Callable[P, R]:
    """A service whose changes are those of its `by`, whatever request, task or command called it."""

    @wraps(service)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        by: Any = kwargs.get("by")
        with acting(by):
            return service(*args, **kwargs)

    return inner


class Records(HistoricalRecords):  # type: ignore[misc]  # the library carries no types
    """History rows with ids that sort by time, no permissions of their own, and our idea of who acts."""

    def get_history_user(self, instance: models.Model) -> Any:
        now = _acting.get()
        return now.by if now else super().get_history_user(instance)

    def get_change_reason_for_object(self, instance: models.Model, history_type: str, using: Any) -> str:
        return current_reason()

    def get_meta_options(self, model: type[models.Model]) -> dict[str, Any]:
        options: dict[str, Any] = super().get_meta_options(model)
        return options | {"default_permissions": (), "ordering": ("-history_id",)}

    def copy_fields(self, model: type[models.Model]) -> dict[str, Any]:
        """Columns without what forms need: a new help text or choice is no new table."""
        fields: dict[str, Any] = super().copy_fields(model)
        for field in fields.values():
            field.help_text, field.choices, field._validators = "", None, []
        return fields

    def post_save(self, instance: models.Model, created: bool, using: Any = None, **kwargs: Any) -> None:
        """A save of nothing but what is left out (a sign-in's `last_login`) is no change."""
        written = kwargs.get("update_fields")
        if written and set(written) <= set(self.excluded_fields):
            return
        super().post_save(instance, created, using=using, **kwargs)


def keep(model: type[models.Model], *, app: str, without: Iterable[str] = ()) -> None:
    """Keep the history of a model in `app`. Columns in `without` are never copied."""
    relations = [field.name for field in model._meta.fields if field.is_relation]
    simple_history.register(
        model,
        app=app,
        records_class=Records,
        excluded_fields=list(without),
        no_db_index=relations,
        history_id_field=models.UUIDField(default=ids.new),
        history_user_id_field=models.UUIDField(null=True, editable=False, db_index=True),
        history_change_reason_field=models.CharField(max_length=LONGEST_REASON, default=""),
    )


def record(rows: Iterable[models.Model], *, change: str = CHANGED, reason: str = "") -> None:
    """History of rows that were written by one statement; they hold their new values already."""
    found = list(rows)
    if not found:
        return
    history_of(type(found[0])).bulk_history_create(
        found,
        update=change == CHANGED,
        default_change_reason=reason or current_reason(),
        batch_size=500,
    )


def history_of(model: type[models.Model]) -> Any:
    """The manager of a model's history rows."""
    return getattr(model, "history")  # noqa: B009  added at run time, unknown to the type checker

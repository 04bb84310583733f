"""Notes governance acts in the record: who did what to which configuration, in the act's own transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.contrib.auth.models import AbstractUser
from django.db import models

from audit.events import NOBODY, event
from audit.records import Recordable, Who

Places = Callable[[models.Model], str]
_places: list[Places] = []


def place_by(finder: Places) -> None:
    """Say how the short name of a row's area is found. Called once, while applications start."""
    _places[:] = [finder]


def _lies(target: models.Model) -> str:
    """Empty: in none. Such an event is for those who audit the whole deployment."""
    return next((finder(target) for finder in _places), "")


def note(
    *,
    action: str,
    by: AbstractUser | None,
    target: models.Model,
    facts: Mapping[str, object] | None = None,
    words: Recordable | None = None,
) -> None:
    """`action` such as `policy.published`; `facts` are names and numbers; what a person typed is `words`."""
    about, area = f"{target._meta.label_lower} {target.pk}", _lies(target)
    event(action, by=who(by) if by else NOBODY, area=area, about=about, detail=facts, note=words)


def who(person: AbstractUser) -> Who:
    """A person of the console as the record names them."""
    return Who(
        person_id=person.pk,
        subject=f"local:{person.get_username()}",
        name=person.get_full_name() or person.get_username(),
        kind="person",
        groups=tuple(person.groups.order_by("name").values_list("name", flat=True)),
    )

"""Changes to areas. Taking away the need for a second person needs a second person."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction

from gateway.models import Area, User
from policies.content import changed
from policies.grants import Grant, require
from policies.history import attributed
from policies.journal import note

FLAGS = ("two_person_publish", "two_person_access", "two_person_origin")
FOR_GOOD = "An area keeps its short name for good: the record and people's roles in it go by that."
TWO_TO_LET_GO = "Asking for one person only, where it took two, takes two people."


@attributed
def area_save(*, area: Area, by: User | None, grant: Grant | None = None) -> Area:
    """Add an area, or store what was edited of one. Raises `ValidationError` and `NeedsSecondPerson`."""
    area.full_clean()
    with transaction.atomic():
        stored = Area.objects.select_for_update().filter(pk=area.pk).first()
        if stored is not None and stored.slug != area.slug:
            raise ValidationError({"slug": FOR_GOOD})
        needed = bool(stored and lets_go(stored, area))
        require(grant, kind="area.two_person", target_id=area.pk, needed=needed, why=TWO_TO_LET_GO)
        fields = changed(stored, area)
        if stored is not None and not fields:
            return area
        area.save()
        action = "area.changed" if stored else "area.added"
        note(action=action, by=by, target=area, facts={"name": area.name, "fields": fields})
    return area


def lets_go(stored: Area, area: Area) -> list[str]:
    """The requirements that are in force and would no longer be."""
    return [flag for flag in FLAGS if getattr(stored, flag) and not getattr(area, flag)]

"""Groups that are declared before anybody is in them: access rules and roles can be given to them at once."""

from __future__ import annotations

import unicodedata

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import transaction

from gateway.models import User
from policies.history import attributed
from policies.journal import note


@attributed
def group_declare(*, name: str, by: User | None) -> Group:
    """A new group without members. Raises `ValidationError`."""
    group = Group(name=unicodedata.normalize("NFKC", name).strip())
    group.full_clean()
    if not group.name.isprintable():
        raise ValidationError("A group's name has characters that do not print.")
    with transaction.atomic():
        if Group.objects.filter(name__iexact=group.name).exists():
            raise ValidationError("A group of this name exists.")
        group.save(force_insert=True)
        note(action="group.added", by=by, target=group, facts={"group": group.name})
    return group

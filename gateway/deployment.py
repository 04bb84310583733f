"""The rules of this deployment that lie in no area. Letting go of a second person takes a second person."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.db import transaction

from gateway.models import Deployment, User
from policies.content import changed
from policies.grants import Grant, require
from policies.history import attributed
from policies.journal import note

FLAGS: Final = ("two_person_issuers", "two_person_roles")
TARGET: Final = UUID(int=1)
"""What proposals call the one row, whose key is a number."""

TWO_TO_LET_GO: Final = "Asking for one person only, where it took two, takes two people."


def deployment_now() -> Deployment:
    """The settings in force; unsaved ones where nobody has set any."""
    return Deployment.objects.filter(pk=1).first() or Deployment()


@attributed
def deployment_save(*, deployment: Deployment, by: User | None, grant: Grant | None = None) -> Deployment:
    """Store what was edited. Raises `ValidationError` and `NeedsSecondPerson`."""
    deployment.full_clean(validate_unique=False)
    with transaction.atomic():
        stored = Deployment.objects.select_for_update().filter(pk=1).first()
        before = stored or Deployment()
        needed = bool(lets_go(before, deployment))
        require(grant, kind="deployment.two_person", target_id=TARGET, needed=needed, why=TWO_TO_LET_GO)
        fields = changed(before, deployment)
        if not fields:
            return deployment
        deployment._state.adding = stored is None
        deployment.save()
        facts = {"fields": fields} | {name: getattr(deployment, name) for name in fields}
        note(action="deployment.changed", by=by, target=deployment, facts=facts)
    return deployment


def lets_go(stored: Deployment, deployment: Deployment) -> list[str]:
    """The requirements that are in force and would no longer be."""
    return [flag for flag in FLAGS if getattr(stored, flag) and not getattr(deployment, flag)]

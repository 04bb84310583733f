"""Who asks for an auditors' page, as the record names them."""

from __future__ import annotations

from typing import cast

from django.contrib.auth.models import AbstractUser
from django.http import HttpRequest

from audit.records import Who


def asker(request: HttpRequest) -> Who:
    user = cast(AbstractUser, request.user)  # the permission was checked
    return Who(
        person_id=user.pk,
        subject=f"local:{user.get_username()}",
        name=user.get_full_name() or user.get_username(),
        kind="person",
        groups=tuple(user.groups.values_list("name", flat=True)),
        network=request.META.get("REMOTE_ADDR", ""),
    )

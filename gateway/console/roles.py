"""`/roles/`: what each role means, who holds it where, and what one person should not hold. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from gateway.identity.authz import ROLES
from gateway.identity.matrix import matrix
from gateway.identity.reach import Reach
from gateway.identity.separation import overlaps, superusers
from gateway.models import RoleGrant, User

VIEW: Final = "gateway.view_rolegrant"


@dataclass(frozen=True, slots=True)
class Holder:
    """A group that holds a role; `where` is empty for everywhere."""

    role: str
    group: str
    where: str
    people: int
    programs: int


@require_safe
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    """The matrix is no secret. Who holds what is for those who may see roles, each in their areas."""
    person = cast(User, request.user)  # LoginRequiredMiddleware lets nobody else in
    reach = person.areas_with(VIEW)
    context: dict[str, Any] = {
        "roles": ROLES.values(),
        "sections": matrix(),
        "may_see": bool(reach),
        "may_add": person.has_perm("gateway.add_rolegrant"),
        "add_url": reverse("admin:gateway_rolegrant_add"),
        "list_url": reverse("admin:gateway_rolegrant_changelist"),
    }
    if reach:
        context |= {
            "holders": holders(reach),
            "overlaps": overlaps(reach),
            "superusers": superusers() if reach.everywhere else [],
        }
    return render(request, "console/roles.html", context)


def holders(reach: Reach) -> list[Holder]:
    """In the order of the roles."""
    rows = RoleGrant.objects.filter(reach.q_of(RoleGrant)).select_related("group", "area")
    counted = rows.annotate(
        people=Count("group__user", filter=Q(group__user__is_active=True), distinct=True),
        programs=Count(
            "group__service_accounts", filter=Q(group__service_accounts__is_active=True), distinct=True
        ),
    )
    order = {name: place for place, name in enumerate(ROLES)}
    found = sorted(counted, key=lambda row: (order[row.role], str(row.area or ""), row.group.name))
    return [
        Holder(
            ROLES[row.role].title,
            row.group.name,
            row.area.name if row.area else "",
            row.people,
            row.programs,
        )
        for row in found
    ]

"""What keeps somebody who administers an area inside of it: groups that open more than they may give.

Groups lie in no area: they hold roles and access rules anywhere. Whoever puts a program into one, or makes a
key for a program that is in one, gives away all that it opens.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import Group
from django.db.models import Q

from gateway.identity.reach import Reach
from gateway.models import AccessRule, RoleGrant


def beyond(groups: Iterable[Group], reach: Reach) -> list[Group]:
    """Of these groups those that open anything outside of `reach`: a role, an access rule, a permission."""
    asked = list(groups)
    if reach.everywhere:
        return []
    keys = [group.pk for group in asked]
    roles = RoleGrant.objects.filter(group__in=keys).exclude(area__in=reach.ids)
    rules = AccessRule.objects.filter(group__in=keys).exclude(endpoint__area__in=reach.ids)
    past_roles = Group.objects.filter(Q(permissions__isnull=False), pk__in=keys)
    outside = {
        *roles.values_list("group", flat=True),
        *rules.values_list("group", flat=True),
        *past_roles.values_list("pk", flat=True),
    }
    return [group for group in asked if group.pk in outside]

"""What somebody has to be allowed to see a plan, and to carry one out: what the admin asks for the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from gateway.code.plan import ADD, CHANGE, KINDS, REMOVE, Plan
from gateway.identity.reach import Reach

SEE: Final = (
    "gateway.view_area",
    "gateway.view_credential",
    "gateway.view_endpoint",
    "gateway.view_accessrule",
    "gateway.view_rotationplan",
    "policies.view_schemaversion",
    "policies.view_policyversion",
)
"""A plan and an export show all of an area."""

CARRY_OUT: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("areas", ADD): ("gateway.add_area",),
    ("areas", CHANGE): ("gateway.change_area",),
    ("groups", ADD): ("auth.add_group",),
    ("schemas", ADD): ("policies.add_schema", "policies.publish_schemaversion"),
    ("schemas", CHANGE): ("policies.change_schemaversion", "policies.publish_schemaversion"),
    ("policies", ADD): ("policies.add_policy", "policies.publish_policyversion"),
    ("policies", CHANGE): ("policies.change_policyversion", "policies.publish_policyversion"),
    ("credentials", ADD): ("gateway.add_credential",),
    ("credentials", CHANGE): ("gateway.change_credential",),
    ("endpoints", ADD): ("gateway.add_endpoint",),
    ("endpoints", CHANGE): ("gateway.change_endpoint",),
    ("endpoints", REMOVE): ("gateway.change_endpoint",),
    ("access_rules", ADD): ("gateway.add_accessrule",),
    ("access_rules", CHANGE): ("gateway.change_accessrule",),
    ("access_rules", REMOVE): ("gateway.delete_accessrule",),
    ("rotation_plans", ADD): ("gateway.add_rotationplan",),
    ("rotation_plans", CHANGE): ("gateway.change_rotationplan",),
    ("rotation_plans", REMOVE): ("gateway.delete_rotationplan",),
}


class Asker(Protocol):
    """A person or a program."""

    def areas_with(self, perm: str, /) -> Reach: ...


def sees(slug: str, who: Asker) -> bool:
    """Whether they may see all of this area. What does not exist yet is seen from everywhere only."""
    reaches = [who.areas_with(perm) for perm in SEE]
    return all(reach.covers_slug(slug) for reach in reaches)


def missing(plan: Plan, who: Asker) -> list[str]:
    """What speaks against carrying out this plan, one line for each object."""
    slug = str(plan.area["slug"])
    return [
        f"{KINDS[kind]} {sign}: the permission {permission} is missing in this area."
        for kind, sign, permission in dict.fromkeys(_needed(plan))
        if not who.areas_with(permission).covers_slug(slug)
    ]


def _needed(plan: Plan) -> Iterator[tuple[str, str, str]]:
    for change in plan.changes:
        for permission in CARRY_OUT[change.kind, change.sign]:
            yield change.kind, change.sign, permission

"""Who may call what: access rules are added, changed and taken away here, whoever asks for it.

An area may want two people for this (`Area.two_person_access`). A rule that moves between areas answers to
both.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from gateway.models import AccessRule, Area, User
from policies.content import changed
from policies.grants import Grant, require
from policies.history import attributed
from policies.journal import note

TWO_FOR_ACCESS = "Access rules take two people in this area."
FIELDS = tuple(
    field.name for field in AccessRule._meta.concrete_fields if field.name not in ("id", "created_at")
)
"""What a rule says: all but its key and its age."""


@attributed
def access_rule_save(*, rule: AccessRule, by: User | None, grant: Grant | None = None) -> AccessRule:
    """Add a rule, or store what was edited of one. Raises `ValidationError` and `NeedsSecondPerson`."""
    rule.full_clean()
    with transaction.atomic():
        stored = AccessRule.objects.select_for_update(of=("self",)).filter(pk=rule.pk).first()
        kind, target_id = ("access_rule.change", rule.pk) if stored else ("access_rule.add", None)
        needed = access_needs_two(rule, stored)
        require(grant, kind=kind, target_id=target_id, needed=needed, why=TWO_FOR_ACCESS)
        fields = changed(stored, rule)
        if stored is not None and not fields:
            return rule
        rule.save()
        action = "access_rule.changed" if stored else "access_rule.added"
        note(action=action, by=by, target=rule, facts={"name": str(rule), "fields": fields})
    return rule


@attributed
def access_rule_delete(*, rule: AccessRule, by: User | None, grant: Grant | None = None) -> None:
    """Take a rule away. What it covered may then fall to the next rule. Raises `NeedsSecondPerson`."""
    with transaction.atomic():
        stored = AccessRule.objects.select_for_update(of=("self",)).get(pk=rule.pk)
        needed = access_needs_two(stored, None)
        require(grant, kind="access_rule.delete", target_id=rule.pk, needed=needed, why=TWO_FOR_ACCESS)
        note(action="access_rule.deleted", by=by, target=stored, facts={"name": str(stored)})
        stored.delete()


def access_rules_drop(*, rules: Iterable[AccessRule], by: User | None) -> None:
    """Take away what a group or an endpoint would take along. Called in the transaction that deletes it."""
    for rule in rules:
        access_rule_delete(rule=rule, by=by)


def access_needs_two(rule: AccessRule, stored: AccessRule | None) -> bool:
    """Whether any of the areas that the rule lies in, or lay in, wants two people for access."""
    endpoints = {each.endpoint_id for each in (rule, stored) if each is not None}
    return Area.objects.filter(endpoints__in=endpoints, two_person_access=True).exists()

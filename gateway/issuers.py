"""Who vouches for callers: issuers and their mapping rules are added, changed and taken away here.

An issuer and its rules are one thing: who may turn a claim into a group decides who is let in. The deployment
may want two people for it (`Deployment.two_person_issuers`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.core.exceptions import ValidationError
from django.db import transaction

from gateway.deployment import deployment_now
from gateway.identity.issuer_checks import issuer_problems, mapping_problems
from gateway.models import GroupMapping, Issuer, User
from policies.content import changed
from policies.grants import Grant, require
from policies.history import attributed
from policies.journal import note

TWO_FOR_ISSUERS = "Who vouches for callers takes two people here."
FIELDS = tuple(field.name for field in Issuer._meta.concrete_fields if field.name not in ("id", "created_at"))
"""What an issuer says: all but its key and its age."""

Key = tuple[str, str, int | None]


@attributed
def issuer_save(
    *,
    issuer: Issuer,
    mappings: Iterable[GroupMapping] | None = None,
    by: User | None,
    grant: Grant | None = None,
) -> Issuer:
    """Add an issuer, or store what was edited of one; `mappings` are all of its rules (None: as they are).

    Raises `ValidationError` and `NeedsSecondPerson`.
    """
    wanted = None if mappings is None else list(mappings)
    with transaction.atomic():
        stored = Issuer.objects.select_for_update(of=("self",)).filter(pk=issuer.pk).first()
        check(issuer, wanted, stored)
        kind, target_id = ("issuer.change", issuer.pk) if stored else ("issuer.add", None)
        needed = change_needs_two(issuer, wanted, stored)
        require(grant, kind=kind, target_id=target_id, needed=needed, why=TWO_FOR_ISSUERS)
        fields = changed(stored, issuer)
        if stored is None or fields:
            issuer.save()
        given, taken = _map(issuer, wanted)
        if stored is not None and not (fields or given or taken):
            return issuer
        facts = {"name": issuer.name, "issuer": issuer.issuer, "fields": fields}
        facts |= {"rules_added": given, "rules_taken": taken}
        note(action="issuer.changed" if stored else "issuer.added", by=by, target=issuer, facts=facts)
    return issuer


@attributed
def issuer_delete(*, issuer: Issuer, by: User | None, grant: Grant | None = None) -> None:
    """Take an issuer away with its rules. Raises `ValidationError` and `NeedsSecondPerson`.

    Who it vouched for stays known, in their groups: it is the next token and the next sign-in that fail.
    """
    with transaction.atomic():
        stored = Issuer.objects.select_for_update(of=("self",)).get(pk=issuer.pk)
        if names := list(stored.directories.values_list("name", flat=True)[:3]):
            raise ValidationError(f"A directory sends people who sign in there: {', '.join(names)}.")
        needed = issuers_need_two()
        require(grant, kind="issuer.delete", target_id=stored.pk, needed=needed, why=TWO_FOR_ISSUERS)
        taken = [str(rule) for rule in _delete(stored.mappings.select_related("group"))]
        facts = {"name": stored.name, "issuer": stored.issuer, "rules_taken": taken}
        note(action="issuer.deleted", by=by, target=stored, facts=facts)
        stored.delete()


def issuers_need_two() -> bool:
    return deployment_now().two_person_issuers


def change_needs_two(issuer: Issuer, mappings: Iterable[GroupMapping] | None, stored: Issuer | None) -> bool:
    """Whether this change takes two people. Switching an issuer off never does: that is for emergencies."""
    if not issuers_need_two():
        return False
    stops = stored is not None and changed(stored, issuer) == ["enabled"] and not issuer.enabled
    return not stops or (mappings is not None and rules_differ(issuer, mappings))


def rules_differ(issuer: Issuer, rules: Iterable[GroupMapping]) -> bool:
    return {key_of(rule) for rule in issuer.mappings.all()} != {key_of(rule) for rule in rules}


def check(issuer: Issuer, mappings: Sequence[GroupMapping] | None, stored: Issuer | None) -> None:
    """Raises `ValidationError` with everything that speaks against an issuer and its rules."""
    issuer.full_clean()
    if problems := issuer_problems(issuer, stored):
        raise ValidationError(problems)
    if mappings is not None and (lines := list(mapping_problems(issuer, mappings))):
        raise ValidationError([f"Rule {number}: {text}" for number, text in lines])


def key_of(rule: GroupMapping) -> Key:
    """What a rule says."""
    return rule.match, rule.value, rule.group_id


def _map(issuer: Issuer, wanted: Sequence[GroupMapping] | None) -> tuple[list[str], list[str]]:
    """Make these the issuer's rules. Returns the new ones and those that went, for people."""
    if wanted is None:
        return [], []
    held = {key_of(rule): rule for rule in issuer.mappings.select_related("group")}
    keys = {key_of(rule) for rule in wanted}
    taken = _delete(rule for key, rule in held.items() if key not in keys)
    given = []
    for rule in wanted:
        if key_of(rule) not in held:
            new = GroupMapping(issuer=issuer, match=rule.match, value=rule.value, group_id=rule.group_id)
            new.save(force_insert=True)
            given.append(new)
    return [str(rule) for rule in given], [str(rule) for rule in taken]


def _delete(rules: Iterable[GroupMapping]) -> list[GroupMapping]:
    """One by one, so that each is a line of the history."""
    gone = list(rules)
    for rule in gone:
        GroupMapping.objects.get(pk=rule.pk).delete()
    return gone

"""The proposals about who vouches for callers, and about the deployment's own rules. They lie in no area."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Final, cast
from uuid import UUID

from django.contrib.auth.models import AbstractUser, Group
from django.core.exceptions import ValidationError

from gateway.deployment import FLAGS, TARGET, deployment_now, deployment_save
from gateway.identity.issuer_checks import warnings
from gateway.issuers import FIELDS, check, issuer_delete, issuer_save, key_of
from gateway.models import Deployment, GroupMapping, Issuer, User
from policies.content import NOTHING, changes, packed, texts, unpack
from policies.grants import Grant
from policies.proposals import Apply, Check, Gone, Kind, Look, Payload, Row, Sight, register, there

CONFIRM: Final = "policies.confirm_identity"
RULES: Final = "mappings"
"""In a payload, beside the columns: all rules, each as `match`, `value` and `group` (a key)."""


def register_all() -> None:
    for kind in (
        _kind("issuer.add", "Add an issuer", "gateway.add_issuer", _look_new, _add, _check),
        _kind("issuer.change", "Change an issuer", "gateway.change_issuer", _look, _change, _check),
        _kind("issuer.delete", "Take an issuer away", "gateway.delete_issuer", _look_gone, _delete),
        _kind(
            "deployment.two_person",
            "Change what takes two people",
            "gateway.change_deployment",
            _look_deployment,
            _change_deployment,
        ),
    ):
        register(kind)


def _kind(name: str, title: str, propose: str, look: Look, apply: Apply, check: Check | None = None) -> Kind:
    kind = Kind(name=name, title=title, propose=(propose,), confirm=CONFIRM, look=look, apply=apply)
    return kind if check is None else replace(kind, check=check)


def packed_rules(rules: Iterable[GroupMapping]) -> list[dict[str, Any]]:
    """Rules as JSON values; `rules_from` reads them back."""
    keys = sorted((key_of(rule) for rule in rules), key=str)
    return [{"match": match, "value": value, "group": group} for match, value, group in keys]


def rules_from(stored: Any) -> list[GroupMapping]:
    """Unsaved rules. Raises `ValidationError` for another shape."""
    if not isinstance(stored, list) or not all(isinstance(each, Mapping) for each in stored):
        raise ValidationError("The rules are a list of objects.")
    found = []
    for each in stored:
        if set(each) - {"match", "value", "group"}:
            raise ValidationError("A rule is made of match, value and group.")
        group = each.get("group")
        if group is not None and (not isinstance(group, int) or isinstance(group, bool)):
            raise ValidationError("A rule names its group by its key.")
        found.append(GroupMapping(match=each.get("match", ""), value=each.get("value", ""), group_id=group))
    return found


def issuer_payload(
    issuer: Issuer, fields: Iterable[str], rules: Iterable[GroupMapping] | None
) -> dict[str, Any]:
    """What a proposal about an issuer carries."""
    payload = packed(issuer, fields)
    return payload if rules is None else payload | {RULES: packed_rules(rules)}


# --- issuers ----------------------------------------------------------------------------------------


def _of(issuer: Issuer, payload: Payload) -> list[GroupMapping] | None:
    """Put the columns into the issuer; returns its rules, None where they stay."""
    unpack(issuer, {name: value for name, value in payload.items() if name != RULES}, FIELDS)
    return rules_from(payload[RULES]) if RULES in payload else None


def _stored(target_id: UUID | None, lock: bool) -> Issuer:
    rows = Issuer.objects.all()
    found = (rows.select_for_update(of=("self",)) if lock else rows).filter(pk=there(target_id)).first()
    if found is None:
        raise Gone("This issuer is gone.")
    return found


def _look_new(target_id: UUID | None, payload: Payload, lock: bool) -> Sight:
    issuer = Issuer()
    rules = _of(issuer, payload) or []
    rows = changes({}, texts(issuer, FIELDS)) + _rule_rows([], rules) + _warned(issuer, rules)
    return Sight(area_id=None, name=issuer.name, rows=rows, state=_names(rules))


def _look(target_id: UUID | None, payload: Payload, lock: bool) -> Sight:
    stored = _stored(target_id, lock)
    held = list(stored.mappings.all())
    issuer = copy(stored)
    rules = _of(issuer, payload)
    rows = changes(texts(stored, FIELDS), texts(issuer, FIELDS))
    rows += _rule_rows(held, held if rules is None else rules)
    rows += _warned(issuer, held if rules is None else rules) if rows else ()
    state = [packed(stored, FIELDS), packed_rules(held), _names([*held, *(rules or ())])]
    return Sight(area_id=None, name=stored.name, rows=rows, state=state)


def _look_gone(target_id: UUID | None, payload: Payload, lock: bool) -> Sight:
    stored = _stored(target_id, lock)
    held = list(stored.mappings.all())
    rows = changes(texts(stored, FIELDS), {}) + _rule_rows(held, [])
    state = [packed(stored, FIELDS), packed_rules(held), _names(held)]
    return Sight(area_id=None, name=stored.name, rows=rows, state=state)


def _names(rules: Iterable[GroupMapping]) -> list[list[Any]]:
    """The groups that were shown: what they are called may change meanwhile."""
    keys = {rule.group_id for rule in rules if rule.group_id is not None}
    return [list(pair) for pair in Group.objects.filter(pk__in=keys).order_by("pk").values_list("pk", "name")]


def _rule_rows(before: Iterable[GroupMapping], after: Iterable[GroupMapping]) -> tuple[Row, ...]:
    """One row for each rule that comes or goes."""
    return changes(_rule_texts(before), _rule_texts(after))


def _warned(issuer: Issuer, rules: Sequence[GroupMapping]) -> tuple[Row, ...]:
    """What may be a mistake, or a door, for whoever confirms it."""
    return tuple(("Mind", NOTHING, text) for text in warnings(issuer, rules))


def _rule_texts(rules: Iterable[GroupMapping]) -> dict[str, str]:
    rows = sorted(rules, key=lambda rule: (rule.match, rule.value, rule.group_id or 0))
    names = {pk: str(name) for pk, name in _names(rows)}
    found = {}
    for rule in rows:
        to = names.get(rule.group_id, "a group that is gone") if rule.group_id else "the group of that name"
        found[f"Rule: {rule.get_match_display()} “{rule.value}” → {to}"] = "Yes"
    return found


def _check(target_id: UUID | None, payload: Payload) -> None:
    stored = None if target_id is None else _stored(target_id, False)
    issuer = Issuer() if stored is None else copy(stored)
    check(issuer, _of(issuer, payload), stored)


def _add(target_id: UUID | None, payload: Payload, grant: Grant, by: AbstractUser) -> object:
    issuer = Issuer()
    rules = _of(issuer, payload)
    return issuer_save(issuer=issuer, mappings=rules, by=_person(by), grant=grant)


def _change(target_id: UUID | None, payload: Payload, grant: Grant, by: AbstractUser) -> object:
    issuer = Issuer.objects.get(pk=there(target_id))
    rules = _of(issuer, payload)
    return issuer_save(issuer=issuer, mappings=rules, by=_person(by), grant=grant)


def _delete(target_id: UUID | None, payload: Payload, grant: Grant, by: AbstractUser) -> None:
    issuer_delete(issuer=Issuer.objects.get(pk=there(target_id)), by=_person(by), grant=grant)


# --- the deployment ---------------------------------------------------------------------------------


def _wanted(payload: Payload) -> tuple[Deployment, Deployment]:
    stored = deployment_now()
    wanted = copy(stored)
    unpack(wanted, payload, FLAGS)
    return stored, wanted


def _look_deployment(target_id: UUID | None, payload: Payload, lock: bool) -> Sight:
    if target_id != TARGET:
        raise Gone("There is one deployment only.")
    if lock:
        Deployment.objects.select_for_update().filter(pk=1).first()
    stored, wanted = _wanted(payload)
    rows = changes(texts(stored, FLAGS), texts(wanted, FLAGS))
    return Sight(area_id=None, name=str(stored), rows=rows, state=packed(stored, FLAGS))


def _change_deployment(target_id: UUID | None, payload: Payload, grant: Grant, by: AbstractUser) -> object:
    return deployment_save(deployment=_wanted(payload)[1], by=_person(by), grant=grant)


def _person(by: AbstractUser) -> User:
    return cast(User, by)

"""The proposals that are about access, origins and areas. Registered when the application starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from typing import TypeVar, cast
from uuid import UUID

from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.db import models

from gateway.access_rules import FIELDS as RULE_FIELDS
from gateway.access_rules import access_rule_delete, access_rule_save
from gateway.areas import FLAGS, area_save
from gateway.credentials.services import (
    OriginMismatch,
    check_fits,
    credential_save,
    endpoint_move,
    endpoint_save,
)
from gateway.models import AccessRule, Area, Credential, Endpoint, User
from gateway.models.credential import PLACING
from policies.content import NOTHING, changes, packed, texts, unpack
from policies.grants import Grant
from policies.proposals import Apply, Check, Gone, Kind, Look, Payload, Sight, register, there

M = TypeVar("M", bound=models.Model)
ENDPOINT_FIELDS = tuple(
    field.name
    for field in Endpoint._meta.concrete_fields
    if field.name not in ("id", "created_at", "updated_at")
)
PLACE = ("origin", "base_path")
SENT = ("origin", "placement", *PLACING)
"""Where and how a credential's secret is sent: what belongs together changes together."""

ACCESS, ORIGIN, AREA = (f"policies.confirm_{name}" for name in ("access", "origin", "area"))


def register_all() -> None:
    for kind in (
        _kind("access_rule.add", "Add an access rule", ACCESS, _look_rule_new, _add_rule, _check_rule),
        _kind("access_rule.change", "Change an access rule", ACCESS, _look_rule, _change_rule, _check_rule),
        _kind("access_rule.delete", "Take an access rule away", ACCESS, _look_rule_gone, _delete_rule),
        _kind("endpoint.add", "Add an endpoint", ORIGIN, _look_endpoint, _add_endpoint, _check_endpoint),
        _kind(
            "endpoint.origin",
            "Point an endpoint elsewhere",
            ORIGIN,
            _look_origin,
            _move_endpoint,
            _check_origin,
        ),
        _kind(
            "credential.origin",
            "Send a credential's secret elsewhere",
            ORIGIN,
            _look_credential,
            _move_credential,
            _check_credential,
        ),
        _kind("area.two_person", "Change what takes two people", AREA, _look_area, _change_area),
    ):
        register(kind)


def _kind(name: str, title: str, confirm: str, look: Look, apply: Apply, check: Check | None = None) -> Kind:
    """Whoever may make the change where one person is enough may propose it where it takes two."""
    model, _, verb = name.replace("_", "").partition(".")
    verb = verb if verb in ("add", "delete") else "change"
    propose = (f"gateway.{verb}_{model}",)
    kind = Kind(name=name, title=title, propose=propose, confirm=confirm, look=look, apply=apply)
    return kind if check is None else replace(kind, check=check)


def _person(by: AbstractUser) -> User:
    return cast(User, by)


def _locked(model: type[M], target_id: UUID | None, lock: bool) -> M:
    rows = model._default_manager.all()
    found = (rows.select_for_update(of=("self",)) if lock else rows).filter(pk=there(target_id)).first()
    if found is None:
        raise Gone("What this is about is gone.")
    return found


# --- access rules -----------------------------------------------------------------------------------


def _new_rule(payload: Payload) -> AccessRule:
    rule = AccessRule()
    unpack(rule, payload, RULE_FIELDS)
    return rule


def _look_rule_new(target_id: UUID | None, payload: Payload, lock: bool) -> Sight:
    rule = _new_rule(payload)
    if not Endpoint.objects.filter(pk=rule.endpoint_id).exists():
        raise Gone("The endpoint of this rule is gone.")
    rows = changes({}, texts(rule, RULE_FIELDS))
    return Sight(area_id=rule.endpoint.area_id, name=str(rule), rows=rows, state=_beside(rule))


def _look_rule(target_id: UUID | None, payload: Payload, lock: bool) -> Sight:
    stored = _locked(AccessRule, target_id, lock)
    rule = copy(stored)
    unpack(rule, payload, RULE_FIELDS)
    rows = changes(texts(stored, RULE_FIELDS), texts(rule, RULE_FIELDS))
    state = [packed(stored, RULE_FIELDS), _beside(stored), _beside(rule)]
    area, other = stored.endpoint.area_id, rule.endpoint.area_id
    also = (other,) if other != area else ()
    return Sight(area_id=area, name=str(stored), rows=rows, state=state, also=also)


def _look_rule_gone(target_id: UUID | None, payload: Payload, lock: bool) -> Sight:
    stored = _locked(AccessRule, target_id, lock)
    rows = changes(texts(stored, RULE_FIELDS), {})
    state = [packed(stored, RULE_FIELDS), _beside(stored)]
    return Sight(area_id=stored.endpoint.area_id, name=str(stored), rows=rows, state=state)


def _beside(rule: AccessRule) -> object:
    """The names that were shown: what they stand for may be renamed meanwhile."""
    return [str(rule.group), str(rule.endpoint), rule.endpoint.slug, str(rule.policy)]


def _check_rule(target_id: UUID | None, payload: Payload) -> None:
    rule = _new_rule(payload) if target_id is None else _locked(AccessRule, target_id, False)
    unpack(rule, payload, RULE_FIELDS)
    rule.full_clean()


def _add_rule(target_id: UUID | None, payload: Payload, grant: Grant, by: AbstractUser) -> object:
    return access_rule_save(rule=_new_rule(payload), by=_person(by), grant=grant)


def _change_rule(target_id: UUID | None, payload: Payload, grant: Grant, by: AbstractUser) -> object:
    rule = AccessRule.objects.get(pk=there(target_id))
    unpack(rule, payload, RULE_FIELDS)
    return access_rule_save(rule=rule, by=_person(by), grant=grant)


def _delete_rule(target_id: UUID | None, payload: Payload, grant: Grant, by: AbstractUser) -> None:
    rule = AccessRule.objects.get(pk=there(target_id))
    access_rule_delete(rule=rule, by=_person(by), grant=grant)


# --- endpoints --------------------------------------------------------------------------------------


def _new_endpoint(payload: Payload) -> Endpoint:
    endpoint = Endpoint()
    unpack(endpoint, payload, ENDPOINT_FIELDS)
    return endpoint


def _look_endpoint(target_id: UUID | None, payload: Payload, lock: bool) -> Sight:
    endpoint = _new_endpoint(payload)
    rows = changes({}, texts(endpoint, ENDPOINT_FIELDS))
    return Sight(area_id=endpoint.area_id, name=str(endpoint), rows=rows, state=str(endpoint.area))


def _check_endpoint(target_id: UUID | None, payload: Payload) -> None:
    endpoint = _new_endpoint(payload)
    endpoint.full_clean()
    with _fitting():
        check_fits(endpoint)


def _add_endpoint(target_id: UUID | None, payload: Payload, grant: Grant, by: AbstractUser) -> object:
    with _fitting():
        return endpoint_save(endpoint=_new_endpoint(payload), by=_person(by), grant=grant)


@contextmanager
def _fitting() -> Iterator[None]:
    """Its credential may have been moved since: a refusal in words, like any other."""
    try:
        yield
    except OriginMismatch as mismatch:
        raise ValidationError(str(mismatch)) from mismatch


def _look_origin(target_id: UUID | None, payload: Payload, lock: bool) -> Sight:
    stored = _locked(Endpoint, target_id, lock)
    endpoint = copy(stored)
    unpack(endpoint, payload, PLACE)
    rows = changes(texts(stored, PLACE), texts(endpoint, PLACE))
    for held in (stored.credential, stored.client_certificate):
        if held is not None and endpoint.origin != stored.origin:
            rows = (*rows, ("Credential", str(held), NOTHING))
    held_now = packed(stored, (*PLACE, "credential", "client_certificate", "allow_private"))
    state = [held_now, stored.slug]
    return Sight(area_id=stored.area_id, name=str(stored), rows=rows, state=state)


def _check_origin(target_id: UUID | None, payload: Payload) -> None:
    endpoint = _locked(Endpoint, target_id, False)
    unpack(endpoint, payload, PLACE)
    endpoint.credential = endpoint.client_certificate = None
    endpoint.full_clean()


def _move_endpoint(target_id: UUID | None, payload: Payload, grant: Grant, by: AbstractUser) -> None:
    stored = Endpoint.objects.get(pk=there(target_id))
    wanted = copy(stored)
    unpack(wanted, payload, PLACE)
    origin, path = wanted.origin, wanted.base_path
    endpoint_move(endpoint=stored, origin=origin, base_path=path, by=_person(by), grant=grant)


# --- credentials ------------------------------------------------------------------------------------


def _look_credential(target_id: UUID | None, payload: Payload, lock: bool) -> Sight:
    stored = _locked(Credential, target_id, lock)
    credential = copy(stored)
    unpack(credential, payload, SENT)
    rows = changes(texts(stored, SENT), texts(credential, SENT))
    used = [*stored.endpoints.order_by("slug"), *stored.certified.order_by("slug")]
    if credential.origin != stored.origin:
        rows = (*rows, *(("Endpoint", str(endpoint), NOTHING) for endpoint in used))
    if credential.sealed_for != stored.sealed_for:
        rows = (*rows, ("Secret", "kept", NOTHING))
    state = [packed(stored, SENT), [endpoint.slug for endpoint in used]]
    return Sight(area_id=stored.area_id, name=str(stored), rows=rows, state=state)


def _wanted_credential(target_id: UUID | None, payload: Payload) -> Credential:
    credential = copy(_locked(Credential, target_id, False))
    unpack(credential, payload, SENT)
    return credential


def _check_credential(target_id: UUID | None, payload: Payload) -> None:
    _wanted_credential(target_id, payload).full_clean()


def _move_credential(target_id: UUID | None, payload: Payload, grant: Grant, by: AbstractUser) -> None:
    credential_save(credential=_wanted_credential(target_id, payload), by=_person(by), grant=grant)


# --- areas ------------------------------------------------------------------------------------------


def _look_area(target_id: UUID | None, payload: Payload, lock: bool) -> Sight:
    stored = _locked(Area, target_id, lock)
    area = copy(stored)
    unpack(area, payload, FLAGS)
    rows = changes(texts(stored, FLAGS), texts(area, FLAGS))
    return Sight(area_id=stored.pk, name=str(stored), rows=rows, state=packed(stored, FLAGS))


def _change_area(target_id: UUID | None, payload: Payload, grant: Grant, by: AbstractUser) -> object:
    area = Area.objects.get(pk=there(target_id))
    unpack(area, payload, FLAGS)
    return area_save(area=area, by=_person(by), grant=grant)

"""API keys over the API: one's own for everybody who is signed in, others' where a role allows it.

A person's own key never comes here (decision 14), so a person is a session. A program acts by its roles.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group
from django.db.models import Q, QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from gateway.api.base import ApiView, BodyParser, Pages
from gateway.api.callers import Program, asker, changing
from gateway.api.changes import REFUSED
from gateway.api.keyshapes import (
    ApiKeyShape,
    KeyAsked,
    LeakAsked,
    LeakedKeyShape,
    LeakShape,
    MadeKeyShape,
    RevocationAsked,
    RotationAsked,
)
from gateway.api.readers import List, One
from gateway.callers import NO_SUCH, caller_named, reference
from gateway.callers import NotFound as NoCaller
from gateway.code.shape import LEVELS
from gateway.console.doors import doors_of
from gateway.credentials.secret import Secret
from gateway.identity.accounts import groups_beyond
from gateway.identity.keys import Because, api_key_create, api_key_revoke
from gateway.identity.leaks import LARGEST, leak_noted, leak_respond, leaked_keys
from gateway.identity.rotation import api_key_rotate
from gateway.identity.scope import KeyRefused, groups_carried, scope_checked
from gateway.models import ApiKey, Endpoint, ServiceAccount, User

Holder = User | ServiceAccount
VIEW, ADD, CHANGE = "gateway.view_apikey", "gateway.add_apikey", "gateway.change_apikey"


class _Keys(ApiView, GenericAPIView[ApiKey]):
    pagination_class = Pages
    serializer_class = ApiKeyShape
    queryset = ApiKey.objects.none()  # for the description; `get_queryset` says whose

    def get_queryset(self) -> QuerySet[ApiKey]:
        """One's own, and those that one may see."""
        reach = asker(self.request).areas_with(VIEW)
        visible = Q() if reach.everywhere else _own(self.request) | reach.q_of(ApiKey)
        rows = ApiKey.objects.filter(visible).select_related("user", "service_account__owner")
        return rows.prefetch_related("user__groups", "service_account__groups")

    def chosen(self, request: Request, pk: Any, permission: str) -> ApiKey:
        """A key that the caller may do this to; not found where it may not even see it."""
        key = get_object_or_404(self.get_queryset(), pk=pk)
        if not _is_own(request, key) and not asker(request).has_perm(permission, key):
            raise PermissionDenied(f"The permission {permission} is missing.")
        return key


def _own(request: Request) -> Q:
    who = asker(request)
    return Q(service_account=who.account) if isinstance(who, Program) else Q(user=who)


def _is_own(request: Request, key: ApiKey) -> bool:
    """A program does nothing to keys, its own among them, without a role: a stolen key must not renew
    itself."""
    who = asker(request)
    return isinstance(who, User) and key.user_id == who.pk


def _asked(shape: type[Serializer[Any]], request: Request) -> dict[str, Any]:
    asked = shape(data=request.data)
    asked.is_valid(raise_exception=True)
    found: dict[str, Any] = asked.validated_data
    return found


def _made(key: ApiKey, secret: Secret) -> Response:
    setattr(key, "key", secret.reveal())  # noqa: B010  for this answer alone
    return Response(MadeKeyShape(key).data, status=201, headers={"Cache-Control": "no-store"})


class KeyList(List, _Keys):
    """Keys, without their secrets: one's own, and those of the areas where one may see them."""

    @extend_schema(request=KeyAsked, responses={201: MadeKeyShape, "4XX": REFUSED})
    def post(self, request: Request) -> Response:
        """Make a key for oneself, or for a holder for whom one may; it is in the answer, this once."""
        asked = _asked(KeyAsked, request)
        holder = _holder(request, asked["holder"])
        person = holder if isinstance(holder, User) else None
        account = holder if isinstance(holder, ServiceAccount) else None
        groups = _groups(asked["groups"], holder)
        _check_endpoints(request, holder, asked["endpoints"])
        carried = [group.pk for group in groups]
        check_may_carry(request, ApiKey(user=person, service_account=account, group_ids=carried))
        scope = scope_checked(
            holder=holder,
            groups=groups,
            endpoints=asked["endpoints"],
            models=asked["models"],
            networks=asked["networks"],
        )
        level = asked["declared_level"]
        with changing(request) as by:
            key, secret = api_key_create(
                name=asked["name"],
                user=person,
                service_account=account,
                expires_at=asked["expires_at"],
                declared_level=None if level is None else LEVELS[level],
                scope=scope,
                by=by,
                by_program=isinstance(asker(request), Program),
            )
        return _made(key, secret)


class KeyOne(One, _Keys):
    """One key."""


class KeyRotate(_Keys):
    @extend_schema(request=RotationAsked, responses={201: MadeKeyShape, "4XX": REFUSED})
    def post(self, request: Request, pk: Any) -> Response:
        """A successor with the same scope; both work for `overlap` seconds."""
        asked = _asked(RotationAsked, request)
        key = self.chosen(request, pk, ADD)
        check_may_carry(request, key)
        with changing(request) as by:
            made = api_key_rotate(
                key=key,
                by=by,
                overlap=timedelta(seconds=asked["overlap"]),
                expires_at=asked["expires_at"],
                by_program=isinstance(asker(request), Program),
            )
        return _made(*made)


class KeyRevoke(_Keys):
    @extend_schema(request=RevocationAsked, responses={200: ApiKeyShape, "4XX": REFUSED})
    def post(self, request: Request, pk: Any) -> Response:
        """End a key now. One that has ended stays as it is."""
        asked = _asked(RevocationAsked, request)
        key = self.chosen(request, pk, CHANGE)
        with changing(request) as by:
            api_key_revoke(key=key, by=by, because=Because(asked["because"]))
        return Response(ApiKeyShape(self.get_queryset().get(pk=pk)).data)


class PasteParser(BodyParser):
    most = 2 * LARGEST  # a character of the text may travel as several


class KeysLeaked(ApiView):
    permissions = (CHANGE,)
    parser_classes = (PasteParser,)

    @extend_schema(request=LeakAsked, responses={200: LeakShape, "4XX": REFUSED})
    def post(self, request: Request) -> Response:
        """Find the keys that a text holds and, if asked to, revoke them. The text is not kept."""
        asked = _asked(LeakAsked, request)
        within = ApiKey.objects.filter(asker(request).areas_with(CHANGE).q_of(ApiKey))
        within = within.prefetch_related("user__groups", "service_account__groups")
        revoked: list[ApiKey] = []
        with changing(request) as by:
            found = leaked_keys(asked["text"], among=within)
            leak_noted(found=found, by=by)
            if asked["revoke"] != "none":
                chosen = [each.key for each in found if each.whole or asked["revoke"] == "all"]
                revoked = leak_respond(keys=chosen, by=by)
        for each in found:
            each.key.refresh_from_db(fields=["revoked_at", "revoked_because"])
            setattr(each.key, "whole", each.whole)  # noqa: B010  for this answer alone
        shown = LeakedKeyShape([each.key for each in found], many=True).data
        return Response({"keys": shown, "revoked": [key.prefix for key in revoked]})


def check_may_carry(request: Request, key: ApiKey) -> None:
    """A key for somebody else takes a role where they are, and carries nothing beyond that."""
    if _is_own(request, key):
        return
    if not asker(request).has_perm(ADD, key):
        raise PermissionDenied(f"The permission {ADD} is missing.")
    if beyond := groups_beyond(groups_carried(key), asker(request).areas_with(ADD)):
        raise KeyRefused(f"These groups reach beyond your areas: {', '.join(beyond)}.")


def _holder(request: Request, name: str) -> Holder:
    who = asker(request)
    if isinstance(who, User) and name in ("", reference(who)):
        return who
    if not who.has_perm(ADD):
        raise PermissionDenied(f"The permission {ADD} is missing.")
    try:
        found = caller_named(name)
    except NoCaller as error:
        raise NotFound(str(error)) from error
    key = found if isinstance(found, ApiKey) else ApiKey(**{_COLUMN[type(found)]: found})
    if not who.has_perm(ADD, key):
        raise NotFound(NO_SUCH)  # as for one that is not there
    if isinstance(found, ApiKey):
        raise KeyRefused("A key is held by a person or a service account.")
    return found


_COLUMN: dict[type[Holder], str] = {User: "user", ServiceAccount: "service_account"}


def _groups(names: list[str], holder: Holder) -> list[Group]:
    """Of the holder's groups. Whether there are others of these names is not told."""
    found = list(holder.groups.filter(name__in=names))
    if missing := set(names) - {group.name for group in found}:
        raise KeyRefused(f"{holder} is not in {', '.join(sorted(missing))}.")
    return found


def _check_endpoints(request: Request, holder: Holder, names: list[str]) -> None:
    """A key names endpoints that whoever makes it knows of: they are open to them, or lie where they look."""
    who = asker(request)
    known = Endpoint.objects.filter(who.areas_with(ADD).q() | who.areas_with("gateway.view_endpoint").q())
    there = set(known.filter(slug__in=names).values_list("slug", flat=True))
    if isinstance(who, User) and holder == who:
        there |= {door.slug for door in doors_of(who, timezone.now(), "")}
    if unknown := set(names) - there:
        raise KeyRefused(f"There is no endpoint {', '.join(sorted(unknown))}.")

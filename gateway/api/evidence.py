"""What the views of the evidence share: whose calls somebody sees, and how their questions are read.

An auditor sees the calls of their areas. Everybody sees what the record says of their own calls and sessions,
by session or by the key or token that their calls carry; payloads are for auditors alone, whoever called.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db.models import Q, QuerySet
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from audit.models import Call, Session
from audit.walls import EVERYWHERE, PERMISSION, Areas, audited_by
from gateway.api.base import ApiView
from gateway.api.callers import Key, Program, asker
from gateway.api.callers import Session as Browser
from gateway.api.requesters import Presented, Requester

MOST: Final = 100
"""Rows of one page."""


class AnyKey(BaseAuthentication):
    """A program with the roles of its groups; every other key and token sees what was done with it."""

    def authenticate(self, request: Request) -> tuple[Program | Requester, Any] | None:
        try:
            return Key().authenticate(request)
        except (PermissionDenied, AuthenticationFailed):
            return Presented().authenticate(request)

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="Postern"'


class AnyKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # it registers itself
    target_class = "gateway.api.evidence.AnyKey"
    name = "anyKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        text = "Any Postern API key, or an access token, as calls carry it: for what was done with it."
        return {"type": "http", "scheme": "bearer", "description": text}


class OwnOrAudited(ApiView):
    """Open to everybody who is known: it shows what is the asker's own, or lies where they audit."""

    authentication_classes: Any = (AnyKey, Browser)


class PageAsked(serializers.Serializer[Any]):
    limit = serializers.IntegerField(default=50, min_value=1, max_value=MOST)
    before = serializers.UUIDField(
        default=None, allow_null=True, help_text="Where the page before ended: its `older`."
    )


class ListAsked(PageAsked):
    mine = serializers.BooleanField(default=False, help_text="One's own only, for whoever audits as well.")


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows a list is about: those of these areas, or of one person or program wherever they lie."""

    areas: Areas
    person: UUID | None = None


def audits(request: Request) -> bool:
    return asker(request).has_perm(PERMISSION)


def scope_of(request: Request, *, mine: bool) -> Scope:
    if mine or not audits(request):
        return Scope(EVERYWHERE, asker(request).pk)
    return Scope(audited_by(asker(request)))


def sessions_seen(request: Request) -> QuerySet[Session]:
    """Where the asker audits, and their own."""
    seen = Q(person_id=asker(request).pk)
    if audits(request):
        areas = audited_by(asker(request))
        seen = Q() if areas is EVERYWHERE else seen | Q(area__in=areas)
    return Session.objects.filter(seen)


def is_own(request: Request, row: Call | Session) -> bool:
    return row.person_id is not None and row.person_id == asker(request).pk


def asked_of(shape: type[serializers.Serializer[Any]], said: Any) -> dict[str, Any]:
    """What was asked, as the shape reads it; refused if it does not fit."""
    asked = shape(data=said)
    asked.is_valid(raise_exception=True)
    found: dict[str, Any] = asked.validated_data
    return found

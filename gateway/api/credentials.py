"""Credentials over the API: how they stand and who can have them sent. A secret comes in and never goes out.

Where a secret goes (its origin, how it is sent) is changed in the admin or by policy as code, where it may
take two people: nothing here moves a credential.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ParseError, PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from gateway.access_review.custody import Use, uses_of
from gateway.access_review.reading import reach_of
from gateway.access_review.values import plain
from gateway.api.base import ApiView, BodyParser, M, Pages, mine
from gateway.api.callers import asker, changing, person_of
from gateway.api.changes import REFUSED
from gateway.api.credentialshapes import (
    SHOWN,
    ByNameAsked,
    CredentialShape,
    CredentialVersionShape,
    SecretAsked,
    VersionAsked,
    VersionUsed,
    WholeCredentialShape,
)
from gateway.api.readers import Kind, List, One
from gateway.credentials.services import credential_set, secret_problem
from gateway.models import Credential, CredentialVersion, Endpoint, Issuer
from gateway.rotating.services import roll_back
from gateway.rotating.standing import standings
from policies.journal import note

VIEW, CHANGE = "gateway.view_credential", "gateway.change_credential"
VIEW_VERSIONS, CHANGE_PLAN = "gateway.view_credentialversion", "gateway.change_rotationplan"


class Newest(Pages):
    ordering = "-id"


class Unstored(ApiView):
    """Nobody on the way keeps an answer about secrets, nor a refusal."""

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        answer = super().finalize_response(request, response, *args, **kwargs)
        answer["Cache-Control"] = "no-store"
        return answer


class SecretParser(BodyParser):
    """Says of a body that cannot be read only that: what was sent may hold the secret in any place."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            return super().parse(stream, media_type, parser_context)
        except ParseError:
            raise ParseError("The body has to be JSON without duplicate keys.") from None


def asked_of(shape: type[Serializer[Any]], data: Any) -> dict[str, Any]:
    asked = shape(data=data)
    asked.is_valid(raise_exception=True)
    found: dict[str, Any] = asked.validated_data
    return found


def chosen(request: Request, rows: QuerySet[M], pk: Any, see: str, may: Iterable[str]) -> M:
    """404 for what the asker does not see, 403 for what they see and may not do this to."""
    row = get_object_or_404(mine(request, rows, (see,)), pk=pk)
    for permission in may:
        if not asker(request).has_perm(permission, row):
            raise PermissionDenied(f"The permission {permission} is missing.")
    return row


def newest_versions(credential: Credential) -> list[CredentialVersion]:
    return list(credential.versions.defer("sealed").select_related("created_by").order_by("-id")[:SHOWN])


class _Credentials(Unstored, Kind[Credential]):
    permissions = (VIEW,)
    serializer_class: Any = CredentialShape
    queryset = Credential.objects.select_related("area", "plan").prefetch_related(
        Prefetch("endpoints", Endpoint.objects.only("slug", "credential")),
        Prefetch("certified", Endpoint.objects.only("slug", "client_certificate")),
    )

    def stand(self, rows: list[Credential]) -> list[Credential]:
        found = standings([(row, getattr(row, "plan", None)) for row in rows])
        for row in rows:
            setattr(row, "stands", found[row.pk])  # noqa: B010  for this answer alone
        return rows


class CredentialList(List, _Credentials):
    """Credentials, how each stands and when it is rotated next. Never a secret."""

    def get_queryset(self) -> QuerySet[Credential]:
        asked = asked_of(ByNameAsked, self.request.query_params)
        rows = super().get_queryset()
        rows = rows.filter(area__slug=asked["area"]) if asked["area"] else rows
        return rows.filter(name=asked["name"]) if asked["name"] else rows

    def paginate_queryset(self, queryset: Any) -> Any:
        return self.stand(super().paginate_queryset(queryset) or [])

    @extend_schema(parameters=[ByNameAsked])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class CredentialOne(One, _Credentials):
    """One credential with its newest versions."""

    serializer_class = WholeCredentialShape

    def get_object(self) -> Credential:
        (row,) = self.stand([super().get_object()])
        sees = asker(self.request).has_perm(VIEW_VERSIONS, row)
        setattr(row, "shown", newest_versions(row) if sees else None)  # noqa: B010  for this answer alone
        return row


class CredentialVersions(List, Unstored, Kind[CredentialVersion]):
    """The versions of one credential, newest first."""

    permissions = (VIEW, VIEW_VERSIONS)
    serializer_class = CredentialVersionShape
    pagination_class = Newest
    queryset = CredentialVersion.objects.defer("sealed").select_related("created_by")

    def get_queryset(self) -> QuerySet[CredentialVersion]:
        rows, pk = Credential.objects.all(), self.kwargs.get("pk")
        return self.queryset.filter(credential=chosen(self.request, rows, pk, VIEW, (VIEW_VERSIONS,)))


class CredentialCustody(Unstored):
    """Who can have the secret sent: the endpoints that use it, and who reaches each. An event if it says who.

    `callers` is null for who may not see access rules and service accounts here. `after` leads on in
    `access-review/endpoints/<id>`.
    """

    permissions = (VIEW,)

    @extend_schema(responses={200: OpenApiTypes.OBJECT, "4XX": REFUSED}, operation_id="credential_custody")
    def get(self, request: Request, pk: Any) -> Response:
        credential = chosen(request, Credential.objects.all(), pk, VIEW, ())
        sees = reach_of(asker(request)).covers(credential.area_id)
        uses = list(uses_of(credential, sees=sees))
        if sees:
            callers = sum(len(use.page.rows) for use in uses if use.page)
            facts = {"credential": credential.name, "format": "api", "callers": callers}
            note(action="access.exported", by=person_of(request), target=credential, facts=facts)
        issuers = Issuer.objects.filter(introspection_credential=credential).order_by("name")
        last_call = max((use.last_call for use in uses if use.last_call), default=None)
        return Response(
            {
                "credential": credential.name,
                "origin": credential.origin,
                "token_url": credential.token_url,
                "endpoints": [_use(use) for use in uses],
                "issuers": [issuer.name for issuer in issuers],
                "last_call": plain(last_call),
            }
        )


def _use(use: Use) -> dict[str, Any]:
    return {
        "id": str(use.endpoint.pk),
        "endpoint": use.endpoint.slug,
        "enabled": use.endpoint.enabled,
        "callers": [row.as_json() for row in use.page.rows] if use.page else None,
        "after": (use.page.after or None) if use.page else None,
        "last_call": plain(use.last_call),
    }


class CredentialSecret(Unstored):
    """Another secret for where it goes already; it is used from now on. The answer has its version alone."""

    permissions = (VIEW, CHANGE)
    parser_classes = (SecretParser,)

    @extend_schema(
        request=SecretAsked,
        responses={201: VersionUsed, "4XX": REFUSED},
        operation_id="credential_secret",
    )
    def post(self, request: Request, pk: Any) -> Response:
        credential = chosen(request, Credential.objects.all(), pk, VIEW, (CHANGE,))
        secret = asked_of(SecretAsked, request.data)["secret"]
        if problem := secret_problem(credential.placement, secret):
            raise ValidationError({"secret": [problem]})
        with changing(request) as person:
            version = credential_set(credential=credential, secret=secret, by=person)
        return Response({"version": version.number}, status=201)


class CredentialRollBack(Unstored):
    """Use a previous version again; the one in use becomes previous."""

    permissions = (VIEW, CHANGE_PLAN)

    @extend_schema(
        request=VersionAsked, responses={200: VersionUsed, "4XX": REFUSED}, operation_id="credential_rollback"
    )
    def post(self, request: Request, pk: Any) -> Response:
        credential = chosen(request, Credential.objects.all(), pk, VIEW, (CHANGE_PLAN,))
        number = asked_of(VersionAsked, request.data)["version"]
        version = credential.versions.filter(number=number).first()
        if version is None:
            raise ValidationError({"version": ["There is no such version."]})
        with changing(request) as person:
            roll_back(version=version, by=person)
        return Response({"version": number})

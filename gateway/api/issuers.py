"""Issuers with their mapping rules, and the deployment's own rules: through the services, as the admin does.

Where a change takes two people, one that comes with a `reason` opens a proposal and is answered 202.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any, ClassVar

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.base import ApiView, BodyParser, Pages
from gateway.api.callers import Program, asker, changing
from gateway.api.changes import REFUSED
from gateway.deployment import FLAGS, TARGET, deployment_now, deployment_save, lets_go
from gateway.identity import issuer_checks
from gateway.identity.kinds import issuer_payload
from gateway.issuers import (
    FIELDS,
    change_needs_two,
    issuer_delete,
    issuer_save,
    issuers_need_two,
    rules_differ,
)
from gateway.models import Deployment, GroupMapping, Issuer, Match, User
from policies.content import changed
from policies.proposals import propose


class MappingShape(serializers.Serializer[GroupMapping]):
    match = serializers.ChoiceField(Match.choices)
    value = serializers.CharField(max_length=300, trim_whitespace=False)
    group = serializers.CharField(
        default=None, allow_null=True, help_text="Its name; null: the group that the value names."
    )

    def to_representation(self, instance: GroupMapping) -> dict[str, Any]:
        group = instance.group.name if instance.group else None
        return {"match": instance.match, "value": instance.value, "group": group}


class Reasoned(serializers.Serializer[Any]):
    reason = serializers.CharField(
        write_only=True,
        required=False,
        max_length=300,
        help_text="Where the change takes two people: opens a proposal, for whoever confirms it to read.",
    )


class IssuerShape(Reasoned, serializers.ModelSerializer[Issuer]):
    mappings = MappingShape(many=True, required=False)
    warnings = serializers.SerializerMethodField(help_text="What may be a mistake, or a door.")

    class Meta:
        model = Issuer
        fields = ("id", *FIELDS, "mappings", "created_at", "warnings", "reason")

    def get_warnings(self, issuer: Issuer) -> list[str]:
        return issuer_checks.warnings(issuer, list(issuer.mappings.all()))


class DeploymentShape(Reasoned, serializers.ModelSerializer[Deployment]):
    class Meta:
        model = Deployment
        fields = (*FLAGS, "key_max_days", "personal_key_hours", "reason")


class ProposedShape(serializers.Serializer[Any]):
    proposal = serializers.UUIDField(help_text="Somebody else confirms it at /proposals/<id>/.")


class Body(BodyParser):
    most = 1024 * 1024  # a metadata document may be in it


class Wide(ApiView):
    """What lies in no area: a role that is held in one area only does not reach it."""

    model: ClassVar[type[Issuer | Deployment]]
    verbs: ClassVar[Mapping[str, str]] = {"POST": "add", "PATCH": "change", "DELETE": "delete"}
    parser_classes = (Body,)

    def check_permissions(self, request: Request) -> None:
        super().check_permissions(request)
        verb = self.verbs.get(request.method or "", "view")
        permission = f"gateway.{verb}_{self.model._meta.model_name}"
        who: Any = request.user
        if not who.has_perm(permission, self.model()):
            raise PermissionDenied(f"The permission {permission} is missing, or not held everywhere.")


def _proposed(
    request: Request, kind: str, target: Any, payload: Mapping[str, Any], by: User, reason: str
) -> Response:
    """In the name of a program's owner only where nobody else can hold its key: whoever made it would be two
    people, the owner and themselves."""
    who = asker(request)
    if isinstance(who, Program) and who.key.created_by_id != by.pk:
        raise PermissionDenied("A key that its owner has not made proposes nothing in the owner's name.")
    made = propose(kind=kind, target_id=target, payload=payload, by=by, reason=reason)
    return Response({"proposal": made.pk}, status=202)


def _rules(said: Iterable[Mapping[str, Any]]) -> list[GroupMapping]:
    """Unsaved, with their groups found by name. Raises `ValidationError`."""
    rows = list(said)
    names = {row["group"] for row in rows if row["group"] is not None}
    found = {group.name: group for group in Group.objects.filter(name__in=names)}
    if unknown := sorted(names - found.keys()):
        raise ValidationError(f"There is no group {', '.join(unknown)[:200]}.")
    return [
        GroupMapping(match=row["match"], value=row["value"], group=found.get(row["group"])) for row in rows
    ]


class _Issuers(Wide):
    model = Issuer

    def stored(self) -> Any:
        return Issuer.objects.prefetch_related("mappings__group")

    def save(self, request: Request, issuer: Issuer, said: dict[str, Any], status: int) -> Response:
        """Store what was said, or propose it; where two are needed and no reason is given it is refused."""
        reason, lines = said.pop("reason", ""), said.pop("mappings", None)
        for name, value in said.items():
            setattr(issuer, name, value)
        rules = None if lines is None else _rules(lines)
        with changing(request) as person:
            before = Issuer.objects.filter(pk=issuer.pk).first()
            if reason and change_needs_two(issuer, rules, before):
                return self.proposed(request, issuer, rules, before, person, reason)
            issuer_save(issuer=issuer, mappings=rules, by=person)
        return Response(IssuerShape(self.stored().get(pk=issuer.pk)).data, status=status)

    def proposed(
        self,
        request: Request,
        issuer: Issuer,
        rules: list[GroupMapping] | None,
        before: Issuer | None,
        person: User,
        reason: str,
    ) -> Response:
        if before is None:
            payload = issuer_payload(issuer, FIELDS, rules or [])
            return _proposed(request, "issuer.add", None, payload, person, reason)
        moved = rules if rules is not None and rules_differ(before, rules) else None
        payload = issuer_payload(issuer, changed(before, issuer), moved)
        return _proposed(request, "issuer.change", issuer.pk, payload, person, reason)


class IssuerList(_Issuers):
    """Issuers with their mapping rules; of a credential its id, never its secret."""

    @extend_schema(responses={200: IssuerShape(many=True), "4XX": REFUSED}, operation_id="issuers_list")
    def get(self, request: Request) -> Response:
        pages = Pages()
        rows = pages.paginate_queryset(self.stored(), request, self)
        return pages.get_paginated_response(IssuerShape(rows, many=True).data)

    @extend_schema(
        request=IssuerShape,
        responses={201: IssuerShape, 202: ProposedShape, "4XX": REFUSED},
        operation_id="issuer_add",
    )
    def post(self, request: Request) -> Response:
        """Add an issuer."""
        shape = IssuerShape(data=request.data)
        shape.is_valid(raise_exception=True)
        return self.save(request, Issuer(), dict(shape.validated_data), 201)


class IssuerOne(_Issuers):
    """One issuer."""

    @extend_schema(responses={200: IssuerShape, "4XX": REFUSED}, operation_id="issuer_retrieve")
    def get(self, request: Request, pk: Any) -> Response:
        return Response(IssuerShape(get_object_or_404(self.stored(), pk=pk)).data)

    @extend_schema(
        request=IssuerShape(partial=True),
        responses={200: IssuerShape, 202: ProposedShape, "4XX": REFUSED},
        operation_id="issuer_change",
    )
    def patch(self, request: Request, pk: Any) -> Response:
        """Change what is named; `mappings`, if named, are then all of its rules."""
        issuer = get_object_or_404(Issuer, pk=pk)
        shape = IssuerShape(issuer, data=request.data, partial=True)
        shape.is_valid(raise_exception=True)
        return self.save(request, issuer, dict(shape.validated_data), 200)

    @extend_schema(
        parameters=[Reasoned],
        responses={204: None, 202: ProposedShape, "4XX": REFUSED},
        operation_id="issuer_delete",
    )
    def delete(self, request: Request, pk: Any) -> Response:
        """Take an issuer away with its rules."""
        issuer = get_object_or_404(Issuer, pk=pk)
        asked = Reasoned(data=request.query_params)
        asked.is_valid(raise_exception=True)
        with changing(request) as person:
            if issuers_need_two() and (reason := asked.validated_data.get("reason", "")):
                return _proposed(request, "issuer.delete", issuer.pk, {}, person, reason)
            issuer_delete(issuer=issuer, by=person)
        return Response(status=204)


class DeploymentOne(Wide):
    """The deployment's own rules."""

    model = Deployment

    @extend_schema(responses={200: DeploymentShape, "4XX": REFUSED}, operation_id="deployment_retrieve")
    def get(self, request: Request) -> Response:
        return Response(DeploymentShape(deployment_now()).data)

    @extend_schema(
        request=DeploymentShape(partial=True),
        responses={200: DeploymentShape, 202: ProposedShape, "4XX": REFUSED},
        operation_id="deployment_change",
    )
    def patch(self, request: Request) -> Response:
        """Change what is named. Letting go of a second person takes a second person, and a `reason`."""
        stored = deployment_now()
        shape = DeploymentShape(stored, data=request.data, partial=True)
        shape.is_valid(raise_exception=True)
        said = dict(shape.validated_data)
        reason, wanted = said.pop("reason", ""), copy(stored)
        for name, value in said.items():
            setattr(wanted, name, value)
        let_go = lets_go(stored, wanted) if reason else []
        for flag in let_go:
            setattr(wanted, flag, True)
        with changing(request) as person:
            deployment_save(deployment=wanted, by=person)
            if let_go:
                flags = dict.fromkeys(let_go, False)
                return _proposed(request, "deployment.two_person", TARGET, flags, person, reason)
        return Response(DeploymentShape(deployment_now()).data)

"""Service accounts over the API, each within the areas where the caller may see or change them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.base import ApiView, Pages
from gateway.api.callers import asker, changing
from gateway.api.changes import REFUSED
from gateway.api.keyshapes import AccountAsked, AccountChange, ServiceAccountShape
from gateway.api.readers import List, One
from gateway.identity.accounts import groups_beyond, service_account_change, service_account_create
from gateway.identity.names import person_named
from gateway.models import Area, ServiceAccount, User

VIEW, ADD, CHANGE = (f"gateway.{verb}_serviceaccount" for verb in ("view", "add", "change"))


class _Accounts(ApiView, GenericAPIView[ServiceAccount]):
    permissions = (VIEW,)
    pagination_class = Pages
    serializer_class = ServiceAccountShape
    queryset = ServiceAccount.objects.none()  # for the description; `get_queryset` says which

    def get_queryset(self) -> QuerySet[ServiceAccount]:
        rows = ServiceAccount.objects.filter(asker(self.request).areas_with(VIEW).q_of(ServiceAccount))
        return rows.select_related("area", "owner").prefetch_related("groups")


class AccountList(List, _Accounts):
    """Service accounts."""

    @extend_schema(request=AccountAsked, responses={201: ServiceAccountShape, "4XX": REFUSED})
    def post(self, request: Request) -> Response:
        """Make one in an area."""
        asked = AccountAsked(data=request.data)
        asked.is_valid(raise_exception=True)
        said = asked.validated_data
        inside = Area.objects.filter(asker(request).areas_with(ADD).q(""))
        area = get_object_or_404(inside, slug=said["area"])
        check(request, ADD, ServiceAccount(area=area))
        groups = _groups(request, ADD, said["groups"], ())
        owner = _person(said["owner"])
        with changing(request) as by:
            made = service_account_create(
                area=area,
                name=said["name"],
                owner=owner,
                description=said["description"],
                groups=groups,
                by=by,
            )
        return Response(ServiceAccountShape(made).data, status=201)


class AccountOne(One, _Accounts):
    """One service account."""

    @extend_schema(request=AccountChange, responses={200: ServiceAccountShape, "4XX": REFUSED})
    def patch(self, request: Request, pk: Any) -> Response:
        """Hand it over, close or open it, describe it, or make these its groups."""
        asked = AccountChange(data=request.data)
        asked.is_valid(raise_exception=True)
        said = asked.validated_data
        account = get_object_or_404(self.get_queryset(), pk=pk)
        check(request, CHANGE, account)
        groups = _groups(request, CHANGE, said["groups"], account.groups.all()) if "groups" in said else None
        owner = _person(said["owner"]) if "owner" in said else None
        with changing(request) as by:
            service_account_change(
                account=account,
                owner=owner,
                description=said.get("description"),
                is_active=said.get("is_active"),
                groups=groups,
                by=by,
            )
        return Response(ServiceAccountShape(self.get_queryset().get(pk=pk)).data)


def check(request: Request, permission: str, account: ServiceAccount) -> None:
    if not asker(request).has_perm(permission, account):
        raise PermissionDenied(f"The permission {permission} is missing.")


def _person(username: str) -> User:
    found = person_named(username) if username.isprintable() else None
    if found is None:
        raise ValidationError({"owner": "There is no such person."})
    return found


def _groups(request: Request, permission: str, names: list[str], held: Iterable[Group]) -> list[Group]:
    """Groups by name. Those that the account has already may stay, whatever they open."""
    found = list(Group.objects.filter(name__in=names))
    refused = set(names) - {group.name for group in found}
    refused |= set(groups_beyond(set(found) - set(held), asker(request).areas_with(permission)))
    if refused:
        words = f"There is no such group, or it reaches beyond your areas: {', '.join(sorted(refused))}."
        raise ValidationError({"groups": words})
    return found

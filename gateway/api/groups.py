"""Groups: who keeps each, how many are in it, and new ones before anybody is."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group
from django.db.models import Count
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api import shapes
from gateway.api.base import Pages
from gateway.api.callers import changing
from gateway.api.readers import Kind, List, One
from gateway.identity.groups import group_declare

ADD = "auth.add_group"


class GroupShape(shapes.Shape[Group]):
    directory = serializers.SerializerMethodField(
        help_text="Who keeps its members; empty: they come by hand and by sign-in."
    )
    people = serializers.IntegerField(read_only=True)
    service_accounts = serializers.IntegerField(read_only=True, source="accounts")
    access_rules = serializers.IntegerField(read_only=True, source="rules")

    def get_directory(self, group: Group) -> str:
        kept = getattr(group, "directory", None)
        return kept.directory.name if kept else ""

    class Meta:
        model = Group
        fields = ("id", "name", "directory", "people", "service_accounts", "access_rules")


class GroupAsked(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=150)


class _Groups(Kind[Group]):
    permissions = ("auth.view_group",)
    serializer_class = GroupShape
    pagination_class = Pages
    queryset = Group.objects.select_related("directory__directory").annotate(
        people=Count("user", distinct=True),
        accounts=Count("service_accounts", distinct=True),
        rules=Count("access_rules", distinct=True),
    )


class GroupList(List, _Groups):
    """Groups."""

    @extend_schema(
        request=GroupAsked,
        responses={
            201: GroupShape,
            "4XX": OpenApiResponse(shapes.ProblemShape, description="A problem (RFC 9457)"),
        },
        operation_id="group_declare",
    )
    def post(self, request: Request) -> Response:
        """Declare a group without members. Groups belong to no area."""
        who: Any = request.user
        if not who.areas_with(ADD).everywhere:
            raise PermissionDenied(f"The permission {ADD} is missing.")
        asked = GroupAsked(data=request.data)
        asked.is_valid(raise_exception=True)
        with changing(request) as person:
            group = group_declare(name=asked.validated_data["name"], by=person)
        return Response(GroupShape(self.get_queryset().get(pk=group.pk)).data, status=201)


class GroupOne(One, _Groups):
    """One group."""

"""Reading the configuration: lists in pages, and one object at a time."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import Model, OuterRef, Prefetch, QuerySet, Subquery
from django.utils import timezone
from rest_framework.generics import GenericAPIView
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api import shapes
from gateway.api.base import ApiView, Pages, mine
from gateway.models import AccessRule, Area, Endpoint
from policies.models import DataClass, Policy, PolicyVersion, Rule, Schema, SchemaVersion, State
from policies.versions import LATEST

M = TypeVar("M", bound=Model)


class Kind(ApiView, GenericAPIView[M]):
    """One kind of object: who may see it, which rows and which shape."""

    pagination_class = Pages

    def get_queryset(self) -> QuerySet[M]:
        return mine(self.request, super().get_queryset(), self.permissions)


class List(ListModelMixin):
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.list(request, *args, **kwargs)


class One(RetrieveModelMixin):
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.retrieve(request, *args, **kwargs)


def in_force(versions: type[SchemaVersion | PolicyVersion], parent: str) -> Subquery:
    """The number of the version that calls are judged by now."""
    now = timezone.now()
    rows = versions._default_manager.filter(state=State.PUBLISHED, effective_at__lte=now)
    return Subquery(rows.filter(**{parent: OuterRef("pk")}).order_by(*LATEST).values("number")[:1])


class _Areas(Kind[Area]):
    permissions = ("gateway.view_area",)
    serializer_class = shapes.AreaShape
    queryset = Area.objects.all()


class AreaList(List, _Areas):
    """Areas."""


class AreaOne(One, _Areas):
    """One area."""


class _Endpoints(Kind[Endpoint]):
    permissions = ("gateway.view_endpoint",)
    serializer_class = shapes.EndpointShape
    queryset = Endpoint.objects.select_related("area", "credential", "health")


class EndpointList(List, _Endpoints):
    """Endpoints, with the name of their credential and never its secret."""


class EndpointOne(One, _Endpoints):
    """One endpoint."""


class _AccessRules(Kind[AccessRule]):
    permissions = ("gateway.view_accessrule",)
    serializer_class = shapes.AccessRuleShape
    queryset = AccessRule.objects.select_related("group", "endpoint__area", "policy")


class AccessRuleList(List, _AccessRules):
    """Access rules with their limits."""


class AccessRuleOne(One, _AccessRules):
    """One access rule."""


class _Schemas(Kind[Schema]):
    permissions = ("policies.view_schema",)
    serializer_class = shapes.SchemaShape

    queryset = Schema.objects.select_related("area")

    def get_queryset(self) -> QuerySet[Schema]:
        return super().get_queryset().annotate(in_force=in_force(SchemaVersion, "schema"))


class SchemaList(List, _Schemas):
    """Schemas with the number of the version in force."""


class SchemaOne(One, _Schemas):
    """One schema."""


class _Policies(Kind[Policy]):
    permissions = ("policies.view_policy",)
    serializer_class = shapes.PolicyShape

    queryset = Policy.objects.select_related("area")

    def get_queryset(self) -> QuerySet[Policy]:
        return super().get_queryset().annotate(in_force=in_force(PolicyVersion, "policy"))


class PolicyList(List, _Policies):
    """Policies with the number of the version in force."""


class PolicyOne(One, _Policies):
    """One policy."""


class SchemaVersions(List, Kind[SchemaVersion]):
    """The versions of one schema, oldest first."""

    permissions = ("policies.view_schemaversion",)
    serializer_class = shapes.SchemaVersionShape
    queryset = SchemaVersion.objects.select_related("schema", "author", "published_by")

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(schema=self.kwargs.get("pk"))


class SchemaVersionOne(One, Kind[SchemaVersion]):
    """A schema version with its classes, detectors and examples."""

    permissions = ("policies.view_schemaversion",)
    serializer_class = shapes.SchemaContentShape
    queryset = SchemaVersion.objects.select_related("schema", "author", "published_by").prefetch_related(
        Prefetch("classes", DataClass.objects.order_by("position", "slug")),
        "classes__detectors",
        "classes__examples",
    )


class PolicyVersions(List, Kind[PolicyVersion]):
    """The versions of one policy, oldest first."""

    permissions = ("policies.view_policyversion",)
    serializer_class = shapes.PolicyVersionShape
    queryset = PolicyVersion.objects.select_related("policy", "schema", "author", "published_by")

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(policy=self.kwargs.get("pk"))


class PolicyVersionOne(One, Kind[PolicyVersion]):
    """A policy version with its settings and rules."""

    permissions = ("policies.view_policyversion",)
    serializer_class = shapes.PolicyContentShape
    queryset = PolicyVersion.objects.select_related(
        "policy", "schema", "author", "published_by"
    ).prefetch_related(Prefetch("rules", Rule.objects.order_by("position", "id")))

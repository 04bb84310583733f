"""Publishing and rolling back versions, and policy as code: through the services, as the admin does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api import shapes
from gateway.api.base import ApiView, JsonDocumentParser, YamlDocumentParser, YamlRenderer
from gateway.api.callers import asker, changing
from gateway.code import state
from gateway.code.apply import apply
from gateway.code.document import as_document
from gateway.code.permissions import SEE, missing, sees
from gateway.code.plan import Plan, plan
from gateway.models import Area
from policies import services
from policies.models import PolicyVersion, SchemaVersion, State
from policies.publishing import NotADraft, PolicyServiceError
from policies.reach import seen

REFUSED: Any = OpenApiResponse(shapes.ProblemShape, description="A problem (RFC 9457)")
DOCUMENT: Any = {"application/json": {"type": "object"}, "application/yaml": {"type": "object"}}


def _found(request: Request, model: Any, pk: Any, perms: tuple[str, ...]) -> Any:
    """404 for what the asker does not see, 403 for what they see and may not do this to."""
    rows = seen(
        request.user, model._default_manager.all(), (f"policies.view_{model._meta.model_name}", *perms)
    )
    version = get_object_or_404(rows, pk=pk)
    for perm in perms:
        if not request.user.has_perm(perm, version):
            raise PermissionDenied(f"The permission {perm} is missing in this area.")
    return version


class _Publish(ApiView):
    model: ClassVar[Any]
    shape: ClassVar[Any]
    publish: ClassVar[Callable[..., Any]]

    def post(self, request: Request, pk: Any) -> Response:
        asked = shapes.PublishAsked(data=request.data)
        asked.is_valid(raise_exception=True)
        version = _found(request, self.model, pk, self.permissions)
        if not version.is_draft:
            raise NotADraft(f"{version} is {version.get_state_display().lower()}. Only a draft is published.")
        with changing(request) as person:
            when = asked.validated_data.get("effective_at")
            done = self.publish(version=version, by=person, effective_at=when)
        return Response(self.shape(done).data)


class _RollBack(ApiView):
    model: ClassVar[Any]
    shape: ClassVar[Any]
    roll_back: ClassVar[Callable[..., Any]]

    def post(self, request: Request, pk: Any) -> Response:
        version = _found(request, self.model, pk, self.permissions)
        if version.state != State.RETIRED:
            raise PolicyServiceError(f"{version} is not retired: there is nothing to go back to.")
        with changing(request) as person:
            done = self.roll_back(version=version, by=person)
        return Response(self.shape(done).data, status=201)


@extend_schema(
    request=shapes.PublishAsked,
    responses={200: shapes.SchemaVersionShape, "4XX": REFUSED},
    operation_id="schema_version_publish",
)
class SchemaPublish(_Publish):
    """Check a draft on its examples, freeze it and put it in force."""

    permissions = ("policies.publish_schemaversion",)
    model, shape = SchemaVersion, shapes.SchemaVersionShape
    publish = staticmethod(services.schema_version_publish)


@extend_schema(
    request=shapes.PublishAsked,
    responses={200: shapes.PolicyVersionShape, "4XX": REFUSED},
    operation_id="policy_version_publish",
)
class PolicyPublish(_Publish):
    """Check a draft against its schema, freeze it and put it in force."""

    permissions = ("policies.publish_policyversion",)
    model, shape = PolicyVersion, shapes.PolicyVersionShape
    publish = staticmethod(services.policy_version_publish)


@extend_schema(
    request=None,
    responses={201: shapes.SchemaVersionShape, "4XX": REFUSED},
    operation_id="schema_version_rollback",
)
class SchemaRollBack(_RollBack):
    """Put an earlier version's content in force again, as a new version."""

    permissions = ("policies.publish_schemaversion",)
    model, shape = SchemaVersion, shapes.SchemaVersionShape
    roll_back = staticmethod(services.schema_version_rollback)


@extend_schema(
    request=None,
    responses={201: shapes.PolicyVersionShape, "4XX": REFUSED},
    operation_id="policy_version_rollback",
)
class PolicyRollBack(_RollBack):
    """Put an earlier version's content in force again, as a new version."""

    permissions = ("policies.publish_policyversion",)
    model, shape = PolicyVersion, shapes.PolicyVersionShape
    roll_back = staticmethod(services.policy_version_rollback)


class _WithDocument(ApiView):
    permissions = SEE
    parser_classes = (JsonDocumentParser, YamlDocumentParser)

    def planned(self, request: Request, prune: bool) -> Plan:
        """What does not fit is told only to those who see the area: it says what is there."""
        document = as_document(request.data)
        self._see(_slug(document), request)
        made = plan(document, prune=prune)
        self._see(made.area["slug"], request)
        return made

    def _see(self, slug: str, request: Request) -> None:
        if not sees(slug, asker(request)):
            raise NotFound("There is no such area where you may see everything.")


def _slug(document: Any) -> str:
    """Which area a document says it is about, before anything else in it is read."""
    area = document.get("area") if isinstance(document, dict) else None
    slug = area.get("slug") if isinstance(area, dict) else None
    return slug if isinstance(slug, str) else ""


@extend_schema(
    parameters=[shapes.PlanAsked],
    request=DOCUMENT,
    responses={200: shapes.PlanShape, "4XX": REFUSED},
    operation_id="policy_plan",
)
class PolicyPlan(_WithDocument):
    """What applying the document would change, and what is only in the database. Changes nothing."""

    def post(self, request: Request) -> Response:
        asked = shapes.PlanAsked(data=request.query_params)
        asked.is_valid(raise_exception=True)
        return Response(self.planned(request, **asked.validated_data).as_json())


@extend_schema(
    parameters=[shapes.ApplyAsked],
    request=DOCUMENT,
    responses={200: shapes.PlanShape, "4XX": REFUSED},
    operation_id="policy_apply",
)
class PolicyApply(_WithDocument):
    """Make it so, all of it or nothing; what was changed is the answer."""

    def post(self, request: Request) -> Response:
        asked = shapes.ApplyAsked(data=request.query_params)
        asked.is_valid(raise_exception=True)
        made = self.planned(request, asked.validated_data["prune"])
        if refused := missing(made, asker(request)):
            raise PermissionDenied(" ".join(refused))
        with changing(request) as person:
            apply(plan=made, by=person, expect=asked.validated_data["expect"])
        return Response(made.as_json())


@extend_schema(
    parameters=[shapes.ExportAsked],
    responses={200: DOCUMENT["application/json"], "4XX": REFUSED},
    operation_id="policy_export",
)
class PolicyExport(ApiView):
    """What is in force in an area, as a document: JSON, or YAML for `Accept: application/yaml`."""

    permissions = SEE
    renderer_classes = (JSONRenderer, YamlRenderer)

    def get(self, request: Request) -> Response:
        asked = shapes.ExportAsked(data=request.query_params)
        asked.is_valid(raise_exception=True)
        slug = asked.validated_data["area"]
        areas = Area.objects.all()
        for perm in SEE:
            areas = areas.filter(asker(request).areas_with(perm).q(""))
        found = list(areas.filter(slug=slug) if slug else areas[:2])
        if len(found) != 1:
            raise NotFound("Say which area: ?area= with its slug.")
        return Response(state.document(found[0]))

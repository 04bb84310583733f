"""Rotation plans over the API, and what a person may do about a rotation: as the buttons of the admin do.

What a plan says is changed in the admin or by policy as code; here it is paused and goes on.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.callers import changing
from gateway.api.changes import REFUSED
from gateway.api.credentials import Newest, Unstored, asked_of, chosen, newest_versions
from gateway.api.credentialshapes import (
    ByNameAsked,
    ConfirmationAsked,
    Revoked,
    RotationPlanShape,
    RotationShape,
    WholeRotationPlanShape,
)
from gateway.api.readers import Kind, List, One
from gateway.models import Rotation, RotationPlan
from gateway.rotating.services import plan_pause, rotate_now, rotation_cancel, secret_revoke_now
from gateway.rotating.standing import standings

VIEW, CHANGE = "gateway.view_rotationplan", "gateway.change_rotationplan"
VIEW_ROTATIONS = "gateway.view_rotation"
PLANS = RotationPlan.objects.select_related("credential__area", "admin_credential")


def _stand(plans: list[RotationPlan]) -> list[RotationPlan]:
    found = standings([(plan.credential, plan) for plan in plans])
    for plan in plans:
        setattr(plan, "stands", found[plan.credential_id])  # noqa: B010  for this answer alone
    return plans


def _whole(plan: RotationPlan) -> RotationPlan:
    _stand([plan])
    setattr(plan, "shown", newest_versions(plan.credential))  # noqa: B010  for this answer alone
    return plan


class _Plans(Unstored, Kind[RotationPlan]):
    permissions = (VIEW,)
    serializer_class: Any = RotationPlanShape
    queryset = PLANS


class RotationPlanList(List, _Plans):
    """Rotation plans, how the credential of each stands, and what is under way."""

    def get_queryset(self) -> QuerySet[RotationPlan]:
        asked = asked_of(ByNameAsked, self.request.query_params)
        rows = super().get_queryset()
        rows = rows.filter(credential__area__slug=asked["area"]) if asked["area"] else rows
        return rows.filter(credential__name=asked["name"]) if asked["name"] else rows

    def paginate_queryset(self, queryset: Any) -> Any:
        return _stand(super().paginate_queryset(queryset) or [])

    @extend_schema(parameters=[ByNameAsked])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class RotationPlanOne(One, _Plans):
    """One plan with the newest versions of its credential."""

    serializer_class = WholeRotationPlanShape

    def get_object(self) -> RotationPlan:
        return _whole(super().get_object())


class RotationList(List, Unstored, Kind[Rotation]):
    """What became of the rotations of one plan's credential, newest first."""

    permissions = (VIEW, VIEW_ROTATIONS)
    serializer_class = RotationShape
    pagination_class = Newest
    queryset = Rotation.objects.select_related("version", "asked_by").defer("version__sealed")

    def get_queryset(self) -> QuerySet[Rotation]:
        plan = chosen(self.request, PLANS, self.kwargs.get("pk"), VIEW, (VIEW_ROTATIONS,))
        return self.queryset.filter(credential=plan.credential_id)


class _Act(Unstored):
    permissions = (VIEW, CHANGE)

    def plan(self, request: Request, pk: Any) -> RotationPlan:
        return chosen(request, PLANS, pk, VIEW, (CHANGE,))

    def meant(self, request: Request, pk: Any) -> RotationPlan:
        """What cannot be taken back names its credential once more, as the admin asks twice."""
        plan = self.plan(request, pk)
        if asked_of(ConfirmationAsked, request.data)["confirm"] != plan.credential.name:
            raise ValidationError({"confirm": ["Write the name of the plan's credential, if it is meant."]})
        return plan


@extend_schema(
    request=None, responses={202: RotationShape, "4XX": REFUSED}, operation_id="rotation_plan_rotate"
)
class RotateNow(_Act):
    """Begin a rotation at once, outside of windows too."""

    def post(self, request: Request, pk: Any) -> Response:
        plan = self.plan(request, pk)
        with changing(request) as person:
            rotation = rotate_now(credential=plan.credential, by=person)
        return Response(RotationShape(rotation).data, status=202)


@extend_schema(
    request=ConfirmationAsked,
    responses={202: RotationShape, "4XX": REFUSED},
    operation_id="rotation_plan_compromised",
)
class Compromised(_Act):
    """Replace it at once: everything before it is taken back at the switch, without overlap."""

    def post(self, request: Request, pk: Any) -> Response:
        plan = self.meant(request, pk)
        with changing(request) as person:
            rotation = rotate_now(credential=plan.credential, by=person, compromised=True)
        rotation.refresh_from_db()
        return Response(RotationShape(rotation).data, status=202)


@extend_schema(
    request=ConfirmationAsked, responses={200: Revoked, "4XX": REFUSED}, operation_id="rotation_plan_revoke"
)
class RevokeNow(_Act):
    """Wipe every secret now, without another: calls are refused until there is one."""

    def post(self, request: Request, pk: Any) -> Response:
        plan = self.meant(request, pk)
        with changing(request) as person:
            revoked = secret_revoke_now(credential=plan.credential, by=person)
        return Response({"revoked": revoked})


@extend_schema(
    request=None, responses={200: WholeRotationPlanShape, "4XX": REFUSED}, operation_id="rotation_plan_cancel"
)
class CallOff(_Act):
    """End what is under way: what was made is taken back, the secret in use stays."""

    def post(self, request: Request, pk: Any) -> Response:
        plan = self.plan(request, pk)
        with changing(request) as person:
            rotation_cancel(credential=plan.credential, by=person)
        return Response(WholeRotationPlanShape(_whole(plan)).data)


class _Pausing(_Act):
    paused: ClassVar[bool]

    def post(self, request: Request, pk: Any) -> Response:
        plan = self.plan(request, pk)
        with changing(request) as person:
            plan = plan_pause(credential=plan.credential, paused=self.paused, by=person)
        return Response(WholeRotationPlanShape(_whole(plan)).data)


@extend_schema(
    request=None, responses={200: WholeRotationPlanShape, "4XX": REFUSED}, operation_id="rotation_plan_pause"
)
class Pause(_Pausing):
    """Nothing begins by itself any more. One that is paused stays so."""

    paused = True


@extend_schema(
    request=None, responses={200: WholeRotationPlanShape, "4XX": REFUSED}, operation_id="rotation_plan_resume"
)
class Resume(_Pausing):
    """Go on by the schedule, counted from the secret in use."""

    paused = False

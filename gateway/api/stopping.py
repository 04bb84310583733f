"""Locks, the calls under way, and cutting one of them."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from gateway import services
from gateway.api.base import ApiView
from gateway.api.callers import changing
from gateway.api.changes import REFUSED
from gateway.api.readers import Kind, List, One
from gateway.console.living import CUT, LOCK, live_calls, may_look
from gateway.models import Lock
from gateway.models.lock import lock_in_force

VIEW, LIFT = "gateway.view_lock", "gateway.change_lock"


class LockShape(serializers.ModelSerializer[Lock]):
    kind = serializers.CharField(source="target_kind", read_only=True)
    on = serializers.CharField(source="target_name", read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True, default="")
    lifted_by = serializers.CharField(source="lifted_by.username", read_only=True, default="")

    class Meta:
        model = Lock
        fields = (
            "id",
            "kind",
            "on",
            "reason",
            "created_by",
            "created_at",
            "expires_at",
            "lifted_by",
            "lifted_at",
        )


class LockAsked(serializers.Serializer[Any]):
    target = serializers.CharField(
        max_length=300,
        help_text="user:…, service:…, key:pst_…, group:…, endpoint:…, area:… or everything",
    )
    reason = serializers.CharField(max_length=300)
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class CutAsked(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=300)


class CutDone(serializers.Serializer[Any]):
    cut = serializers.BooleanField(help_text="False: it was being cut already.")


class _Locks(Kind[Lock]):
    serializer_class = LockShape
    permissions = (VIEW,)

    def get_queryset(self) -> QuerySet[Lock]:
        return services.locks_seen(self.request.user)  # type: ignore[arg-type]  # a person or a program


class LockList(List, _Locks):
    """Locks in force, oldest first; with `all=1` also those that were lifted or ran out."""

    def get_queryset(self) -> QuerySet[Lock]:
        found = super().get_queryset()
        return found if self.request.GET.get("all") else found.filter(lock_in_force(timezone.now()))

    @extend_schema(parameters=[OpenApiParameter("all", bool, description="Also those that are over.")])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(request=LockAsked, responses={201: LockShape, "4XX": REFUSED}, operation_id="lock_set")
    def post(self, request: Request) -> Response:
        """Stop somebody or something at once; what runs is cut."""
        asked = LockAsked(data=request.data)
        asked.is_valid(raise_exception=True)
        said = asked.validated_data
        who: Any = request.user
        if not who.areas_with(LOCK):
            raise PermissionDenied(f"The permission {LOCK} is missing.")
        try:
            target = services.lockable(who, said["target"])
        except services.NoTarget as unknown:
            raise ValidationError({"target": [str(unknown)]}) from None
        with changing(request) as person:
            lock = services.lock_set(
                by=person, reason=said["reason"], expires_at=said["expires_at"], **target
            )
        return Response(LockShape(lock).data, status=201)


class LockOne(One, _Locks):
    """One lock, also one that is over."""


class LockLift(ApiView):
    """End a lock. One that is over stays as it is."""

    permissions = (LIFT,)

    @extend_schema(request=None, responses={200: LockShape, "4XX": REFUSED}, operation_id="lock_lift")
    def post(self, request: Request, pk: Any) -> Response:
        who: Any = request.user
        lock = get_object_or_404(services.locks_seen(who), pk=pk)
        if not services.may_lock(who, services.locked_row(lock), LIFT):
            raise PermissionDenied("This lies outside the areas in which you may lift locks.")
        with changing(request) as person:
            services.lock_lift(lock=lock, by=person)
        lock.refresh_from_db()
        return Response(LockShape(lock).data)


class LiveCalls(ApiView):
    """The calls under way, oldest first: facts and counts, no payload. `more` are not shown."""

    @extend_schema(responses={200: OpenApiTypes.OBJECT, "4XX": REFUSED}, operation_id="live_calls")
    def get(self, request: Request) -> Response:
        who: Any = request.user
        if not may_look(who):
            raise PermissionDenied(f"The permission {CUT} is missing.")
        live = live_calls(holder=who, now=timezone.now())
        return Response({"results": [call.as_json() for call in live.calls], "more": live.more})


class CallCut(ApiView):
    """End one call under way. Asking twice does no more than asking once."""

    permissions = (CUT,)

    @extend_schema(request=CutAsked, responses={200: CutDone, "4XX": REFUSED}, operation_id="call_cut")
    def post(self, request: Request, pk: Any) -> Response:
        asked = CutAsked(data=request.data)
        asked.is_valid(raise_exception=True)
        who: Any = request.user
        try:
            call = services.call_named(pk)
            if not who.areas_with(CUT).covers_slug(call.area):
                raise services.UnknownCall
            with changing(request) as person:
                made = services.call_cut(call_id=pk, by=person, reason=asked.validated_data["reason"])
        except services.UnknownCall as unknown:
            raise NotFound(str(unknown)) from None
        return Response({"cut": made})

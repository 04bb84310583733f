"""The access review for programs: who reaches an endpoint, what a caller reaches. Each answer is an event."""

from __future__ import annotations

from typing import Any, ClassVar

from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.access_review.marks import marks_of, review_mark
from gateway.access_review.reading import (
    SEES,
    Caller,
    callers_of,
    endpoints_in,
    may_see,
    reach_of,
    reached_by,
)
from gateway.access_review.values import plain
from gateway.api.base import ApiView
from gateway.api.callers import changing, person_of
from gateway.api.changes import REFUSED
from gateway.identity.reach import Reach
from gateway.models import Endpoint, ServiceAccount, User
from policies.journal import note
from policies.store import scrubbers


class PageAsked(serializers.Serializer[Any]):
    limit = serializers.IntegerField(default=50, min_value=1, max_value=500)
    after = serializers.CharField(
        default="", allow_blank=True, max_length=300, help_text="Where the page before ended: its `after`."
    )


class MarkAsked(serializers.Serializer[Any]):
    words = serializers.CharField(default="", allow_blank=True, max_length=300, help_text="A comment.")


class Reviewing(ApiView):
    permissions = SEES

    def reach(self, request: Request) -> Reach:
        asker: Any = request.user
        reach = reach_of(asker)
        if not reach:
            raise PermissionDenied("These permissions are not held together in any area.")
        return reach

    def endpoint(self, request: Request, pk: Any) -> Endpoint:
        return get_object_or_404(endpoints_in(self.reach(request)), pk=pk)


class EndpointReview(Reviewing):
    """Who reaches an endpoint: through which group and rule, since when, with which keys, last call."""

    @extend_schema(
        parameters=[PageAsked],
        responses={200: OpenApiTypes.OBJECT, "4XX": REFUSED},
        operation_id="access_review_endpoint",
    )
    def get(self, request: Request, pk: Any) -> Response:
        endpoint = self.endpoint(request, pk)
        asked = PageAsked(data=request.query_params)
        asked.is_valid(raise_exception=True)
        try:
            page = callers_of(endpoint, **asked.validated_data)
        except ValueError:
            raise ValidationError({"after": ["This is no place that a page ended at."]}) from None
        mark = marks_of([endpoint.pk]).get(endpoint.pk)
        facts = {"endpoint": endpoint.slug, "format": "api", "callers": len(page.rows)}
        note(action="access.exported", by=person_of(request), target=endpoint, facts=facts)
        return Response(
            {
                "endpoint": endpoint.slug,
                "area": endpoint.area.slug,
                "reviewed_at": plain(mark.at) if mark else None,
                "reviewed_by": mark.by if mark else None,
                "callers": [row.as_json() for row in page.rows],
                "after": page.after or None,
            }
        )


@extend_schema(request=MarkAsked, responses={204: None, "4XX": REFUSED}, operation_id="access_review_mark")
class EndpointReviewed(Reviewing):
    """Note that whoever answers for this request has reviewed who reaches the endpoint."""

    def post(self, request: Request, pk: Any) -> Response:
        endpoint = self.endpoint(request, pk)
        asked = MarkAsked(data=request.data)
        asked.is_valid(raise_exception=True)
        scrubbers()  # compiled before the transaction
        with changing(request) as person:
            review_mark(endpoint=endpoint, by=person, words=asked.validated_data["words"])
        return Response(status=204)


class _CallerReview(Reviewing):
    model: ClassVar[type[Caller]]

    def get(self, request: Request, pk: Any) -> Response:
        reach = self.reach(request)
        caller: Any = get_object_or_404(self.model._default_manager, pk=pk)
        if not may_see(caller, reach):
            raise NotFound
        rows = reached_by(caller, reach)
        facts = {"caller": str(caller), "format": "api", "endpoints": len(rows)}
        note(action="access.exported", by=person_of(request), target=caller, facts=facts)
        return Response({"caller": str(caller), "endpoints": [row.as_json() for row in rows]})


@extend_schema(responses={200: OpenApiTypes.OBJECT, "4XX": REFUSED}, operation_id="access_review_person")
class PersonReview(_CallerReview):
    """Everything that one person reaches, in the areas that may be reviewed."""

    model = User


@extend_schema(responses={200: OpenApiTypes.OBJECT, "4XX": REFUSED}, operation_id="access_review_service")
class ServiceReview(_CallerReview):
    """Everything that one service account reaches, in the areas that may be reviewed."""

    model = ServiceAccount

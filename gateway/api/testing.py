"""Asking a model's service now, with the endpoint's own credential."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, Throttled
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.base import ApiView, mine
from gateway.api.callers import changing
from gateway.api.changes import REFUSED
from gateway.models import Endpoint
from gateway.upstreams.probing import TooSoon, connection_test

VIEW, CHANGE = "gateway.view_endpoint", "gateway.change_endpoint"


class Heard(serializers.Serializer[Any]):
    ok = serializers.BooleanField()
    error = serializers.CharField(help_text="A code of docs/upstreams.md; empty if all is well.")
    words = serializers.CharField()
    status = serializers.IntegerField(allow_null=True, help_text="What the service answered.")
    ms = serializers.IntegerField()


class EndpointTest(ApiView):
    """Ask an endpoint's service now; once in five seconds. Neither its answer nor the secret is told."""

    permissions = (VIEW, CHANGE)

    @extend_schema(request=None, responses={200: Heard, "4XX": REFUSED}, operation_id="endpoint_test")
    def post(self, request: Request, pk: Any) -> Response:
        who: Any = request.user
        seen = mine(request, Endpoint.objects.select_related("credential"), (VIEW,))
        endpoint = get_object_or_404(seen, pk=pk)
        if not who.has_perm(CHANGE, endpoint):
            raise PermissionDenied(f"The permission {CHANGE} is missing.")
        try:
            with changing(request) as person:
                heard = connection_test(endpoint=endpoint, by=person)
        except TooSoon as soon:
            raise Throttled(soon.seconds) from None
        found = {"ok": not heard.error, "error": heard.error, "words": heard.words}
        return Response({**found, "status": heard.status, "ms": heard.milliseconds})

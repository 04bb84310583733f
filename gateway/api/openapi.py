"""The description of the API for programs, made from the views themselves."""

from __future__ import annotations

from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from gateway.api.base import ApiView


@cache
def description() -> dict[str, Any]:
    """OpenAPI 3.1; made once per process."""
    found: dict[str, Any] = SchemaGenerator().get_schema(  # type: ignore[no-untyped-call]  # it has no types
        request=None, public=True
    )
    return found


@extend_schema(exclude=True)
class OpenApi(ApiView):
    def get(self, request: Request) -> Response:
        return Response(description())


@extend_schema(exclude=True)
class Nothing(ApiView):
    """Every other path: a problem, not a page."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound()

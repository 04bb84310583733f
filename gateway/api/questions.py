"""What is asked of the gateway without changing it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from gateway import callers, explaining
from gateway.api import shapes
from gateway.api.base import Question


@extend_schema(
    request=shapes.ExplainAsked,
    responses={
        200: OpenApiTypes.OBJECT,
        "4XX": OpenApiResponse(shapes.ProblemShape, description="A problem (RFC 9457)"),
    },
    operation_id="explain",
)
class Explain(Question):
    """Which access rule decides a call, under which versions and limits, and why the others do not."""

    permissions = ("gateway.view_accessrule",)
    asks = shapes.ExplainAsked
    http_method_names = ["post", "options"]

    def answer(self, asked: dict[str, Any], request: Request) -> Any:
        try:
            return explaining.explain(**asked).as_json()
        except callers.NotFound as error:
            raise NotFound(str(error)) from error

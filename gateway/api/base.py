"""What all views of the API share: who may ask, how often, how bodies are read and how pages are cut."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, TypeVar

from django.db.models import Model, QuerySet
from rest_framework.exceptions import ParseError, PermissionDenied
from rest_framework.pagination import CursorPagination
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from gateway.api.callers import Key, Session
from gateway.api.problems import TooLarge
from gateway.code.document import LARGEST, DocumentError, Mapped, parse_json, read, read_json, write
from policies.reach import reach

M = TypeVar("M", bound=Model)

SMALL = 64 * 1024
LARGEST_YAML = 1024 * 1024
"""Smaller than a file of the command line: reading YAML takes seconds for each megabyte, JSON does not."""


class Permitted(BasePermission):
    """The view's `permissions`, all of them, somewhere. A view without any is open to everybody who is known.

    Which rows that reaches is the view's business: see `mine`.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if not request.user or not request.user.is_authenticated:
            return False
        for permission in view.permissions:
            if not request.user.has_perm(permission):
                raise PermissionDenied(f"The permission {permission} is missing.")
        return True


class Throttle(SimpleRateThrottle):
    """Requests of one caller to one process: `rate` of them."""

    scope = "reading"
    rate = "600/min"

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        return f"api-{self.scope}-{request.user.pk}"


class ChangeThrottle(Throttle):
    """What compiles or writes."""

    scope = "changing"
    rate = "60/min"

    def allow_request(self, request: Request, view: Any) -> bool:
        return request.method in ("GET", "HEAD", "OPTIONS") or super().allow_request(request, view)


class Pages(CursorPagination):
    """By id, which is by age; `limit` at a time. `next` leads on until it is null."""

    ordering = "id"
    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 200


class BodyParser(BaseParser):
    """A small JSON body: at most `most` bytes."""

    media_type = "application/json"
    most = SMALL

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            return parse_json(_read(stream, self.most))
        except DocumentError as error:
            raise ParseError(" ".join(error.problems)) from None


class JsonDocumentParser(BaseParser):
    """A document of `gateway.code` as JSON."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Mapped:
        return read_json(_read(stream, LARGEST))


class YamlDocumentParser(BaseParser):
    """The same as YAML."""

    media_type = "application/yaml"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Mapped:
        return read(_read(stream, LARGEST_YAML))


def _read(stream: Any, most: int) -> bytes:
    data: bytes = stream.read(most + 1)
    if len(data) > most:
        raise TooLarge(f"The body is larger than {most // 1024} KB.")
    return data


class YamlRenderer(BaseRenderer):
    """A document as a file. Problems stay JSON."""

    media_type = "application/yaml"
    format = "yaml"

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        response = (renderer_context or {}).get("response")
        if response is None or response.exception:
            problem: bytes = JSONRenderer().render(data)
            return problem
        return write(data).encode()


def mine(request: Request, rows: QuerySet[M], perms: Iterable[str]) -> QuerySet[M]:
    """Of these rows those that lie where the asker may do all of these things; the others are not there."""
    for perm in perms:
        rows = rows.filter(reach(request.user, perm).q_of(rows.model))
    return rows


class ApiView(APIView):
    """Everything here: JSON only, no forms, no page to browse."""

    permissions: tuple[str, ...] = ()
    authentication_classes = (Key, Session)
    permission_classes = (Permitted,)
    throttle_classes = (Throttle, ChangeThrottle)
    parser_classes: Any = (BodyParser,)
    renderer_classes: Any = (JSONRenderer,)

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        """The methods, and nothing about the view."""
        return Response(status=204, headers={"Allow": ", ".join(self.allowed_methods)})


class Question(ApiView):
    """A question that changes nothing: `asks` says what is asked, `answer` returns plain JSON.

    Asked by GET in the query; a subclass with another `http_method_names` is asked by POST in the body.
    """

    asks: ClassVar[type[Serializer[Any]]]
    http_method_names = ["get", "head", "options"]

    def answer(self, asked: dict[str, Any], request: Request) -> Any:
        raise NotImplementedError

    def get(self, request: Request) -> Response:
        return self._answered(request, request.query_params)

    def post(self, request: Request) -> Response:
        return self._answered(request, request.data)

    def _answered(self, request: Request, said: Any) -> Response:
        asked = self.asks(data=said)
        asked.is_valid(raise_exception=True)
        return Response(self.answer(asked.validated_data, request))

"""What the server says of itself: what it can, which resources there are, and what each is made of."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from scim2_models import ForbiddenException, NotFoundException, NotImplementedException

from gateway.scim.answers import answer, base, listed, shown
from gateway.scim.base import ScimView
from gateway.scim.resources import config, resource_types, schemas


class Missing(ScimView):
    """Whatever else lies under this address: nothing."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        raise NotFoundException(detail="There is nothing here.")

    post = put = patch = delete = get


class NotDone(ScimView):
    """`/Bulk`, `/Me` and searching by POST: directories do without."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        raise NotImplementedException(detail="This is not done here.")

    post = put = patch = delete = get


class Config(ScimView):
    def get(self, request: HttpRequest) -> HttpResponse:
        _refuse_filter(request)
        return answer(shown(config(base(request))))


class Described(ScimView):
    """`/ResourceTypes` and `/Schemas`: all of them, or one by its id."""

    def described(self, where: str) -> list[Any]:
        raise NotImplementedError

    def get(self, request: HttpRequest, name: str = "") -> HttpResponse:
        _refuse_filter(request)
        found = self.described(base(request))
        if not name:
            return answer(listed([shown(each) for each in found], total=len(found), start=1))
        for each in found:
            if each.id == name:
                return answer(shown(each))
        raise NotFoundException(detail="There is nothing here.")


class ResourceTypes(Described):
    def described(self, where: str) -> list[Any]:
        return resource_types(where)


class Schemas(Described):
    def described(self, where: str) -> list[Any]:
        return schemas(where)


def _refuse_filter(request: HttpRequest) -> None:
    """RFC 7644 §4: what describes the server is not filtered."""
    if request.GET.get("filter"):
        raise ForbiddenException(detail="What describes the server is not filtered.")

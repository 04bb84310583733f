"""What all of a directory's doors share: who comes in, answers in SCIM's form, filters and pages."""

from __future__ import annotations

import re
from typing import Any, Final

from django.contrib.auth.decorators import login_not_required
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from scim2_models import InvalidFilterException, InvalidValueException, ScimFilter

from gateway.models import DirectoryGroup, DirectoryToken, DirectoryUser
from gateway.scim import filters
from gateway.scim.answers import WrongMethod, refusal
from gateway.scim.doors import directory_asking

NUMBER: Final = re.compile(r"-?[0-9]{1,8}")


@method_decorator([csrf_exempt, login_not_required], name="dispatch")
class ScimView(View):
    """Everything here: a known directory, answers in SCIM's form whatever happens."""

    directory: DirectoryToken
    http_method_names = ["get", "post", "put", "patch", "delete"]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            self.directory = directory_asking(request)
            found: Any = super().dispatch(request, *args, **kwargs)
            response: HttpResponse = found
        except Exception as failure:
            response = refusal(failure)
        return response

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        raise WrongMethod


def hold(model: type[DirectoryUser] | type[DirectoryGroup], key: Any) -> None:
    """Lock a row by itself: what is joined to it may have changed while this waited, so it is read later."""
    model._default_manager.select_for_update().filter(pk=key).first()


def filtered(request: HttpRequest, model: Any, columns: Any) -> Q:
    text = request.GET.get("filter", "")
    if not text:
        return Q()
    if len(text) > filters.LONGEST:
        raise InvalidFilterException(detail=f"A filter has at most {filters.LONGEST} characters.")
    return filters.query(ScimFilter[model](text), columns)


def page(request: HttpRequest, most: int) -> tuple[int, int]:
    """`startIndex` and `count` as RFC 7644 §3.4.2.4 reads them."""
    start, count = _number(request, "startIndex", 1), _number(request, "count", most)
    return max(start, 1), min(max(count, 0), most)


def _number(request: HttpRequest, name: str, default: int) -> int:
    text = request.GET.get(name, "")
    if not text:
        return default
    if not NUMBER.fullmatch(text):
        raise InvalidValueException(detail=f"{name} is a number.")
    return int(text)

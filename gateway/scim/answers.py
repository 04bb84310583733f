"""Answers in the form of SCIM: `application/scim+json`, errors with their `scimType`."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from django.core.exceptions import SuspiciousOperation
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from pydantic import ValidationError
from scim2_models import (
    Context,
    Error,
    ListResponse,
    PayloadTooLargeException,
    Resource,
    ResponseParameters,
    SCIMException,
    UnauthorizedException,
)

from gateway.code.document import DocumentError, parse_json
from gateway.identity.directory import DirectoryRefused, NotThere, Taken
from gateway.scim.bounds import LARGEST, MEDIA_TYPE, TOO_LARGE
from gateway.scim.doors import WINDOW_SECONDS, TooManyRequests

log = logging.getLogger(__name__)

READ: Final = (MEDIA_TYPE, "application/json")
RETRY_SECONDS: Final = 5


class WrongType(SCIMException):
    status = 415
    _default_detail = f"Send {MEDIA_TYPE}."


class WrongMethod(SCIMException):
    status = 405
    _default_detail = "This cannot be done here."


def body_of(request: HttpRequest) -> Any:
    """The JSON that was sent. Raises what an answer is made of."""
    if request.content_type not in READ:
        raise WrongType
    data = request.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise PayloadTooLargeException(detail=TOO_LARGE)
    return parse_json(data)


def answer(
    body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    response = HttpResponse(orjson.dumps(body), status=status, content_type=MEDIA_TYPE, headers=headers)
    response["Cache-Control"] = "no-store"
    return response


def parameters(request: HttpRequest, model: Any) -> ResponseParameters[Any]:
    """`attributes` or `excludedAttributes`."""
    asked = {k: v for k, v in request.GET.items() if k in ("attributes", "excludedAttributes") and v}
    if any(len(value) > 2000 for value in asked.values()):
        raise SCIMException(detail="The list of attributes is too long.")
    found: ResponseParameters[Any] = ResponseParameters[model].model_validate(asked)
    return found


def shown(
    resource: Resource[Any],
    asked: ResponseParameters[Any] | None = None,
    context: Context = Context.RESOURCE_QUERY_RESPONSE,
) -> dict[str, Any]:
    """A resource as it leaves, with the attributes that were asked for."""
    found: dict[str, Any] = resource.model_dump(scim_ctx=context, response_parameters=asked)
    return found


def listed(resources: Sequence[Mapping[str, Any]], *, total: int, start: int) -> dict[str, Any]:
    return {
        "schemas": [str(ListResponse.__schema__)],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": len(resources),
        "Resources": list(resources),
    }


def refusal(failure: Exception) -> HttpResponse:
    """What goes wrong, in SCIM's words. What nobody foresaw says nothing: it could hold what was sent."""
    error = _error(failure)
    headers: dict[str, str] = {}
    if isinstance(failure, UnauthorizedException):
        headers["WWW-Authenticate"] = 'Bearer realm="Postern"'
    elif isinstance(failure, TooManyRequests):
        headers["Retry-After"] = str(WINDOW_SECONDS)
    elif error.status == 503:
        headers["Retry-After"] = str(RETRY_SECONDS)
    return answer(error.model_dump(), error.status or 500, headers)


def _error(failure: Exception) -> Error:
    match failure:
        case SCIMException():
            return failure.to_error()
        case ValidationError():
            return Error.from_validation_errors(failure.errors(include_url=False, include_input=False))[0]
        case NotThere():
            return Error(status=404, detail=str(failure))
        case Taken():
            return Error(status=409, scim_type="uniqueness", detail=str(failure))
        case DirectoryRefused():
            return Error(status=400, scim_type="invalidValue", detail=str(failure))
        case DocumentError():
            return Error(status=400, scim_type="invalidSyntax", detail=" ".join(failure.problems))
        case SuspiciousOperation():
            return Error(status=400, scim_type="invalidSyntax", detail="The request cannot be read.")
        case OperationalError() | InterfaceError():
            return Error(status=503, detail="The store does not answer. Try again shortly.")
    _log(failure)
    return Error(status=500, detail="Something went wrong here. It was logged.")


def _log(failure: Exception) -> None:
    """Where it went wrong, without the exception's own text."""
    frames = traceback.extract_tb(failure.__traceback__)
    where = " < ".join(f"{f.filename.rpartition('/')[2]}:{f.lineno}" for f in reversed(frames[-4:]))
    kind = "the store refused" if isinstance(failure, DatabaseError) else "failed"
    log.error("A directory's request %s: %s at %s", kind, type(failure).__name__, where)


def base(request: HttpRequest) -> str:
    """The address under which all of this lies."""
    return request.build_absolute_uri("/scim/v2")

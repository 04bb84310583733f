"""What goes wrong, as RFC 9457 problem details. `docs/api.md` has a line for each.

A problem says what was refused and what to do, in the words of the services. What nobody foresaw says
nothing: its text could hold what was sent.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from approvals.services import NotYours, ReasonRefused, TooLate
from gateway.code.apply import ApplyError, PlanMoved
from gateway.code.document import DocumentError
from gateway.credentials.services import CredentialError
from gateway.identity.leaks import TooMuch
from gateway.identity.scope import KeyRefused
from gateway.rotating.services import RotationError
from gateway.services import CallEnded
from policies.grants import NeedsSecondPerson
from policies.publishing import PolicyServiceError, PublishRefused

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
RETRY_SECONDS: Final = 5
KINDS: Final[dict[str, tuple[int, str]]] = {
    "malformed": (400, "The request cannot be read."),
    "not-authenticated": (401, "Say who you are."),
    "not-allowed": (403, "You may not do this."),
    "not-yours": (403, "Somebody else decides about this."),
    "not-found": (404, "There is nothing here."),
    "method-not-allowed": (405, "This cannot be done here."),
    "not-acceptable": (406, "This is not to be had in that form."),
    "conflict": (409, "It is not in the state that this needs."),
    "too-late": (409, "Somebody was faster, or the time is up."),
    "needs-second-person": (409, "This takes two people."),
    "plan-moved": (409, "This is not the plan that was looked at."),
    "too-large": (413, "The request is too large."),
    "unsupported-media-type": (415, "This content type is not read here."),
    "invalid-document": (422, "The document does not fit."),
    "refused": (422, "This is refused."),
    "reason-missing": (422, "Say why."),
    "too-many-requests": (429, "Slow down."),
    "internal": (500, "Something went wrong here."),
    "unavailable": (503, "The store does not answer."),
}
"""Status and title of each."""

_BY_STATUS = {
    400: "malformed",
    401: "not-authenticated",
    403: "not-allowed",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    409: "conflict",
    413: "too-large",
    415: "unsupported-media-type",
    429: "too-many-requests",
}


@dataclass(frozen=True, slots=True)
class Problem:
    kind: str
    detail: str = ""
    errors: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        status, title = KINDS[self.kind]
        body: dict[str, Any] = {"type": f"urn:postern:problem:{self.kind}", "title": title, "status": status}
        if self.detail:
            body["detail"] = self.detail
        if self.errors:
            body["errors"] = list(self.errors)
        return body


class Conflict(exceptions.APIException):
    status_code = 409


class TooLarge(exceptions.APIException):
    status_code = 413
    default_detail = "The body is larger than what is read here."


def handler(failure: Exception, context: dict[str, Any]) -> Response:
    """The settings' `EXCEPTION_HANDLER`."""
    set_rollback()
    problem = _known(failure) or _of_framework(failure)
    if problem is None:
        _log(failure, context)
        problem = Problem("internal", "It was logged. Try again, or ask whoever runs this Postern.")
    status = KINDS[problem.kind][0]
    headers = _headers(failure)
    if status == 503:
        headers["Retry-After"] = str(RETRY_SECONDS)
    return Response(problem.as_json(), status=status, headers=headers, content_type=MEDIA_TYPE)


def _known(failure: Exception) -> Problem | None:
    """What our services and the store refuse."""
    match failure:
        case DocumentError():
            return Problem("invalid-document", errors=failure.problems)
        case PlanMoved():
            return Problem("plan-moved", errors=failure.problems)
        case ApplyError():
            kind = "needs-second-person" if failure.second_person else "refused"
            return Problem(kind, "Nothing was changed.", failure.problems)
        case NeedsSecondPerson():
            return Problem("needs-second-person", str(failure))
        case PublishRefused():
            return Problem("refused", "Nothing was changed.", failure.problems)
        case KeyRefused():
            return Problem("refused", errors=[str(failure)])
        case TooMuch():
            return Problem("too-large", str(failure))
        case NotYours():
            return Problem("not-yours", str(failure))
        case TooLate():
            return Problem("too-late", str(failure))
        case ReasonRefused():
            return Problem("reason-missing", str(failure))
        case PolicyServiceError() | CredentialError() | RotationError() | CallEnded():
            return Problem("conflict", str(failure))
        case ValidationError():
            return Problem("refused", errors=failure.messages)
        case OperationalError() | InterfaceError():
            return Problem("unavailable", "Try again shortly.")
    return None


def _of_framework(failure: Exception) -> Problem | None:
    match failure:
        case Http404():
            return Problem("not-found")
        case PermissionDenied():
            return Problem("not-allowed")
        case exceptions.ValidationError():
            return Problem("refused", errors=list(_flat(failure.detail, "")))
        case exceptions.APIException():
            kind = _BY_STATUS.get(failure.status_code, "")
            return Problem(kind, str(failure.detail)) if kind else None
    return None


def _flat(detail: Any, where: str) -> Iterator[str]:
    if isinstance(detail, dict):
        for name, inner in detail.items():
            yield from _flat(inner, f"{where}{name}: ")
    elif isinstance(detail, list):
        for inner in detail:
            yield from _flat(inner, where)
    else:
        yield f"{where}{detail}"


def _headers(failure: Exception) -> dict[str, str]:
    """What the framework attached: whom to be, and when to come again."""
    headers = {}
    if challenge := getattr(failure, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(failure, "wait", None):
        headers["Retry-After"] = str(int(wait) + 1)
    return headers


def _log(failure: Exception, context: dict[str, Any]) -> None:
    """Where it went wrong, without the exception's own text."""
    view = type(context.get("view")).__name__
    frames = "".join(traceback.format_tb(failure.__traceback__))
    log.error("%s failed in the API's %s:\n%s", type(failure).__name__, view, frames)

"""The page that explains: which access rule decides a call, under which limits, and why the others do not.

A question is posted and answered under an address of its own, so that the answer can be passed on. Posting
keeps a whole API key that somebody types out of addresses and logs: the answer's holds its public prefix.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import urlencode

from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from gateway.callers import NotFound, caller_named, reference, without_secret
from gateway.explaining import explain
from gateway.explanation import Explanation
from gateway.identity.reach import NOWHERE, Reach
from gateway.models import Endpoint, ServiceAccount, User
from gateway.site import may_enter

SUGGESTED: Final = 100
"""Service accounts, and people, that the page suggests; every other can be typed."""

LONGEST: Final = 300
FIELDS: Final = ("caller", "endpoint", "model", "path", "address")

MAY_EXPLAIN: Final = "gateway.view_accessrule"
may_explain = permission_required(MAY_EXPLAIN, raise_exception=True)


@dataclass(slots=True)
class Question:
    """What was typed; `errors` by field, `answer` once both names are known."""

    caller: str = ""
    endpoint: str = ""
    model: str = ""
    path: str = ""
    address: str = ""
    errors: dict[str, str] = field(default_factory=dict)
    among: Reach = NOWHERE  # where the asker may see access rules
    answer: Explanation | None = None

    def settle(self) -> None:
        """Read the names; the caller becomes a reference without anything secret."""
        for name in FIELDS:
            if len(getattr(self, name)) > LONGEST:
                self.errors[name] = f"This is longer than {LONGEST} characters."
                setattr(self, name, "")
        if "caller" not in self.errors:
            self._caller()
        if not self.endpoint:
            self.errors["endpoint"] = "Choose an endpoint."
        if self.path and not self.path.startswith("/"):
            self.errors["path"] = "A path begins with a slash, such as /v1/chat/completions."

    def _caller(self) -> None:
        if not self.caller:
            self.errors["caller"] = "Name a caller."
            return
        try:
            self.caller = reference(caller_named(self.caller, self.among))
        except NotFound as error:
            self.errors[error.field] = str(error)
            self.caller = without_secret(self.caller)

    def ask(self) -> None:
        if self.errors:
            return
        try:
            self.answer = explain(
                caller=self.caller,
                endpoint=self.endpoint,
                model=self.model,
                path=self.path,
                address=self.address,
                among=self.among,
            )
        except NotFound as error:
            self.errors[error.field] = str(error)

    @property
    def url(self) -> str:
        told = {name: value for name in FIELDS if (value := getattr(self, name))}
        return f"{reverse('explain')}?{urlencode(told)}"


@sensitive_post_parameters("caller")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@may_explain
def page(request: HttpRequest) -> HttpResponse:
    given = request.POST if request.method == "POST" else request.GET
    among = cast(User, request.user).areas_with(MAY_EXPLAIN)
    question = Question(among=among, **{name: given.get(name, "").strip() for name in FIELDS})  # type: ignore[arg-type]
    asked = request.method == "POST" or bool(question.caller and question.endpoint)
    if asked:
        question.settle()
        if request.method == "POST" and not question.errors:
            return redirect(question.url)
        question.ask()
    context: dict[str, Any] = {
        "question": question,
        "answer": question.answer,
        "endpoints": Endpoint.objects.filter(among.q_of(Endpoint))
        .order_by("name")
        .values_list("slug", "name"),
        "suggested": _suggested(among),
        "may_open": may_enter(request.user),
    }
    return render(request, "console/explain.html", context, status=422 if question.errors else 200)


def _suggested(among: Reach) -> list[tuple[str, str]]:
    """(reference, name) of callers to pick from. People lie in no area: in one they have to be typed."""
    services = ServiceAccount.objects.filter(among.q_of(ServiceAccount), is_active=True)[:SUGGESTED]
    people = User.objects.filter(is_active=True)[:SUGGESTED] if among.everywhere else ()
    return [
        *[(reference(each), each.description) for each in services],
        *[(reference(each), each.get_full_name()) for each in people],
    ]

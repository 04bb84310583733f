"""The playground's page: a form, and what `playing.play` makes of it. Writes nothing, logs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

from django.contrib.auth.decorators import permission_required
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from audit import replay
from gateway.console import linewise
from gateway.console.playform import PlayForm
from gateway.console.playing import MAX_BYTES, Outcome, Played, TooLarge, play
from gateway.models import User
from policies.drafts import NotCompilable
from policies.engine.types import Direction

MAX_FORM: Final = 4 * MAX_BYTES
"""Bytes of a posted form: each byte of a payload may travel as three, and the rest of the form is small."""

EXAMPLE: Final = """{
  "model": "demo",
  "messages": [
    {"role": "user", "content": "Mail ana@example.com about card 4111 1111 1111 1111."}
  ]
}"""

may_play = permission_required(
    ("policies.view_policyversion", "policies.view_schemaversion"), raise_exception=True
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One outcome as the page shows it."""

    outcome: Outcome
    leaving: replay.Payload | None
    recorded: replay.Payload | None  # None: nothing, or the same as leaves
    same: bool  # what is recorded is what leaves


@csrf_exempt  # only to measure the form before anything reads it; `_page` checks the token
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def playground(request: HttpRequest) -> HttpResponse:
    """Refuse what is too large by what the request says of itself; the rest is the page's."""
    length = str(request.META.get("CONTENT_LENGTH") or "0")
    if not length.isdecimal() or int(length) > MAX_FORM:
        return _refused(request)
    try:
        return _page(request)
    except RequestDataTooBig:
        return _refused(request)


@sensitive_post_parameters("payload")
@csrf_protect
@may_play
def _page(request: HttpRequest) -> HttpResponse:
    user = cast(User, request.user)  # the permission was checked
    if request.method != "POST":
        form = PlayForm(user, initial={"payload": EXAMPLE, **_chosen(request)})
        return render(request, "console/playground.html", {"form": form})
    form = PlayForm(user, request.POST)
    played = _played(form) if form.is_valid() else None
    context: dict[str, Any] = {"form": form, "played": played}
    if played is not None:
        context |= _views(played) | {"access": form.cleaned_data["access"]}
    return render(request, "console/playground.html", context, status=200 if played else 422)


@may_play
def _refused(request: HttpRequest) -> HttpResponse:
    form = PlayForm(cast(User, request.user), initial={"payload": ""})
    context = {"form": form, "too_large": f"The payload is larger than {MAX_BYTES // 1024} KB."}
    return render(request, "console/playground.html", context, status=413)


def _chosen(request: HttpRequest) -> dict[str, str]:
    """What a link to this page chose."""
    return {name: request.GET[name] for name in ("version", "schema", "against") if name in request.GET}


def _played(form: PlayForm) -> Played | None:
    chosen = form.cleaned_data
    try:
        return play(
            version=chosen["pair"],
            against=chosen["against_pair"],
            payload=chosen["payload"],
            setting=form.setting(),
        )
    except TooLarge as error:
        form.add_error("payload", str(error))
    except NotCompilable as error:
        form.add_error(None, error.problems)
    return None


def _views(played: Played) -> dict[str, Any]:
    """The parts of the page: payloads to read and their differences."""
    answer = played.setting.direction is Direction.RESPONSE
    one, other = played.one, played.other
    return {
        "pasted": _view(played.body, one.marks, answer=answer),
        "shown": _shown(one, answer=answer),
        "compared": _shown(other, answer=answer) if other else None,
        "masked_lines": linewise.changes(one.masked, other.masked) if other else (),
    }


def _shown(outcome: Outcome, *, answer: bool) -> Shown:
    record = outcome.recorded
    same = record is not None and record.data == outcome.masked
    marks = record.marks if record is not None and same else b"[]"
    return Shown(
        outcome=outcome,
        leaving=_view(outcome.masked, marks, answer=answer) if outcome.masked else None,
        recorded=_view(record.data, record.marks, answer=answer) if record and not same else None,
        same=same,
    )


def _view(data: bytes, marks: bytes, *, answer: bool) -> replay.Payload:
    return replay.response([(data, marks)], streamed=False) if answer else replay.request(data, marks)

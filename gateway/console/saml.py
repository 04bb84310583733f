"""The pages of a sign-in by SAML.

    /saml/metadata        what a provider imports
    /saml/login/<issuer>  sends the browser to the provider
    /saml/acs             takes the provider's POST and reads nothing: it sends it on from a page of ours,
                          since cookies that are `SameSite=Lax` do not come along from another site
    /saml/finish          reads the answer, with the cookie that tells what this browser asked for

Both POSTs go without a CSRF token: the provider knows none. What protects the second one is that cookie,
which no other site can send along or make (`gateway.identity.saml.pending`).
"""

from __future__ import annotations

import logging
from typing import Final
from uuid import UUID

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from gateway.identity.failures import sign_in_failed
from gateway.identity.saml.here import Here
from gateway.identity.saml.metadata import saml_installed
from gateway.identity.saml.pending import LONGEST_ONWARD, Pending, pending_keep, pending_of
from gateway.identity.saml.reasons import SamlRefused
from gateway.identity.saml.service import saml_begin, saml_finish
from gateway.identity.sessions import network_of
from gateway.models import SignInMethod

LARGEST_FIELD: Final = 400 * 1024
"""Characters that are sent on: more than the largest answer has in base64."""

log = logging.getLogger(__name__)


@login_not_required
@require_GET
def metadata(request: HttpRequest) -> HttpResponse:
    if not saml_installed():
        return _refused(request, SamlRefused("not_installed"))
    from gateway.identity.saml.library import our_metadata

    return HttpResponse(our_metadata(here(request)), content_type="application/samlmetadata+xml")


@login_not_required
@never_cache
@require_GET
def begin(request: HttpRequest, issuer_id: UUID) -> HttpResponse:
    """`next`: a path of ours. `again`: whoever is signed in is to prove once more who they are."""
    fresh = "again" in request.GET and request.user.is_authenticated
    try:
        pending, url = saml_begin(
            issuer_id=issuer_id, here=here(request), onward=_onward(request), fresh=fresh
        )
    except SamlRefused as refused:
        return _refused(request, refused)
    response = HttpResponseRedirect(url)
    pending_keep(response, [*pending_of(request, timezone.now()), pending])
    return response


@csrf_exempt
@login_not_required
@never_cache
@require_POST
def acs(request: HttpRequest) -> HttpResponse:
    answer = request.POST.get("SAMLResponse", "")
    if len(answer) > LARGEST_FIELD:
        return _refused(request, SamlRefused("too_large"))
    return render(request, "console/saml_finish.html", {"answer": answer})


@csrf_exempt
@login_not_required
@never_cache
@require_POST
def finish(request: HttpRequest) -> HttpResponse:
    waiting = pending_of(request, timezone.now())
    answered: Pending | None = None
    try:
        answered, xml = _answered(request, waiting)
        saml_finish(request=request, xml=xml, pending=answered, here=here(request))
        response: HttpResponse = HttpResponseRedirect(answered.onward)
    except SamlRefused as refused:
        response = _refused(request, refused)
        _noted(request, refused, answered)
    pending_keep(response, [each for each in waiting if each != answered])
    return response


def here(request: HttpRequest) -> Here:
    """Us by the host that was asked, which ALLOWED_HOSTS knows."""
    return Here(
        entity_id=request.build_absolute_uri(reverse("saml_metadata")),
        acs=request.build_absolute_uri(reverse("saml_acs")),
    )


def _answered(request: HttpRequest, waiting: list[Pending]) -> tuple[Pending, bytes]:
    """The sign-in that an answer claims to belong to, among those that this browser began. Proves nothing."""
    if not waiting:
        raise SamlRefused("unsolicited")
    if not saml_installed():
        raise SamlRefused("not_installed")
    from gateway.identity.saml.document import answer_decoded, parsed

    xml = answer_decoded(request.POST.get("SAMLResponse", ""))
    claimed = parsed(xml).get("InResponseTo")
    for each in waiting:
        if each.request_id == claimed:
            return each, xml
    raise SamlRefused("in_response_to" if claimed else "unsolicited")


def _onward(request: HttpRequest) -> str:
    """Where to go afterwards: a path of this site, else the front page."""
    wanted = request.GET.get("next", "")
    local = wanted.startswith("/") and len(wanted) <= LONGEST_ONWARD
    fits = url_has_allowed_host_and_scheme(wanted, allowed_hosts=None, require_https=request.is_secure())
    return wanted if local and fits else "/"


def _refused(request: HttpRequest, refused: SamlRefused) -> HttpResponse:
    """The page that says why. Neither it nor the log holds anything of the document."""
    log.warning("SAML sign-in refused: %s", refused.code)
    context = {"words": refused.words, "code": refused.code}
    return render(request, "console/saml_refused.html", context, status=403)


def _noted(request: HttpRequest, refused: SamlRefused, answered: Pending | None) -> None:
    about = f"gateway.issuer {answered.issuer_id}" if answered else ""
    sign_in_failed(
        method=SignInMethod.SAML.value, code=refused.code, network=network_of(request), about=about
    )

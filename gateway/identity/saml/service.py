"""Sign-in by SAML from end to end: a request goes out, an answer comes back, a person is let in once.

What needs the extra is imported where it is used, so that everything else works without it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.http import HttpRequest
from django.utils import timezone

from gateway.identity.people import NotVouched, person_vouched
from gateway.identity.saml.here import Here
from gateway.identity.saml.metadata import MetadataError, Provider, saml_installed, saml_metadata_read
from gateway.identity.saml.pending import LASTS, Pending
from gateway.identity.saml.reasons import REASONS, SamlRefused
from gateway.identity.saml.subject import About, about, wants_persistent
from gateway.identity.seen import seen_first
from gateway.identity.sessions import SignInRefused, sign_in_begin, sign_in_of, sign_in_renew
from gateway.models import Issuer, IssuerKind, SignIn, SignInMethod, Source, User

if TYPE_CHECKING:  # it needs the extra
    from gateway.identity.saml.assertion import Said


def saml_issuers() -> list[Issuer]:
    """Those that people may sign in with; none without the extra."""
    if not saml_installed():
        return []
    return list(Issuer.objects.filter(kind=IssuerKind.SAML, enabled=True).exclude(metadata=""))


def saml_begin(*, issuer_id: UUID, here: Here, onward: str, fresh: bool) -> tuple[Pending, str]:
    """A new request to a provider, and where to send the browser with it. Raises `SamlRefused`."""
    issuer, provider = _provider(issuer_id)
    from gateway.identity.saml.library import request_made

    request_id, url = request_made(here, provider, persistent=wants_persistent(issuer), fresh=fresh)
    began = int(timezone.now().timestamp())
    return Pending(request_id, issuer.pk, onward, fresh, began), url


def saml_finish(*, request: HttpRequest, xml: bytes, pending: Pending, here: Here) -> SignIn:
    """Let the person of a verified answer in, if it answers `pending` and was not used before.

    Raises `SamlRefused`. An answer that was right once is used up, whatever becomes of the person.
    """
    now = timezone.now()
    issuer, provider = _provider(pending.issuer_id)
    said = _verified(xml, pending, here, issuer, provider, now)
    person = about(said, issuer)
    _use(issuer, said, pending, now)
    try:
        user = person_vouched(
            issuer=issuer,
            subject=person.subject,
            name=person.name,
            username=person.email,
            email=person.email,
            values=person.values,
            source=Source.SAML,
        )
        return _signed_in(request, user, issuer, person, said, pending)
    except (NotVouched, SignInRefused) as refused:
        raise SamlRefused(refused.code if refused.code in REASONS else "may_not") from refused


def _provider(issuer_id: UUID) -> tuple[Issuer, Provider]:
    if not saml_installed():
        raise SamlRefused("not_installed")
    issuer = Issuer.objects.filter(pk=issuer_id, kind=IssuerKind.SAML, enabled=True).first()
    if issuer is None:
        raise SamlRefused("no_such_provider")
    try:
        provider = saml_metadata_read(issuer.metadata)
    except MetadataError as error:
        raise SamlRefused("bad_metadata") from error
    if provider.entity_id != issuer.issuer:
        raise SamlRefused("bad_metadata")
    return issuer, provider


def _verified(
    xml: bytes, pending: Pending, here: Here, issuer: Issuer, provider: Provider, now: datetime
) -> Said:
    """What two readers agree on."""
    from gateway.identity.saml.assertion import Expected, answer_read
    from gateway.identity.saml.library import second_reader

    expected = Expected(
        issuer=issuer.issuer,
        audience=here.entity_id,
        address=here.acs,
        request_id=pending.request_id,
        keys=provider.keys,
        now=now,
        leeway=timedelta(seconds=min(issuer.leeway, 60)),
        proven_since=pending.began_at if pending.fresh else None,
    )
    said = answer_read(xml, expected)
    second_reader(xml, here, provider, pending.request_id, said)
    return said


def _use(issuer: Issuer, said: Said, pending: Pending, now: datetime) -> None:
    """Each assertion counts once, and each request is answered once; between processes, too."""
    answered_until = max(said.usable_until, now + timedelta(seconds=LASTS))
    for token_id, until in (
        (f"request {pending.request_id}", answered_until),
        (f"assertion {said.assertion_id}", said.usable_until),
    ):
        if not seen_first(issuer=issuer.issuer, token_id=token_id, expires_at=until):
            raise SamlRefused("replayed")


def _signed_in(
    request: HttpRequest, user: User, issuer: Issuer, person: About, said: Said, pending: Pending
) -> SignIn:
    held = sign_in_of(request)
    if pending.fresh and held is not None:
        if held.user_id != user.pk or (held.issuer, held.subject) != (issuer.issuer, person.subject):
            raise SamlRefused("other_person")
        sign_in_renew(request=request, sign_in=held, acr=said.context, authenticated_at=said.authenticated_at)
        return held
    begun = sign_in_begin(
        request=request,
        user=user,
        method=SignInMethod.SAML,
        issuer=issuer.issuer,
        subject=person.subject,
        sid=said.session_index,
        acr=said.context,
        authenticated_at=said.authenticated_at,
    )
    if said.session_until is not None and said.session_until < begun.expires_at:
        begun.expires_at = said.session_until
        begun.save(update_fields=["expires_at"])
    return begun

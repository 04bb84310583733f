"""Changes to upstream secrets and to where they may go. Plain text passes through, and is never kept.

CredentialError
├── OriginMismatch      endpoint and credential name different origins or areas
└── NoSecret            nothing is sealed for that origin, or it cannot be opened
    └── NotNow          whoever keeps the master key does not answer
"""

from __future__ import annotations

import re
from copy import copy

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from gateway.access_rules import access_rules_drop
from gateway.credentials import versions
from gateway.credentials.certificates import CertificateError, identity_of
from gateway.credentials.origins import normalise_origin
from gateway.credentials.sealing import MasterKeys, Place, Sealed, SealError, SealUnavailable
from gateway.credentials.secret import Secret
from gateway.credentials.transit import transit
from gateway.models import (
    Area,
    Credential,
    CredentialState,
    CredentialVersion,
    Endpoint,
    Placement,
    Rotation,
    RotationPlan,
    RotationStep,
    User,
)
from gateway.models.rotation import under_way
from policies.content import changed
from policies.grants import Grant, require
from policies.history import attributed, record
from policies.journal import note

TWO_FOR_ORIGINS = "Where an endpoint's calls go takes two people in this area."
TWO_FOR_SECRETS = "Where a credential's secret is sent takes two people in this area."

HEADER_SAFE = re.compile(r"[\x21-\x7e]{1,4096}\Z")


class CredentialError(Exception):
    """Root of what these services refuse, in words for the person who asked."""


class OriginMismatch(CredentialError):
    pass


class NoSecret(CredentialError):
    pass


class NotNow(NoSecret):
    pass


@attributed
def credential_set(*, credential: Credential, secret: Secret, by: User | None) -> CredentialVersion:
    """Seal a new secret and make it the current one. The one before becomes previous, older ones go.

    A rotation that is under way ends: by hand it is done by this, otherwise what it made is taken back.
    """
    with transaction.atomic():
        locked = Credential.objects.select_for_update().get(pk=credential.pk)
        if problem := secret_problem(locked.placement, secret):
            raise CredentialError(problem)
        plan = RotationPlan.objects.filter(credential=locked).first()
        ended = rotation_replace(credential=locked, code="entered")
        versions.retire(locked.versions.filter(state=CredentialState.PREVIOUS, retire_at=None))
        versions.step_down(locked, retire_at=timezone.now() + plan.overlap if plan else None)
        try:
            version = versions.version_seal(
                keys=master_keys(), credential=locked, secret=secret, state=CredentialState.CURRENT, by=by
            )
        except SealUnavailable as error:
            raise CredentialError(f"Nothing can be sealed now: {error}.") from None
        if ended is not None and ended.version_id is None:
            Rotation.objects.filter(pk=ended.pk).update(version=version)
        _open_again(locked)
        note(
            action="credential.set",
            by=by,
            target=locked,
            facts={"name": locked.name, "origin": locked.origin, "number": version.number},
        )
    return version


def secret_problem(placement: str, secret: Secret) -> str:
    """Why this cannot be a secret that is sent so; empty if it can. Quotes nothing of it."""
    if placement == Placement.CERTIFICATE:
        try:
            identity = identity_of(secret)
        except CertificateError as error:
            return f"It cannot be used: {error}."
        return "The certificate has run out." if identity.ends <= timezone.now() else ""
    if not HEADER_SAFE.match(secret.reveal()):
        return "A secret is 1 to 4096 visible ASCII characters without spaces."
    return ""


def credential_current(*, credential: Credential) -> CredentialVersion:
    """The version in use; raises `NoSecret`."""
    version = credential.versions.filter(state=CredentialState.CURRENT).first()
    if version is None:
        raise NoSecret(f"{credential} holds no secret.")
    return version


def credential_reveal_for_origin(*, version: CredentialVersion, origin: str) -> Secret:
    """The secret, for a request to `origin` and no other. Raises `NoSecret` without saying what was there."""
    try:
        return master_keys().unseal(Sealed(version.key_id, bytes(version.sealed)), place_of(version, origin))
    except SealUnavailable as error:
        raise NotNow(str(error)) from None
    except SealError as error:
        raise NoSecret(str(error)) from None


def place_of(version: CredentialVersion, origin: str | None = None) -> Place:
    """What this version's seal is bound to, for its credential's own origin or another."""
    credential = version.credential
    sealed_for = credential.sealed_at(credential.origin if origin is None else origin)
    return Place(credential_id=version.credential_id, number=version.number, origin=sealed_for)


@attributed
def credential_save(*, credential: Credential, by: User | None, grant: Grant | None = None) -> Credential:
    """Add a credential, or store what was edited of one. Raises `ValidationError` and `NeedsSecondPerson`.

    Where its secret goes is its origin and its token address: changing either lets go of the secret, and of
    the endpoints where it is the origin. A credential keeps its area, whose requirements it would leave, and
    a client certificate stays one.
    """
    credential.full_clean()
    with transaction.atomic():
        stored = Credential.objects.select_for_update().filter(pk=credential.pk).first()
        if stored is not None:
            _check_lasting(stored, credential)
            _moving(stored, credential, by, grant)
        fields = changed(stored, credential)
        if stored is not None and not fields:
            return credential
        credential.save()
        facts = {"name": credential.name, "fields": fields}
        action = "credential.changed" if stored else "credential.added"
        note(action=action, by=by, target=credential, facts=facts)
    return credential


def _check_lasting(stored: Credential, credential: Credential) -> None:
    if stored.area_id != credential.area_id:
        raise ValidationError("A credential keeps its area. Add another one instead.")
    kinds = {stored.placement, credential.placement}
    if Placement.CERTIFICATE in kinds and len(kinds) > 1:
        raise ValidationError("A client certificate stays one. Add another credential instead.")


def _moving(stored: Credential, credential: Credential, by: User | None, grant: Grant | None) -> None:
    """What follows from where the secret goes now."""
    before, after = goes_to(stored), goes_to(credential)
    needed = before != after and Area.objects.get(pk=stored.area_id).two_person_origin
    require(grant, kind="credential.origin", target_id=stored.pk, needed=needed, why=TWO_FOR_SECRETS)
    if stored.sealed_for != credential.sealed_for:
        rotation_replace(credential=stored, code="moved")
        versions.retire(stored.versions.all())
        facts = {"name": stored.name, "from": stored.sealed_for, "to": credential.sealed_for}
        note(action="credential.moved", by=by, target=stored, facts=facts)
    if stored.origin != credential.origin:
        for name in ("credential", "client_certificate"):
            left = Endpoint.objects.filter(**{name: stored})
            detached = list(left.values_list("pk", flat=True))
            left.update(**{name: None})
            record(Endpoint.objects.filter(pk__in=detached))


def goes_to(credential: Credential) -> tuple[str, str]:
    """Where a credential's secret is sent."""
    return credential.origin, credential.token_url


@attributed
def credential_move(
    *, credential: Credential, origin: str, by: User | None, grant: Grant | None = None
) -> None:
    """Point a credential at another origin. Secrets sealed for the old one are wiped.

    Raises `NeedsSecondPerson`.
    """
    moved = copy(Credential.objects.get(pk=credential.pk))
    moved.origin = normalise_origin(origin)
    credential_save(credential=moved, by=by, grant=grant)
    credential.origin = moved.origin


@attributed
def endpoint_attach(*, endpoint: Endpoint, credential: Credential | None, by: User | None) -> None:
    """Let an endpoint use a credential of its own origin and area, or none."""
    with transaction.atomic():
        locked = Endpoint.objects.select_for_update().get(pk=endpoint.pk)
        if credential is not None:
            current = Credential.objects.select_for_update().get(pk=credential.pk)
            check_fit(locked, current)
        locked.credential = credential
        locked.save(update_fields=("credential", "updated_at"))
        facts = {"endpoint": locked.slug, "credential": credential.name if credential else ""}
        note(action="endpoint.credential_attached", by=by, target=locked, facts=facts)
    endpoint.credential = credential


@attributed
def endpoint_move(
    *,
    endpoint: Endpoint,
    origin: str,
    by: User | None,
    base_path: str | None = None,
    grant: Grant | None = None,
) -> None:
    """Point an endpoint at another origin, or at another path there. None keeps the path.

    A credential sealed for the old origin is detached. Raises `NeedsSecondPerson`.
    """
    origin = normalise_origin(origin)
    with transaction.atomic():
        locked = Endpoint.objects.select_for_update().get(pk=endpoint.pk)
        path = locked.base_path if base_path is None else base_path
        before = (locked.origin, locked.base_path)
        if before == (origin, path):
            return
        needed = locked.area.two_person_origin
        require(grant, kind="endpoint.origin", target_id=locked.pk, needed=needed, why=TWO_FOR_ORIGINS)
        locked.origin, locked.base_path = origin, path
        if origin != before[0]:
            locked.credential = locked.client_certificate = None
        locked.save(update_fields=("origin", "base_path", "credential", "client_certificate", "updated_at"))
        facts = {"endpoint": locked.slug, "from": "".join(before), "to": origin + path}
        note(action="endpoint.moved", by=by, target=locked, facts=facts)
    endpoint.origin, endpoint.base_path, endpoint.credential = origin, path, locked.credential
    endpoint.client_certificate = locked.client_certificate


@attributed
def endpoint_save(*, endpoint: Endpoint, by: User | None, grant: Grant | None = None) -> Endpoint:
    """Add an endpoint, or store what was edited of one.

    Raises `ValidationError`, `OriginMismatch` and `NeedsSecondPerson`.

    Where an area wants two people for origins, adding one takes two as well: its address could be the one of
    an endpoint that was deleted a moment ago. For the same reason an endpoint keeps its area, whose
    requirements it would leave, and its slug, which is what clients call.
    """
    endpoint.full_clean()
    with transaction.atomic():
        check_fits(endpoint, lock=True)
        stored = Endpoint.objects.filter(pk=endpoint.pk).first()
        if stored is None:
            needed = Area.objects.get(pk=endpoint.area_id).two_person_origin
            require(grant, kind="endpoint.add", target_id=None, needed=needed, why=TWO_FOR_ORIGINS)
        else:
            _check_place(stored, endpoint)
            origin, path = endpoint.origin, endpoint.base_path
            endpoint_move(endpoint=stored, origin=origin, base_path=path, by=by, grant=grant)
        fields = changed(stored, endpoint)
        if stored is not None and not fields:
            return endpoint
        endpoint.save()
        action = "endpoint.changed" if stored else "endpoint.added"
        note(action=action, by=by, target=endpoint, facts={"endpoint": endpoint.slug, "fields": fields})
    return endpoint


@attributed
def endpoint_delete(*, endpoint: Endpoint, by: User | None) -> None:
    """Delete an endpoint and its access rules. Raises `NeedsSecondPerson` if those take two people."""
    with transaction.atomic():
        locked = Endpoint.objects.select_for_update(of=("self",)).get(pk=endpoint.pk)
        access_rules_drop(rules=locked.access_rules.all(), by=by)
        facts = {"endpoint": locked.slug, "origin": locked.origin}
        note(action="endpoint.deleted", by=by, target=locked, facts=facts)
        locked.delete()


def check_fits(endpoint: Endpoint, *, lock: bool = False) -> None:
    """Raises `OriginMismatch` unless what the endpoint holds fits it."""
    for pk, certificate in ((endpoint.credential_id, False), (endpoint.client_certificate_id, True)):
        if pk:
            rows = Credential.objects.select_for_update() if lock else Credential.objects.all()
            held = rows.get(pk=pk)
            check_fit(endpoint, held, certificate=certificate)


def check_fit(endpoint: Endpoint, credential: Credential, *, certificate: bool = False) -> None:
    """Raises `OriginMismatch` unless the credential was made for this endpoint's origin and area."""
    if (credential.placement == Placement.CERTIFICATE) is not certificate:
        raise OriginMismatch(f"{credential} is {'no' if certificate else 'a'} client certificate.")
    if credential.origin != endpoint.origin:
        raise OriginMismatch(f"{credential} is sealed for {credential.origin}, not for {endpoint.origin}.")
    if credential.area_id != endpoint.area_id:
        raise OriginMismatch(f"{credential} lies in another area.")


def _check_place(stored: Endpoint, endpoint: Endpoint) -> None:
    for name in ("area_id", "slug"):
        if getattr(stored, name) != getattr(endpoint, name):
            raise ValidationError("An endpoint keeps its area and its slug. Add another one instead.")


def master_keys() -> MasterKeys:
    return MasterKeys(settings.MASTER_KEYS, transit())


def _open_again(credential: Credential) -> None:
    """Send it again, if it was held back because its rotation was overdue."""
    if credential.disabled_at is not None:
        credential.disabled_at = None
        credential.save(update_fields=("disabled_at",))


def rotation_replace(*, credential: Credential, code: str) -> Rotation | None:
    """End the rotation that is under way, since a person did otherwise: what it made is taken back.

    One by hand that waited for a person is done by this. The caller holds the credential's row.
    """
    rotation = under_way(credential)
    if rotation is None:
        return None
    by_hand = code == "entered" and rotation.step == RotationStep.CREATE
    rotation.step = RotationStep.DONE if by_hand else RotationStep.FAILED
    rotation.error = "" if by_hand else code
    now = timezone.now()
    rotation.ended_at, rotation.tries = now, 0
    rotation.next_at = now if rotation.attempt and not by_hand else None
    rotation.save(update_fields=("step", "error", "next_at", "ended_at", "tries"))
    versions.retire(credential.versions.filter(state=CredentialState.PENDING))
    return rotation

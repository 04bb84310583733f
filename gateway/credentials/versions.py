"""The versions of a credential: which states follow which. Callers hold the credential's row.

spare → pending → current → previous → retired. One is pending and one current at most; several may be
previous, each until its time has come. A retired one is wiped; `retire_next_at` says that its provider has
still to be told.
"""

from __future__ import annotations

from datetime import datetime

from django.db.models import F, Max, QuerySet
from django.utils import timezone

from gateway.credentials.sealing import MasterKeys, Place
from gateway.credentials.secret import Secret
from gateway.models import Credential, CredentialState, CredentialVersion, User
from policies.history import record

Rows = QuerySet[CredentialVersion]


def version_seal(
    *,
    keys: MasterKeys,
    credential: Credential,
    secret: Secret,
    state: CredentialState,
    by: User | None,
    provider_id: str = "",
) -> CredentialVersion:
    """A new version in this state. Raises `SealError`."""
    highest = credential.versions.aggregate(highest=Max("number"))["highest"] or 0
    place = Place(credential_id=credential.pk, number=highest + 1, origin=credential.sealed_for)
    sealed = keys.seal(secret, place)
    return CredentialVersion.objects.create(
        credential=credential,
        number=place.number,
        state=state,
        sealed=sealed.data,
        key_id=sealed.key_id,
        provider_id=provider_id,
        created_by=by,
        activated_at=timezone.now() if state == CredentialState.CURRENT else None,
    )


def make_current(version: CredentialVersion, *, retire_at: datetime | None) -> None:
    """Use this one from now on. The one before stays good until `retire_at`; None: until it is replaced."""
    step_down(version.credential, retire_at=retire_at)
    move(
        CredentialVersion.objects.filter(pk=version.pk),
        state=CredentialState.CURRENT,
        activated_at=timezone.now(),
        retire_at=None,
        retire_next_at=None,
    )


def step_down(credential: Credential, *, retire_at: datetime | None) -> None:
    """What is current becomes previous."""
    current = credential.versions.filter(state=CredentialState.CURRENT)
    move(current, state=CredentialState.PREVIOUS, retire_at=retire_at, retire_next_at=retire_at)


def retire(rows: Rows) -> int:
    """Wipe these, and have their providers told of those that they can take back. Returns how many."""
    now = timezone.now()
    left = rows.exclude(state=CredentialState.RETIRED)
    made_by_hand, made = left.filter(provider_id=""), left.exclude(provider_id="")
    gone = {"state": CredentialState.RETIRED, "sealed": b"", "retired_at": now}
    return move(made, **gone, retire_next_at=now) + move(made_by_hand, **gone, retire_next_at=None)


def move(rows: Rows, **values: object) -> int:
    """One update of all of them, with its history. Returns how many there were."""
    keys = list(rows.values_list("pk", flat=True))
    moved = rows.filter(pk__in=keys).update(**values)
    record(CredentialVersion.objects.filter(pk__in=keys))
    return moved


def soonest(rows: Rows) -> Rows:
    """Those whose time has come, the longest overdue first."""
    return rows.filter(retire_next_at__lte=timezone.now()).order_by("retire_next_at", "pk")


def told(version: CredentialVersion) -> int:
    """The provider has taken it back."""
    rows = CredentialVersion.objects.filter(pk=version.pk, retire_next_at=version.retire_next_at)
    return rows.update(retire_next_at=None, retire_tries=0)


def tell_later(version: CredentialVersion, moment: datetime) -> int:
    rows = CredentialVersion.objects.filter(pk=version.pk, retire_next_at=version.retire_next_at)
    return rows.update(retire_next_at=moment, retire_tries=F("retire_tries") + 1)

"""Takes back keys that were made and never recorded, since whoever made them died in between."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Final

from gateway.models import Credential, CredentialState, Rotation
from gateway.models.rotation import ENDED
from gateway.rotating import labels
from gateway.rotating.contract import Errand, Found, Rotator
from policies.journal import note

log = logging.getLogger(__name__)

LOOKED_AT: Final = 1000
"""Rotations whose keys are known again. Older ones have been tidied for long."""


def tidy(rotator: Rotator, errand: Errand, credential: Credential, *, ours: Rotation | None = None) -> int:
    """Take back what nobody has on record; `ours` is the caller's rotation, which makes nothing meanwhile.

    A key of a rotation that this store does not know stays: another store may, one that was restored from
    the same backup. Returns how many went. Raises what the rotator does.
    """
    found = rotator.living(errand)
    if not found:
        return 0
    gone = [key for key in found if _left_over(key, credential, ours)]
    for key in gone:
        rotator.revoke(errand, key.provider_id)
    if gone:
        facts = {"name": credential.name, "keys": [key.provider_id for key in gone]}
        note(action="rotation.leftover_revoked", by=None, target=credential, facts=facts)
    return len(gone)


def _left_over(key: Found, credential: Credential, ours: Rotation | None) -> bool:
    said = labels.read(key.label)
    if said is None or not key.label.startswith(labels.family(credential.pk)):
        return False
    rotation = _known(credential).get(said[0])
    if rotation is None:
        log.warning("a key of an unknown rotation is at the provider: %s", key.label)
        return False
    if rotation.step not in ENDED and rotation.pk != (ours.pk if ours else None):
        return False  # somebody is about to record it
    return key.provider_id not in _recorded(credential)


def _known(credential: Credential) -> dict[str, Rotation]:
    rows = Rotation.objects.filter(credential=credential).order_by("-id")[:LOOKED_AT]
    return {labels.short(row.pk): row for row in rows}


def _recorded(credential: Credential) -> Collection[str]:
    """What is still good, or is being taken back by somebody else."""
    rows = credential.versions.exclude(provider_id="")
    living = rows.exclude(state=CredentialState.RETIRED) | rows.filter(retire_next_at__isnull=False)
    return frozenset(living.values_list("provider_id", flat=True))

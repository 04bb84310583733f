"""Changes to accounts, locks and access that need an event: nothing here is reachable from the hot path."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from gateway.models import Area, Endpoint, Lock, ServiceAccount, User
from policies.history import attributed, record
from policies.journal import note
from policies.services import scrub


@attributed
def lock_set(
    *,
    by: User | None,
    reason: str,
    user: User | None = None,
    service_account: ServiceAccount | None = None,
    endpoint: Endpoint | None = None,
    area: Area | None = None,
    expires_at: datetime | None = None,
) -> Lock:
    """Stop one person, service account, endpoint or area; running streams are cut as well."""
    words = scrub(reason)
    with transaction.atomic():
        lock = Lock.objects.create(
            user=user,
            service_account=service_account,
            endpoint=endpoint,
            area=area,
            reason=reason,
            created_by=by,
            expires_at=expires_at,
        )
        note(action="lock.set", by=by, target=lock, facts={"on": lock.target_name}, words=words)
    return lock


@attributed
def lock_lift(*, lock: Lock, by: User | None) -> bool:
    """End a lock; False when it had been lifted before."""
    with transaction.atomic():
        updated = Lock.objects.filter(pk=lock.pk, lifted_at=None).update(
            lifted_at=timezone.now(), lifted_by=by
        )
        if updated:
            record(Lock.objects.filter(pk=lock.pk))
            note(action="lock.lifted", by=by, target=lock, facts={"on": lock.target_name})
    return bool(updated)

"""Messages that count once: who notes one first, uses it. Between processes the database decides."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction

from gateway.models import SeenToken


def seen_first(*, issuer: str, token_id: str, expires_at: datetime) -> bool:
    """Whether nobody used this message before. It is remembered until it would be refused by its age."""
    try:
        with transaction.atomic():
            SeenToken.objects.create(issuer=issuer, token_id=token_id, expires_at=expires_at)
    except IntegrityError:
        return False
    return True


def seen_sweep(*, now: datetime) -> int:
    """Forget what is too old to be used again."""
    return SeenToken.objects.filter(expires_at__lt=now).delete()[0]

"""Originals, sealed to a key that no gateway has, and who may look at one for a while."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from audit import ids
from audit.fields import PlaceField


class Original(models.Model):
    """What was sent or answered, sealed; has its entry's id. Goes with retention, the entry stays."""

    id = PlaceField(primary_key=True, editable=False)
    started_at = models.DateTimeField()  # the call's
    call_id = models.UUIDField()
    sealed = models.BinaryField()

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["call_id"], name="audit_original_call")]

    def __str__(self) -> str:
        return f"original of {self.call_id}"


class Reveal(models.Model):
    """Two people agreed that one of them may look at one call's originals until a time. Never changed."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    call_id = models.UUIDField()
    area = models.CharField(max_length=64)
    person_id = models.UUIDField()  # who may look
    confirmed_by_id = models.UUIDField()
    proposal_id = models.UUIDField(unique=True)
    created_at = models.DateTimeField()
    until = models.DateTimeField()

    class Meta:
        default_permissions = ()
        permissions = [("confirm_reveal", "Can confirm that somebody else looks at an original")]
        constraints = [
            models.CheckConstraint(
                condition=~Q(confirmed_by_id=F("person_id")), name="audit_reveal_two_people"
            ),
            models.CheckConstraint(condition=Q(until__gt=F("created_at")), name="audit_reveal_ends"),
        ]
        indexes = [models.Index(fields=["call_id", "person_id"], name="audit_reveal_call")]

    def __str__(self) -> str:
        return f"originals of {self.call_id}"

"""A person's name at an identity provider. The pair (issuer, subject) is the only thing that links them."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from audit import ids


class Identity(models.Model):
    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="identities")
    issuer = models.CharField(max_length=300)
    subject = models.CharField(max_length=255)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["issuer", "subject"]
        verbose_name_plural = "identities"
        constraints = [
            models.UniqueConstraint(fields=["issuer", "subject"], name="gateway_identity_subject_unique"),
            models.CheckConstraint(
                condition=~models.Q(issuer="") & ~models.Q(subject=""), name="gateway_identity_not_empty"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subject} at {self.issuer}"

"""A person's, or a program's, name at an issuer. Nothing but the pair (issuer, subject) links them.

One person may have several: whoever they sign in as, four eyes count people.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models

from audit import ids


class Identity(models.Model):
    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="identities"
    )
    service_account = models.ForeignKey(
        "gateway.ServiceAccount", models.CASCADE, null=True, blank=True, related_name="identities"
    )
    issuer = models.CharField(max_length=300)
    subject = models.CharField(max_length=255)
    name = models.CharField(max_length=255, blank=True)  # as the issuer last gave it
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["issuer", "subject"]
        verbose_name_plural = "identities"
        constraints = [
            models.UniqueConstraint(fields=["issuer", "subject"], name="gateway_identity_subject_unique"),
            models.CheckConstraint(
                condition=~models.Q(issuer="") & ~models.Q(subject=""), name="gateway_identity_not_empty"
            ),
            models.CheckConstraint(
                condition=models.Q(user__isnull=False, service_account__isnull=True)
                | models.Q(user__isnull=True, service_account__isnull=False),
                name="gateway_identity_one_holder",
                violation_error_message="Choose either a person or a service account.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subject} at {self.issuer}"

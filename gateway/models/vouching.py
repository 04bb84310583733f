"""When the latest word about somebody was given that counts here: an older one gives no group any more."""

from __future__ import annotations

from django.db import models

from gateway.models.identity import Identity


class Vouching(models.Model):
    identity = models.OneToOneField(Identity, models.CASCADE, primary_key=True, related_name="vouching")
    issued_at = models.FloatField()  # Unix seconds, by the issuer's clock

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.identity)

"""One number that grows with every configuration change, so that a poller reads one row to see any change.

Triggers raise it (`gateway.triggers`), so raw SQL and bulk updates count as well.
"""

from __future__ import annotations

from django.db import models


class Revision(models.Model):
    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    value = models.BigIntegerField(default=0, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1), name="gateway_revision_single_row"),
        ]

    def __str__(self) -> str:
        return str(self.value)

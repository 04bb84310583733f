"""What a search looks in: keyed digests, blinded by their day's key (`audit.blinding`), never words."""

from __future__ import annotations

from django.db import models

from audit.fields import PlaceField


class WordIndex(models.Model):
    """The blind index: keyed digests of normalised words, blinded by the key of the call's day."""

    id = models.BigAutoField(primary_key=True)
    started_at = models.DateTimeField()
    generation = models.SmallIntegerField(db_default=0, default=0)  # of the key that blinds it; 0: none does
    digest = models.BinaryField(max_length=16)
    call_id = models.UUIDField()

    class Meta:
        verbose_name_plural = "word index"
        indexes = [
            models.Index(fields=["digest", "started_at"], name="audit_wordindex_digest"),
            models.Index(fields=["started_at"], name="audit_wordindex_time"),
        ]

    def __str__(self) -> str:
        return f"word in {self.call_id}"


class Fingerprint(models.Model):
    """Keyed digest of one found value: answers where else it passed, without holding it."""

    id = models.BigAutoField(primary_key=True)
    started_at = models.DateTimeField()
    data_class = models.CharField(max_length=64)
    generation = models.SmallIntegerField(db_default=0, default=0)  # of the key that blinds it; 0: none does
    digest = models.BinaryField(max_length=16)
    call_id = models.UUIDField()

    class Meta:
        indexes = [
            models.Index(fields=["digest", "started_at"], name="audit_fingerprint_digest"),
            models.Index(fields=["started_at"], name="audit_fingerprint_time"),
        ]

    def __str__(self) -> str:
        return f"{self.data_class} in {self.call_id}"


class Unindexed(models.Model):
    """Index rows of one commit that are not in their index yet: random keys are dear on the hot path.

    `audit.indexing` moves them, and every search does so first, so that nothing is missed.
    """

    id = PlaceField(primary_key=True, editable=False)  # of the commit's last entry
    at = models.DateTimeField()
    fingerprints = models.BinaryField()  # JSON: [[call id, generation, [[data class, digest], …]], …]

    class Meta:
        verbose_name_plural = "unindexed"

    def __str__(self) -> str:
        return str(self.id)

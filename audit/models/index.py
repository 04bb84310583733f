"""What a search looks in: keyed digests, blinded by their day's key (`audit.blinding`), never words."""

from __future__ import annotations

from django.db import models

from audit.fields import PlaceField


class Word(models.Model):
    """The blind index: this word is in the masked text of the call.

    `digest` is keyed by the key of the call's day (`audit.search.dayskeys`), so it is only found by who has
    that key, and by nobody once it is destroyed. The key of the row is the index that a search reads.
    """

    pk = models.CompositePrimaryKey("digest", "started_at", "call_id")
    digest = models.BigIntegerField()
    started_at = models.DateTimeField()
    call_id = models.UUIDField()

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["started_at", "call_id"], name="audit_word_call")]

    def __str__(self) -> str:
        return f"word in {self.call_id}"


class Fact(models.Model):
    """What else a call is found by: its model, a group of its caller, who decided about it.

    `digest` is a short form of what the call's row and events say in clear, and stays when its text goes.
    """

    pk = models.CompositePrimaryKey("digest", "started_at", "call_id")
    digest = models.BigIntegerField()
    started_at = models.DateTimeField()
    call_id = models.UUIDField()

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["started_at", "call_id"], name="audit_fact_call")]

    def __str__(self) -> str:
        return f"fact of {self.call_id}"


class Brief(models.Model):
    """What the sums of a search read of a call that ended: a short row beside the call's long one.

    `rest` is the JSON of `audit.search.briefs`: calls that differ in nothing of it are counted together.
    """

    pk = models.CompositePrimaryKey("started_at", "call_id")
    started_at = models.DateTimeField()
    call_id = models.UUIDField()
    area = models.CharField(max_length=64)
    name = models.CharField(max_length=255)
    action = models.CharField(max_length=16)
    input_tokens = models.PositiveIntegerField(null=True)
    output_tokens = models.PositiveIntegerField(null=True)
    rest = models.TextField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"brief of {self.call_id}"


class Derived(models.Model):
    """How far what follows from a stream has been worked out (`audit.deriving`)."""

    stream = models.BigIntegerField(primary_key=True)  # its number
    sequence = models.PositiveBigIntegerField()
    ended = models.BooleanField(default=False, db_default=False)  # its process is gone: nothing will be new

    class Meta:
        default_permissions = ()
        verbose_name_plural = "derived"

    def __str__(self) -> str:
        return f"stream {self.stream} to {self.sequence}"


class Fingerprint(models.Model):
    """Keyed digest of one found value: answers where else it passed, without holding it."""

    id = models.BigAutoField(primary_key=True)
    started_at = models.DateTimeField()
    data_class = models.CharField(max_length=64)
    generation = models.SmallIntegerField(db_default=0, default=0)  # of the key that blinds it; 0: none does
    digest = models.BinaryField(max_length=16)
    call_id = models.UUIDField()

    class Meta:
        permissions = [("trace_fingerprint", "Can ask where a value passed")]
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

"""The evidence as tables. Entries are the truth; Call and Session are projections that they can rebuild.

There are no foreign keys: a record outlives what it names, rows are found by id and time (on PostgreSQL the
tables with `started_at` are partitioned by month, their primary key being (started_at, id)), and the recorder
writes them by SQL. `started_at` of every row of a call is the time in the call's id.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from audit import chain, ids
from audit.fields import PlaceField


class Store(models.Model):
    """The one row that says which store this is. A restored backup gets a new epoch (P20)."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    epoch = models.PositiveIntegerField(default=1)
    key_check = models.BinaryField(max_length=32)  # proves that the key directory belongs to this store
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="audit_store_single_row")]

    def __str__(self) -> str:
        return f"epoch {self.epoch}"


class Instance(models.Model):
    """One start of one process that records."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    host = models.CharField(max_length=255)
    boot = models.CharField(max_length=64)  # the host's boot: a process id means nothing after it
    pid = models.PositiveIntegerField()
    process_start = models.CharField(max_length=32)  # tells a reused process id from the same process
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()
    stopped_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["host"], condition=Q(stopped_at=None), name="audit_instance_running"),
        ]

    def __str__(self) -> str:
        return f"{self.host} {self.pid}"


class Stream(models.Model):
    """A chain of entries: one per Instance, and one for events. The head is exact for events only."""

    number = models.BigAutoField(primary_key=True)  # the upper part of its entries' ids
    id = models.UUIDField(unique=True, default=ids.new, editable=False)
    kind = models.CharField(max_length=16, choices=[("instance", "instance"), ("events", "events")])
    instance_id = models.UUIDField(null=True)
    sequence = models.PositiveBigIntegerField(default=0)  # of the last entry known here
    stated = models.PositiveBigIntegerField(default=0, db_default=0)  # of the last in a checkpoint
    digest = models.BinaryField(max_length=32)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind"], condition=Q(kind="events"), name="audit_stream_one_events"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class Entry(models.Model):
    """One append-only piece of evidence, chained to the one before it in its stream.

    Its id is no UUID but its place, `chain.entry_id`: two indexes less to write for each entry.
    """

    id = PlaceField(primary_key=True, editable=False)
    started_at = models.DateTimeField()  # the call's; an event's own
    at = models.DateTimeField()
    stream_id = models.UUIDField()
    sequence = models.PositiveBigIntegerField()
    previous = models.BinaryField(max_length=32)
    digest = models.BinaryField(max_length=32)
    kind = models.CharField(max_length=16)  # chain.KINDS
    call_id = models.UUIDField(null=True)
    meta = models.BinaryField()  # canonical JSON, kept as the bytes that were digested
    payload_digest = models.BinaryField(max_length=32)  # SHA-256 of the sealed payload, empty without one

    class Meta:
        verbose_name_plural = "entries"
        constraints = [
            models.CheckConstraint(condition=Q(sequence__gte=1), name="audit_entry_sequence_from_one"),
            models.CheckConstraint(
                condition=Q(sequence=F("id").bitand((1 << chain.SEQUENCE_BITS) - 1)), name="audit_entry_place"
            ),
        ]
        indexes = [
            models.Index(fields=["call_id"], condition=~Q(call_id=None), name="audit_entry_call"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.sequence}"


class Checkpoint(models.Model):
    """A signed statement of which entries there are (`audit.checkpoint`). Written once, like an entry."""

    number = models.PositiveBigIntegerField(primary_key=True)
    epoch = models.PositiveIntegerField()
    at = models.DateTimeField()
    size = models.PositiveBigIntegerField(help_text="New entries since the one before.")
    text = models.BinaryField(help_text="What is signed.")
    digest = models.BinaryField(max_length=32)
    key = models.CharField(max_length=16)
    signature = models.BinaryField(max_length=64)

    class Meta:
        default_permissions = ()
        constraints = [
            models.CheckConstraint(condition=Q(number__gte=1), name="audit_checkpoint_from_one"),
        ]

    def __str__(self) -> str:
        return f"checkpoint {self.number}"


class Anchor(models.Model):
    """A place outside that is told every checkpoint, and how far it got."""

    name = models.CharField(max_length=255, primary_key=True)
    number = models.PositiveBigIntegerField(default=0)  # the last that it has
    told_at = models.DateTimeField(null=True)
    tried_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=200, blank=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class Payload(models.Model):
    """The sealed bytes of one entry; has the entry's id. Goes with retention, the entry stays."""

    id = PlaceField(primary_key=True, editable=False)
    started_at = models.DateTimeField()
    sealed = models.BinaryField()

    def __str__(self) -> str:
        return str(self.id)


class CallKey(models.Model):
    """The key of one call's payloads, wrapped by its month's key. Erasing a call is deleting this row."""

    id = models.UUIDField(primary_key=True, editable=False)  # the call's
    started_at = models.DateTimeField()
    month_key = models.CharField(max_length=32)
    wrapped = models.BinaryField()

    def __str__(self) -> str:
        return str(self.id)


class Session(models.Model):
    """Calls of one caller that belong together. Written once, closed once when it has been silent."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    key = models.BinaryField(max_length=32)  # of (thread, session before it): two processes make the same
    thread = models.BinaryField(max_length=32)  # of (caller, endpoint, hint)
    hinted = models.BooleanField()
    started_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    person_id = models.UUIDField(null=True)
    subject = models.CharField(max_length=255)
    name = models.CharField(max_length=255)
    kind = models.CharField(max_length=16)
    area = models.CharField(max_length=64)
    endpoint_id = models.UUIDField(null=True)
    endpoint = models.CharField(max_length=255)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key"], name="audit_session_key")]
        indexes = [
            models.Index(fields=["thread", "started_at"], name="audit_session_thread"),
            models.Index(fields=["started_at"], condition=Q(closed_at=None), name="audit_session_open"),
            models.Index(fields=["person_id", "started_at"], name="audit_session_person"),
        ]

    def __str__(self) -> str:
        return f"{self.name} at {self.endpoint}"


class Call(models.Model):
    """One governed request and its response, as it stands. Inserted at admission, closed once."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    started_at = models.DateTimeField()
    instance_id = models.UUIDField()
    stream_id = models.UUIDField()
    session_id = models.UUIDField(null=True)
    # who
    person_id = models.UUIDField(null=True)
    subject = models.CharField(max_length=255)
    name = models.CharField(max_length=255)
    kind = models.CharField(max_length=16)
    owner_id = models.UUIDField(null=True)
    key_id = models.UUIDField(null=True)
    key_prefix = models.CharField(max_length=32)
    groups = models.JSONField()
    network = models.CharField(max_length=64)
    # what
    area = models.CharField(max_length=64)
    endpoint_id = models.UUIDField(null=True)
    endpoint = models.CharField(max_length=255)
    api = models.CharField(max_length=32)
    method = models.CharField(max_length=16)
    path = models.CharField(max_length=512)
    model = models.CharField(max_length=255)
    streaming = models.BooleanField()
    access_rule_id = models.UUIDField(null=True)
    policy_version_id = models.UUIDField(null=True)
    policy = models.CharField(max_length=255)
    schema_version_id = models.UUIDField(null=True)
    schema = models.CharField(max_length=255)
    # the verdict; action and code become the final ones when the call is closed
    action = models.CharField(max_length=16)
    gate = models.CharField(max_length=16)
    code = models.CharField(max_length=64)
    reasons = models.JSONField()
    rules = models.JSONField()
    counts = models.JSONField()
    highest = models.CharField(max_length=32)
    request_hmac = models.BinaryField(max_length=32)
    sent_digest = models.BinaryField(max_length=32)
    request_size = models.PositiveIntegerField()
    # the end
    closed_at = models.DateTimeField(null=True)
    status = models.PositiveSmallIntegerField(null=True)
    complete = models.BooleanField(null=True)
    finish_reason = models.CharField(max_length=64, db_default="")
    input_tokens = models.PositiveIntegerField(null=True)
    output_tokens = models.PositiveIntegerField(null=True)
    response_size = models.PositiveBigIntegerField(db_default=0)
    response_counts = models.JSONField(null=True)
    timings = models.JSONField(null=True)
    extra = models.JSONField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(closed_at=None, status=None, complete=None)
                | Q(closed_at__isnull=False, status__isnull=False, complete__isnull=False),
                name="audit_call_closed_whole",
            ),
        ]
        indexes = [
            models.Index(fields=["session_id", "started_at"], name="audit_call_session"),
            models.Index(fields=["instance_id"], condition=Q(closed_at=None), name="audit_call_open"),
        ]

    def __str__(self) -> str:
        return f"{self.name} to {self.endpoint}"


class WordIndex(models.Model):
    """The blind index: keyed digests of normalised words, one key per month, deleted with it."""

    id = models.BigAutoField(primary_key=True)
    started_at = models.DateTimeField()
    month_key = models.CharField(max_length=32)
    digest = models.BinaryField(max_length=32)
    call_id = models.UUIDField()

    class Meta:
        verbose_name_plural = "word index"
        indexes = [models.Index(fields=["digest", "started_at"], name="audit_wordindex_digest")]

    def __str__(self) -> str:
        return f"word in {self.call_id}"


class Fingerprint(models.Model):
    """Keyed digest of one found value: answers where else it passed, without holding it."""

    id = models.BigAutoField(primary_key=True)
    started_at = models.DateTimeField()
    data_class = models.CharField(max_length=64)
    digest = models.BinaryField(max_length=32)
    call_id = models.UUIDField()

    class Meta:
        indexes = [models.Index(fields=["digest", "started_at"], name="audit_fingerprint_digest")]

    def __str__(self) -> str:
        return f"{self.data_class} in {self.call_id}"


class Unindexed(models.Model):
    """Index rows of one commit that are not in their index yet: random keys are dear on the hot path.

    `audit.indexing` moves them, and every search does so first, so that nothing is missed.
    """

    id = PlaceField(primary_key=True, editable=False)  # of the commit's last entry
    at = models.DateTimeField()
    fingerprints = models.BinaryField()  # JSON: [[call id, [[data class, digest], …]], …]

    class Meta:
        verbose_name_plural = "unindexed"

    def __str__(self) -> str:
        return str(self.id)


class Job(models.Model):
    """Long work on the evidence (an export, an erasure) as a due row under a lease."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    kind = models.CharField(max_length=32)
    state = models.CharField(max_length=16, default="pending")
    options = models.JSONField(default=dict)
    result = models.JSONField(null=True)
    asked_by = models.CharField(max_length=255)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    leased_until = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["pending", "running", "done", "failed"]), name="audit_job_state"
            ),
        ]
        indexes = [models.Index(fields=["due_at"], condition=Q(finished_at=None), name="audit_job_due")]

    def __str__(self) -> str:
        return f"{self.kind} {self.state}"


PARTITIONED = (Entry, Payload, CallKey, Call, WordIndex, Fingerprint)

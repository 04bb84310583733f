"""The inbox of flagged calls: one row for each, what it is found by, and what people did about it.

Made from closed calls (`audit.flagged.collecting`), moved by `audit.flagged.acts` alone.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from audit import ids


class FlagState(models.TextChoices):
    OPEN = "open", "Open"
    CLOSED = "closed", "Closed"


class Outcome(models.TextChoices):
    FINE = "fine", "Fine"
    FALSE_POSITIVE = "false_positive", "False positive"
    MISUSE = "misuse", "Misuse"
    INCIDENT = "incident", "Incident"


class Flag(models.Model):
    """A call that a rule wants looked at. Its id is the call's; what it says of the call is a snapshot."""

    id = models.UUIDField(primary_key=True, editable=False)
    started_at = models.DateTimeField()
    area = models.CharField(max_length=64)
    endpoint = models.CharField(max_length=255)
    model = models.CharField(max_length=255)
    person_id = models.UUIDField(null=True)
    owner_id = models.UUIDField(null=True)  # who answers for the program that called
    name = models.CharField(max_length=255)
    kind = models.CharField(max_length=16)
    action = models.CharField(max_length=16)
    directions = models.JSONField()  # of `request`, `response`
    rules = models.JSONField()  # names; none: the policy's default for what cannot be read
    classes = models.JSONField()  # found by class
    highest = models.CharField(max_length=32)
    state = models.CharField(max_length=16, choices=FlagState, default=FlagState.OPEN)
    turn = models.PositiveIntegerField(default=0)  # grows with each act: who acts says which one they saw
    assignee_id = models.UUIDField(null=True)
    assignee = models.CharField(max_length=150, blank=True)
    outcome = models.CharField(max_length=16, choices=Outcome, blank=True)
    changed_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        permissions = [("handle_flag", "Can assign, annotate and close flagged calls")]
        constraints = [
            models.CheckConstraint(
                condition=Q(state=FlagState.OPEN, outcome="") | Q(Q(state=FlagState.CLOSED), ~Q(outcome="")),
                name="audit_flag_closed_with_outcome",
            ),
        ]
        indexes = [
            models.Index(fields=["state", "id"], name="audit_flag_state"),
            models.Index(fields=["area", "state", "id"], name="audit_flag_area"),
            models.Index(fields=["assignee_id", "state", "id"], name="audit_flag_assignee"),
        ]

    def __str__(self) -> str:
        return f"flagged call {self.id}"


class FlagLabel(models.Model):
    """What a flag is found by: the name of a rule, or of a class."""

    id = models.BigAutoField(primary_key=True)
    flag_id = models.UUIDField()
    kind = models.CharField(max_length=8)  # rule | class
    name = models.CharField(max_length=255)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["kind", "name", "flag_id"], name="audit_flaglabel_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class FlagAct(models.Model):
    """What somebody did about a flagged call, and their words, scrubbed. Written once, like an entry."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    flag_id = models.UUIDField()
    at = models.DateTimeField()
    kind = models.CharField(max_length=16)  # assigned | noted | closed | reopened
    person_id = models.UUIDField()
    name = models.CharField(max_length=150)
    about = models.CharField(max_length=150, blank=True)  # whom it was given to, or the outcome
    text = models.CharField(max_length=1000, blank=True)

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["flag_id", "id"], name="audit_flagact_of")]

    def __str__(self) -> str:
        return f"{self.name} {self.kind}"

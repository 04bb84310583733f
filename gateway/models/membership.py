"""Who came into which group or left it, and who was given which permission. Never changed, never deleted."""

from __future__ import annotations

from django.db import models

from audit import ids


class Source(models.TextChoices):
    """Where a membership comes from."""

    MANUAL = "manual", "By hand"
    SYSTEM = "system", "Postern itself"
    OIDC = "oidc", "Sign-in (OIDC)"
    SAML = "saml", "Sign-in (SAML)"
    TOKEN = "token", "Access token"
    SCIM = "scim", "Directory (SCIM)"


class MemberKind(models.TextChoices):
    PERSON = "person", "Person"
    SERVICE_ACCOUNT = "service_account", "Service account"


class MembershipChange(models.Model):
    """Ids and names as they were: a member or a group may be gone by the time somebody reads it."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    at = models.DateTimeField(auto_now_add=True)
    member_kind = models.CharField(max_length=20, choices=MemberKind)
    member_id = models.UUIDField(db_index=True)
    member = models.CharField(max_length=150)
    group_id = models.IntegerField(db_index=True)
    group = models.CharField(max_length=150)
    joined = models.BooleanField()
    source = models.CharField(max_length=10, choices=Source)
    changed_by_id = models.UUIDField(null=True, db_index=True)
    reason = models.CharField(max_length=400, blank=True)

    class Meta:
        ordering = ["-id"]
        default_permissions = ()
        permissions = [("view_history", "Can read who changed what in the configuration")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(source__in=Source.values), name="gateway_membershipchange_source_known"
            ),
            models.CheckConstraint(
                condition=models.Q(member_kind__in=MemberKind.values),
                name="gateway_membershipchange_member_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.member} {'joined' if self.joined else 'left'} {self.group}"


class HolderKind(models.TextChoices):
    GROUP = "group", "Group"
    PERSON = "person", "Person"


class PermissionChange(models.Model):
    """What a group or a person was given, and what was taken away: permissions as `app.codename`."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    at = models.DateTimeField(auto_now_add=True)
    holder_kind = models.CharField(max_length=10, choices=HolderKind)
    holder_id = models.CharField(max_length=36, db_index=True)  # a group's number or a person's UUID
    holder = models.CharField(max_length=150)
    given = models.JSONField(default=list)
    taken = models.JSONField(default=list)
    changed_by_id = models.UUIDField(null=True, db_index=True)
    reason = models.CharField(max_length=400, blank=True)

    class Meta:
        ordering = ["-id"]
        default_permissions = ()
        constraints = [
            models.CheckConstraint(
                condition=models.Q(holder_kind__in=HolderKind.values),
                name="gateway_permissionchange_holder_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.holder}: {len(self.given)} given, {len(self.taken)} taken"

"""What a company's directory pushes by SCIM 2.0: the token it shows, and the groups that are its own."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models

from audit import ids


class DirectoryToken(models.Model):
    """The bearer token of one directory. Only the digest of it is kept. `created_by` made the token as it is
    now, and has seen it."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    name = models.CharField(max_length=100, unique=True, help_text="The directory, such as “Entra”.")
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    issuer = models.ForeignKey(
        "gateway.Issuer",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="directories",
        help_text="The people it names sign in there: their external id is their subject.",
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class DirectoryUser(models.Model):
    """A person whom a directory keeps."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="directory"
    )
    directory = models.ForeignKey(DirectoryToken, models.PROTECT, related_name="users")
    external_id = models.CharField(max_length=255, blank=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["directory", "external_id"],
                condition=~models.Q(external_id=""),
                name="gateway_directoryuser_external_id_unique",
            ),
        ]

    def __str__(self) -> str:
        return str(self.user)


class DirectoryGroup(models.Model):
    """A group that a directory keeps: its members come from there alone."""

    group = models.OneToOneField(Group, models.CASCADE, primary_key=True, related_name="directory")
    directory = models.ForeignKey(DirectoryToken, models.PROTECT, related_name="groups")
    handed_over_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, editable=False, related_name="+"
    )  # None: the directory made it itself
    external_id = models.CharField(max_length=255, blank=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["directory", "external_id"],
                condition=~models.Q(external_id=""),
                name="gateway_directorygroup_external_id_unique",
            ),
        ]

    def __str__(self) -> str:
        return str(self.group)

"""A wall inside the organisation: endpoints, schemas, policies and credentials lie in one area each."""

from __future__ import annotations

from django.db import models

from audit import ids


class Area(models.Model):
    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    slug = models.SlugField(max_length=50, unique=True)
    name = models.CharField(max_length=100)
    two_person_publish = models.BooleanField(
        "two people to publish",
        default=False,
        help_text="A schema or policy version is proposed by one person and published by another.",
    )
    two_person_access = models.BooleanField(
        "two people for access",
        default=False,
        help_text="Access rules are proposed by one person and confirmed by another.",
    )
    two_person_origin = models.BooleanField(
        "two people for origins",
        default=False,
        help_text="Where an endpoint's calls go is proposed by one person and confirmed by another.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

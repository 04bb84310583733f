"""A wall inside the organisation: endpoints, schemas, policies and credentials lie in one area each."""

from __future__ import annotations

from django.db import models

from audit import ids


class Area(models.Model):
    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    slug = models.SlugField(max_length=50, unique=True)
    name = models.CharField(max_length=100)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

"""Areas in the admin."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from gateway.models import Area
from policies.admin.base import NotedAdmin


@admin.register(Area)
class AreaAdmin(NotedAdmin[Area]):
    list_display = ("name", "slug", "created_at")
    search_fields = ("name", "slug")
    fields = ("name", "slug")
    prepopulated_fields: ClassVar = {"slug": ("name",)}

    def get_readonly_fields(self, request: HttpRequest, obj: Area | None = None) -> Any:
        return ("slug",) if obj else ()

    def get_prepopulated_fields(self, request: HttpRequest, obj: Area | None = None) -> Any:
        return {} if obj else self.prepopulated_fields

"""Prices of tokens in the admin. A price is a line of its own for each month from which on it holds."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from audit.models import Price
from policies.admin.base import NotedAdmin


@admin.register(Price)
class PriceAdmin(NotedAdmin[Price]):
    list_display = ("pattern", "endpoint", "valid_from", "input_price", "output_price", "currency")
    search_fields = ("pattern", "endpoint")
    list_filter = ("currency",)
    fields: ClassVar = (
        "pattern",
        "endpoint",
        ("input_price", "output_price"),
        "currency",
        "valid_from",
    )

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"currency": Price.objects.values_list("currency", flat=True).first() or ""}

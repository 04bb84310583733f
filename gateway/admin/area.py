"""Areas in the admin."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from gateway.admin.person import person
from gateway.admin.proposing import ProposingAdmin, ReasonForm
from gateway.areas import FLAGS, area_save
from gateway.models import Area


class AreaForm(ReasonForm[Area]):
    class Meta:
        model = Area
        fields = "__all__"

    def clean(self) -> dict[str, Any]:
        """A requirement that is in force stays so until somebody else confirms that it may go."""
        cleaned = super().clean() or {}
        let_go = [flag for flag in FLAGS if self.initial.get(flag) and cleaned.get(flag) is False]
        if let_go and not self.instance._state.adding:
            cleaned |= dict.fromkeys(let_go, True)
            self.want("area.two_person", self.instance.pk, dict.fromkeys(let_go, False))
        return cleaned


@admin.register(Area)
class AreaAdmin(ProposingAdmin[Area]):
    form = AreaForm
    noted_by_services: ClassVar = frozenset({"added", "changed"})
    list_display = ("name", "slug", "created_at")
    search_fields = ("name", "slug")
    fieldsets: ClassVar = [
        (None, {"fields": ("name", "slug")}),
        (
            "Two people",
            {
                "fields": (*FLAGS, "reason"),
                "description": "Asking for a second person takes one person; no longer asking takes two.",
            },
        ),
    ]
    prepopulated_fields: ClassVar = {"slug": ("name",)}

    def get_readonly_fields(self, request: HttpRequest, obj: Area | None = None) -> Any:
        return ("slug",) if obj else ()

    def get_prepopulated_fields(self, request: HttpRequest, obj: Area | None = None) -> Any:
        return {} if obj else self.prepopulated_fields

    def get_fieldsets(self, request: HttpRequest, obj: Area | None = None) -> Any:
        return self.fieldsets

    def save_model(self, request: HttpRequest, obj: Area, form: Any, change: bool) -> None:
        area_save(area=obj, by=person(request))
        self.propose_instead(request, form)

"""Endpoints in the admin. Pointing one at another origin lets go of its credential."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from gateway.admin.endpoint_health import SHOWN, WATCHED, HealthAdmin
from gateway.admin.person import person
from gateway.admin.proposing import ProposingAdmin, ReasonForm, warn_of_rules
from gateway.credentials.services import OriginMismatch, check_fit, endpoint_delete, endpoint_save
from gateway.kinds import ENDPOINT_FIELDS, PLACE
from gateway.models import Endpoint
from policies.admin.base import badge
from policies.content import packed

TIMEOUTS = ("connect_timeout", "first_byte_timeout", "idle_timeout")
CEILING = (
    "The most sensitive data that may go here, whatever a policy says. A request that is declared above it, "
    "or in which something above it is found, is refused; masking does not lower what was found. "
    "Restricted: no limit."
)


class EndpointForm(ReasonForm[Endpoint]):
    class Meta:
        model = Endpoint
        fields = "__all__"

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        self._leave_the_place(cleaned)
        if not self.errors:
            self._fit("credential", cleaned)
            self._fit("client_certificate", cleaned)
        return cleaned

    def _fit(self, name: str, cleaned: dict[str, Any]) -> None:
        """What was sealed for another origin cannot come along; whoever chose it anew is told."""
        credential = cleaned.get(name)
        if credential is None:
            return
        moved = not self.instance._state.adding and cleaned["origin"] != self.instance.origin
        if moved and name not in self.changed_data and credential.origin != cleaned["origin"]:
            cleaned[name] = None
            return
        try:
            area = cleaned.get("area") or self.instance.area
            place = Endpoint(origin=cleaned["origin"], area=area)
            check_fit(place, credential, certificate=name == "client_certificate")
        except OriginMismatch as mismatch:
            self.add_error(name, str(mismatch))

    def _leave_the_place(self, cleaned: dict[str, Any]) -> None:
        """Where two people are needed, where its calls go stays as it is until it is confirmed."""
        if self.instance._state.adding or not self.instance.area.two_person_origin:
            return
        new = {name: cleaned[name] for name in PLACE if name in cleaned}
        stored = {name: getattr(self.instance, name) for name in new}
        if new != stored and not self.errors:
            self.want("endpoint.origin", self.instance.pk, new)
            cleaned |= stored

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # Django's own hook, absent from the stubs
        area = self.cleaned_data.get("area")
        if self.instance._state.adding and not self.errors and area and area.two_person_origin:
            self.want("endpoint.add", None, packed(self.instance, ENDPOINT_FIELDS))


@admin.register(Endpoint)
class EndpointAdmin(HealthAdmin, ProposingAdmin[Endpoint]):
    form = EndpointForm
    flag = "two_person_origin"
    noted_by_services: ClassVar = frozenset({"added", "changed", "deleted"})
    list_display = ("name", "slug", "kind_badge", "origin", "state_badge", "health_badge")
    list_filter = ("area", "kind", "enabled", "health__state")
    list_select_related = ("area", "health")
    search_fields = ("name", "slug", "origin")
    prepopulated_fields: ClassVar = {"slug": ("name",)}
    fieldsets: ClassVar = [
        (None, {"fields": ("name", "slug", "area", "kind", "enabled")}),
        (
            "Where it is",
            {
                "fields": (
                    ("origin", "base_path"),
                    "allow_private",
                    ("credential", "client_certificate"),
                    "ca_certificates",
                )
            },
        ),
        ("What it takes", {"fields": ("ceiling",), "description": CEILING}),
        ("Limits", {"fields": ("max_body_bytes", TIMEOUTS)}),
        WATCHED,
    ]

    @admin.display(description="API", ordering="kind")
    def kind_badge(self, endpoint: Endpoint) -> SafeString:
        return badge(endpoint.kind, endpoint.get_kind_display())

    @admin.display(description="state", ordering="enabled")
    def state_badge(self, endpoint: Endpoint) -> SafeString:
        return badge("enabled", "Enabled") if endpoint.enabled else badge("retired", "Disabled")

    def get_readonly_fields(self, request: HttpRequest, obj: Endpoint | None = None) -> Any:
        return ("area", "slug", *SHOWN) if obj else SHOWN

    def get_prepopulated_fields(self, request: HttpRequest, obj: Endpoint | None = None) -> Any:
        return {} if obj else self.prepopulated_fields

    def save_model(self, request: HttpRequest, obj: Endpoint, form: Any, change: bool) -> None:
        if form.wanted and not change:
            self.propose_instead(request, form)
            return
        stored = Endpoint.objects.filter(pk=obj.pk).first()
        if stored and stored.origin != obj.origin:
            for held in (stored.credential, stored.client_certificate):
                if held and held not in (obj.credential, obj.client_certificate):
                    text = f"{held} was sealed for {stored.origin} and is detached."
                    messages.warning(request, text)
        endpoint_save(endpoint=obj, by=person(request))
        self.propose_instead(request, form)

    def render_delete_form(self, request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
        warn_of_rules(request, context["object"].access_rules.all())
        return super().render_delete_form(request, context)

    def delete_model(self, request: HttpRequest, obj: Endpoint) -> None:
        endpoint_delete(endpoint=obj, by=person(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        for endpoint in queryset:
            endpoint_delete(endpoint=endpoint, by=person(request))

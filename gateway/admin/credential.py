"""Credentials in the admin: a secret goes in and never comes out."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_post_parameters

from gateway.admin.custody import custody_page
from gateway.admin.pasted import Pasted
from gateway.admin.person import person
from gateway.admin.proposing import ProposingAdmin, ReasonForm
from gateway.credentials.secret import Secret
from gateway.credentials.services import credential_save, credential_set, goes_to, secret_problem
from gateway.kinds import SENT
from gateway.models import Credential, CredentialState, CredentialVersion, Endpoint
from gateway.models.credential import PLACING, Placement, columns_of, unplaced
from policies.admin.base import TabularInline, badge
from policies.content import packed


class CredentialForm(ReasonForm[Credential]):
    secret = forms.CharField(
        required=False,
        strip=True,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"}),
        help_text="Sealed for where it is sent and never shown again. Empty: keep what is there.",
    )
    pem = forms.CharField(
        required=False,
        label="Certificate and key",
        widget=Pasted(attrs={"autocomplete": "off", "spellcheck": "false", "rows": 12}),
        help_text="In PEM: the certificate, those that vouch for it, and its private key without a password. "
        "Sealed for the origin above and never shown again. Empty: keep what is there.",
    )

    class Meta:
        model = Credential
        fields = ("name", "area", "origin", "placement", *PLACING)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in set(PLACING) & set(self.fields):
            taken = [each.value for each in Placement if name in columns_of(each)]
            self.fields[name].required = False
            self._show(name, taken)
        self._show("secret", [each for each in Placement.values if each != Placement.CERTIFICATE])
        self._show("pem", [Placement.CERTIFICATE.value])

    def _show(self, name: str, placements: Sequence[str]) -> None:
        if name in self.fields:
            self.fields[name].widget.attrs["data-placements"] = " ".join(placements)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        cleaned |= unplaced(cleaned.get("placement", ""))
        name = "pem" if cleaned.get("placement") == Placement.CERTIFICATE else "secret"
        said = {each: Secret(cleaned.pop(each, "") or "") for each in ("secret", "pem")}
        secret = cleaned["sealed"] = said[name]
        problem = secret_problem(cleaned.get("placement", ""), secret) if secret else ""
        if not secret and self.instance._state.adding:
            problem = "Enter the secret."
        if problem:
            self.add_error(None if name not in self.fields else name, problem)
        self._leave_the_place(cleaned)
        return cleaned

    def _leave_the_place(self, cleaned: dict[str, Any]) -> None:
        """Where two people are needed, where the secret goes stays as it is until it is confirmed."""
        if self.errors or self.instance._state.adding or not self.instance.area.two_person_origin:
            return
        wanted = copy(self.instance)
        for name in SENT:
            setattr(wanted, name, cleaned[name])
        if goes_to(wanted) != goes_to(self.instance):
            self.want("credential.origin", self.instance.pk, packed(wanted, SENT))
            cleaned |= {name: getattr(self.instance, name) for name in SENT}


class VersionsInline(TabularInline[CredentialVersion, Credential]):
    model = CredentialVersion
    fields = readonly_fields = ("number", "state_badge", "key_id", "created_by", "created_at", "retired_at")
    can_delete = False
    extra = 0

    @admin.display(description="state")
    def state_badge(self, version: CredentialVersion) -> SafeString:
        return badge(version.state, version.get_state_display())

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Credential)
class CredentialAdmin(ProposingAdmin[Credential]):
    form = CredentialForm
    flag = "two_person_origin"
    noted_by_services: ClassVar = frozenset({"added", "changed"})
    list_display = ("name", "area", "origin", "placement", "in_use")
    list_filter = ("area", "placement")
    list_select_related = ("area",)
    search_fields = ("name", "origin")
    fieldsets: ClassVar = [
        (None, {"fields": ("name", "area", "origin")}),
        ("How it is sent", {"fields": ("placement", *PLACING)}),
        ("Secret", {"fields": ("secret", "pem")}),
    ]
    inlines = (VersionsInline,)

    class Media:
        js = ("postern/placement.js",)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Not while a provider has keys of it: nobody would know any more that they are to be taken back.

        Its versions and what became of its rotations go with it, whoever may read those.
        """
        gone, counts, _, protected = super().get_deleted_objects(objs, request)
        left = CredentialVersion.objects.filter(credential__in=objs).exclude(provider_id="")
        left = left.exclude(state=CredentialState.RETIRED, retire_next_at=None)
        kept = [f"{version}: its provider still has it. Revoke it first." for version in left]
        return gone, counts, set(), [*protected, *kept]

    def get_urls(self) -> list[URLPattern]:
        page = path(
            "<path:object_id>/custody/",
            self.admin_site.admin_view(self.custody),
            name="gateway_credential_custody",
        )
        return [page, *super().get_urls()]

    def custody(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Who can have this secret sent."""
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        credential = self.found(request, object_id)
        return custody_page(request, credential, self.admin_site.each_context(request))

    @admin.display(description="secret")
    def in_use(self, credential: Credential) -> SafeString:
        current = credential.versions.filter(state=CredentialState.CURRENT).first()
        return badge("current", f"v{current.number}") if current else badge("warning", "None")

    def get_inlines(self, request: HttpRequest, obj: Credential | None) -> Any:
        return self.inlines if obj else ()

    def get_readonly_fields(self, request: HttpRequest, obj: Credential | None = None) -> Any:
        return ("area",) if obj else ()

    @method_decorator(sensitive_post_parameters("secret", "pem"))
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().changeform_view(request, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Credential, form: Any, change: bool) -> None:
        by = person(request)
        stored = Credential.objects.filter(pk=obj.pk).first()
        used = Endpoint.objects.filter(credential=obj).exists() if stored else False
        credential_save(credential=obj, by=by)
        if stored and stored.sealed_for != obj.sealed_for:
            left = " Its endpoints were detached." if used and stored.origin != obj.origin else ""
            messages.warning(
                request, f"It is sent elsewhere now: secrets sealed for the old place are gone.{left}"
            )
        if form.cleaned_data["sealed"]:
            credential_set(credential=obj, secret=form.cleaned_data["sealed"], by=by)
        self.propose_instead(request, form)

"""Credentials in the admin: a secret goes in and never comes out."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_post_parameters

from gateway.admin.person import person
from gateway.credentials.secret import Secret
from gateway.credentials.services import HEADER_SAFE, credential_move, credential_set
from gateway.models import Credential, CredentialState, CredentialVersion
from policies.admin.base import ModelForm, NotedAdmin, TabularInline, badge


class CredentialForm(ModelForm[Credential]):
    secret = forms.CharField(
        required=False,
        strip=True,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"}),
        help_text="Sealed for the origin above and never shown again. Empty: keep what is there.",
    )

    class Meta:
        model = Credential
        fields = ("name", "area", "origin", "header", "scheme")

    def clean_secret(self) -> Secret:
        """A type that does not print, from here on."""
        secret = self.cleaned_data.get("secret", "")
        if secret and not HEADER_SAFE.match(secret):
            raise ValidationError("Use visible ASCII characters without spaces, at most 4096.")
        if not secret and self.instance._state.adding:
            raise ValidationError("Enter the secret.")
        return Secret(secret)


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
class CredentialAdmin(NotedAdmin[Credential]):
    form = CredentialForm
    list_display = ("name", "area", "origin", "in_use")
    list_filter = ("area",)
    list_select_related = ("area",)
    search_fields = ("name", "origin")
    fieldsets: ClassVar = [
        (None, {"fields": ("name", "area", "origin", "secret")}),
        ("How it is sent", {"fields": (("header", "scheme"),)}),
    ]
    inlines = (VersionsInline,)

    @admin.display(description="secret")
    def in_use(self, credential: Credential) -> SafeString:
        current = credential.versions.filter(state=CredentialState.CURRENT).first()
        return badge("current", f"v{current.number}") if current else badge("warning", "None")

    def get_inlines(self, request: HttpRequest, obj: Credential | None) -> Any:
        return self.inlines if obj else ()

    def get_readonly_fields(self, request: HttpRequest, obj: Credential | None = None) -> Any:
        return ("area",) if obj else ()

    @method_decorator(sensitive_post_parameters("secret"))
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().changeform_view(request, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Credential, form: Any, change: bool) -> None:
        by = person(request)
        if change and "origin" in form.changed_data:
            credential_move(credential=Credential.objects.get(pk=obj.pk), origin=obj.origin, by=by)
            messages.warning(request, "The origin changed: secrets sealed for the old one are gone.")
        super().save_model(request, obj, form, change)
        if form.cleaned_data["secret"]:
            credential_set(credential=obj, secret=form.cleaned_data["secret"], by=by)

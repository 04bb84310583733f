"""Whose an identity is: added beforehand, or moved to another account of the same person."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from gateway.admin.person import person
from gateway.identity.linking import LinkRefused, check_add, check_link, identity_add, identity_link
from gateway.models import Identity, Issuer, User
from policies.admin.base import ModelForm, NotedAdmin


class IdentityForm(ModelForm[Identity]):
    """Judges as the services will, so that their words stand beside the form."""

    asker: ClassVar[User | None] = None

    class Meta:
        model = Identity
        fields = ("user", "issuer", "subject")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "issuer" in self.fields:
            known = Issuer.objects.values_list("issuer", "name")
            choices = [("", "---------"), *((issuer, f"{name} ({issuer})") for issuer, name in known)]
            self.fields["issuer"] = forms.ChoiceField(choices=choices)
        if "user" in self.fields:
            self.fields["user"].required = True
            self.fields["user"].label = "Person"

    def clean(self) -> Any:
        cleaned = super().clean() or {}
        user = cleaned.get("user")
        if not self.errors and user is not None:
            try:
                if self.instance._state.adding:
                    check_add(cleaned["issuer"], cleaned["subject"], user, self.asker)
                else:
                    check_link(self.instance, user, self.asker)
            except LinkRefused as refusal:
                raise ValidationError(str(refusal)) from None
        return cleaned


@admin.register(Identity)
class IdentityAdmin(NotedAdmin[Identity]):
    form = IdentityForm
    noted_by_services: ClassVar = frozenset({"added", "changed"})
    actions = None
    list_display = ("subject", "name", "issuer", "holder")
    list_select_related = ("user", "service_account")
    list_filter = ("issuer",)
    search_fields = ("subject", "name", "user__username", "service_account__name")
    autocomplete_fields = ("user",)

    @admin.display(description="whose")
    def holder(self, identity: Identity) -> str:
        return str(identity.user or f"{identity.service_account} (service account)")

    def get_readonly_fields(self, request: HttpRequest, obj: Identity | None = None) -> Any:
        return ("issuer", "subject", "name") if obj else ()

    def get_fields(self, request: HttpRequest, obj: Identity | None = None) -> Any:
        return ("user", "issuer", "subject", "name") if obj else ("user", "issuer", "subject")

    def has_change_permission(self, request: HttpRequest, obj: Identity | None = None) -> bool:
        of_a_program = obj is not None and obj.user_id is None
        return not of_a_program and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Identity | None = None) -> bool:
        """Whoever signed in with it would come back as somebody new. Make the person inactive instead."""
        return False

    def get_form(
        self, request: HttpRequest, obj: Identity | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.asker = person(request)  # a class of this request alone
        return form

    def save_model(self, request: HttpRequest, obj: Identity, form: Any, change: bool) -> None:
        user, by = form.cleaned_data["user"], person(request)
        if not change:
            obj.pk = identity_add(issuer=obj.issuer, subject=obj.subject, user=user, by=by).pk
            return
        before = Identity.objects.select_related("user").get(pk=obj.pk).user
        if identity_link(identity=obj, user=user, by=by):
            messages.warning(request, "The account that it was taken from is inactive now.")
        elif before is not None and before != user and before.is_active:
            page = reverse("admin:gateway_user_change", args=[before.pk])
            messages.warning(
                request,
                format_html(
                    '<a href="{}">{}</a> is still active: there is a password or another identity to come in'
                    " with. If it is the same person, make that account inactive.",
                    page,
                    before,
                ),
            )

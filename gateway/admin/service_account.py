"""Service accounts in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.safestring import SafeString

from gateway.admin.kept import KeepingForm
from gateway.admin.person import person
from gateway.identity.accounts import groups_beyond, owner_handed_over
from gateway.identity.membership import membership_set
from gateway.models import ServiceAccount, User
from policies.admin.base import NotedAdmin, badge


class ServiceAccountForm(KeepingForm):
    asker: User  # set by the admin

    class Meta:
        model = ServiceAccount
        fields = "__all__"

    def clean_owner(self) -> User:
        owner: User = self.cleaned_data["owner"]
        if "owner" in self.changed_data and not owner.is_active:
            raise ValidationError("The owner has to be somebody who is active.")
        return owner

    def clean_groups(self) -> Any:
        """Groups that the account has already may stay, whatever they open."""
        groups = super().clean_groups()
        new = self.instance._state.adding
        held = set() if new else set(self.instance.groups.all())
        permission = f"gateway.{'add' if new else 'change'}_serviceaccount"
        if beyond := groups_beyond(set(groups) - held, self.asker.areas_with(permission)):
            raise ValidationError(f"These reach beyond your areas: {', '.join(beyond)}.")
        return groups


@admin.register(ServiceAccount)
class ServiceAccountAdmin(NotedAdmin[ServiceAccount]):
    form = ServiceAccountForm
    list_display = ("name", "area", "owner", "active_badge")
    list_filter = ("area", "is_active")
    list_select_related = ("area", "owner")
    search_fields = ("name", "description")
    autocomplete_fields = ("owner",)
    filter_horizontal = ("groups",)

    @admin.display(description="state", ordering="is_active")
    def active_badge(self, account: ServiceAccount) -> SafeString:
        return badge("active", "Active") if account.is_active else badge("revoked", "Inactive")

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        made: Any = super().get_form(request, *args, **kwargs)
        return type(made.__name__, (made,), {"asker": person(request)})

    def save_model(self, request: HttpRequest, obj: ServiceAccount, form: Any, change: bool) -> None:
        """That somebody else answers for it from now on is an event of its own."""
        before = User.objects.get(pk=form.initial["owner"]) if change else obj.owner
        super().save_model(request, obj, form, change)
        owner_handed_over(account=obj, before=before, by=person(request))

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Groups go through the service that notes who came and went, and why."""
        groups = form.cleaned_data.pop("groups", None)
        super().save_related(request, form, formsets, change)
        if groups is not None:
            membership_set(member=form.instance, groups=groups, by=person(request))

"""Service accounts in the admin."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.safestring import SafeString

from gateway.admin.kept import KeepingForm
from gateway.admin.person import person
from gateway.identity.accounts import groups_beyond, owner_handed_over
from gateway.identity.beyond import beyond
from gateway.identity.membership import membership_set
from gateway.identity.reach import Reach
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
    names: ClassVar = frozenset({"owner", "groups"})  # of groups those that open nothing elsewhere
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

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Only groups that open nothing outside of the areas where this person may write."""
        outside = beyond(Group.objects.all(), self._writes(request))
        kwargs["queryset"] = Group.objects.exclude(pk__in=[group.pk for group in outside])
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def get_autocomplete_fields(self, request: HttpRequest) -> Any:
        """Who may not browse people chooses among their names."""
        return self.autocomplete_fields if person(request).has_perm("gateway.view_user") else ()

    def _writes(self, request: HttpRequest) -> Reach:
        return person(request).areas_with("gateway.change_serviceaccount")

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Groups go through the service that notes who came and went, and why."""
        groups = form.cleaned_data.pop("groups", None)
        super().save_related(request, form, formsets, change)
        if groups is not None:
            kept = beyond(form.instance.groups.all(), self._writes(request))  # not offered, so not taken away
            groups = {*groups, *kept}
            membership_set(member=form.instance, groups=groups, by=person(request))

"""People, groups and their identities in the admin. Only a superuser can make or change a superuser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from gateway.admin.person import person
from gateway.admin.proposing import warn_of_rules
from gateway.identity.membership import group_delete, membership_set, permissions_set
from gateway.identity.sessions import sign_in_end_all
from gateway.models import Identity, User
from policies.admin.base import NotedAdmin, TabularInline, actor, badge

if TYPE_CHECKING:
    UserBase = DjangoUserAdmin[User]
else:
    UserBase = DjangoUserAdmin

ESCALATION = ("is_superuser", "user_permissions")


class IdentitiesInline(TabularInline[Identity, User]):
    """To read: whose an identity is changes on its own page, by a service that looks twice."""

    model = Identity
    fields = readonly_fields = ("issuer", "subject", "name")
    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(User)
class UserAdmin(NotedAdmin[User], UserBase):
    list_display = ("username", "full_name", "group_names", "active_badge", "last_login")
    list_filter = ("groups", "is_active", "is_staff")
    inlines = (IdentitiesInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description="name")
    def full_name(self, user: User) -> str:
        return user.get_full_name() or "–"

    @admin.display(description="groups")
    def group_names(self, user: User) -> str:
        return ", ".join(group.name for group in user.groups.all()) or "–"

    @admin.display(description="state", ordering="is_active")
    def active_badge(self, user: User) -> SafeString:
        return badge("active", "Active") if user.is_active else badge("revoked", "Inactive")

    def get_inlines(self, request: HttpRequest, obj: User | None) -> Any:
        return self.inlines if obj else ()

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        locked = () if actor(request).is_superuser else ESCALATION
        return ("last_login", "date_joined", *locked)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Whoever may edit people may not thereby become, or take over, a superuser."""
        beyond = obj is not None and obj.is_superuser and not actor(request).is_superuser
        return not beyond and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """The record names people by id: they are made inactive, not deleted."""
        return False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Whoever is made inactive is out at once; the sign-ins say so."""
        super().save_model(request, obj, form, change)
        if change and not obj.is_active and "is_active" in form.changed_data:
            sign_in_end_all(user=obj, because="deactivated", by=person(request))

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Through the services that keep who came and went, and who was given what."""
        groups = form.cleaned_data.pop("groups", None)
        given = form.cleaned_data.pop("user_permissions", None)
        super().save_related(request, form, formsets, change)
        if groups is not None:
            membership_set(member=form.instance, groups=groups, by=person(request))
        if given is not None:
            permissions_set(holder=form.instance, permissions=given, by=person(request))


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(NotedAdmin[Group], DjangoGroupAdmin):
    """Groups carry permissions as well: only a superuser changes those."""

    noted_by_services: ClassVar = frozenset({"deleted"})

    def get_readonly_fields(self, request: HttpRequest, obj: Group | None = None) -> Any:
        return () if actor(request).is_superuser else ("permissions",)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        given = form.cleaned_data.pop("permissions", None)
        super().save_related(request, form, formsets, change)
        if given is not None:
            permissions_set(holder=form.instance, permissions=given, by=person(request))

    def render_delete_form(self, request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
        warn_of_rules(request, context["object"].access_rules.all())
        return super().render_delete_form(request, context)

    def delete_model(self, request: HttpRequest, obj: Group) -> None:
        group_delete(group=obj, by=person(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Group]) -> None:
        for group in queryset:
            group_delete(group=group, by=person(request))

"""People, groups and their identities in the admin. Only a superuser can make or change a superuser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import UserChangeForm
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from gateway.admin.person import person
from gateway.admin.proposing import warn_of_rules
from gateway.identity.membership import group_delete, membership_set, permissions_set
from gateway.models import Identity, User
from policies.admin.base import NotedAdmin, TabularInline, actor, badge

if TYPE_CHECKING:
    UserBase = DjangoUserAdmin[User]
    UserForm = UserChangeForm[User]
else:
    UserBase, UserForm = DjangoUserAdmin, UserChangeForm

ESCALATION = ("is_superuser", "user_permissions")
GROUPS_OPEN = "Groups carry everything: the endpoints that access rules open, and the roles that they hold."


class PersonForm(UserForm):
    """Nobody puts themselves into a group that holds a role."""

    asker: ClassVar[User | None] = None

    def clean_groups(self) -> Any:
        groups, asker = self.cleaned_data["groups"], self.asker
        if asker is None or asker.is_superuser or asker.pk != self.instance.pk:
            return groups
        joined = groups.exclude(user=asker)
        if names := sorted(set(joined.filter(role_grants__isnull=False).values_list("name", flat=True))):
            raise ValidationError(
                f"Somebody else has to put you into {', '.join(names)}: roles come with it."
            )
        return groups


class IdentitiesInline(TabularInline[Identity, User]):
    model = Identity
    fields = ("issuer", "subject")
    extra = 0


@admin.register(User)
class UserAdmin(NotedAdmin[User], UserBase):
    list_display = ("username", "full_name", "group_names", "active_badge", "last_login")
    list_filter = ("groups", "is_active")
    form = PersonForm
    fieldsets: ClassVar = (
        (None, {"fields": ("username", "password")}),
        ("Who they are", {"fields": ("first_name", "last_name", "email")}),
        ("What they may do", {"fields": ("is_active", "groups"), "description": GROUPS_OPEN}),
        ("Dates", {"fields": ("last_login", "date_joined"), "classes": ("collapse",)}),
    )
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

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Roles come with groups. What goes past them is a superuser's business and shown to nobody else."""
        shown = list(super().get_fieldsets(request, obj))
        if obj is not None and actor(request).is_superuser:
            shown.append(("Past the roles", {"fields": ESCALATION, "classes": ("collapse",)}))
        return shown

    def get_form(
        self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.asker = person(request)  # a class of this request alone
        return form

    def get_inlines(self, request: HttpRequest, obj: User | None) -> Any:
        return self.inlines if obj else ()

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        return ("last_login", "date_joined")

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Whoever may edit people may not thereby become, or take over, a superuser."""
        beyond = obj is not None and obj.is_superuser and not actor(request).is_superuser
        return not beyond and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """The record names people by id: they are made inactive, not deleted."""
        return False

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
    """What a group opens is said by roles and access rules; permissions past them only by a superuser."""

    noted_by_services: ClassVar = frozenset({"deleted"})

    def get_fields(self, request: HttpRequest, obj: Group | None = None) -> Any:
        return ("name", "permissions") if actor(request).is_superuser else ("name",)

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

"""The walls between areas in the admin: what lies in an area is seen, chosen and changed by those who hold a
role there. A row behind a wall looks like one that does not exist.

Subclasses say nothing about areas; `gateway.identity.reach.PLACES` says where each model lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from django import forms
from django.contrib import admin
from django.contrib.auth import get_permission_codename
from django.core.exceptions import FieldDoesNotExist, PermissionDenied
from django.db.models import ForeignKey, ManyToManyField, Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from policies.reach import reach, seen

M = TypeVar("M", bound=Model)
P = TypeVar("P", bound=Model)

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin as ModelAdmin
    from django.contrib.admin import TabularInline as PlainInline
else:
    # Django's classes take no type parameters at run time; the annotations are for mypy alone.
    class ModelAdmin(admin.ModelAdmin):
        def __class_getitem__(cls, item):
            return cls

    class PlainInline(admin.TabularInline):
        def __class_getitem__(cls, item):
            return cls


WRITES = ("add", "change")


def perm_of(model: type[Model], verb: str) -> str:
    return f"{model._meta.app_label}.{get_permission_codename(verb, model._meta)}"


def offered(request: HttpRequest, model: type[Model], rows: Any, *, names: bool = False) -> QuerySet[Any]:
    """What a form about `model` offers to point at: only what lies where this person may write such rows.

    What lies in no area, such as people and groups, is offered to whoever may write them everywhere; to
    others only where the form has to name one (`names`).
    """
    places = [reach(request.user, perm_of(model, verb)) for verb in WRITES]
    if any(place.everywhere for place in places):
        return cast("QuerySet[Any]", rows.all())
    if not places[0].lies_in_areas(rows.model):
        return cast("QuerySet[Any]", rows.all() if names else rows.none())
    here, there = (place.q_of(rows.model) for place in places)
    return cast("QuerySet[Any]", rows.filter(here | there))


class ScopedChoices:
    """Narrows what relations offer; for admins and inlines alike."""

    model: Any
    names: ClassVar[frozenset[str]] = frozenset()
    """Relations to people or groups that the form has to offer to whoever administers an area."""

    def formfield_for_foreignkey(self, db_field: ForeignKey[Any], request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["queryset"] = self._offered(db_field, request, kwargs)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]  # a mixin

    def formfield_for_manytomany(
        self, db_field: ManyToManyField[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        kwargs["queryset"] = self._offered(db_field, request, kwargs)
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]  # a mixin

    def _offered(self, db_field: Any, request: HttpRequest, kwargs: Mapping[str, Any]) -> QuerySet[Any]:
        rows = kwargs.get("queryset")
        if rows is None:
            rows = db_field.remote_field.model._default_manager.all()
        return offered(request, self.model, rows, names=db_field.name in self.names)


class ScopedAdmin(ScopedChoices, ModelAdmin[M]):
    """Everything here asks about the row's own area, before and after a change."""

    action_perms: ClassVar[Mapping[str, str]] = {}
    """The permission behind each `has_<name>_permission` of an action, where it is not the verb itself."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[M]:
        perms = (perm_of(self.model, "view"), perm_of(self.model, "change"))
        return seen(request.user, super().get_queryset(request), perms)

    def found(self, request: HttpRequest, key: object) -> M:
        """A row for a page of its own: 404 behind a wall, 403 for who may see no such row anywhere."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return get_object_or_404(self.get_queryset(request), pk=key)

    def may(self, request: HttpRequest, verb: str, obj: Model | None = None) -> bool:
        """Whether this person may do it to this row; without a row: anywhere."""
        person: Any = request.user
        return bool(person.has_perm(perm_of(self.model, verb), obj))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "add")

    def has_view_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return self.may(request, "view", obj) or self.may(request, "change", obj)

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return self.may(request, "change", obj)

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return self.may(request, "delete", obj)

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        """The row as it will be: nobody moves one to where they may not write."""
        row = super().save_form(request, form, change)
        if not self.may(request, "change" if change else "add", row):
            raise PermissionDenied
        return row

    def get_form(
        self, request: HttpRequest, obj: M | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Fields that a form declares itself are narrowed too."""
        form = super().get_form(request, obj, change=change, **kwargs)
        for name, field in form.base_fields.items():
            if name in form.declared_fields and isinstance(field, forms.ModelChoiceField):
                mine = deepcopy(field)
                mine.queryset = offered(request, self.model, field.queryset, names=name in self.names)
                form.base_fields[name] = mine
        return form

    def get_list_filter(self, request: HttpRequest) -> Any:
        """Relations offer what the rows of this list point at, and nothing behind a wall."""
        return [self._narrowed(each) for each in super().get_list_filter(request)]

    def _narrowed(self, each: Any) -> Any:
        if not isinstance(each, str):
            return each
        try:
            related = self.opts.get_field(each).is_relation
        except FieldDoesNotExist:
            return each
        return (each, admin.RelatedOnlyFieldListFilter) if related else each

    def response_action(self, request: HttpRequest, queryset: QuerySet[M]) -> HttpResponse | None:
        """An action reaches the rows to which this person may do it, not all that they may see."""
        chosen = self.get_actions(request).get(request.POST.get("action", ""))
        for name in getattr(chosen[0], "allowed_permissions", ()) if chosen else ():
            perm = self.action_perms.get(name) or perm_of(self.model, name)
            queryset = seen(request.user, queryset, [perm])
        return super().response_action(request, queryset)


class ScopedInline(ScopedChoices, PlainInline[M, P]):
    """Rows of a page about something else: they lie where that lies."""

    def _may(self, request: HttpRequest, verb: str, obj: Any) -> bool:
        person: Any = request.user
        return bool(person.has_perm(perm_of(self.model, verb), obj))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "add", obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "change", obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "delete", obj)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "view", obj) or self._may(request, "change", obj)

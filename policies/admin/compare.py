"""The page that shows two versions of one schema or policy side by side. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from policies import compiler, diff
from policies.admin.base import ModelAdmin
from policies.models import DataClass, PolicyVersion, SchemaVersion, Version
from policies.versions import published

V = TypeVar("V", bound=Version)

_OF_PEOPLE = ("schema", "mode")
"""What a policy version says that the engine does not read."""


class ComparedAdmin(ModelAdmin[V], Generic[V]):
    """Adds `<version>/compare/?with=<version>`; without `with`, the published one is meant."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.compare_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_compare"
        return [path("<uuid:object_id>/compare/", view, name=name), *super().get_urls()]

    def compare_url(self, version: V) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_compare", args=[version.pk])

    @admin.display(description="changes")
    def compare(self, version: V) -> SafeString:
        return format_html('<a href="{}">Compare</a>', self.compare_url(version))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        version = kwargs.get("obj")
        if version is not None:
            context["compare_url"] = self.compare_url(version)
        return super().render_change_form(request, context, *args, **kwargs)

    def compare_view(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        version = self.found(request, object_id)
        others = _siblings(version).exclude(pk=version.pk).order_by("-number")
        other = _other(version, others, request.GET.get("with", ""))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Changes in {version}",
            "version": version,
            "others": list(others),
            "other": other,
        }
        if other is not None:
            before, after = sorted((version, other), key=lambda one: one.number)
            context |= {"before": before, "after": after, "changes": changes(before, after)}
        return TemplateResponse(request, "admin/policies/compare.html", context)


def _siblings(version: V) -> QuerySet[V]:
    """Every version of the same schema or policy."""
    parent = "schema_id" if isinstance(version, SchemaVersion) else "policy_id"
    return type(version)._default_manager.filter(**{parent: getattr(version, parent)})


def _other(version: V, others: QuerySet[V], asked: str) -> V | None:
    """The version to compare with: the one asked for, else the published one, else the one before."""
    if asked:
        found = next((one for one in others if str(one.pk) == asked), None)
        if found is None:
            raise Http404("No such version here.")
        return found
    in_force = published(_siblings(version))[-1:]
    if in_force and in_force[0].pk != version.pk:
        return in_force[0]
    return others.filter(number__lt=version.number).first() or others.first()


def changes(before: Version, after: Version) -> list[diff.Change]:
    """What differs, for the page: what the engine reads, and what only people read."""
    if isinstance(before, SchemaVersion) and isinstance(after, SchemaVersion):
        found = diff.schema_changes(compiler.schema_spec(before), compiler.schema_spec(after))
        return _with(found, "Descriptions", _descriptions(before, after))
    if isinstance(before, PolicyVersion) and isinstance(after, PolicyVersion):
        found = diff.policy_changes(compiler.policy_spec(before), compiler.policy_spec(after))
        return _with(found, "Schema and mode", _settings(before, after))
    raise TypeError("two versions of one kind")


def _with(found: tuple[diff.Change, ...], what: str, lines: Iterator[diff.Line]) -> list[diff.Change]:
    more = tuple(lines)
    return [*found, diff.Change(diff.Kind.CHANGED, what, more)] if more else [*found]


def _descriptions(before: SchemaVersion, after: SchemaVersion) -> Iterator[diff.Line]:
    def texts(version: SchemaVersion) -> dict[str, str]:
        return dict(DataClass.objects.filter(version=version).values_list("slug", "description"))

    old, new = texts(before), texts(after)
    for slug in new.keys() & old.keys():
        if old[slug] != new[slug]:
            yield diff.Line(slug, old[slug], new[slug])


def _settings(before: PolicyVersion, after: PolicyVersion) -> Iterator[diff.Line]:
    for name in _OF_PEOPLE:
        old, new = _shown(before, name), _shown(after, name)
        if old != new:
            yield diff.Line(str(after._meta.get_field(name).verbose_name), old, new)  # type: ignore[union-attr]


def _shown(row: Model, name: str) -> str:
    display: Callable[[], str] | None = getattr(row, f"get_{name}_display", None)
    value = display() if display else getattr(row, name)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

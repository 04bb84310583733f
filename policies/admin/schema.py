"""The schema editor: schemas, their versions, and per version the data classes with their detectors."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import AbstractUser
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from policies import services
from policies.admin.base import ModelForm, NotedAdmin, TabularInline, actor, badge, words_field
from policies.admin.compare import ComparedAdmin
from policies.admin.trying import TriedAdmin
from policies.admin.versions import DraftInline, VersionAdmin, change_url
from policies.engine.types import Level
from policies.library.templates import TEMPLATES
from policies.models import DataClass, Detector, DetectorKind, Schema, SchemaVersion, Version
from policies.versions import schema_version_in_force


class VersionsInline(TabularInline[SchemaVersion, Schema]):
    model = SchemaVersion
    fields = readonly_fields = ("number", "state", "note", "published_by", "effective_at")
    ordering = ("-number",)
    show_change_link = True
    can_delete = False
    extra = 0

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class SchemaForm(ModelForm[Schema]):
    """A new schema may begin with the data classes of a template."""

    template = forms.ChoiceField(
        choices=[("", "An empty schema"), *((one.slug, one.title) for one in TEMPLATES.values())],
        required=False,
        label="Start from",
        help_text="Its attributes come with detectors and examples, to be changed before they are published.",
    )

    class Meta:
        model = Schema
        fields = ("name", "slug", "area", "description")


@admin.register(Schema)
class SchemaAdmin(NotedAdmin[Schema]):
    noted_by_services: ClassVar = frozenset({"added"})
    list_display = ("name", "area", "slug", "in_force")
    list_filter = ("area",)
    search_fields = ("name", "slug")
    list_select_related = ("area",)
    prepopulated_fields: ClassVar = {"slug": ("name",)}
    fields = ("name", "slug", "area", "description")
    inlines = (VersionsInline,)

    @admin.display(description="in force")
    def in_force(self, schema: Schema) -> SafeString:
        version = schema_version_in_force(schema.pk)
        return badge("published", f"v{version.number}") if version else badge("warning", "Nothing published")

    def get_form(
        self, request: HttpRequest, obj: Schema | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is None:
            kwargs["form"] = SchemaForm
        return super().get_form(request, obj, change, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Schema | None = None) -> Any:
        return self.fields if obj else ("name", "slug", "area", "template", "description")

    def get_inlines(self, request: HttpRequest, obj: Schema | None) -> Any:
        return self.inlines if obj else ()

    def get_readonly_fields(self, request: HttpRequest, obj: Schema | None = None) -> Any:
        return ("area", "slug") if obj else ()

    def get_prepopulated_fields(self, request: HttpRequest, obj: Schema | None = None) -> Any:
        return {} if obj else self.prepopulated_fields

    def save_model(self, request: HttpRequest, obj: Schema, form: Any, change: bool) -> None:
        if change:
            return super().save_model(request, obj, form, change)
        draft = services.schema_create(
            area_id=obj.area_id,
            slug=obj.slug,
            name=obj.name,
            description=obj.description,
            by=actor(request),
            template=form.cleaned_data["template"],
        )
        obj.pk = draft.schema_id
        return None

    def response_add(self, request: HttpRequest, obj: Schema, post_url_continue: Any = None) -> HttpResponse:
        messages.success(request, "Created. Add attributes to its first draft, then publish it.")
        return redirect(change_url(obj.versions.get()))


MANY = 100
"""Data classes from which a version's page only lists them: a form of that size is refused by the server."""


class DataClassesInline(DraftInline[DataClass, SchemaVersion]):
    model = DataClass
    verbose_name = "attribute"
    verbose_name_plural = "attributes"
    fields = ("position", "slug", "name", "level", "tags", "found_by")
    readonly_fields = ("found_by",)
    shown = ("position", "slug", "name", "level_badge", "tags_shown", "found_by")
    show_change_link = True

    def _is_draft(self, obj: Any) -> bool:
        """Whether the rows are written here."""
        return super()._is_draft(obj) and (obj is None or obj.classes.count() <= MANY)

    @admin.display(description="found by")
    def found_by(self, data_class: DataClass) -> str | SafeString:
        detectors = list(data_class.detectors.all()) if data_class.pk else []
        if data_class._state.adding:
            return "Save first, then add detectors."
        if not detectors:
            return badge("warning", "No detector")
        return format_html_join(" ", "{}", ((badge(each.kind, _shown(each)),) for each in detectors))

    def get_queryset(self, request: HttpRequest) -> QuerySet[DataClass]:
        return super().get_queryset(request).prefetch_related("detectors")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if self._is_draft(obj) else self.shown

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.readonly_fields if self._is_draft(obj) else self.shown

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "tags":
            return words_field(db_field)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    @admin.display(description="level")
    def level_badge(self, data_class: DataClass) -> SafeString:
        return badge(Level(data_class.level).name, data_class.get_level_display())

    @admin.display(description="tags")
    def tags_shown(self, data_class: DataClass) -> str:
        return ", ".join(data_class.tags) or "–"


@admin.register(SchemaVersion)
class SchemaVersionAdmin(ComparedAdmin[SchemaVersion], TriedAdmin, VersionAdmin[SchemaVersion]):
    list_display = ("schema", "number", "state_badge", "compare", "note", "published_by", "effective_at")
    list_display_links = ("schema", "number")
    list_select_related = ("schema", "published_by")
    fields = (
        "schema",
        ("number", "state_badge"),
        "note",
        "effective_at",
        ("author", "created_at"),
        ("published_by", "published_at"),
    )
    readonly_fields: ClassVar[tuple[str, ...]] = ("schema", *VersionAdmin.readonly_fields)
    search_fields = ("schema__name", "note")
    inlines = (DataClassesInline,)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        version = kwargs.get("obj")
        if version is not None and version.is_draft and self.has_change_permission(request, version):
            context["add_class_url"] = f"{reverse('admin:policies_dataclass_add')}?version={version.pk}"
        return super().render_change_form(request, context, *args, **kwargs)

    def publish(self, version: SchemaVersion, by: AbstractUser) -> Version:
        return services.schema_version_publish(version=version, by=by, effective_at=version.effective_at)

    def clone(self, version: SchemaVersion, by: AbstractUser) -> Version:
        return services.schema_version_clone_to_draft(version=version, by=by)

    def roll_back(self, version: SchemaVersion, by: AbstractUser) -> Version:
        return services.schema_version_rollback(version=version, by=by)


def _shown(detector: Detector) -> str:
    """A recogniser by its name, everything else by its kind; the detectors' own page has the whole."""
    known = detector.kind == DetectorKind.LIBRARY
    return detector.value if known else DetectorKind(detector.kind).label

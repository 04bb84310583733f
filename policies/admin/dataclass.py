"""The editor of one data class, which admins know as an attribute: what it is, how it is found, examples."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.utils.safestring import SafeString

from policies import compiler
from policies.admin.base import ModelForm, NotedAdmin, badge, words_field
from policies.admin.versions import DraftInline, change_url
from policies.engine.detectors import MAX_TERMS
from policies.engine.types import Level
from policies.library.recognisers import LIBRARY
from policies.models import DataClass, Detector, DetectorKind, Example, SchemaVersion
from policies.termlists import MAX_BYTES, TermListError, read_terms

LONG = 20_000
"""Characters from which a word list is not edited in the page any more, only replaced by another file."""


COLUMNS = ("position", "kind", "value", "threshold", "max_len", "ignore_case")


class DetectorForm(ModelForm[Detector]):
    """Asks the engine whether the detector can work, and says what it answers."""

    upload = forms.FileField(
        required=False,
        label="Word list file",
        help_text=(
            f"Instead of the value: UTF-8 text with one entry per line, or CSV with one column; "
            f"up to {MAX_TERMS:,} entries and {MAX_BYTES >> 20} MB."
        ),
    )

    class Meta:
        model = Detector
        fields = COLUMNS
        widgets: ClassVar = {"value": forms.Textarea(attrs={"rows": 3, "cols": 60})}
        labels: ClassVar = {"max_len": "Longest match"}
        help_texts: ClassVar = {
            "value": (
                "A pattern, a JSON path, a word or key name per line, or the name of a built-in recogniser: "
                + ", ".join(sorted(LIBRARY))
                + "."
            ),
            "threshold": "Built-in recognisers only: how sure it has to be, 0 to 100.",
            "max_len": "Patterns only: the longest match, if the pattern has no end of its own.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kept = self.instance.value if len(self.instance.value) > LONG else ""
        if "value" not in self.fields:  # read only
            return
        self.fields["value"].required = False  # a file may stand for it
        self.fields["threshold"].required = False
        if self.kept:
            count = sum(1 for line in self.kept.splitlines() if line.strip())
            self.initial["value"] = f"{count:,} entries, too many to show. Upload a file to replace them."
            self.fields["value"].disabled = True

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        cleaned["threshold"] = cleaned.get("threshold") or 0
        cleaned["value"] = self._value(cleaned)
        row = Detector(**{name: cleaned[name] for name in COLUMNS})
        context = tuple(self.instance.data_class.context) if self.instance.data_class_id else ()
        if problems := compiler.detector_problems(row, context):
            raise ValidationError([*problems])
        return cleaned

    def _value(self, cleaned: dict[str, Any]) -> str:
        file = cleaned.get("upload")
        if not file:
            value: str = self.kept or cleaned.get("value") or ""
            if not value.strip():
                raise ValidationError({"value": "Write how it is found, or upload a word list."})
            return value
        if cleaned.get("kind") != DetectorKind.TERMS:
            raise ValidationError({"upload": "Only a word list takes a file: choose that kind."})
        try:
            if file.size > MAX_BYTES:
                raise TermListError(f"The file is larger than {MAX_BYTES >> 20} MB.")
            return "\n".join(read_terms(file.chunks(), is_csv=file.name.lower().endswith(".csv")))
        except TermListError as error:
            raise ValidationError({"upload": str(error)}) from None


class DetectorsInline(DraftInline[Detector, DataClass]):
    model = Detector
    form = DetectorForm
    template = "admin/edit_inline/stacked.html"
    verbose_name = "detector"
    verbose_name_plural = "how it is found"
    fields = (("kind", "ignore_case"), "value", "upload", ("threshold", "max_len"), "position")

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        return 0 if obj else 1

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """What is published has no file to upload."""
        if self._is_draft(obj):
            return self.fields
        return ("kind", "value_shown", "ignore_case", "threshold", "max_len")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if self._is_draft(obj) else self.get_fields(request, obj)

    @admin.display(description="value")
    def value_shown(self, detector: Detector) -> str:
        rest = len(detector.value) - LONG
        return detector.value if rest <= 0 else f"{detector.value[:LONG]}… and {rest:,} characters more"


class ExamplesInline(DraftInline[Example, DataClass]):
    model = Example
    fields = ("kind", "text", "position")

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        return 0 if obj else 2

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "text":
            kwargs["widget"] = forms.Textarea(attrs={"rows": 2, "cols": 60})
        return super().formfield_for_dbfield(db_field, request, **kwargs)


class DataClassForm(ModelForm[DataClass]):
    """Knows its version already when it is checked, so that two attributes of one name are refused here."""

    version: ClassVar[SchemaVersion | None] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.version is not None:
            self.instance.version = self.version

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        others = DataClass.objects.filter(version=self.instance.version_id, slug=cleaned.get("slug"))
        if others.exclude(pk=self.instance.pk).exists():
            self.add_error("slug", "Another attribute of this version has this name.")
        if cleaned.get("context_needed") and not cleaned.get("context"):
            self.add_error("context", "Name the words that have to stand near it.")
        return cleaned


@admin.register(DataClass)
class DataClassAdmin(NotedAdmin[DataClass]):
    """Reached from its version; the list of all data classes of all versions would help nobody."""

    form = DataClassForm
    readonly_fields = ("version",)
    list_display = ("slug", "version", "level_badge")
    list_select_related = ("version__schema",)
    actions = None
    inlines = (DetectorsInline, ExamplesInline)
    fieldsets = (
        (None, {"fields": ("version", ("slug", "name"), "description", ("level", "weight"), "tags")}),
        ("Context words", {"fields": ("context", "context_needed")}),
        ("Place in the schema", {"fields": ("position",), "classes": ("collapse",)}),
    )

    shown = (
        (None, {"fields": ("version", ("slug", "name"), "description", ("level", "weight"), "tags_shown")}),
        ("Context words", {"fields": ("context_shown", "context_needed")}),
    )

    def get_form(
        self, request: HttpRequest, obj: DataClass | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        made = super().get_form(request, obj, change, **kwargs)
        return type(made.__name__, (made,), {"version": None if obj else self._draft(request)})

    def get_fieldsets(self, request: HttpRequest, obj: DataClass | None = None) -> Any:
        if obj:
            return self.fieldsets if self.has_change_permission(request, obj) else self.shown
        first, *others = self.fieldsets
        names = tuple(name for name in first[1]["fields"] if name != "version")
        return [(None, {"fields": names}), *others]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in ("tags", "context"):
            field = words_field(db_field)
            field.widget.attrs["class"] = "vTextField"
            return field
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        draft = self._draft(request)
        return {"position": draft.classes.count() + 1 if draft else 0}

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> Any:
        draft = self._draft(request)
        title = f"New attribute of {draft}" if draft else "Attribute"
        context = {"title": title, "draft": draft, **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        data_class: DataClass | None = kwargs.get("obj")
        if data_class is not None:
            context["draft"] = data_class.version
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description="tags")
    def tags_shown(self, data_class: DataClass) -> str:
        return ", ".join(data_class.tags) or "–"

    @admin.display(description="context")
    def context_shown(self, data_class: DataClass) -> str:
        return ", ".join(data_class.context) or "–"

    @admin.display(description="level")
    def level_badge(self, data_class: DataClass) -> SafeString:
        return badge(Level(data_class.level).name, data_class.get_level_display())

    def has_module_permission(self, request: HttpRequest) -> bool:
        return False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only into a draft, which the address names: `?version=`."""
        draft = self._draft(request)
        return draft is not None and self.may(request, "add", draft)

    def has_change_permission(self, request: HttpRequest, obj: DataClass | None = None) -> bool:
        return (obj is None or obj.version.is_draft) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: DataClass | None = None) -> bool:
        return (obj is None or obj.version.is_draft) and super().has_delete_permission(request, obj)

    def response_add(
        self, request: HttpRequest, obj: DataClass, post_url_continue: str | None = None
    ) -> HttpResponse:
        if "_addanother" in request.POST:
            messages.success(request, f"{obj} is saved.")
            return redirect(request.get_full_path())  # which names the draft
        return super().response_add(request, obj, post_url_continue)

    def response_post_save_add(self, request: HttpRequest, obj: DataClass) -> HttpResponseRedirect:
        return redirect(change_url(obj.version))

    def response_post_save_change(self, request: HttpRequest, obj: DataClass) -> HttpResponseRedirect:
        return redirect(change_url(obj.version))

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> HttpResponse:
        messages.success(request, f"{obj_display} is deleted.")
        return redirect("admin:policies_schemaversion_changelist")

    def _draft(self, request: HttpRequest) -> SchemaVersion | None:
        try:
            draft = SchemaVersion.objects.select_related("schema").get(pk=request.GET.get("version", ""))
        except (SchemaVersion.DoesNotExist, ValidationError):
            return None
        return draft if draft.is_draft else None

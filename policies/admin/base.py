"""What every admin of ours shares: badges, events for each change, and buttons that post."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import messages
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString

from policies.admin.scoped import M, P, ScopedAdmin, ScopedInline
from policies.grants import NeedsSecondPerson
from policies.journal import note

__all__ = ["BaseInlineFormSet", "M", "ModelAdmin", "ModelForm", "NotedAdmin", "P", "TabularInline", "Tool"]

ModelAdmin = ScopedAdmin
"""Every admin of ours keeps the walls between areas."""

TabularInline = ScopedInline

if TYPE_CHECKING:
    from django.forms import BaseInlineFormSet as BaseInlineFormSet
    from django.forms import ModelForm as ModelForm
else:
    # Django's classes take no type parameters at run time; the annotations are for mypy alone.
    class ModelForm(forms.ModelForm):
        def __class_getitem__(cls, item):
            return cls

    class BaseInlineFormSet(forms.BaseInlineFormSet):
        def __class_getitem__(cls, item):
            return cls


def badge(value: str, text: str) -> SafeString:
    """A labelled badge; `value` chooses the colour, the text carries the meaning."""
    return format_html('<span class="badge badge-{}">{}</span>', value.lower(), text)


class WordsField(forms.CharField):
    """A list of words as people write one: separated by commas. For JSON columns that hold a list."""

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return list(dict.fromkeys(word.strip() for word in str(value or "").split(",") if word.strip()))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool((initial or []) != self.to_python(data))


def words_field(field: Any) -> WordsField:
    """The form field of such a column."""
    return WordsField(required=False, help_text=field.help_text, validators=field.validators)


def actor(request: HttpRequest) -> AbstractUser:
    """The signed-in person; the admin lets nobody else in."""
    if not isinstance(request.user, AbstractUser):
        raise PermissionDenied
    return request.user


class NotedAdmin(ScopedAdmin[M]):
    """Notes every change in the record, in the transaction that makes it."""

    show_full_result_count = False
    noted_by_services: ClassVar[frozenset[str]] = frozenset()
    """Verbs whose event a service writes already."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._in_words(request, partial(super().changeform_view, request, *args, **kwargs))

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._in_words(request, partial(super().delete_view, request, *args, **kwargs))

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._in_words(request, partial(super().changelist_view, request, *args, **kwargs))

    def _in_words(self, request: HttpRequest, view: Callable[[], HttpResponse]) -> HttpResponse:
        """Two people may be needed since the page was shown: nothing was saved, and the page says so."""
        try:
            return view()
        except NeedsSecondPerson as refusal:
            messages.error(request, str(refusal))
            return redirect(request.path)

    def log_addition(self, request: HttpRequest, obj: M, message: Any) -> Any:
        self._note(request, obj, "added", message)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: M, message: Any) -> Any:
        if message:
            self._note(request, obj, "changed", message)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[M]) -> Any:
        for obj in queryset:
            self._note(request, obj, "deleted", "")
        return super().log_deletions(request, queryset)

    def _note(self, request: HttpRequest, obj: M, verb: str, message: Any) -> None:
        """`message` names fields, never values: values may be secrets."""
        if verb in self.noted_by_services:
            return
        facts = {"name": str(obj), "fields": changed_fields(message)}
        note(action=f"{self.opts.model_name}.{verb}", by=actor(request), target=obj, facts=facts)


def changed_fields(message: Any) -> list[str]:
    """The field names in one of the admin's change messages."""
    if isinstance(message, str):
        message = json.loads(message) if message.startswith("[") else []
    parts = [part for entry in message for part in entry.values()]
    return [str(name) for part in parts for name in part.get("fields", [])]


Tool = Callable[[Any, HttpRequest, Any], HttpResponse]


class ToolsAdmin(NotedAdmin[M]):
    """Adds buttons above an object's page. Each one is a POST form to `<object>/<tool>/`."""

    tools: ClassVar[Sequence[str]] = ()

    def get_urls(self) -> list[URLPattern]:
        return [
            path(
                f"<path:object_id>/{tool}/",
                self.admin_site.admin_view(self._view(tool)),
                name=f"{self.opts.app_label}_{self.opts.model_name}_{tool}",
            )
            for tool in self.tools
        ] + super().get_urls()

    def _view(self, tool: str) -> Callable[[HttpRequest, str], HttpResponse]:
        handler: Callable[[HttpRequest, M], HttpResponse] = getattr(self, f"tool_{tool}")

        def view(request: HttpRequest, object_id: str) -> HttpResponse:
            if request.method != "POST":
                return HttpResponseNotAllowed(["POST"])
            return handler(request, self.found(request, object_id))

        return view


def require(allowed: bool) -> None:
    if not allowed:
        raise PermissionDenied


def listed(problems: Iterable[str]) -> list[str]:
    """Each problem once, in order."""
    return list(dict.fromkeys(problems))

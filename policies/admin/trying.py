"""“Check examples”: the page that tries a version on its own examples. Reads only."""

from __future__ import annotations

from itertools import groupby
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from policies import compiler, examples, store
from policies.admin.base import ModelAdmin
from policies.admin.versions import change_url
from policies.engine import types
from policies.examples import ExampleProblem
from policies.models import SchemaVersion
from policies.publishing import PublishRefused


class TriedAdmin(ModelAdmin[SchemaVersion]):
    """Adds `<version>/examples/`."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.examples_view)
        name = "policies_schemaversion_examples"
        return [path("<uuid:object_id>/examples/", view, name=name), *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        version = kwargs.get("obj")
        if version is not None:
            context["examples_url"] = examples_url(version)
        return super().render_change_form(request, context, *args, **kwargs)

    def refused_at(self, version: SchemaVersion, refusal: PublishRefused) -> str:
        """Failing examples are shown with their text there, and only there."""
        if any(isinstance(problem, ExampleProblem) for problem in refusal.problems):
            return examples_url(version)
        return change_url(version)

    def examples_view(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        version = self.found(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Examples of {version}",
            "version": version,
            **_tried(version),
        }
        return TemplateResponse(request, "admin/policies/examples.html", context)


def examples_url(version: SchemaVersion) -> str:
    return reverse("admin:policies_schemaversion_examples", args=[version.pk])


def _tried(version: SchemaVersion) -> dict[str, Any]:
    """What the template shows: outcomes by class, or why there are none."""
    spec = compiler.schema_spec(version)
    try:
        # A draft is compiled for this look alone: what is checked often must not fill the cache.
        schema = compiler.compile_schema(spec) if version.is_draft else store.load_schema(version)
    except compiler.SchemaError as error:
        return {"problems": error.problems}
    except store.NotInForce as error:
        return {"problems": [str(error)]}
    outcomes = examples.tried(schema)
    by_class = {slug: list(found) for slug, found in groupby(outcomes, lambda one: one.data_class)}
    pages = _pages(version)
    return {
        "classes": sorted(
            ((slug, pages[slug], found) for slug, found in by_class.items()),
            key=lambda each: all(one.passed for one in each[2]),  # what fails comes first
        ),
        "total": len(outcomes),
        "failed": sum(not one.passed for one in outcomes),
        "without": [one.slug for one in spec.classes if one.slug not in by_class],
        "idle": [one.slug for one in spec.classes if _asked_for_nothing(one)],
    }


def _asked_for_nothing(one: types.DataClass) -> bool:
    """Whether a class names context words that none of its detectors asks for."""
    thresholds = (each.threshold for each in one.detectors if isinstance(each, types.LibraryDetector))
    return bool(one.context) and not one.context_needed and not any(thresholds)


def _pages(version: SchemaVersion) -> dict[str, str]:
    """Where each class is edited."""
    rows = version.classes.values_list("slug", "pk")
    return {slug: reverse("admin:policies_dataclass_change", args=[pk]) for slug, pk in rows}

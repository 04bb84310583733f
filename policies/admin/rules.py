"""The rules of a policy's draft: what each looks at and does, and why one cannot be saved as it stands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from policies import compiler, drafting
from policies.admin.base import BaseInlineFormSet, ModelForm, badge
from policies.admin.versions import DraftInline
from policies.engine.problems import OPAQUE_KINDS, Fault
from policies.engine.types import Gate, Level, Matcher, SchemaSpec
from policies.models import PolicyVersion, Rule

FIELDS = (
    "position",
    "name",
    "matcher",
    "value",
    "at_least",
    "window",
    "directions",
    "gate",
    "transform",
    "weight",
)
NAMES = "rule-values"
"""The list that the browser offers for `value`."""

EXAMPLES = (
    ("Data class", "CARD", "that class"),
    ("Tag", "pci", "every class with that tag"),
    ("Level and above", "confidential", "every class of that level or a higher one"),
    ("Opaque content", "image, or empty", "content that cannot be read; the default no longer covers it"),
    ("Combination", "PERSON + DIAGNOSIS", "all of them found in one call"),
    ("Bulk", "EMAIL, at least 20", "many findings in one call; empty: of any class"),
    ("Distinct values", "CARD, at least 100, day", "different values that one caller sent in an hour or day"),
    ("Found above the declared level", "empty", "something worse than the caller said"),
    ("No level declared", "empty", "neither the call nor its key says a level"),
    ("Unclassified field", "customer.notes, or empty", "a JSON field that no data class claims"),
)


def guide(schemas: Iterable[SchemaSpec]) -> SafeString:
    """How rules are written, and the names that they can use."""
    rows = format_html_join("", "<tr><td>{}</td><td><code>{}</code></td><td>{}</td></tr>", EXAMPLES)
    names = format_html_join("", '<option value="{}">{}</option>', _names(schemas))
    return format_html(
        "<p>The strictest gate of all rules that apply decides about the call; the text is masked as the "
        "most specific rule says: data class before tag before level. Gate and transform are apart: a held "
        "call that is approved leaves masked. While a policy observes, only restricted data is enforced.</p>"
        '<details><summary>What a rule can look at</summary><table class="guide"><thead><tr>'
        '<th scope="col">Matcher</th><th scope="col">Value</th><th scope="col">Applies to</th></tr></thead>'
        "<tbody>{}</tbody></table></details>"
        '<datalist id="{}">{}</datalist>',
        rows,
        NAMES,
        names,
    )


def _names(schemas: Iterable[SchemaSpec]) -> list[tuple[str, str]]:
    classes = {each.slug: each for schema in schemas for each in schema.classes}
    tags = sorted({tag for each in classes.values() for tag in each.tags})
    return [
        *((slug, f"data class, {each.level.name.lower()}") for slug, each in sorted(classes.items())),
        *((tag, "tag") for tag in tags),
        *((level.name.lower(), "level and above") for level in Level),
        *((kind, "opaque content") for kind in OPAQUE_KINDS),
    ]


class RuleForm(ModelForm[Rule]):
    class Meta:
        model = Rule
        fields = FIELDS
        widgets: ClassVar = {
            "value": forms.TextInput(attrs={"list": NAMES}),
        }

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        value, matcher = cleaned.get("value", ""), cleaned.get("matcher")
        if matcher == Matcher.LEVEL:
            cleaned["value"] = value.lower()
        if matcher == Matcher.COMBINATION:
            cleaned["value"] = " + ".join(part.strip() for part in value.split("+") if part.strip())
        if not self.errors:
            row = Rule(**{name: cleaned[name] for name in FIELDS})
            for fault in compiler.own_rule_faults(row):
                blame(self, fault)
        return cleaned


def blame(form: ModelForm[Rule], fault: Fault) -> None:
    """Show what is wrong at the field that says it, once."""
    text = fault.text[:1].upper() + fault.text[1:]
    if text not in form.errors.get(fault.field, []):
        form.add_error(fault.field, text)


class RulesFormSet(BaseInlineFormSet[Rule, PolicyVersion, ModelForm[Rule]]):
    """Asks the engine about the draft as posted: its settings, its schema and all its rules."""

    def clean(self) -> None:
        super().clean()
        version: PolicyVersion = self.instance
        if any(self.errors) or version.schema_id is None:
            return
        kept = [form for form in self.forms if self._counts(form)]
        by_id = {str(form.instance.pk): form for form in kept}
        rows = [form.instance for form in kept]
        faults = drafting.draft_faults(version, rows, drafting.schema_specs(version.schema_id))
        for fault in faults:
            if fault.rule is not None:
                blame(by_id[fault.rule.id], fault)
        if about_all := [fault.text for fault in faults if fault.rule is None]:
            raise forms.ValidationError(about_all)

    def _counts(self, form: ModelForm[Rule]) -> bool:
        return bool(form.has_changed() or form.initial) and form not in self.deleted_forms


class RulesInline(DraftInline[Rule, PolicyVersion]):
    model = Rule
    form = RuleForm
    formset = RulesFormSet
    fields = FIELDS
    shown = ("position", "name", "matcher", "about", "directions", "gate_badge", "transform", "weight")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if self._is_draft(obj) else self.shown

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if self._is_draft(obj) else self.shown

    @admin.display(description="gate")
    def gate_badge(self, rule: Rule) -> SafeString:
        return badge(Gate(rule.gate).name, rule.get_gate_display())

    @admin.display(description="about")
    def about(self, rule: Rule) -> str:
        """`EMAIL, at least 20`, `CARD, at least 100 in one day`."""
        counted = f", at least {rule.at_least}" if rule.at_least else ""
        window = f" in one {rule.window}" if rule.window else ""
        return f"{rule.value or 'anything'}{counted}{window}" if rule.value or counted else "–"

"""Fields of admin forms into which secrets are pasted. They never hold what was typed: a form that is shown
again would show it."""

from __future__ import annotations

from typing import Any

from django import forms


class Pasted(forms.Textarea):
    def format_value(self, value: Any) -> str:
        return ""


class PastedLine(forms.TextInput):
    def format_value(self, value: Any) -> str:
        return ""

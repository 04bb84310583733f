"""A field of an admin form into which secrets are pasted."""

from __future__ import annotations

from typing import Any

from django import forms


class Pasted(forms.Textarea):
    """Never holds what was typed: a form that is shown again would show the secret."""

    def format_value(self, value: Any) -> str:
        return ""

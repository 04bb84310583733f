"""For pages that print recorded words: what a client may have written is shown with its hidden characters."""

from __future__ import annotations

from django import template
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

from audit.inert import Part, visible

register = template.Library()


@register.filter(name="visible")
def shown(value: object) -> SafeString:
    """Text whose hiding or reordering characters are named, like those in payloads."""
    parts = visible("" if value is None else str(value))
    return mark_safe("".join(map(_part, parts)))  # noqa: S308  each part is escaped


def _part(part: Part) -> SafeString:
    if part.name:
        return format_html('<span class="glyph" title="{}">{}</span>', part.name, part.text)
    return conditional_escape(part.text)


@register.filter
def offset(milliseconds: int | None) -> str:
    """A moment of a response, counted from when its request was let go."""
    if milliseconds is None:
        return ""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    if milliseconds < 100_000:
        return f"{milliseconds / 1000:.2f} s"
    return f"{milliseconds // 60_000} min {milliseconds % 60_000 / 1000:.0f} s"

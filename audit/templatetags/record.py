"""For pages that print recorded words: what a client may have written is shown with its hidden characters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from audit.inert import Part, visible

register = template.Library()


@register.filter(name="visible")
def shown(value: object) -> SafeString:
    """Text whose hiding or reordering characters are named, like those in payloads."""
    parts = visible("" if value is None else str(value))
    return format_html_join("", "{}", ((_piece(part),) for part in parts))


def _piece(part: Part) -> str:
    """Plain text is escaped where it is joined."""
    if part.name:
        return format_html('<span class="glyph" title="{}">{}</span>', part.name, part.text)
    return part.text


@register.simple_tag
def badges(found: Iterable[Any]) -> SafeString:
    """Each class with its level and how often it was found. Lists have hundreds, which as a template of
    its own took a sixth of a page's time."""
    return format_html_join(
        " ",
        '<span class="badge badge-{} plain" title="{}">{}{}</span>',
        ((each.level, each.title, _counted(each), _how(each)) for each in found),
    )


def _counted(found: Any) -> str:
    return f"{found.data_class} ×{found.count}" if found.count > 1 else found.data_class


def _how(found: Any) -> str:
    how = getattr(found, "how", "")
    return format_html(' <span class="badge-note">{}</span>', how) if how else ""


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

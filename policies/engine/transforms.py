"""What a matched value becomes. Each style is a pure function of the value and its data class."""

from __future__ import annotations

import re

from .types import Style

REDACTED = "***"
_KEEP = 4  # characters that `partial` shows
_TOO_SHORT = 9  # with fewer, showing four would show too much
_TOO_LONG = 64  # keys and blocks: their shape is of no use to a reader
_SIGN = re.compile(r"[^ \-./()+:@_]")  # what is not a separator
_REMOVE, _LABEL, _PARTIAL = Style.REMOVE, Style.LABEL, Style.PARTIAL  # a member is slow to look up


def masked(style: Style, slug: str, value: str) -> str:
    """The replacement of one value. `Style.NONE` is the caller's to handle."""
    if style is _REMOVE:
        return ""
    if style is _LABEL:
        return f"[{slug}]"
    if style is _PARTIAL and 0 < len(value) <= _TOO_LONG:
        return partial(value)
    return REDACTED


def partial(value: str) -> str:
    """Every letter and digit becomes X but the last four; separators stay where they were."""
    hidden, signs = _SIGN.subn("X", value)
    if signs < _TOO_SHORT:
        return hidden if signs or not value else REDACTED
    shown, wanted = len(value), _KEEP
    while wanted:
        shown -= 1
        wanted -= hidden[shown] == "X"
    return hidden[:shown] + value[shown:]

"""What a matched value becomes. Each style is a pure function of the value and its data class."""

from __future__ import annotations

from .types import Style

REDACTED = "***"
_KEEP = 4  # characters that `partial` shows
_TOO_SHORT = 9  # with fewer, showing four would show too much
_TOO_LONG = 64  # keys and blocks: their shape is of no use to a reader
_SEPARATORS = frozenset(" -./()+:@_")


def masked(style: Style, slug: str, value: str) -> str:
    """The replacement of one value. `Style.NONE` is the caller's to handle."""
    if style is Style.REMOVE:
        return ""
    if style is Style.LABEL:
        return f"[{slug}]"
    if style is Style.PARTIAL and 0 < len(value) <= _TOO_LONG:
        return partial(value)
    return REDACTED


def partial(value: str) -> str:
    """Every letter and digit becomes X but the last four; separators stay where they were."""
    hidden = sum(char not in _SEPARATORS for char in value)
    hidden -= _KEEP if hidden >= _TOO_SHORT else 0
    out = []
    for char in value:
        if char in _SEPARATORS:
            out.append(char)
            continue
        out.append("X" if hidden > 0 else char)
        hidden -= 1
    return "".join(out)

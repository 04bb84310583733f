"""The small JSON path of field rules: `$.customer.ids[*].value`. Members, `[3]`, `[*]`, `.*`; no filters."""

from __future__ import annotations

import re

Step = str | int | None
"""A member name, an index, or None for any."""

_STEP = re.compile(r"\.([^.\[\]'\"*\s]+)|\.(\*)|\[(\d{1,9})\]|\[(\*)\]|\['([^']+)'\]")


def parse_path(text: str) -> tuple[Step, ...] | None:
    """The steps of a path, or None when it is not one."""
    if not text.startswith("$"):
        return None
    steps: list[Step] = []
    position = 1
    while position < len(text):
        found = _STEP.match(text, position)
        if found is None:
            return None
        name, _, index, _, quoted = found.groups()
        steps.append(int(index) if index is not None else name or quoted)
        position = found.end()
    return tuple(steps) if steps else None


def step_matches(step: Step, part: str | int) -> bool:
    """Whether one step of a path covers one key or index."""
    return step is None or step == part

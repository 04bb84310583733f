"""Findings as the record keeps them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson

from policies.engine.types import Finding, Level, Style

LEVELS: Final = tuple(level.name.lower() for level in Level)
PASSED: Final = Style.NONE


def marks_of(findings: Sequence[Finding]) -> bytes:
    """A JSON list of classes, places and offsets, without values."""
    if not findings:
        return b"[]"
    return orjson.dumps(
        [
            {
                "class": finding.data_class,
                "level": LEVELS[finding.level],
                "detector": finding.detector,
                "path": finding.path,
                "start": finding.start,
                "length": finding.length,
                "style": finding.style,
                "passed": finding.style is PASSED,
                "rule": finding.rule_id,
            }
            for finding in findings
        ]
    )

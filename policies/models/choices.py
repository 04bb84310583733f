"""The engine's words as model choices: ordered words are stored as numbers, names as text."""

from __future__ import annotations

from policies.engine.types import Gate, Level, Matcher, Style

LEVELS = [(level.value, level.name.capitalize()) for level in Level]
GATES = [(gate.value, gate.name.capitalize()) for gate in Gate]
MATCHERS = [
    (Matcher.CLASS.value, "Data class"),
    (Matcher.TAG.value, "Tag"),
    (Matcher.LEVEL.value, "Level and above"),
    (Matcher.OPAQUE.value, "Opaque content"),
    (Matcher.COMBINATION.value, "Combination: all of them"),
    (Matcher.BULK.value, "Bulk: many in one call"),
    (Matcher.DISTINCT.value, "Distinct values per caller"),
    (Matcher.ABOVE_DECLARED.value, "Found above the declared level"),
    (Matcher.UNLABELLED.value, "No level declared"),
    (Matcher.UNCLASSIFIED.value, "Unclassified field"),
]
STYLES = [
    (Style.NONE.value, "None: pass in clear"),
    (Style.REDACT.value, "Redact: ***"),
    (Style.REMOVE.value, "Remove"),
    (Style.PARTIAL.value, "Partial: XXXX-1234"),
    (Style.LABEL.value, "Label: [EMAIL]"),
]
LEVEL_VALUES = [level.value for level in Level]
GATE_VALUES = [gate.value for gate in Gate]
MATCHER_VALUES = [matcher.value for matcher in Matcher]
STYLE_VALUES = [style.value for style in Style]

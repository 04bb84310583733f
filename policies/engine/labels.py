"""A reader's copy of a document: each finding as a numbered label, `[PERSON 1]`, whatever is sent upstream.

The same value has the same number throughout, so that a person who decides can tell two patients apart
without being shown either.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from .jsontext import Json
from .masker import Masker
from .policy import Policy
from .scanner import Event
from .schema import Schema
from .spans import Fields
from .types import Direction, Finding, MaskedDocument, MaskedString, MaskedText, Path, PolicySpec, Style
from .walk import mask_document

_LABELS: Final = PolicySpec(version_id="", number=0, name="labels", rules=(), default_transform=Style.LABEL)


def labelled(schema: Schema, tree: Json, embedded: Collection[Path] = ()) -> MaskedDocument:
    """The document as a reviewer sees it; `recorded` and `sent` are the same. Raises MaskError."""
    return _Labeller(schema).document(tree, embedded)


class _Labeller:
    """The numbers of one document."""

    def __init__(self, schema: Schema) -> None:
        self._masker = Masker(Policy(_LABELS, schema), Direction.REQUEST)
        self._labels: dict[tuple[str, str], str] = {}
        self._given: dict[str, int] = {}

    def document(self, tree: Json, embedded: Collection[Path]) -> MaskedDocument:
        masker = self._masker
        return mask_document(masker.schema, masker.plans, self._resolved, tree, embedded)

    def _resolved(self, text: str, path: str, events: list[Event], fields: Fields) -> MaskedString:
        masked = self._masker.resolved(text, path, events, fields)
        return self._numbered(masked) if masked.findings else masked

    def _numbered(self, masked: MaskedString) -> MaskedString:
        """Findings come in order, and each counted one with its value; several may share one label."""
        values = list(reversed(masked.fingerprints))
        text = masked.recorded
        parts: list[str] = []
        findings: list[Finding] = []
        position = length = 0
        before: Finding | None = None
        for finding in masked.findings:
            known = ""
            if finding.counted and values and values[-1][0] == finding.data_class:
                known = values.pop()[1]
            if finding.start < position and before is not None:
                findings.append(finding._replace(start=before.start, length=before.length))
                continue
            label = self._label(finding.data_class, known)
            parts += (text[position : finding.start], label)
            length += finding.start - position
            before = finding._replace(start=length, length=len(label))
            findings.append(before)
            length += len(label)
            position = finding.start + finding.length
        parts.append(text[position:])
        out = MaskedText("".join(parts))
        return MaskedString(out, out, tuple(findings), masked.fingerprints)

    def _label(self, slug: str, value: str) -> str:
        """A piece whose value is not known as a whole has no number."""
        if not value:
            return f"[{slug}]"
        found = self._labels.get((slug, value))
        if found is None:
            number = self._given[slug] = self._given.get(slug, 0) + 1
            found = self._labels[slug, value] = f"[{slug} {number}]"
        return found

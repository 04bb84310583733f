"""What somebody typed as a search, held against the engine before anything of it is kept.

A search is an event, and an export keeps what it selects, as the index compares it: without case and accents,
where a detector may not know a value again. So what the engine masks is refused before that. It would find
nothing, since it is masked in the record too, unless the record has this very fact in clear: a caller whose
name is a mail address.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from audit.records import Recordable
from audit.search.finding import places_of
from audit.search.selection import Selection, SelectionError, cleaned, selection_of
from audit.search.terms import Term
from audit.walls import Areas
from audit.words import scrubbed

TOLD: Final = frozenset({"confidential", "restricted"})


@final
@dataclass(frozen=True, slots=True)
class Typed:
    """A selection that may be kept as it is, made by `typed` alone. `words`: its words as they were typed."""

    selection: Selection
    words: Recordable | None


def typed(asked: Mapping[str, Any], areas: Areas) -> Typed:
    """What a form or a program says, for somebody who audits these areas. Raises SelectionError."""
    selection, said = selection_of(asked), cleaned(asked)
    for kind, value in selection.facts:
        hidden = _hidden(said[kind], value)
        if hidden and not _on_record((kind, value), areas):
            raise SelectionError(
                f"The {kind} holds what the record masks ({', '.join(hidden)}), and no call has it in clear, "
                "so none is found by it. To find where a value passed, trace it."
            )
    if not selection.words:
        return Typed(selection, None)
    if hidden := _hidden(said["words"], " ".join(selection.words)):
        raise SelectionError(
            f"Your words hold what the record masks ({', '.join(hidden)}), so no call is found by them. "
            "To find where a value passed, trace it."
        )
    return Typed(selection, scrubbed(said["words"]))


def _hidden(*texts: str) -> list[str]:
    """Classes that the record masks in a criterion: as it was typed, and as it would be kept."""
    marks = [mark for text in texts for mark in json.loads(scrubbed(text).marks)]
    return sorted({mark["class"] for mark in marks if mark["level"] in TOLD})


def _on_record(term: Term, areas: Areas) -> bool:
    """Whether a call of these areas says so. Those of others would tell what lies behind a wall."""
    return bool(places_of(Selection(facts=(term,)), areas, limit=1).calls)

"""A call's masked request and response for a JSONL row, as its page shows them, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from audit import replay
from audit.evidence import request_missing, response_missing
from audit.inert import Mark
from audit.reader import CallRecord
from audit.records import NOT_KEPT, Recordable

NOT_KEPT_HERE = "The policy keeps findings, not the text."


def payloads_of(record: CallRecord) -> dict[str, Any]:
    """The two members; each has `text` and `findings`, or `missing` in words."""
    request, response = record.request, record.response
    return {
        "request": text_of([request]) if request else {"missing": request_missing(record)},
        "response": _response(record, response) if response else {"missing": response_missing(record)},
    }


def _response(record: CallRecord, segments: Sequence[Recordable]) -> dict[str, Any]:
    """What opens of it; of a part that does not open it is said that it is missing."""
    problems = [part.problem for part in record.parts if part.kind == "segment" and part.problem]
    return text_of(segments) | ({"missing": f"A part of it: {problems[0]}."} if problems else {})


def text_of(parts: Sequence[Recordable]) -> dict[str, Any]:
    """What was recorded, put together, and the findings in it."""
    findings = [_finding(mark) for part in parts for mark in replay.read_marks(part.marks)]
    if any(part.data == NOT_KEPT for part in parts):
        return {"missing": NOT_KEPT_HERE, "findings": findings}
    text = b"".join(part.data for part in parts).decode("utf-8", "replace")
    return {"text": text, "findings": findings}


def _finding(mark: Mark) -> dict[str, Any]:
    return {
        "class": mark.data_class,
        "level": mark.level,
        "path": mark.path,
        "start": mark.start,
        "length": mark.length,
        "style": mark.style,
        "passed": mark.passed,
    }

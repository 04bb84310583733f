"""What the API says of calls and sessions. Names are those of an export's rows (`audit.exporting.facts`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from audit.coverage import coverages
from audit.evidence import Ending, ending, ending_of, left_of
from audit.exporting.facts import facts_of, moment
from audit.exporting.payloads import payloads_of, text_of
from audit.models import Call
from audit.pages import SessionRow
from audit.reader import CallRecord, Part
from audit.timeline import approvals_of

NOT_FOR_CALLERS: Final = frozenset(
    {"rules", "score", "risk", "observed", "spared", "response_observed", "response_spared"}
)
"""Facts that would teach a caller how to get past a policy: what decided, and what was nearly enough."""


class CallShape(serializers.ModelSerializer[Call]):
    state = serializers.SerializerMethodField()
    session = serializers.UUIDField(source="session_id", allow_null=True)
    caller = serializers.CharField(source="name")
    key = serializers.CharField(source="key_prefix", help_text="How the key begins that it came with.")
    found = serializers.DictField(source="counts", child=serializers.IntegerField())
    response_found = serializers.DictField(
        source="response_counts", child=serializers.IntegerField(), allow_null=True
    )

    class Meta:
        model = Call
        fields = (
            "id",
            "state",
            "session",
            "started_at",
            "closed_at",
            "caller",
            "subject",
            "kind",
            "key",
            "area",
            "endpoint",
            "api",
            "model",
            "streaming",
            "policy",
            "schema",
            "action",
            "gate",
            "code",
            "highest",
            "status",
            "complete",
            "finish_reason",
            "found",
            "response_found",
            "input_tokens",
            "output_tokens",
            "request_size",
            "response_size",
            "timings",
        )

    @extend_schema_field(serializers.ChoiceField(["open", "closed"]))
    def get_state(self, call: Call) -> str:
        return "open" if call.closed_at is None else "closed"


class CallsShape(serializers.Serializer[Any]):
    results = CallShape(many=True)
    older = serializers.UUIDField(allow_null=True, help_text="To go on with, as `before`.")
    back_to = serializers.DateTimeField(
        allow_null=True, help_text="Looked through back to here, and there is more: go on with `older`."
    )


def session_as_json(row: SessionRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "started_at": row.started_at,
        "last_at": row.last_at,
        "caller": row.name,
        "subject": row.subject,
        "kind": row.kind,
        "area": row.area,
        "endpoint": row.endpoint,
        "calls": row.calls,
        "models": row.models,
        "actions": {action.name: action.count for action in row.actions},
        "found": {each.data_class: each.count for each in row.found},
    }


def record_as_json(record: CallRecord) -> dict[str, Any]:
    """All that an auditor is shown of a call. Payloads are text, for whoever shows them to escape."""
    came, left = record.request, left_of(record)
    again = {"left": text_of([left])} if left is not None and left != came else {}
    payloads = payloads_of(record)
    return {
        "facts": facts_of(record.links),
        **_proof(record, ending(record)),
        "request": payloads["request"],
        **again,
        "response": payloads["response"],
    }


def own_as_json(record: CallRecord) -> dict[str, Any]:
    """What somebody is told of their own call: no payload, and nothing of how a policy weighs."""
    facts = {name: value for name, value in facts_of(record.links).items() if name not in NOT_FOR_CALLERS}
    return {"facts": facts, **_proof(record, ending_of(record.call))}


def _proof(record: CallRecord, end: Ending) -> Mapping[str, Any]:
    return {
        "ending": asdict(end),
        "approvals": approvals_of(record),
        "looked": [asdict(each) for each in coverages(record)],
        "chain_ok": record.chain_ok,
        "problems": record.problems,
        "entries": [_entry(part) for part in record.parts],
    }


def _entry(part: Part) -> dict[str, Any]:
    """`id` as text: it has more digits than a JavaScript number."""
    return {
        "id": str(part.id),
        "kind": part.kind,
        "at": moment(part.at),
        "sequence": part.sequence,
        "digest": part.digest.hex(),
        "payload_digest": part.payload_digest.hex() or None,
        "problem": part.problem,
        "removed": part.removed,
    }

"""What the sums of a search count by, of one call: its brief row, and the same as the database makes it.

`rest` is a JSON list: the values of `REST` in their order, then the list of its data classes.
"""

from __future__ import annotations

import json
from typing import Final

from audit.models import Brief, Call

REST: Final = ("model", "endpoint", "area", "highest", "policy", "api", "status", "code")
POSTGRESQL: Final = (
    f"jsonb_build_array({', '.join(REST)}, (SELECT coalesce(jsonb_agg(name), '[]') FROM "  # noqa: S608 (constants)
    "jsonb_object_keys(counts || coalesce(response_counts, jsonb_build_object())) AS k(name)))::text"
)
SQLITE: Final = (
    f"json_array({', '.join(REST)}, (SELECT json_group_array(key) FROM "  # noqa: S608 (constants)
    "json_each(json_patch(counts, coalesce(response_counts, json_object())))))"
)


def brief_of(call: Call) -> Brief:
    """The row of a closed call."""
    classes = sorted({*(call.counts or ()), *(call.response_counts or ())})
    return Brief(
        started_at=call.started_at,
        call_id=call.id,
        area=call.area,
        name=call.name,
        action=call.action,
        input_tokens=call.input_tokens,
        output_tokens=call.output_tokens,
        rest=json.dumps([*(getattr(call, name) for name in REST), classes], ensure_ascii=False),
    )

"""A call as an event of the Open Cybersecurity Schema Framework: API Activity, class 6003. Pure.

Which member holds which fact is listed in `docs/exports.md`. What has no member there goes into `unmapped`
under the name that the other formats give it. An absent member means that the record does not say.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from audit.exporting.facts import Facts

VERSION: Final = "1.5.0"
CLASS_UID: Final = 6003
CATEGORY_UID: Final = 6
OTHER: Final = 99  # the activity: asking a model is neither create, read, update nor delete

_SEVERITY: Final = {"blocked": 3, "denied": 3, "held": 2, "flagged": 2, "refused": 2, "failed": 2}
_NAMES: Final = {1: "Informational", 2: "Low", 3: "Medium", 4: "High"}
_OUTCOME: Final = {
    "passed": (1, "Allowed", 1, "Allowed"),
    "masked": (4, "Modified", 11, "Corrected"),
    "flagged": (3, "Observed", 15, "Detected"),
    "released": (1, "Allowed", 8, "Approved"),
    "held": (2, "Denied", 14, "Delayed"),
    "denied": (2, "Denied", 25, "Rejected"),
    "blocked": (2, "Denied", 2, "Blocked"),
    "refused": (2, "Denied", 25, "Rejected"),
    "failed": (1, "Allowed", 27, "Error"),
    "incomplete": (0, "Unknown", 27, "Error"),
}
"""By our action: action_id, action, disposition_id, disposition."""

_KINDS: Final = {"person": (1, "User"), "service": (4, "Service"), "system": (3, "System")}
_MAPPED: Final = frozenset(
    (
        "call",
        "started_at",
        "closed_at",
        "session",
        "caller",
        "subject",
        "kind",
        "key",
        "groups",
        "network",
        "area",
        "endpoint",
        "api",
        "method",
        "path",
        "model",
        "policy",
        "code",
        "risk",
        "found",
        "status",
        "complete",
        "request_size",
        "response_size",
        "response_found",
    )
)


def event(facts: Facts, *, gateway: str) -> dict[str, Any]:
    """One event. `gateway`: the version that wrote the export."""
    action = str(facts["action"] or "")
    severity = _severity(facts, action)
    made = {
        "metadata": _metadata(facts, gateway),
        "category_uid": CATEGORY_UID,
        "category_name": "Application Activity",
        "class_uid": CLASS_UID,
        "class_name": "API Activity",
        "activity_id": OTHER,
        "activity_name": "Inference",
        "type_uid": CLASS_UID * 100 + OTHER,
        "type_name": "API Activity: Other",
        "severity_id": severity,
        "severity": _NAMES[severity],
        "time": _milliseconds(facts["started_at"]),
        "start_time": _milliseconds(facts["started_at"]),
        "end_time": _milliseconds(facts["closed_at"]),
        "duration": _duration(facts),
        "message": _message(facts, action),
        **_status(facts),
        **_outcome(facts, action),
        "actor": _actor(facts),
        "src_endpoint": {"ip": facts["network"]} if facts["network"] else {"name": "unknown"},
        "dst_endpoint": {"svc_name": facts["endpoint"]},
        "api": _api(facts),
        "http_request": _http_request(facts),
        "http_response": {"code": facts["status"], "length": facts["response_size"]},
        "resources": _resources(facts),
        "enrichments": [
            *_found(facts, "found", "request"),
            *_found(facts, "response_found", "response"),
        ],
        "unmapped": {name: value for name, value in facts.items() if name not in _MAPPED},
    }
    kept: dict[str, Any] = _without_nothing(made)
    return kept


def _metadata(facts: Facts, gateway: str) -> dict[str, Any]:
    return {
        "version": VERSION,
        "profiles": ["security_control"],
        "product": {"name": "Postern", "vendor_name": "Postern", "version": gateway},
        "uid": facts["call"],
        "correlation_uid": facts["session"],
        "log_name": "calls",
        "original_time": facts["started_at"],
    }


def _severity(facts: Facts, action: str) -> int:
    known = _SEVERITY.get(action, 1)
    return max(known, 4) if action in ("blocked", "denied") and facts["highest"] == "restricted" else known


def _status(facts: Facts) -> dict[str, Any]:
    code, status = facts["code"], facts["status"]
    if facts["state"] == "open" or not isinstance(status, int):
        return {"status_id": 0, "status": "Unknown", "status_detail": "the call is open"}
    went_well = bool(facts["complete"]) and 200 <= status < 400
    named = {"status_id": 1, "status": "Success"} if went_well else {"status_id": 2, "status": "Failure"}
    return {**named, "status_code": str(status), "status_detail": code}


def _outcome(facts: Facts, action: str) -> dict[str, Any]:
    action_id, name, disposition_id, disposition = _OUTCOME.get(action, (0, "Unknown", 0, "Unknown"))
    policy, risk = facts["policy"], facts["risk"]
    return {
        "action_id": action_id,
        "action": name,
        "disposition_id": disposition_id,
        "disposition": disposition,
        "policy": {"name": policy, "uid": policy} if policy else None,
        "risk_score": risk if isinstance(risk, int) else None,
        "is_alert": action in ("blocked", "denied", "held", "flagged"),
    }


def _actor(facts: Facts) -> dict[str, Any]:
    kind, name = _KINDS.get(str(facts["kind"] or ""), (0, "Unknown"))
    groups = facts["groups"] if isinstance(facts["groups"], list) else []
    return {
        "user": {
            "name": facts["caller"] or "unknown",
            "uid": facts["subject"],
            "type_id": kind,
            "type": name,
            "credential_uid": facts["key"],
            "groups": [{"name": str(group)} for group in groups],
        },
        "session": {"uid": facts["session"]},
    }


def _api(facts: Facts) -> dict[str, Any]:
    code = facts["code"]
    return {
        "operation": f"{facts['method'] or ''} {facts['path'] or ''}".strip() or "unknown",
        "service": {"name": facts["api"]},
        "request": {"uid": facts["call"]},
        "response": {"code": facts["status"], "error": code},
    }


def _http_request(facts: Facts) -> dict[str, Any]:
    return {
        "uid": facts["call"],
        "http_method": facts["method"],
        "url": {"path": facts["path"]},
        "length": facts["request_size"],
    }


def _resources(facts: Facts) -> list[dict[str, Any]]:
    named = (("endpoint", facts["endpoint"]), ("model", facts["model"]))
    return [
        {"type": kind, "name": name, "group": {"name": facts["area"]} if facts["area"] else None}
        for kind, name in named
        if name
    ]


def _found(facts: Facts, name: str, where: str) -> list[dict[str, Any]]:
    counts = facts[name] if isinstance(facts[name], dict) else {}
    return [
        {
            "name": where,
            "value": str(data_class),
            "type": "data_class",
            "provider": str(facts["schema"] or "Postern"),
            "data": {"data_class": str(data_class), "count": count},
        }
        for data_class, count in sorted(counts.items())
    ]


def _message(facts: Facts, action: str) -> str:
    reasons = facts["reasons"] if isinstance(facts["reasons"], list) else []
    said = f"{facts['caller'] or 'unknown caller'} to {facts['endpoint'] or 'no endpoint'}: {action}"
    return "; ".join([said, *map(str, reasons)])


def _duration(facts: Facts) -> int | None:
    start, end = _milliseconds(facts["started_at"]), _milliseconds(facts["closed_at"])
    return None if start is None or end is None else max(0, end - start)


def _milliseconds(when: str | None) -> int | None:
    return round(datetime.fromisoformat(when).timestamp() * 1000) if when else None


def _without_nothing(value: Any) -> Any:
    """Members that say nothing are left out, as OCSF wants it."""
    if isinstance(value, dict):
        kept = {name: _without_nothing(part) for name, part in value.items()}
        return {name: part for name, part in kept.items() if part not in (None, "", {}, [])}
    if isinstance(value, list):
        return [_without_nothing(part) for part in value]
    return value

"""Rules are changed under the lock that removing evidence takes, each with its event."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction

from audit.events import event
from audit.models import RetentionRule
from audit.records import Who
from audit.retention.holds import lock
from audit.words import plain

NO_NAME = "This name holds what would be masked, such as a number or a mail address. Choose another one."


def rule_check(rule: RetentionRule) -> None:
    """Its name is shown and kept as it was typed, on each call that it removes. Raises ValidationError."""
    rule.full_clean()
    if not plain(rule.name):
        raise ValidationError({"name": NO_NAME})


def rule_save(*, rule: RetentionRule, by: Who, proposed_by: str) -> RetentionRule:
    rule_check(rule)
    with transaction.atomic():
        lock()
        added = rule._state.adding
        rule.full_clean()
        rule.save(force_insert=added)
        action = "retention.rule_added" if added else "retention.rule_changed"
        event(action, by=by, area=rule.area, about=f"rule {rule.pk}", detail=_facts(rule, proposed_by))
    return rule


def rule_delete(*, rule: RetentionRule, by: Who, proposed_by: str) -> None:
    """Without a rule calls are kept for ever, or by a less specific one."""
    with transaction.atomic():
        lock()
        detail = _facts(rule, proposed_by)
        event("retention.rule_deleted", by=by, area=rule.area, about=f"rule {rule.pk}", detail=detail)
        rule.delete()


def _facts(rule: RetentionRule, proposed_by: str) -> dict[str, object]:
    return {
        "name": rule.name,
        "area": rule.area,
        "endpoint": rule.endpoint,
        "policy": rule.policy,
        "level": rule.level,
        "payload_days": rule.payload_days,
        "row_days": rule.row_days,
        "proposed_by": proposed_by,
    }

"""What is refused when a draft of a policy is saved. Publishing refuses the same, and more strictly.

A draft may name what the draft of its schema already has: the two are written side by side. So only what no
version of the schema could enforce is refused here; publishing asks the published versions alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from policies import compiler, versions
from policies.engine.problems import Fault
from policies.engine.types import SchemaSpec
from policies.models import PolicyVersion, Rule, SchemaVersion, State


def schema_specs(schema_id: UUID) -> list[SchemaSpec]:
    """The versions of a schema that a draft may be written for: in force, coming, and the draft."""
    rows = SchemaVersion.objects.select_related("schema").filter(schema_id=schema_id)
    drafts = rows.filter(state=State.DRAFT)
    return [compiler.schema_spec(version) for version in (*versions.published(rows), *drafts)]


def draft_faults(version: PolicyVersion, rows: Iterable[Rule], schemas: Sequence[SchemaSpec]) -> list[Fault]:
    """What none of these versions of the schema could enforce, of a draft as a form posted it."""
    spec = compiler.policy_spec_of(version, sorted(rows, key=lambda row: row.position))
    if not schemas:
        return []
    first, *others = [compiler.rule_faults(spec, schema) for schema in schemas]
    elsewhere = [{_place(fault) for fault in faults} for faults in others]
    return [fault for fault in first if all(_place(fault) in places for places in elsewhere)]


def _place(fault: Fault) -> tuple[str, str]:
    """What is wrong where, whatever the words: they may count the classes of a version."""
    return fault.rule.id if fault.rule else "", fault.field

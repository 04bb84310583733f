"""Any two versions compiled together, drafts included: for trying them out, never for judging a call.

A draft can change at any time, so what is remembered is keyed by what it says and not by which one it is.
"""

from __future__ import annotations

from functools import lru_cache

from policies import compiler, store
from policies.engine import types
from policies.engine.policy import Policy
from policies.engine.schema import Schema
from policies.models import PolicyVersion, SchemaVersion
from policies.versions import schema_version_in_force

KEPT = 8
"""Compiled schemas, and policies, that are remembered; a draft that is being edited makes one per save."""


class NotCompilable(ValueError):
    """The versions cannot be tried out. `problems` says everything that keeps them from it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def compiled(version: PolicyVersion, schema_version: SchemaVersion) -> Policy:
    """Both versions as rows compiled into one policy. Raises `NotCompilable`."""
    if version.schema_id != schema_version.schema_id:
        raise NotCompilable([f"{version} goes by the schema {version.schema}, not by {schema_version}."])
    return compiled_specs(compiler.policy_spec(version), compiler.schema_spec(schema_version))


def compiled_specs(policy: types.PolicySpec, schema: types.SchemaSpec) -> Policy:
    """The same of versions that were read already."""
    try:
        return _policy(policy, _schema(schema))
    except compiler.SchemaError as error:
        raise NotCompilable(list(error.problems)) from None


def problems_of(policy: Policy) -> list[str]:
    """What keeps the two from being published together: rules that would pass what they should stop."""
    return compiler.schema_problems(policy.schema.spec) + compiler.rule_problems(
        policy.spec, policy.schema.spec
    )


def schema_version_for(version: PolicyVersion) -> SchemaVersion:
    """The schema version that judges beside a policy version now; its latest draft where none is in force.

    Raises `NotCompilable` where the schema has neither.
    """
    found = schema_version_in_force(version.schema_id)
    if found is not None:
        return found
    rows = SchemaVersion.objects.select_related("schema").filter(schema_id=version.schema_id)
    latest = rows.order_by("-number").first()
    if latest is None:
        raise NotCompilable([f"The schema {version.schema} has no version."])
    return latest


@lru_cache(maxsize=KEPT)
def _schema(spec: types.SchemaSpec) -> Schema:
    return compiler.compile_schema(spec, store.database_cache())


@lru_cache(maxsize=KEPT)
def _policy(spec: types.PolicySpec, schema: Schema) -> Policy:
    return compiler.compile_policy(spec, schema)

"""Compiled policies by version: what the hot path judges with. A compiled object never changes.

LookupError
└── NotInForce      no published version of the policy or of its schema, or the two do not fit
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from datetime import datetime
from pathlib import Path
from typing import Generic, TypeVar
from uuid import UUID

from django.conf import settings

from policies import compiler, versions
from policies.database_cache import DatabaseCache
from policies.engine import types
from policies.engine.policy import Policy
from policies.engine.schema import Schema, SchemaError
from policies.library.recognisers import LIBRARY
from policies.models import PolicyVersion, SchemaVersion

KEPT = 128
"""Compiled objects of each kind that are remembered; more than that are compiled again when asked for."""


K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class NotInForce(LookupError):
    """There is nothing to judge by, so nothing may pass."""


class Memo(Generic[K, V]):
    """Remembers the latest results; each key is made once, whatever number of threads ask for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[K, V] = {}

    def held(self, key: K) -> V | None:
        """What is remembered; never waits."""
        return self._held.get(key)

    def get(self, key: K, make: Callable[[], V]) -> V:
        found = self._held.get(key)
        if found is not None:
            return found
        with self._lock:
            if key not in self._held:
                self._held[key] = make()
                while len(self._held) > KEPT:
                    del self._held[next(iter(self._held))]
            return self._held[key]


EVERYTHING = UUID(int=0)
"""The key of the schema that is made of all built-in recognisers."""

_LABEL_ALL = types.PolicySpec(
    version_id="", number=0, name="scrub", rules=(), default_transform=types.Style.LABEL
)
_schemas: Memo[UUID, Schema] = Memo()
_policies: Memo[tuple[UUID, UUID], Policy] = Memo()


def load_policy(policy_id: UUID, now: datetime | None = None) -> Policy:
    """The policy in force with its schema in force; `.spec` and `.schema.spec` name both versions."""
    return load_versions(*in_force(policy_id, now))


def in_force(policy_id: UUID, now: datetime | None = None) -> tuple[PolicyVersion, SchemaVersion]:
    """The versions that judge together; raises `NotInForce` when one of them is missing."""
    version = versions.policy_version_in_force(policy_id, now)
    if version is None:
        raise NotInForce("the policy has no published version")
    schema_version = versions.schema_version_in_force(version.schema_id, now)
    if schema_version is None:
        raise NotInForce("the policy's schema has no published version")
    return version, schema_version


def held(version: PolicyVersion, schema_version: SchemaVersion) -> Policy | None:
    """The two compiled, if that has been done; never waits."""
    return _policies.held((version.pk, schema_version.pk))


def load_versions(version: PolicyVersion, schema_version: SchemaVersion) -> Policy:
    """One policy version compiled with one schema version, both published."""
    return held(version, schema_version) or prepared(version, schema_version)()


def prepared(version: PolicyVersion, schema_version: SchemaVersion) -> Callable[[], Policy]:
    """Reads the rows now; what it returns compiles them without the database, in whatever thread."""
    if version.is_draft or schema_version.is_draft:
        raise ValueError("a draft can still change; it is compiled for itself, never stored here")
    spec = compiler.policy_spec(version)
    known = _schemas.held(schema_version.pk)
    rows = known.spec if known else compiler.schema_spec(schema_version)

    def compiled() -> Policy:
        schema = _schemas.get(schema_version.pk, lambda: _compiled_schema(rows))
        return _policies.get((version.pk, schema_version.pk), lambda: _compiled(spec, schema))

    return compiled


def load_schema(version: SchemaVersion) -> Schema:
    """One published schema version, compiled."""
    return schema_prepared(version)()


def schema_prepared(version: SchemaVersion) -> Callable[[], Schema]:
    """As `prepared`, of a schema alone."""
    known = _schemas.held(version.pk)
    rows = known.spec if known else compiler.schema_spec(version)
    return lambda: _schemas.get(version.pk, lambda: _compiled_schema(rows))


Scrubbers = Callable[[], list[Policy]]


def scrubbers() -> list[Policy]:
    """Label everything that ships with Postern, and everything that a schema in force knows."""
    return scrubbers_prepared()()


def scrubbers_prepared() -> Scrubbers:
    """As `prepared`: which schemas they are is read now, and compiled by what it returns."""
    makes: list[Callable[[], Schema]] = [lambda: _schemas.get(EVERYTHING, _built_in)]
    for schema_id in SchemaVersion.objects.order_by().values_list("schema_id", flat=True).distinct():
        version = versions.schema_version_in_force(schema_id)
        if version is not None:
            makes.append(schema_prepared(version))
    return lambda: [compiler.compile_policy(_LABEL_ALL, make()) for make in makes]


def database_cache() -> DatabaseCache:
    """Where compiled pattern databases outlive the process."""
    return DatabaseCache(Path(settings.CACHE_DIR) / "patterns", settings.SECRET_KEY.encode())


def _built_in() -> Schema:
    classes = tuple(
        types.DataClass(
            slug=name, name=name, level=types.Level.RESTRICTED, detectors=(types.LibraryDetector(name=name),)
        )
        for name in LIBRARY
    )
    spec = types.SchemaSpec(version_id=str(EVERYTHING), number=0, name="built-in", classes=classes)
    return compiler.compile_schema(spec, database_cache())


def _compiled(spec: types.PolicySpec, schema: Schema) -> Policy:
    if problems := compiler.rule_problems(spec, schema.spec):
        raise NotInForce(problems[0])
    return compiler.compile_policy(spec, schema)


def _compiled_schema(spec: types.SchemaSpec) -> Schema:
    try:
        return compiler.compile_schema(spec, database_cache())
    except SchemaError as error:
        raise NotInForce("the schema does not compile here any more") from error

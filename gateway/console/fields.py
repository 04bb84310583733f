"""What `/drift/` lists: unclassified fields by endpoint and path, against the schemas in force now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from gateway.identity.reach import EVERYWHERE, Reach
from gateway.models import AccessRule, Endpoint, EndpointKind, FieldState, StructuredField
from policies import compiler, versions
from policies.engine.claims import Claims, claims_of, key_name
from policies.engine.fields import MORE
from policies.library.recognisers import LIBRARY
from policies.models import SchemaVersion, State

SHOWN: Final = 200
"""Fields on one page; more of them are reached by choosing an endpoint."""


@dataclass(frozen=True, slots=True)
class Book:
    """A schema that classifies an endpoint's calls: the version in force and, if there is one, the draft."""

    version: SchemaVersion
    claims: Claims
    draft: SchemaVersion | None
    drafted: Claims | None


@dataclass(frozen=True, slots=True)
class Field:
    """One line: a place in an endpoint's requests. `id` is of any of its rows."""

    id: UUID
    endpoint: Endpoint
    path: str
    shapes: tuple[tuple[str, int], ...]  # most frequent first
    calls: int
    first_seen: datetime
    last_seen: datetime
    ignored: bool
    schema: str = ""  # where a class would be proposed; empty: no policy covers the endpoint
    draft: SchemaVersion | None = None  # claims it already
    before: SchemaVersion | None = None  # in force, and published after the field was last seen
    key: str = ""  # empty: the key is data
    by_path: bool = True  # propose its path rather than its key

    @property
    def tail(self) -> str:
        """The last step, which is what one looks for."""
        return self.path[len(self.head) :]

    @property
    def head(self) -> str:
        return self.path[: self.path.rfind(".") + 1]

    @property
    def steps(self) -> list[str]:
        """The steps before the last, each with its dot: a long path is broken between them."""
        return [f"{step}." for step in self.head.split(".")[:-1]]


@dataclass(frozen=True, slots=True)
class Drift:
    """Everything on the page."""

    fields: Sequence[Field]
    left_out: int  # fields that the page has no room for
    unkept: Sequence[tuple[Endpoint, int]]  # sightings of fields that the store had no room for
    seen: bool  # whether any field was ever seen


def drift(*, endpoint: str = "", ignored: bool = False, among: Reach = EVERYWHERE) -> Drift:
    """The fields that nobody has classified, most frequent first; `ignored`: those put aside."""
    rows = list(_rows(endpoint, among))
    books = books_of({row.endpoint_id for row in rows})
    found = [field for field in _grouped(rows, books) if field.ignored is ignored]
    found.sort(key=lambda field: -field.calls)
    unkept = [(row.endpoint, row.calls) for row in rows if row.path == MORE.path]
    return Drift(found[:SHOWN], max(0, len(found) - SHOWN), unkept, bool(rows))


def waiting(among: Reach = EVERYWHERE) -> int:
    """How many fields wait for somebody to classify or ignore them."""
    rows = list(_rows("", among))
    fields = _grouped(rows, books_of({row.endpoint_id for row in rows}))
    return sum(not field.ignored and field.draft is None for field in fields)


def books_of(endpoint_ids: Iterable[UUID]) -> dict[UUID, list[Book]]:
    """The schemas in force for each endpoint, through its access rules' policies."""
    now = timezone.now()
    rules = AccessRule.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), enabled=True)
    pairs = rules.filter(endpoint_id__in=endpoint_ids).order_by("priority", "id")
    schemas: dict[UUID, UUID | None] = {}
    books: dict[UUID, Book | None] = {}
    found: dict[UUID, list[Book]] = {}
    for endpoint_id, policy_id in pairs.values_list("endpoint_id", "policy_id"):
        if policy_id not in schemas:
            policy = versions.policy_version_in_force(policy_id, now)
            schemas[policy_id] = policy.schema_id if policy else None
        schema_id = schemas[policy_id]
        if schema_id is None:
            continue
        if schema_id not in books:
            books[schema_id] = _book(schema_id, now)
        book = books[schema_id]
        if book is not None and book not in found.setdefault(endpoint_id, []):
            found[endpoint_id].append(book)
    return found


def _book(schema_id: UUID, now: datetime) -> Book | None:
    version = versions.schema_version_in_force(schema_id, now)
    if version is None:
        return None
    drafts = SchemaVersion.objects.select_related("schema").filter(schema_id=schema_id, state=State.DRAFT)
    draft = drafts.first()
    return Book(version, _claims(version), draft, _claims(draft) if draft else None)


def _claims(version: SchemaVersion) -> Claims:
    return claims_of(compiler.schema_spec(version), LIBRARY)


def unclaimed(books: Iterable[Book], path: str) -> list[Book]:
    """The schemas that still say nothing about a field."""
    return [book for book in books if not book.claims.cover(path)]


def _rows(endpoint: str, among: Reach) -> Iterable[StructuredField]:
    rows = StructuredField.objects.filter(among.q_of(StructuredField)).select_related("endpoint")
    return rows.filter(endpoint__slug=endpoint) if endpoint else rows


def _grouped(rows: Iterable[StructuredField], books: dict[UUID, list[Book]]) -> list[Field]:
    """One field per place, without those that every schema in force claims."""
    places: dict[tuple[UUID, str], list[StructuredField]] = {}
    for row in rows:
        if row.path != MORE.path:
            places.setdefault((row.endpoint_id, row.path), []).append(row)
    found: list[Field] = []
    for (endpoint_id, path), shapes in places.items():
        known = books.get(endpoint_id, [])
        silent = unclaimed(known, path)
        if silent or not known:
            found.append(_field(path, shapes, silent))
    return found


def _field(path: str, rows: list[StructuredField], silent: list[Book]) -> Field:
    rows.sort(key=lambda row: -row.calls)
    endpoint, last_seen = rows[0].endpoint, max(row.last_seen for row in rows)
    book = silent[0] if silent else None
    effective = book.version.effective_at if book else None
    key = key_name(path)
    return Field(
        id=rows[0].pk,
        endpoint=endpoint,
        path=path,
        shapes=tuple((row.shape, row.calls) for row in rows),
        calls=sum(row.calls for row in rows),
        first_seen=min(row.first_seen for row in rows),
        last_seen=last_seen,
        ignored=any(row.state == FieldState.DISMISSED for row in rows),
        schema=str(book.version.schema) if book else "",
        draft=book.draft if book and book.drafted and book.drafted.cover(path) else None,
        before=book.version if book and effective and last_seen < effective else None,
        key=key,
        by_path=not key or endpoint.kind == EndpointKind.JSON,
    )

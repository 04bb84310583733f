"""What a click on `/drift/` does: propose a class for a field, put it aside, take it back."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from django.db import transaction
from django.db.models import Max

from gateway.console.fields import books_of, unclaimed
from gateway.models import FieldState, StructuredField, User
from policies import services
from policies.engine.claims import json_path, key_name
from policies.engine.types import Level
from policies.journal import note
from policies.models import DataClass, Detector, DetectorKind, SchemaVersion
from policies.publishing import PolicyServiceError, lock_draft

LONGEST: Final = 40  # characters of a class's slug


class NothingToPropose(PolicyServiceError):
    """No schema in force is silent about the field."""


def field_propose(
    *, field: StructuredField, level: Level, by_path: bool, by: User
) -> tuple[SchemaVersion, DataClass | None]:
    """Put a class for the field into a draft of the schema that classifies its endpoint's calls.

    Returns the draft and the new class, or None when the draft had one for it already. Raises
    `PolicyServiceError`.
    """
    with transaction.atomic():
        silent = unclaimed(books_of([field.endpoint_id]).get(field.endpoint_id, []), field.path)
        if not silent:
            raise NothingToPropose(
                f"No schema waits for “{field.path}”: a class claims it, or no policy covers the endpoint."
            )
        book = silent[0]
        StructuredField.objects.filter(endpoint_id=field.endpoint_id, path=field.path).update(
            state=FieldState.PROPOSED
        )
        if book.draft is not None and book.drafted is not None and book.drafted.cover(field.path):
            return book.draft, None
        draft = book.draft or services.schema_version_clone_to_draft(version=book.version, by=by)
        draft = lock_draft(SchemaVersion.objects.select_related("schema"), draft)
        row = _data_class(draft, field, level, by_path)
        facts = {
            "endpoint": field.endpoint.slug,
            "path": field.path,
            "class": row.slug,
            "draft": draft.number,
        }
        note(action="field.proposed", by=by, target=draft.schema, facts=facts)
    return draft, row


def field_ignore(*, field: StructuredField, by: User) -> None:
    """Put a field aside, whatever its values look like: it leaves the list and stays counted."""
    _decide(field, FieldState.DISMISSED, "field.ignored", by)


def field_restore(*, field: StructuredField, by: User) -> None:
    """Take `field_ignore` back."""
    _decide(field, FieldState.NEW, "field.restored", by)


def slug_for(path: str, taken: frozenset[str]) -> str:
    """A class's name from the end of a path: `NOTE`, `CUSTOMER_NOTE` where that is taken, then `NOTE_2`."""
    words = [_words(step) for step in re.split(r"[.\[\]*]+", path)]
    words = [word for word in words if word] or ["FIELD"]
    for size in range(1, len(words) + 1):
        slug = _fitting("_".join(words[-size:]))
        if slug not in taken:
            return slug
    first = _fitting(words[-1])[: LONGEST - 4]
    return next(slug for number in range(2, 10_000) if (slug := f"{first}_{number}") not in taken)


def _decide(field: StructuredField, state: FieldState, action: str, by: User) -> None:
    with transaction.atomic():
        rows = StructuredField.objects.filter(endpoint_id=field.endpoint_id, path=field.path)
        if rows.exclude(state=state).update(state=state):
            note(action=action, by=by, target=field.endpoint, facts={"path": field.path})


def _data_class(draft: SchemaVersion, field: StructuredField, level: Level, by_path: bool) -> DataClass:
    classes = DataClass.objects.filter(version=draft)
    last: int | None = classes.aggregate(last=Max("position"))["last"]
    slug = slug_for(field.path, frozenset(classes.values_list("slug", flat=True)))
    key = key_name(field.path)
    row = DataClass.objects.create(
        version=draft,
        slug=slug,
        name=slug.replace("_", " ").capitalize(),
        level=level.value,
        description=f"Proposed for {field.path[:200]} of the endpoint {field.endpoint.slug}.",
        position=min((last or 0) + 1, 32_767),
    )
    if by_path or not key:
        Detector.objects.create(data_class=row, kind=DetectorKind.PATH, value=json_path(field.path))
    else:
        Detector.objects.create(data_class=row, kind=DetectorKind.KEY, value=key)
    return row


def _words(step: str) -> str:
    """`patientId` as `PATIENT_ID`; letters that a slug cannot have go without their accents, or go."""
    plain = unicodedata.normalize("NFKD", step).encode("ascii", "ignore").decode()
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain)
    return re.sub(r"[^A-Z0-9]+", "_", parted.upper()).strip("_")


def _fitting(slug: str) -> str:
    if not slug[0].isalpha() or len(slug) < 2:
        slug = f"FIELD_{slug}"
    return slug[:LONGEST].rstrip("_")

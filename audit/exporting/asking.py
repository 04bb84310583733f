"""Asking for an export, ending it early, fetching it, removing it. Each is an event before it has an effect.

ExportRefused      in words for whoever asked
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from audit import ids, jobs
from audit.events import NOBODY, event
from audit.exporting.asked import KIND, Asked, Changed, area_of, exported_by
from audit.exporting.chosen import public, sealed, unsealed
from audit.exporting.files import Place
from audit.exporting.formats import FORMS
from audit.keys import KeysUnavailable
from audit.models import Job
from audit.records import Who
from audit.search.selection import Selection
from audit.search.typed import Typed
from audit.words import scrubbed

AT_ONCE: Final = 2
"""Exports that one person, or one program, may have under way."""

LONGEST: Final = 1000  # characters of a reason
NO_KEYS: Final = "The key directory (AUDIT_KEY_DIR) cannot be used. Tell the operator."


class ExportRefused(ValueError):
    """The export cannot be made."""


def export_start(*, person: Any, by: Who, form: str, payloads: bool, question: Typed, reason: str) -> Job:
    """Begin an export of the calls that a question finds where this person, or this program's key, may
    export.

    Raises `ExportRefused`.
    """
    if form not in FORMS:
        raise ExportRefused("Choose a format.")
    if payloads and form != "jsonl":
        raise ExportRefused("Only JSONL holds requests and responses.")
    if not reason.strip():
        raise ExportRefused("Say what it is for.")
    if len(reason.strip()) > LONGEST:  # half of a value would be found by no detector
        raise ExportRefused(f"Say it in {LONGEST:,} characters.")
    words, areas, job_id = scrubbed(reason.strip()), exported_by(person), ids.new()
    said = public(question.selection)
    asked = Asked(
        person=person.pk,
        subject=by.subject,
        name=by.name,
        form=form,
        payloads=payloads,
        selection=said,
        sealed="",
        areas=None if areas is None else sorted(areas),
        reason=words.data.decode(),
        until=str(ids.new()),
        kind=by.kind,
        owner=str(by.owner_id or ""),
        key=str(by.key_id or ""),
        key_prefix=by.key_prefix,
    )
    asked = replace(asked, sealed=_sealed(question.selection, job_id, asked))
    facts = {"format": form, "payloads": payloads, "areas": asked.areas, "selection": said}
    with transaction.atomic(durable=True):
        about = f"export {job_id}"
        event(
            "export.asked", by=by, area=asked.area, about=about, detail=facts, note=words
        )  # others wait here
        if under_way(person).count() >= AT_ONCE:
            raise ExportRefused(f"{AT_ONCE} of your exports are under way. Wait for one, or cancel it.")
        options, subject = asked.as_json(), by.subject
        return jobs.begin(kind=KIND, options=options, asked_by=subject, result={}, job_id=job_id)


def _sealed(selection: Selection, job_id: UUID, asked: Asked) -> str:
    try:
        return sealed(selection, job_id, asked.said())
    except KeysUnavailable:
        raise ExportRefused(NO_KEYS) from None


def under_way(person: Any) -> Any:
    """Exports of a person that have not ended."""
    return exports_of(person).filter(finished_at=None)


def exports_of(person: Any) -> Any:
    return Job.objects.filter(kind=KIND, options__person=str(person.pk))


def export_cancel(*, job: Job, by: Who) -> bool:
    """End one early; its worker notices at its next step. False: it had ended."""
    with transaction.atomic(durable=True):
        _note("export.cancelled", job, by)
        cancelled = jobs.cancel(job.pk, kind=KIND)
        if not cancelled:
            transaction.set_rollback(True)
    return cancelled


def export_asked(job: Job) -> Asked:
    """What was asked for, as it was sealed then. One that is finished and was changed since is taken back, on
    record. Raises `Changed`, and `KeysUnavailable`."""
    try:
        asked = Asked.of(job)
        chosen(job, asked)
    except Changed as changed:
        export_spoil(job=job, problem=str(changed))
        raise
    return asked


def chosen(job: Job, asked: Asked) -> Selection:
    """What it is to hold. Raises `Changed`, and `KeysUnavailable`."""
    try:
        return unsealed(asked.sealed, job.pk, asked.said())
    except ValueError:
        raise Changed from None


def export_spoil(*, job: Job, problem: str) -> None:
    """Take a finished one back that is not what was asked for."""
    with transaction.atomic(durable=True):
        result = {**(job.result or {}), "problem": problem}
        if Job.objects.filter(pk=job.pk, state="done").update(state="failed", result=result):
            _note("export.failed", job, NOBODY, problem=problem)
    Place(job.pk).discard()


def export_download(*, job: Job, by: Who) -> None:
    """Note that somebody fetches it. What leaves, leaves after this is durable."""
    with transaction.atomic(durable=True):
        result = job.result or {}
        _note("export.downloaded", job, by, sha256=result.get("sha256"), bytes=result.get("size"))


def export_remove(*, job: Job, by: Who = NOBODY, because: str = "deleted") -> bool:
    """Take a finished one back: `deleted` or `expired`. False: there was none any more."""
    with transaction.atomic(durable=True):
        _note(f"export.{because}", job, by)
        result = {**(job.result or {}), "ended": because}
        removed = bool(Job.objects.filter(pk=job.pk, state="done").update(state="failed", result=result))
        if not removed:
            transaction.set_rollback(True)
    if removed:
        Place(job.pk).discard()
    return removed


def _note(name: str, job: Job, by: Who, **facts: Any) -> None:
    event(name, by=by, area=area_of(job), about=f"export {job.pk}", detail=facts)

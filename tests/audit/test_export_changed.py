"""What was asked for stands in the store: whoever changes it there gets no other export, and is noticed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.test import Client

from audit.exporting import working
from audit.exporting.files import Place
from audit.exporting.taking_back import exports_take_back
from audit.models import Entry, Job
from audit.recorder import Recorder
from tests.audit.test_exports import ask, auditor, calls, events, made

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]
CHANGED = "What was asked for was changed in the store"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "AUDIT_EXPORT_DIR", tmp_path / "exports")


@pytest.fixture
def dave(transactional_db: None) -> Any:
    return auditor("dave")


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "an area more": lambda said: {**said, "areas": ["kanari"]},
    "no area": lambda said: {**said, "areas": []},
    "areas that are none": lambda said: {**said, "areas": [7, None]},
    "a text for areas": lambda said: {**said, "areas": "clinic"},
    "an object for areas": lambda said: {**said, "areas": {"clinic": True}},
    "another format": lambda said: {**said, "form": "csv"},
    "a format that is none": lambda said: {**said, "form": "exe"},
    "payloads": lambda said: {**said, "payloads": True},
    "another reason": lambda said: {**said, "reason": "yearly review, really"},
    "another name": lambda said: {**said, "name": "erin"},
    "a program's": lambda said: {**said, "kind": "service", "key": str(uuid4())},
    "a key that is none": lambda said: {**said, "key": "pst_1"},
    "a later end": lambda said: {**said, "until": "ffffffff-0000-7000-8000-000000000000"},
    "an end that is none": lambda said: {**said, "until": ""},
    "another selection": lambda said: {**said, "selection": {"action": "blocked"}},
    "no seal": lambda said: {**said, "sealed": ""},
    "another seal": lambda said: {**said, "sealed": "00" * 60},
    "a seal that is none": lambda said: {**said, "sealed": "kanari"},
    "a member more": lambda said: {**said, "bcc": "erin"},
    "a member less": lambda said: {name: said[name] for name in said if name != "reason"},
}


def changed(job: Job, how: str) -> None:
    options = CHANGES[how](job.options)
    assert options != job.options
    Job.objects.filter(pk=job.pk).update(options=options)


def failed(job: Job) -> list[Any]:
    rows = Entry.objects.filter(kind="event").order_by("id")
    told = [json.loads(bytes(row.meta)) for row in rows]
    return [each for each in told if each["event"] == "export.failed"]


def browser() -> Client:
    client = Client()
    assert client.login(username="dave", password="pw")
    return client


@pytest.mark.parametrize("how", CHANGES)
def test_what_was_changed_before_it_is_made_fails_in_words_and_on_record(
    recorder: Recorder, dave: Any, how: str
) -> None:
    calls(recorder)
    job = ask(dave)
    changed(job, how)
    working.sweep()
    job.refresh_from_db()
    assert job.state == "failed" and CHANGED in (job.result or {})["problem"]
    (event,) = failed(job)
    assert CHANGED in event["detail"]["problem"] and event["about"] == f"export {job.pk}"
    assert CHANGED in browser().get("/audit/exports/").content.decode()
    assert not Place(job.pk).finished.exists() and not Place(job.pk).folder.exists()
    next_one = ask(dave)  # nothing stands in its way
    assert made(next_one).namelist()


@pytest.mark.parametrize("how", CHANGES)
def test_what_was_changed_once_it_was_ready_is_taken_back_instead_of_fetched(
    recorder: Recorder, dave: Any, how: str
) -> None:
    calls(recorder)
    job = ask(dave)
    made(job)
    changed(job, how)
    client = browser()
    assert client.get("/audit/exports/").status_code == 200
    answer = client.get(f"/audit/exports/{job.pk}/file/")
    assert answer.status_code == 302 and CHANGED in client.get("/audit/exports/").content.decode()
    job.refresh_from_db()
    assert job.state == "failed" and not Place(job.pk).finished.exists()
    assert "export.downloaded" not in events() and len(failed(job)) == 1
    assert client.get(f"/audit/exports/{job.pk}/file/").status_code == 404


@pytest.mark.parametrize("how", ["areas that are none", "a member less", "a text for areas"])
def test_what_cannot_be_read_can_still_be_ended(recorder: Recorder, dave: Any, how: str) -> None:
    """By whoever asked, and by an erasure."""
    waiting, ready = ask(dave), ask(dave, payloads=True)
    (call,) = calls(recorder)
    Job.objects.filter(pk=waiting.pk).update(state="pending")
    changed(waiting, how)
    browser().post(f"/audit/exports/{waiting.pk}/cancel/")
    waiting.refresh_from_db()
    assert (waiting.result or {})["ended"] == "cancelled" and "export.cancelled" in events()
    Job.objects.filter(pk=ready.pk).update(state="running")
    changed(ready, how)
    assert exports_take_back([call], lambda: None) == 1 and "export.erased" in events()


def test_progress_that_is_none_fails_in_words(recorder: Recorder, dave: Any) -> None:
    calls(recorder)
    job = ask(dave)
    Job.objects.filter(pk=job.pk).update(result={"progress": {"weather": "fine"}})
    working.sweep()
    job.refresh_from_db()
    assert job.state == "failed" and CHANGED in (job.result or {})["problem"] and len(failed(job)) == 1
    assert browser().get("/audit/exports/").status_code == 200

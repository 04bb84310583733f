"""An export waits until the anchors have what its proof needs, not for ever, and says what they had."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from django.conf import settings
from django.test import Client

from audit import ids
from audit.checkpoints import checkpoint_make
from audit.exporting import anchoring, working
from audit.exporting.files import Place
from audit.keys import KeyDirectory
from audit.models import Anchor, Checkpoint, Job
from audit.recorder import Recorder
from tests.audit.test_exports import ask, auditor, calls, events, left_open, made, verified

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "AUDIT_EXPORT_DIR", tmp_path / "exports")


@pytest.fixture
def dave(transactional_db: None) -> Any:
    return auditor("dave")


def anchor(name: str = "file:/anchor", number: int = 0, **more: Any) -> Anchor:
    return Anchor.objects.create(name=name, number=number, tried_at=ids.now(), **more)


def told(name: str = "file:/anchor", number: int | None = None) -> None:
    """As the sweep does it."""
    last = Checkpoint.objects.order_by("-number").first()
    assert last is not None
    Anchor.objects.filter(name=name).update(number=number or last.number, told_at=ids.now())


def tried(job: Job) -> Job:
    """The pause is over."""
    Job.objects.filter(pk=job.pk).update(due_at=ids.now())
    working.sweep()
    job.refresh_from_db()
    return job


def page() -> str:
    client = Client()
    assert client.login(username="dave", password="pw")
    return client.get("/audit/exports/").content.decode()


def manifest_of(job: Job) -> Any:
    with ZipFile(Place(job.pk).finished) as file:
        return json.loads(file.read("manifest.json"))


def test_it_is_ready_once_the_anchor_has_its_checkpoints(
    recorder: Recorder, keys: KeyDirectory, dave: Any
) -> None:
    """Not before, though everything is written: whoever verified it against the anchor would be told lies."""
    calls(recorder, 3)
    anchor()
    job = ask(dave)
    for _ in range(7):  # more often than a worker may stop at one place
        assert tried(job).state == "running" and not Place(job.pk).finished.exists()
    assert "proving" in page() and "until these have its checkpoints: file:/anchor" in page()
    assert "No worker works on it" not in page()
    told()
    assert tried(job).state == "done"
    said = manifest_of(job)
    (row,) = said["anchors"]
    assert row["name"] == "file:/anchor" and row["has_all"] is True
    assert row["checkpoint"] >= said["last_checkpoint"] > 0
    assert datetime.fromisoformat(row["told_at"]).tzinfo is not None
    anchored = {(each.epoch, each.number): bytes(each.text) for each in Checkpoint.objects.all()}
    assert verified(job, keys, anchored) == []
    assert (job.result or {})["progress"]["unanchored"] == []


def test_an_anchor_that_is_away_delays_it_for_minutes_and_is_named(
    recorder: Recorder, keys: KeyDirectory, dave: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls(recorder)
    anchor("https://log.example", error="does not answer")
    anchor("file:/anchor")
    job = ask(dave)
    assert tried(job).state == "running"
    told("file:/anchor")
    assert tried(job).state == "running"
    monkeypatch.setattr(anchoring, "PATIENCE", timedelta(0))
    assert tried(job).state == "done"
    has = {row["name"]: row["has_all"] for row in manifest_of(job)["anchors"]}
    assert has == {"file:/anchor": True, "https://log.example": False}
    assert (job.result or {})["progress"]["unanchored"] == ["https://log.example"]
    assert "did not have its checkpoints yet when it was made: https://log.example" in page()
    assert verified(job, keys) == [] and events()[-1] == "export.made"


@pytest.mark.parametrize("gone", [{"tried_at": None}, {"tried_at": ids.now() - timedelta(hours=1)}])
def test_what_is_an_anchor_no_more_delays_nothing(
    recorder: Recorder, dave: Any, gone: dict[str, Any]
) -> None:
    calls(recorder)
    anchor()
    Anchor.objects.update(**gone)
    assert tried(ask(dave)).state == "done"


def test_an_anchor_that_contradicts_has_nothing_of_it(recorder: Recorder, dave: Any) -> None:
    """It knows another checkpoint of that number."""
    calls(recorder)
    anchor(number=99, error="has checkpoint 99, the store ends with 1")
    assert tried(ask(dave)).state == "running"


def test_what_is_stated_already_states_nothing_anew(
    recorder: Recorder, keys: KeyDirectory, dave: Any
) -> None:
    calls(recorder, 2)
    left_open(recorder)
    checkpoint_make(keys)
    anchor()
    told()
    made(ask(dave))
    assert Checkpoint.objects.count() == 1


def test_it_can_be_cancelled_while_it_waits(recorder: Recorder, dave: Any) -> None:
    calls(recorder)
    anchor()
    job = tried(ask(dave))
    client = Client()
    assert client.login(username="dave", password="pw")
    client.post(f"/audit/exports/{job.pk}/cancel/")
    told()
    assert tried(job).state == "failed" and not Place(job.pk).finished.exists()
    assert events()[-1] == "export.cancelled"

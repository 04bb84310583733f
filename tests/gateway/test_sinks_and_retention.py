"""Retention never waits for a sink, and takes nothing from one: sinks are told entries, which stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from audit.keys import KeyDirectory
from audit.models import Call, Entry, Payload, Sink
from audit.recorder import Recorder
from audit.retention import months
from audit.retention.days import today
from gateway.sinking.delivering import sweep
from tests.audit.conftest import keys as keys
from tests.audit.conftest import recorder as recorder
from tests.audit.conftest import recorders as recorders
from tests.audit.kept import a_month, ago, calls_on, erase, retain, rule

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_sink_that_was_away_gets_everything_after_a_month_was_removed_and_calls_were_erased(
    recorder: Recorder, keys: KeyDirectory, settings: Any, tmp_path: Path
) -> None:
    """It is away from the first entry on: nobody can write where a folder lies."""
    file = tmp_path / "siem.jsonl"
    file.mkdir()
    settings.AUDIT_SINKS, settings.AUDIT_SINKS_BEGIN = [f"file:{file}"], "start"
    with a_month(ago(100)) as (first, _):
        gone = calls_on(recorder, *((today() - first).days - ahead for ahead in (0, 3, 20)))
        erased, _ = calls_on(recorder, 5, 5)
        assert sweep() == 0
        rule(10, 20)
        assert retain(keys) == 6  # payloads and rows
        erase(erased, keys=keys)
        assert not Call.objects.filter(id__in=[call.id for call in gone]).exists()
        assert not Payload.objects.filter(started_at__lt=gone[-1].started_at).exists()
        file.rmdir()
        Sink.objects.update(next_at=None)  # the pause after a refusal is over
        assert sweep() > 0
        told = [json.loads(line) for line in file.read_text().splitlines()]
        wanted = Entry.objects.filter(kind__in=("admission", "close", "release", "event"))
        digests = {bytes(digest).hex() for digest in wanted.values_list("digest", flat=True)}
        assert {each["digest"] for each in told} == digests
        for call in (*gone, erased):
            kinds = [each["kind"] for each in told if each.get("call") == str(call.id)]
            assert kinds == ["admission", "close"]


def test_no_table_that_sinks_read_is_dropped_by_the_month() -> None:
    assert "audit_entry" not in months._TABLES

"""Exports: asked for, written a few calls at a time, proven, verified by others, gone again."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID
from zipfile import ZipFile

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.db import connection, connections

from audit import ids, jobs
from audit.checkpoints import checkpoint_make, signed_of, signing_key
from audit.events import event
from audit.exporting import asking, keeping, proving, working
from audit.exporting.asked import KIND, exported_by
from audit.exporting.asking import ExportRefused, export_cancel, export_remove, export_start
from audit.exporting.checking import Export
from audit.exporting.facts import FIELDS
from audit.exporting.files import Place, lying
from audit.keys import KeyDirectory
from audit.models import Call, CallKey, Checkpoint, Entry, Job
from audit.recorder import Recorder
from audit.records import Recordable, Who
from audit.search.typed import typed
from gateway.identity.authz import role_grant
from gateway.models import Area
from tests.audit.test_checkpoints import dropped_guards, guards_again
from tests.audit.world import ANSWER, CHAT, DONE, MASKED, STRANGER, asks, run

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parents[2]
DAVE = Who(subject="local:dave", name="dave", kind="person")


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settings, "AUDIT_EXPORT_DIR", tmp_path / "exports")
    return tmp_path / "exports"


@pytest.fixture
def dave(transactional_db: None) -> Any:
    """Audits everywhere."""
    return auditor("dave")


def auditor(name: str) -> Any:
    person = get_user_model().objects.create_user(name, password="pw")
    for codename in ("view_call", "export_call"):
        person.user_permissions.add(Permission.objects.get(codename=codename))
    return person


def calls(recorder: Recorder, count: int = 1, **changes: Any) -> list[UUID]:
    made: list[UUID] = []

    async def some() -> None:
        for _ in range(count):
            admission = asks(**changes)
            await recorder.admit(admission)
            await recorder.segment(admission.call_id, ANSWER, final=True)
            made.append(admission.call_id)

    run(some())
    for call in made:
        recorder.close(call, DONE)
    until = time.monotonic() + 20
    while Entry.objects.filter(call_id__in=made, kind="close").count() < count:
        assert time.monotonic() < until, "closes are written behind"
        time.sleep(0.01)
    return made


def left_open(recorder: Recorder, **changes: Any) -> UUID:
    admission = asks(**changes)
    run(recorder.admit(admission))
    return admission.call_id


def ask(person: Any, form: str = "jsonl", **changes: Any) -> Job:
    given: dict[str, Any] = {"payloads": False, "reason": "yearly review"}
    question = typed(changes.pop("selection", {}), exported_by(person))
    by = Who(person_id=person.pk, subject=f"local:{person.username}", name=person.username, kind="person")
    return export_start(person=person, by=by, form=form, question=question, **{**given, **changes})


def made(job: Job) -> ZipFile:
    working.sweep()
    job.refresh_from_db()
    assert job.state == "done", job.result
    return ZipFile(Place(job.pk).finished)


def rows(file: ZipFile, name: str = "calls.jsonl") -> list[Any]:
    return [json.loads(line) for line in file.read(name).splitlines()]


def verified(job: Job, keys: KeyDirectory, anchored: Any = None) -> list[str]:
    return [*Export(Place(job.pk).finished, signing_key(keys).public_key(), anchored).problems()]


def events() -> list[str]:
    rows = Entry.objects.filter(kind="event").order_by("id")
    return [json.loads(bytes(row.meta))["event"] for row in rows]


# --- what is in it ------------------------------------------------------------------------------------
@pytest.mark.parametrize("form", ["jsonl", "csv", "ocsf"])
def test_an_export_verifies(recorder: Recorder, keys: KeyDirectory, dave: Any, form: str) -> None:
    calls(recorder, 5)
    checkpoint_make(keys)
    calls(recorder, 3)
    left_open(recorder)
    calls(recorder, 1, who=STRANGER)
    job = ask(dave, form)
    made(job)
    assert verified(job, keys) == []
    assert job.result["progress"]["rows"] == 10 and job.result["progress"]["open_calls"] == 1
    assert job.result["progress"]["problems"] == []
    anchored = {(row.epoch, row.number): bytes(row.text) for row in Checkpoint.objects.all()}
    assert verified(job, keys, anchored) == []
    assert [problem for problem in verified(job, keys, {}) if "the anchor does not have it" in problem]


def test_a_jsonl_row_says_what_the_page_says_and_holds_the_entries(recorder: Recorder, dave: Any) -> None:
    (call,) = calls(recorder)
    (row,) = rows(made(ask(dave)))
    assert row["call"] == str(call) and row["state"] == "closed"
    assert (row["caller"], row["subject"], row["groups"]) == ("alice", "local:alice", ["support"])
    assert (row["endpoint"], row["model"], row["area"]) == ("chat", "demo", "clinic")
    assert (row["action"], row["found"], row["reasons"]) == ("masked", {"EMAIL": 1}, ["EMAIL"])
    assert (row["status"], row["complete"], row["output_tokens"]) == (200, True, 3)
    assert [entry["kind"] for entry in row["entries"]] == ["admission", "segment", "close"]
    assert "request" not in row and "write to" not in json.dumps(row)


def test_payloads_are_in_it_when_they_were_asked_for(
    recorder: Recorder, keys: KeyDirectory, dave: Any
) -> None:
    """As masked as their page, and a call whose key was erased says so, in the middle of the others."""
    _, erased, _ = calls(recorder, 3)
    CallKey.objects.filter(id=erased).delete()
    job = ask(dave, payloads=True)
    found = rows(made(job))
    assert found[0]["request"]["text"] == '{"messages":[{"role":"user","content":"write to ***"}]}'
    assert found[0]["request"]["findings"][0]["class"] == "EMAIL"
    assert found[0]["response"]["text"] == ANSWER.data.decode()
    assert "its key is missing" in found[1]["request"]["missing"] and "text" not in found[1]["request"]
    assert "its key is missing" in found[1]["response"]["missing"]
    assert "text" in found[2]["request"]
    assert verified(job, keys) == []


def test_an_open_call_stands_as_it_is(recorder: Recorder, keys: KeyDirectory, dave: Any) -> None:
    left_open(recorder)
    job = ask(dave, payloads=True)
    (row,) = rows(made(job))
    assert row["state"] == "open" and row["status"] is None and row["closed_at"] is None
    assert "the call is open" in row["response"]["missing"]
    assert verified(job, keys) == []


def test_a_spreadsheet_computes_nothing(recorder: Recorder, keys: KeyDirectory, dave: Any) -> None:
    calls(recorder, 1, what=replace(CHAT, model='=HYPERLINK("x")', path="+1\r\n=2;\ud83d"))
    job = ask(dave, "csv")
    data = made(job).read("calls.csv")
    assert data.startswith(b"\xef\xbb\xbf")
    head, row = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    said = dict(zip(head, row, strict=True))
    assert tuple(head) == FIELDS
    assert said["model"] == '\'=HYPERLINK("x")' and said["path"].startswith("'+1")
    assert (said["found"], said["complete"]) == ("EMAIL=1", "yes")
    assert verified(job, keys) == []


def test_an_ocsf_event_is_api_activity(recorder: Recorder, dave: Any) -> None:
    (call,) = calls(recorder)
    (said,) = rows(made(ask(dave, "ocsf")), "calls.ocsf.jsonl")
    assert (said["class_uid"], said["category_uid"], said["type_uid"]) == (6003, 6, 600399)
    assert said["metadata"]["version"] == "1.5.0" and said["metadata"]["uid"] == str(call)
    assert said["time"] == ids.milliseconds_of(call)
    assert said["actor"]["user"] == {
        "name": "alice",
        "uid": "local:alice",
        "type_id": 1,
        "type": "User",
        "credential_uid": "pst_alice123",
        "groups": [{"name": "support"}],
    }
    assert said["src_endpoint"] == {"ip": "127.0.0.1"}
    assert said["api"]["operation"] == "POST /v1/chat/completions"
    assert (said["action_id"], said["disposition_id"], said["status_id"]) == (4, 11, 1)
    assert said["enrichments"][0]["data"] == {"data_class": "EMAIL", "count": 1}
    assert "action" not in said["unmapped"] or said["unmapped"]["action"] == "masked"


def test_the_manifest_says_who_what_and_why(recorder: Recorder, dave: Any) -> None:
    calls(recorder)
    file = made(ask(dave, reason="asked by jane.roe@example.com", selection={"action": "masked"}))
    said = json.loads(file.read("manifest.json"))
    assert said["asked_by"] == {"name": "dave", "subject": "local:dave"}
    assert "jane.roe" not in json.dumps(said) and "asked by" in said["reason"]
    assert said["selection_in_words"] == "action: masked" and said["areas"] is None
    assert said["counts"] == {"calls": 1, "open_calls": 0, "entries": 3, "checkpoints": 1}
    assert set(said["files"]) | {"manifest.json", "manifest.sig"} == set(file.namelist())


def test_an_export_of_nothing_verifies(recorder: Recorder, keys: KeyDirectory, dave: Any) -> None:
    event("policy.published")
    job = ask(dave, selection={"action": "blocked"})
    assert rows(made(job)) == []
    assert verified(job, keys) == []


# --- how it is written ----------------------------------------------------------------------------------
def test_files_are_their_owners_only_and_no_half_is_left(
    recorder: Recorder, dave: Any, directory: Path
) -> None:
    calls(recorder)
    job = ask(dave)
    made(job)
    assert [path.name for path in directory.iterdir()] == [f"export-{job.pk}.zip"]
    assert Place(job.pk).finished.stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700


def test_turns_give_the_same_file(recorder: Recorder, dave: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls(recorder, 7)
    job = ask(dave)
    made(job)
    whole = Place(job.pk).finished.read_bytes()
    again(job)
    monkeypatch.setattr(working, "STEP", 2)
    monkeypatch.setattr(working, "TURN", -1.0)
    for _ in range(6):
        attempt = jobs.claim(KIND)
        if attempt is None:
            break
        working._attempt(attempt, 0)
    assert Place(job.pk).finished.read_bytes() == whole


def again(job: Job) -> None:
    """The same job as it was when it was asked for."""
    Place(job.pk).discard()
    Job.objects.filter(pk=job.pk).update(state="pending", result={}, leased_until=None, finished_at=None)


@pytest.mark.parametrize("at", ["saved 1", "saved 3", "closing"])
def test_a_worker_that_is_killed_changes_nothing_in_the_file(
    recorder: Recorder, keys: KeyDirectory, dave: Any, at: str
) -> None:
    calls(recorder, 5)
    job = ask(dave, payloads=True)
    made(job)
    whole = Place(job.pk).finished.read_bytes()
    again(job)
    killed(at, keys)
    job.refresh_from_db()
    assert job.state == "running" and not Place(job.pk).finished.exists()
    spoil(job)
    Job.objects.filter(pk=job.pk).update(leased_until=ids.now() - timedelta(seconds=1))
    made(job)
    assert Place(job.pk).finished.read_bytes() == whole
    assert verified(job, keys) == []


def killed(at: str, keys: KeyDirectory) -> None:
    """A worker of its own that is killed when it says this."""
    argv = [sys.executable, "-m", "tests.audit.export_victim", str(connection.settings_dict["NAME"])]
    argv += [str(settings.AUDIT_KEY_DIR), str(settings.AUDIT_EXPORT_DIR), at]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT, text=True, env=os.environ) as worker:
        assert worker.stdout is not None
        said = [line.strip() for line in worker.stdout]
        assert said and said[-1] == at, said
    assert worker.returncode == -9


def spoil(job: Job) -> None:
    """What a worker may have written behind its last saved step."""
    for name in ("calls.jsonl", "entries.jsonl"):
        with open(Place(job.pk).folder / name, "ab") as file:
            file.write(b'{"half":')


def test_one_that_goes_on_elsewhere_begins_anew(recorder: Recorder, keys: KeyDirectory, dave: Any) -> None:
    """Another machine's folder is not here."""
    calls(recorder, 5)
    job = ask(dave)
    killed("saved 3", keys)
    shutil.rmtree(Place(job.pk).folder)
    Job.objects.filter(pk=job.pk).update(leased_until=None)
    assert len(rows(made(job))) == 5
    assert verified(job, keys) == []


def test_a_worker_thought_dead_is_not_written_beside(recorder: Recorder, dave: Any) -> None:
    calls(recorder)
    job = ask(dave)
    with Place(job.pk).held():
        working.sweep()
    job.refresh_from_db()
    assert job.state == "running"
    Job.objects.filter(pk=job.pk).update(leased_until=None)
    made(job)


def test_calls_that_come_later_are_not_in_it(recorder: Recorder, dave: Any) -> None:
    (first,) = calls(recorder)
    job = ask(dave)
    calls(recorder)
    assert [row["call"] for row in rows(made(job))] == [str(first)]


def test_many_checkpoints_and_entries_are_read_page_by_page(
    recorder: Recorder, keys: KeyDirectory, dave: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proving, "AT_ONCE", 3)
    monkeypatch.setattr(proving, "PAGE", 2)
    for _ in range(6):
        calls(recorder, 2)
        calls(recorder, 1, decision=replace(MASKED, action="blocked"))
        checkpoint_make(keys)
    job = ask(dave, selection={"action": "masked"})
    file = made(job)
    assert len(rows(file)) == Call.objects.filter(action="masked").count() and len(rows(file)) > 10
    assert verified(job, keys) == []


def test_a_search_by_words_is_answered_by_an_index_that_is_brought_up_to_now(
    recorder: Recorder, keys: KeyDirectory, dave: Any
) -> None:
    """The words are not in the store, and the file says what was searched."""
    one, other = calls(recorder, 2)
    another = Recordable(b'{"messages":[{"role":"user","content":"nothing of that"}]}')
    calls(recorder, 1, request=another)
    job = ask(dave, selection={"words": "write", "model": "demo"})
    assert "write" not in job.options["sealed"]
    file = made(job)
    assert {row["call"] for row in rows(file)} == {str(one), str(other)}
    assert json.loads(file.read("manifest.json"))["selection_in_words"] == "model: demo; words: write"
    assert verified(job, keys) == []


def test_whoever_audits_one_area_exports_one_area(recorder: Recorder, keys: KeyDirectory) -> None:
    inside = calls(recorder, 3)
    calls(recorder, 2, what=replace(CHAT, area="lab"))
    calls(recorder, 1, who=STRANGER, what=replace(CHAT, area=""))
    erin = get_user_model().objects.create_user("erin", password="pw")
    group = Group.objects.create(name="ward auditors")
    role_grant(group=group, role="auditor", area=Area.objects.create(slug="clinic", name="Clinic"), by=None)
    erin.groups.add(group)
    job = ask(erin)
    assert job.options["areas"] == ["clinic"]
    file = made(job)
    assert {row["call"] for row in rows(file)} == set(map(str, inside))
    assert verified(job, keys) == []


# --- who may have it --------------------------------------------------------------------------------------
def test_a_role_that_is_lost_meanwhile_ends_it(recorder: Recorder, dave: Any, directory: Path) -> None:
    calls(recorder)
    job = ask(dave)
    dave.user_permissions.clear()
    working.sweep()
    job.refresh_from_db()
    assert job.state == "failed" and "may not export" in job.result["problem"]
    assert [*directory.iterdir()] == [] and events()[-1] == "export.failed"


def test_an_account_that_is_closed_meanwhile_ends_it(recorder: Recorder, dave: Any) -> None:
    job = ask(dave)
    get_user_model().objects.filter(pk=dave.pk).update(is_active=False)
    working.sweep()
    job.refresh_from_db()
    assert job.state == "failed"


def test_two_at_once_each_get_theirs(recorder: Recorder, keys: KeyDirectory, dave: Any) -> None:
    calls(recorder, 2)
    one, other = ask(dave), ask(auditor("erin"), "csv")
    working.sweep()
    assert {Job.objects.get(pk=job.pk).state for job in (one, other)} == {"done"}
    assert verified(one, keys) == verified(other, keys) == []


def test_a_reason_is_taken_whole_or_not_at_all(dave: Any) -> None:
    """Half of a card is found by no detector."""
    with pytest.raises(ExportRefused, match="1,000 characters"):
        ask(dave, reason="x" * 990 + " 4111 1111 1111 1111")
    assert not Job.objects.filter(kind=KIND).exists()


def test_nobody_has_more_than_a_few_under_way(recorder: Recorder, dave: Any) -> None:
    """Also when they are asked for at the same moment."""

    def start(_: int) -> bool:
        try:
            ask(dave)
            return True
        except ExportRefused:
            return False
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        started = [*pool.map(start, range(4))]
    assert sum(started) == asking.AT_ONCE
    assert events().count("export.asked") == asking.AT_ONCE


# --- what goes wrong --------------------------------------------------------------------------------------
def failed(job: Job) -> str:
    working.sweep()
    job.refresh_from_db()
    assert job.state == "failed" and lying() == []
    return str(job.result["problem"])


def test_a_full_disk_fails_it_and_leaves_nothing(
    recorder: Recorder, dave: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls(recorder)
    job = ask(dave)

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/secret/place")

    monkeypatch.setattr("audit.exporting.files.os.fsync", full)
    said = failed(job)
    assert "no space is left" in said and "/secret" not in said


def test_what_is_too_large_says_so(recorder: Recorder, dave: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls(recorder, 3)
    job = ask(dave)
    monkeypatch.setattr(settings, "AUDIT_EXPORT_MB", 0)
    assert "after 3 calls it has more than 0 MB" in failed(job)


def test_without_the_keys_nothing_is_signed(
    recorder: Recorder, dave: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls(recorder)
    job = ask(dave)
    monkeypatch.setattr(settings, "AUDIT_KEY_DIR", tmp_path / "gone")
    assert "AUDIT_KEY_DIR" in failed(job)


def test_one_that_never_gets_further_ends(recorder: Recorder, dave: Any) -> None:
    job = ask(dave)
    for _ in range(jobs.TRIES):
        assert jobs.claim(KIND) is not None
        Job.objects.filter(pk=job.pk).update(leased_until=None)
    assert "stopped several times" in failed(job)


def test_a_cancelled_one_ends_at_the_next_step(
    recorder: Recorder, dave: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls(recorder, 3)
    job = ask(dave)
    monkeypatch.setattr(working, "STEP", 1)
    keep = jobs.keep

    def cancelled_meanwhile(mine: Job, result: Any) -> bool:
        export_cancel(job=job, by=DAVE)
        return keep(mine, result)

    monkeypatch.setattr(jobs, "keep", cancelled_meanwhile)
    working.sweep()
    job.refresh_from_db()
    assert job.result["ended"] == "cancelled" and lying() == []
    assert not export_cancel(job=job, by=DAVE) and events().count("export.cancelled") == 1


def test_one_that_is_cancelled_while_the_file_is_made_leaves_none(
    recorder: Recorder, dave: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls(recorder)
    job = ask(dave)
    close = working.close

    def cancelled_meanwhile(*given: Any) -> Any:
        done = close(*given)
        export_cancel(job=job, by=DAVE)
        return done

    monkeypatch.setattr(working, "close", cancelled_meanwhile)
    working.sweep()
    assert lying() == [] and "export.made" not in events()


def test_what_somebody_wrote_into_the_store_is_said(
    recorder: Recorder, keys: KeyDirectory, dave: Any
) -> None:
    first, second = calls(recorder, 2)
    checkpoint_make(keys)
    dropped_guards()
    Entry.objects.filter(call_id=first, kind="close").update(meta=b'{"close":{"status":500}}')
    Entry.objects.filter(call_id=second, kind="segment").delete()
    job = ask(dave)
    made(job)
    guards_again()
    said = job.result["progress"]["problems"]
    assert f"call {first}: its entries were changed" in said
    assert any("its entries are not those of then" in problem for problem in said)
    problems = verified(job, keys)
    assert any(problem.endswith(" was changed") for problem in problems)
    assert f"call {second}: 1 parts of its response are missing" in problems
    assert any("does not lead to what was signed" in problem for problem in problems)


# --- how it goes ------------------------------------------------------------------------------------------
def test_it_runs_out_once(recorder: Recorder, dave: Any) -> None:
    calls(recorder)
    job = ask(dave)
    made(job)
    assert keeping.exports_forget() == 0
    Job.objects.filter(pk=job.pk).update(finished_at=ids.now() - timedelta(days=8))
    assert keeping.exports_forget() == 1
    assert keeping.exports_forget() == 0
    job.refresh_from_db()
    assert lying() == [] and job.result["ended"] == "expired"
    assert events().count("export.expired") == 1


def test_files_of_no_export_go(recorder: Recorder, dave: Any, directory: Path) -> None:
    calls(recorder)
    job = ask(dave)
    made(job)
    (directory / f"export-{ids.new()}.zip").write_bytes(b"left")
    (directory / f"export-{ids.new()}.part").mkdir()
    (directory / "something-else.zip").write_bytes(b"not ours")
    keeping.exports_forget()
    assert {path.name for path in directory.iterdir()} == {f"export-{job.pk}.zip", "something-else.zip"}


def test_it_is_removed_once(recorder: Recorder, dave: Any) -> None:
    job = ask(dave)
    made(job)
    assert export_remove(job=job, by=DAVE)
    assert not export_remove(job=job, by=DAVE)
    assert events().count("export.deleted") == 1 and lying() == []


def test_nothing_raw_is_stored_of_the_reason(recorder: Recorder, dave: Any) -> None:
    job = ask(dave, reason="card 4111 1111 1111 1111")
    assert "4111 1111" not in json.dumps(job.options)
    assert not any(b"4111 1111" in bytes(entry.meta) for entry in Entry.objects.all())


def test_the_anchors_line_holds(recorder: Recorder, keys: KeyDirectory, dave: Any, tmp_path: Path) -> None:
    """The whole way of whoever checks it elsewhere: the program, the key, the anchor's files."""
    calls(recorder, 3)
    job = ask(dave)
    made(job)
    anchor = tmp_path / "anchor"
    anchor.mkdir()
    for row in Checkpoint.objects.all():
        (anchor / f"{row.number}.json").write_bytes(signed_of(row).line())
    key = signing_key(keys).public_key().public_bytes_raw().hex()
    argv = [sys.executable, "-m", "audit.verifier", str(Place(job.pk).finished), "--key", key]
    done = subprocess.run(
        [*argv, "--checkpoints", str(anchor)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("3 calls, 9 entries, 1 checkpoints, 0 problems\n")

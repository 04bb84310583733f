"""The pages of exports: who may ask, whose they are, and that fetching is on record before a byte leaves."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.test import AsyncClient, Client
from django.utils import timezone

from audit import ids
from audit.exporting import views, working
from audit.exporting.asked import KIND
from audit.exporting.files import Place
from audit.keys import KeyDirectory
from audit.models import Entry, Fact, Job, Store
from audit.search.terms import fact_digest, facts_of
from audit.search.writing import Terms, terms_write
from gateway.identity.authz import role_grant
from gateway.models import Area, User
from tests.gateway import world as house
from tests.gateway.test_retention_pages import call_in

pytestmark = pytest.mark.django_db
WARD, LAB = "ward", "lab"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settings, "AUDIT_EXPORT_DIR", tmp_path / "exports")
    KeyDirectory.make(settings.AUDIT_KEY_DIR)
    return tmp_path / "exports"


@pytest.fixture
def areas(db: None) -> dict[str, Area]:
    return {slug: Area.objects.create(slug=slug, name=slug) for slug in (WARD, LAB)}


def auditor(name: str, area: Area | None = None) -> User:
    group = Group.objects.create(name=f"{name}s")
    role_grant(group=group, role="auditor", area=area, by=None)
    return house.person(name, group=group.name)


def browser(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


START = {"start": "1", "format": "jsonl", "reason": "complaint 12", "selection": "{}"}


def started(client: Client, **changes: str) -> Job:
    answer = client.post("/audit/exports/new/", START | changes)
    assert answer.status_code == 302, answer.content.decode()
    return Job.objects.filter(kind=KIND).latest("created_at")


def finished(client: Client, **changes: str) -> Job:
    """There are no entries in this small world, so nothing has to be proven."""
    Store.objects.get_or_create(pk=1, defaults={"created_at": timezone.now(), "key_check": b""})
    job = started(client, **changes)
    working.sweep()
    job.refresh_from_db()
    assert job.state == "done", job.result
    return job


def event_names() -> list[str]:
    rows = Entry.objects.filter(kind="event").order_by("id").values_list("meta", flat=True)
    return [json.loads(bytes(meta))["event"] for meta in rows]


def test_only_auditors_come_in(client: Client) -> None:
    assert client.get("/audit/exports/").headers["Location"].startswith("/login/")
    assert browser(house.person("carol")).get("/audit/exports/").status_code == 403


def test_an_empty_page_says_how_to_begin() -> None:
    assert "No exports yet" in browser(auditor("dave")).get("/audit/exports/").content.decode()


def test_a_selection_becomes_a_form_and_the_form_an_export() -> None:
    client = browser(auditor("dave"))
    shown = client.post("/audit/exports/new/", {"selection": '{"action": "masked", "words": "fever"}'})
    assert shown.status_code == 200
    assert "action: masked; words: fever" in shown.content.decode()
    assert "{&quot;action&quot;: &quot;masked&quot;" in shown.content.decode()
    job = started(client, selection='{"action": "masked"}', payloads="on")
    assert job.options["selection"] == {"action": "masked"} and job.options["payloads"] is True
    assert job.asked_by == "local:dave" and event_names()[-1] == "export.asked"
    listed = client.get("/audit/exports/")
    assert listed.headers["Refresh"] == "3" and "waiting" in listed.content.decode()
    assert "complaint 12" in listed.content.decode()


@pytest.mark.parametrize("selection", ["[]", "{", '{"nonsense": 1}', '{"since": "never"}', "7"])
def test_what_is_no_selection_is_a_bad_request(selection: str) -> None:
    client = browser(auditor("dave"))
    assert client.post("/audit/exports/new/", {"selection": selection}).status_code == 400
    assert not Job.objects.exists()


@pytest.mark.parametrize("start", ["", "1"])
@pytest.mark.parametrize("kind", ["model", "words"])
def test_a_criterion_that_the_record_masks_is_refused_and_not_given_back(start: str, kind: str) -> None:
    form = {**START, "start": start, "selection": json.dumps({kind: "jane.roe@example.com"})}
    answer = browser(auditor("dave")).post("/audit/exports/new/", form)
    assert answer.status_code == 400 and "what the record masks (EMAIL)" in answer.content.decode()
    assert "jane" not in answer.content.decode()
    assert not Job.objects.exists() and "export.asked" not in event_names()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reason": " "}, "This field is required"),
        ({"format": "pdf"}, "Select a valid choice"),
        ({"format": "csv", "payloads": "on"}, "Only JSONL holds requests and responses."),
    ],
)
def test_a_form_that_is_not_whole_comes_back(changes: dict[str, str], said: str) -> None:
    answer = browser(auditor("dave")).post("/audit/exports/new/", START | changes)
    assert answer.status_code == 422 and said in answer.content.decode()
    assert not Job.objects.exists()


def test_a_third_one_has_to_wait() -> None:
    client = browser(auditor("dave"))
    started(client), started(client)
    answer = client.post("/audit/exports/new/", START)
    assert answer.status_code == 422 and "under way" in answer.content.decode()


def test_nobody_asks_by_get() -> None:
    client = browser(auditor("dave"))
    assert client.get("/audit/exports/new/").status_code == 405
    job = started(client)
    for act in ("cancel", "delete"):
        assert client.get(f"/audit/exports/{job.pk}/{act}/").status_code == 405


def test_fetching_is_on_record_before_a_byte_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    client = browser(auditor("dave"))
    job = finished(client)
    seen: list[str] = []
    answer_with = views.file_answer

    def looked(*given: Any) -> Any:
        seen.extend(event_names())
        return answer_with(*given)

    monkeypatch.setattr(views, "file_answer", looked)
    answer = client.get(f"/audit/exports/{job.pk}/file/")
    assert b"".join(answer.streaming_content) == Place(job.pk).finished.read_bytes()
    assert seen[-1] == "export.downloaded"
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="postern-export-')
    assert "no-store" in answer.headers["Cache-Control"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert b"".join(client.get(f"/audit/exports/{job.pk}/file/").streaming_content)
    assert event_names().count("export.downloaded") == 2
    assert client.head(f"/audit/exports/{job.pk}/file/").status_code == 405


def test_where_that_cannot_be_recorded_nothing_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    client = browser(auditor("dave"))
    job = finished(client)

    def away(*given: Any, **more: Any) -> None:
        raise OSError("the store is away")

    monkeypatch.setattr("audit.exporting.asking.event", away)
    with pytest.raises(OSError, match="away"):
        client.get(f"/audit/exports/{job.pk}/file/")


def test_nobody_else_has_it(areas: dict[str, Area]) -> None:
    client = browser(auditor("dave"))
    job = finished(client)
    other = browser(auditor("erin"))
    assert other.get(f"/audit/exports/{job.pk}/file/").status_code == 404
    for act in ("cancel", "delete"):
        assert other.post(f"/audit/exports/{job.pk}/{act}/").status_code == 404
    assert "complaint" not in other.get("/audit/exports/").content.decode()
    assert client.get(f"/audit/exports/{uuid4()}/file/").status_code == 404


def test_whoever_lost_an_area_has_it_no_more(areas: dict[str, Area]) -> None:
    """Dave still audits the lab, and what he has exported lay in the ward too."""
    dave = auditor("dave", areas[WARD])
    group = Group.objects.create(name="lab auditors")
    role_grant(group=group, role="auditor", area=areas[LAB], by=None)
    dave.groups.add(group)
    job = finished(browser(dave))
    assert job.options["areas"] == [LAB, WARD]
    dave.groups.remove(Group.objects.get(name="daves"))
    client = browser(User.objects.get(pk=dave.pk))
    assert client.get(f"/audit/exports/{job.pk}/file/").status_code == 404
    assert "You may not export from these areas any more" in client.get("/audit/exports/").content.decode()
    assert "export.downloaded" not in event_names()


def test_one_that_waits_is_cancelled_and_one_that_is_ready_deleted() -> None:
    client = browser(auditor("dave"))
    job = started(client)
    assert client.post(f"/audit/exports/{job.pk}/cancel/").status_code == 302
    assert "cancelled" in client.get("/audit/exports/").content.decode()
    answer = client.post(f"/audit/exports/{job.pk}/cancel/", follow=True)
    assert "It had ended already." in answer.content.decode()
    job = finished(client)
    client.post(f"/audit/exports/{job.pk}/delete/")
    assert not Place(job.pk).finished.exists()
    assert client.get(f"/audit/exports/{job.pk}/file/").status_code == 404
    assert event_names().count("export.deleted") == 1


def test_a_file_that_is_elsewhere_is_said_to_be() -> None:
    client = browser(auditor("dave"))
    job = finished(client)
    Place(job.pk).finished.unlink()
    answer = client.get(f"/audit/exports/{job.pk}/file/", follow=True)
    assert "AUDIT_EXPORT_DIR" in answer.content.decode()
    assert "export.downloaded" not in event_names()


def test_a_worker_that_is_not_there_is_missed() -> None:
    client = browser(auditor("dave"))
    job = started(client)
    Job.objects.filter(pk=job.pk).update(created_at=ids.now() - timedelta(minutes=5))
    assert "No worker works on it" in client.get("/audit/exports/").content.decode()


def test_what_was_typed_is_inert_and_masked() -> None:
    client = browser(auditor("dave"))
    started(client, reason="<script>x</script> card 4111 1111 1111 1111")
    shown = client.get("/audit/exports/").content.decode()
    assert "<script>x" not in shown and "4111 1111" not in shown
    assert "4111 1111" not in json.dumps(Job.objects.get().options)
    assert not any(b"4111 1111" in bytes(entry.meta) for entry in Entry.objects.all())


@pytest.mark.parametrize("kind", ["words", "caller", "model", "group", "code"])
@pytest.mark.parametrize("start", ["1", ""])
def test_criteria_that_the_record_masks_are_refused_and_kept_nowhere(kind: str, start: str) -> None:
    client, form = browser(auditor("dave")), {**START, "start": start}
    answer = client.post("/audit/exports/new/", {**form, "selection": json.dumps({kind: "4111111111111111"})})
    assert answer.status_code == 400 and b"4111111111111111" not in answer.content
    assert not Job.objects.exists() and "export.asked" not in event_names()


def test_a_criterion_that_is_on_record_in_clear_may_be_asked_for(areas: dict[str, Area]) -> None:
    """Names of people are mail addresses more often than not."""
    mail = "alice@acme.example"
    call = call_in(areas[WARD], subject=mail)
    terms_write(Fact, [Terms(call.id, sorted(map(fact_digest, facts_of(call))))])
    asked = json.dumps({"caller": mail})
    for person, known in (("dave", True), ("wendy", True), ("lou", False)):
        area = {"wendy": areas[WARD], "lou": areas[LAB]}.get(person)
        answer = browser(auditor(person, area)).post("/audit/exports/new/", {**START, "selection": asked})
        assert answer.status_code == (302 if known else 400)


@pytest.mark.django_db(transaction=True)
def test_the_server_streams_it_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it runs: under ASGI, where a plain file would be read into memory as a whole."""
    monkeypatch.setattr(views, "PIECE", 100)
    signed_in = browser(auditor("dave"))
    job = finished(signed_in)

    async def fetch() -> tuple[list[bytes], Any]:
        client = AsyncClient()
        client.cookies = signed_in.cookies
        answer: Any = await client.get(f"/audit/exports/{job.pk}/file/")
        assert answer.status_code == 200, answer
        pieces = [piece async for piece in answer.streaming_content]
        return pieces, answer

    pieces, answer = asyncio.run(fetch())
    assert len(pieces) > 2 and b"".join(pieces) == Place(job.pk).finished.read_bytes()
    assert answer.headers["Content-Length"] == str(len(b"".join(pieces)))
    assert "export.downloaded" in event_names()

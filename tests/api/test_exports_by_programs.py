"""Exports that programs ask for: by their own name, as far as their key reaches at each step."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID
from zipfile import ZipFile

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.utils import timezone

from audit.checkpoints import checkpoint_make, signing_key
from audit.exporting import keeping, working
from audit.exporting.checking import Export
from audit.exporting.files import Place
from audit.keys import KeyDirectory
from audit.models import Entry, Job
from gateway.identity.authz import role_grant
from gateway.identity.keys import api_key_create
from gateway.identity.scope import KeyScope
from gateway.models import ApiKey, Area, Lock, RoleGrant, ServiceAccount, User
from policies.journal import who
from tests.api import world as api
from tests.api.test_evidence import EXPORTS, auditor, begun, signed_in, told
from tests.gateway import world as people

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture(autouse=True)
def small_world(transactional_db: None) -> None:
    cache.clear()
    for slug in ("clinic", "lab"):
        Area.objects.create(slug=slug, name=slug)


class Siem:
    """A program that audits in an area (or everywhere), and a key of it."""

    def __init__(self, area: str = "", name: str = "siem", by: User | None = None) -> None:
        self.account = api.program(name, roles=())
        role_grant(
            group=Group.objects.get(name=f"{name} programs"),
            role="auditor",
            area=Area.objects.get(slug=area) if area else None,
            by=None,
        )
        self.key, self.secret = api.key_of(self.account, by)
        self.client = api.client(self.secret)

    def asks(self, **said: Any) -> str:
        answer = begun(self.client, **said)
        assert answer.status_code == 202, answer.content
        return f"{EXPORTS}/{answer.json()['id']}"


def job_of(path: str) -> Job:
    return Job.objects.get(pk=UUID(path.rpartition("/")[2]))


def fetched(client: Any, path: str) -> ZipFile:
    answer = client.get(f"{path}/file")
    assert answer.status_code == 200, answer.content
    return ZipFile(io.BytesIO(b"".join(answer.streaming_content)))


def calls_in(file: ZipFile) -> set[str]:
    return {json.loads(line)["call"] for line in file.read("calls.jsonl").splitlines()}


def test_a_program_asks_watches_fetches_and_deletes_under_its_own_name(
    record: Any, alice: User, folder: Path
) -> None:
    call = record(who(alice))
    keys = KeyDirectory.make(settings.AUDIT_KEY_DIR)
    checkpoint_make(keys)
    siem = Siem("clinic")
    path = siem.asks(selection={"model": "demo"}, payloads=True)
    assert siem.client.get(path).json()["state"] == "waiting"
    assert [each["id"] for each in siem.client.get(EXPORTS).json()["results"]] == [path.rpartition("/")[2]]
    api.problem(siem.client.get(f"{path}/file"), 409, "conflict")
    working.sweep()
    ready = siem.client.get(path).json()
    assert (ready["state"], ready["calls"], ready["unanchored"]) == ("ready", 1, [])
    file = fetched(siem.client, path)
    assert calls_in(file) == {str(call)}
    said = json.loads(file.read("manifest.json"))
    assert said["asked_by"] == {"name": "siem", "subject": "service:siem"} and said["areas"] == ["clinic"]
    export = Export(Place(job_of(path).pk).finished, signing_key(keys).public_key())
    assert list(export.problems()) == []
    assert siem.client.delete(path).status_code == 204
    assert siem.client.get(path).json()["state"] == "deleted"
    names = ["asked", "made", "downloaded", "deleted"]
    assert [act.name for act in told("export.")] == [f"export.{name}" for name in names[::-1]]
    assert {act.subject for act in told("export.")} == {"service:siem"}


def test_its_events_name_the_key(record: Any, alice: User, folder: Path) -> None:
    siem = Siem()
    siem.asks()
    working.sweep()
    events = [json.loads(bytes(row.meta)) for row in Entry.objects.filter(kind="event").order_by("id")]
    prefixes = {each["event"]: each["by"]["key_prefix"] for each in events if "export." in each["event"]}
    assert prefixes == {"export.asked": siem.key.prefix, "export.made": siem.key.prefix}


def test_two_at_a_time_and_cancelled_like_anybody_s(folder: Path) -> None:
    KeyDirectory.make(settings.AUDIT_KEY_DIR)
    siem = Siem()
    first, _ = siem.asks(), siem.asks(format="csv")
    assert "under way" in str(api.problem(begun(siem.client), 422, "refused"))
    assert siem.client.delete(first).status_code == 204
    assert siem.client.get(first).json()["state"] == "cancelled"
    siem.asks(format="ocsf")


# --- walls


def test_it_holds_the_calls_of_its_areas_and_nothing_of_others(
    record: Any, alice: User, folder: Path
) -> None:
    here, there = str(record(who(alice))), str(record(who(alice), "lab"))
    for area, wanted in (("clinic", {here}), ("lab", {there})):
        siem = Siem(area, f"siem-{area}")
        path = siem.asks()
        working.sweep()
        file = fetched(siem.client, path)
        assert calls_in(file) == wanted
        other = "lab" if area == "clinic" else "clinic"
        assert not any(f'"{other}"'.encode() in file.read(name) for name in file.namelist())


def test_nobody_else_sees_it_not_even_its_owner_or_maker(record: Any, alice: User, folder: Path) -> None:
    record(who(alice))
    dave = auditor()
    siem, other = Siem(by=dave), Siem(name="other")
    path = siem.asks()
    working.sweep()
    siem.account.refresh_from_db()
    for client in (signed_in(dave), signed_in(auditor("erin")), other.client):
        for answer in (client.get(path), client.get(f"{path}/file"), client.delete(path)):
            api.problem(answer, 404, "not-found")
        assert client.get(EXPORTS).json()["results"] == []
    assert fetched(siem.client, path)


def test_another_key_of_the_program_sees_what_it_could_ask_for_itself(
    record: Any, alice: User, folder: Path
) -> None:
    """Its maker audits the clinic only by now, the other key's maker everything."""
    record(who(alice))
    siem, erin = Siem(), auditor("erin")
    narrower = api.client(api.key_of(siem.account, erin)[1])
    RoleGrant.objects.filter(group__user=erin).delete()
    role_grant(group=erin.groups.get(), role="auditor", area=Area.objects.get(slug="clinic"), by=None)
    as_wide = api.client(api.key_of(siem.account)[1])
    wide = siem.asks(reason="looking for kanari-project")
    working.sweep()
    small = f"{EXPORTS}/{begun(narrower).json()['id']}"
    working.sweep()
    for answer in (narrower.get(wide), narrower.get(f"{wide}/file"), narrower.delete(wide)):
        assert "kanari-project" not in str(api.problem(answer, 404, "not-found"))
    assert "kanari-project" not in narrower.get(EXPORTS).content.decode()
    assert len(narrower.get(EXPORTS).json()["results"]) == 1
    assert fetched(narrower, small) and fetched(as_wide, wide) and fetched(as_wide, small)


@pytest.mark.parametrize("credential", ["person's key", "narrow key", "token"])
def test_what_has_no_role_asks_for_none(credential: str, folder: Path) -> None:
    if credential == "person's key":
        secret = people.key_of(auditor())[1].reveal()
    elif credential == "narrow key":
        _, made = api_key_create(
            name="narrow",
            service_account=Siem().account,
            expires_at=timezone.now() + timedelta(days=1),
            by=people.admin(),
            scope=KeyScope(models=("demo",)),
        )
        secret = made.reveal()
    else:
        secret = "eyJhbGciOiJub25lIn0.e30."
    client = api.client(secret)
    answers = (begun(client), client.get(EXPORTS), client.get(f"{EXPORTS}/{UUID(int=1)}/file"))
    assert {answer.status_code for answer in answers} <= {401, 403} and not Job.objects.exists()


# --- the present wins


def revoked(siem: Siem) -> None:
    ApiKey.objects.filter(pk=siem.key.pk).update(revoked_at=timezone.now())


def run_out(siem: Siem) -> None:
    ApiKey.objects.filter(pk=siem.key.pk).update(expires_at=timezone.now() - timedelta(seconds=1))


def locked(siem: Siem) -> None:
    Lock.objects.create(service_account=siem.account, reason="leaked")


def key_locked(siem: Siem) -> None:
    Lock.objects.create(api_key=siem.key, reason="leaked")


def closed(siem: Siem) -> None:
    ServiceAccount.objects.filter(pk=siem.account.pk).update(is_active=False)


def owner_left(siem: Siem) -> None:
    User.objects.filter(pk=siem.account.owner_id).update(is_active=False)


def narrowed(siem: Siem) -> None:
    ApiKey.objects.filter(pk=siem.key.pk).update(allowed_models=["demo"])


def role_gone(siem: Siem) -> None:
    RoleGrant.objects.filter(group__name="siem programs").delete()


def maker_demoted(siem: Siem) -> None:
    User.objects.filter(username="root").update(is_superuser=False)


def maker_gone(siem: Siem) -> None:
    ApiKey.objects.filter(pk=siem.key.pk).update(created_by=None)


def moved(siem: Siem) -> None:
    """To another area: what was asked for lies in the clinic."""
    role_gone(siem)
    role_grant(
        group=Group.objects.get(name="siem programs"),
        role="auditor",
        area=Area.objects.get(slug="lab"),
        by=None,
    )


ENDS = (
    revoked,
    run_out,
    locked,
    key_locked,
    closed,
    owner_left,
    narrowed,
    role_gone,
    maker_demoted,
    maker_gone,
    moved,
)


@pytest.mark.parametrize("end", ENDS)
def test_a_key_that_does_it_no_more_gets_nothing(
    record: Any, alice: User, folder: Path, end: Callable[[Siem], None]
) -> None:
    """Neither what is under way nor what is ready."""
    record(who(alice))
    siem = Siem("clinic")
    ready = siem.asks()
    working.sweep()
    waiting = siem.asks()
    end(siem)
    working.sweep()
    job = job_of(waiting)
    assert job.state == "failed" and "may not export" in job.result["problem"]
    assert told("export.failed")[0].subject == "service:siem"
    assert siem.client.get(f"{ready}/file").status_code in (401, 403, 404)
    assert begun(siem.client).status_code in ((202, 403) if end is moved else (401, 403))
    assert "export.downloaded" not in [act.name for act in told("export.")]


def test_a_successor_of_the_key_fetches_what_was_made(record: Any, alice: User, folder: Path) -> None:
    record(who(alice))
    siem = Siem("clinic")
    path = siem.asks()
    working.sweep()
    revoked(siem)
    assert fetched(api.client(api.key_of(siem.account)[1]), path)


def test_it_runs_out_like_anybody_s(record: Any, alice: User, folder: Path) -> None:
    siem = Siem()
    path = siem.asks()
    working.sweep()
    Job.objects.filter(pk=job_of(path).pk).update(finished_at=timezone.now() - timedelta(days=400))
    assert keeping.exports_forget() == 1
    assert siem.client.get(path).json()["state"] == "expired"
    assert not Place(job_of(path).pk).finished.exists()
